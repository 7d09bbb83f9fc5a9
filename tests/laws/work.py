r"""Laws of work: what a pass over the rows may cost, counted instead of timed.

One EM iteration sees every row once, spends the 4 n k f operations of two products of the rows'
features with all components, and holds a batch: its memory grows with neither n nor n k. Counts
are the same on a busy machine, so a regression in complexity fails there as well.
"""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from mixtura.fit.model import GaussianModel
from mixtura.sources import Rows

#: Operations beside the two products may come to so much of them, and a count that finds less than
#: so much of them has overlooked something.
SLACK, LEAST = 0.15, 0.9


def peak_bytes(work: Callable[[], Any]) -> int:
    """Most bytes that NumPy and Python held at once, of those allocated meanwhile; two threads."""
    with threadpool_limits(2, user_api="blas"):
        tracemalloc.start()
        try:
            work()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


@dataclass(frozen=True, eq=False)
class Watched(Rows):
    """Rows that note how many of them are handed out."""

    handed: list[int] = field(default_factory=list)

    def batch(self, start: int, stop: int) -> Rows:
        found = super().batch(start, stop)
        self.handed.append(found.n)
        return found


def rows_seen(engine: Any, model: Any, x: np.ndarray) -> int:
    """Rows that an engine asks for in one pass."""
    rows = Watched(x)
    engine.expect(model, rows)
    return sum(rows.handed)


class Counted(np.ndarray):
    """An array whose products add to ``flops``; what is computed from it counts on."""

    flops: list[float]

    def __array_finalize__(self, other: Any) -> None:
        self.flops = getattr(other, "flops", [])

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        flops = self._counter(inputs)
        plain = [bare(each) for each in inputs]
        if "out" in options:
            options["out"] = tuple(bare(each) for each in options["out"])
        found = getattr(ufunc, method)(*plain, **options)
        if ufunc is np.matmul and method == "__call__":
            flops.append(2.0 * np.asarray(found).size * np.shape(plain[0])[-1])
        return counted(found, flops)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        flops = self._counter(args)
        plain = [bare(each) for each in args]
        kwargs = {key: bare(each) for key, each in kwargs.items()}
        if function is np.einsum:
            flops.append(2.0 * einsum_size(plain[0], plain[1:]))
        return counted(function(*plain, **kwargs), flops)

    def _counter(self, inputs: Any) -> list[float]:
        return next((e.flops for e in inputs if isinstance(e, Counted)), self.flops)


def einsum_size(subscripts: str, operands: list[np.ndarray]) -> int:
    """Multiplications of an einsum that is carried out as it is written."""
    sizes: dict[str, int] = {}
    for letters, operand in zip(subscripts.split("->")[0].split(","), operands, strict=True):
        sizes |= dict(zip(letters, operand.shape, strict=True))
    return math.prod(sizes.values())


def bare(value: Any) -> Any:
    """The plain array of a counted one; lists and tuples of them alike."""
    if isinstance(value, list | tuple):
        return type(value)(bare(each) for each in value)
    return value.view(np.ndarray) if isinstance(value, Counted) else value


def counted(value: Any, flops: list[float]) -> Any:
    """An array that counts into ``flops``; anything else as it is."""
    if not isinstance(value, np.ndarray):
        return value
    found = value.view(Counted)
    found.flops = flops
    return found


@contextmanager
def counting() -> Iterator[list[float]]:
    """Operations of products in which a model's compiled form takes part."""
    flops: list[float] = []
    plain = GaussianModel.kernel

    def kernel(self: Any, dtype: Any) -> Any:
        compute, form = plain(self, dtype)
        return compute, watched(form)

    def watched(form: Any) -> Any:
        arrays = {f.name: getattr(form, f.name) for f in fields(form)} if is_dataclass(form) else {}
        return replace(
            form,
            **{
                name: watched(value) if is_dataclass(value) else counted(value, flops)
                for name, value in arrays.items()
                if isinstance(value, np.ndarray) or name == "inner"
            },
        )

    GaussianModel.kernel = kernel
    try:
        yield flops
    finally:
        GaussianModel.kernel = plain


def flops_of(engine: Any, model: Any, x: np.ndarray) -> float:
    """Operations of the products of one pass."""
    with counting() as flops:
        engine.expect(model, Rows(counted(x, flops)))
    return sum(flops)


# ---- the laws ------------------------------------------------------------------------------------
def sees_rows_once(engine: Any, model: Any, x: np.ndarray) -> None:
    """A pass asks for every row, and once."""
    assert rows_seen(engine, model, x) == len(x)


def spends_two_products(engine: Any, model: Any, x: np.ndarray, features: int) -> None:
    """A pass spends 4 n k f operations, and little more."""
    nominal = 4.0 * len(x) * model.k * features
    assert LEAST * nominal <= flops_of(engine, model, x) <= (1 + SLACK) * nominal


def holds_a_batch(work: Callable[[np.ndarray], Any], x: np.ndarray, k: int) -> None:
    """What ``work(x)`` holds is far below n × k numbers, and no more for many rows than for few.

    ``work`` may return an array, which does not count.
    """
    # How many batches two threads hold at one moment is chance: what grows, grows in every run.
    few = max(held(work, x[: len(x) // 3]) for _ in range(3))
    many = min(held(work, x) for _ in range(2))
    assert 3 * many < 8 * len(x) * k, f"{many:,} bytes are much of {8 * len(x) * k:,}, n x k"
    assert many < 1.25 * few + 2**18, f"{few:,} bytes for a third of the rows, {many:,} for all"


def copies_no_rows(work: Callable[[np.ndarray], Any], x: np.ndarray) -> None:
    """What ``work(x)`` holds is less than half of the rows."""
    held_bytes = min(held(work, x) for _ in range(2))  # compilers hold some the first time
    assert 2 * held_bytes < x.nbytes, f"{held_bytes:,} bytes beside rows of {x.nbytes:,}"


def forms_no_square(work: Callable[[], Any], d: int) -> None:
    """What ``work()`` holds is less than one d × d matrix."""
    assert 2 * peak_bytes(work) < 8 * d * d


def held(work: Callable[[np.ndarray], Any], x: np.ndarray) -> int:
    """Peak bytes, less those of the answer."""
    answers: list[Any] = []
    most = peak_bytes(lambda: answers.append(work(x)))
    return most - sum(a.nbytes for a in answers if isinstance(a, np.ndarray))
