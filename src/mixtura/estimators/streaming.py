"""Streams at the door of an estimator: what is one, and how it is arrived with and scored."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from numbers import Integral
from typing import Any

import numpy as np

from mixtura.errors import InputError
from mixtura.fit import ground
from mixtura.fit.budget import plan
from mixtura.fit.streams import streamed
from mixtura.sources import Rows
from mixtura.sources.budget import as_bytes, told_bytes, usual
from mixtura.sources.rows import TOO_FAR, as_rows, as_weights, balanced
from mixtura.sources.streams import Stream, stream
from mixtura.sources.tables import told
from mixtura.typing import FloatArray

__all__ = ["answers", "arrive", "is_source", "total"]

#: Components that "auto" may come to.
MOST = 40
#: Rows scored at a time, and numbers held for them.
SCORED, NUMBERS = 262_144, 4_000_000


def is_source(X: Any, memory: Any = None) -> bool:
    """Whether X is to be streamed, rather than an array or what becomes one.

    Paths, open files, iterators and iterables of batches are; with a budget of memory, mapped
    arrays, arrays on disk and those whose conversion would be a copy are too.
    """
    if isinstance(X, str | bytes | os.PathLike | Stream):
        return True
    if hasattr(X, "read") and hasattr(X, "seek"):
        return True
    if isinstance(X, list | tuple):
        return len(X) > 0 and _is_batch(X[0])
    if isinstance(X, np.ndarray):
        if memory is None or X.ndim != 2 or X.dtype.kind not in "biuf":
            return False
        return isinstance(X, np.memmap) or X.dtype not in (np.float32, np.float64)
    if any(hasattr(X, name) for name in ("__array__", "shape", "__array_interface__")):
        # Arrays on disk (HDF5, Zarr) are read slice by slice.
        lazy = isinstance(getattr(X, "dtype", None), np.dtype) and len(X.shape) == 2
        return memory is not None and lazy
    return any(hasattr(X, name) for name in ("__next__", "iter_batches", "to_batches")) or (
        hasattr(X, "__iter__") and not isinstance(X, dict | set | frozenset)
    )


def _is_batch(one: Any) -> bool:
    """Whether it is itself a table: an array (b, d), a data frame, a record batch."""
    if hasattr(one, "schema") and hasattr(one, "column"):
        return True
    return len(getattr(one, "shape", ())) == 2


def arrive(
    estimator: Any, X: Any, sample_weight: Any, extra: dict[str, Any], stack: ExitStack
) -> tuple[Rows, Stream]:
    """Rows for a fit to a stream, and the stream.

    Parameters
    ----------
    estimator : GaussianMixture
        Its columns are noted in it.
    sample_weight : array (n,) or str, optional
        A name is that of a column.
    extra : dict
        Other arguments of the fit, for rows that fit into the memory alone.
    stack : ExitStack
        Closes the stream.

    Raises
    ------
    InputError
    """
    by_name = isinstance(sample_weight, str)
    own = not isinstance(X, Stream)
    rows = stream(X, weights=sample_weight) if by_name and own else stream(X)
    if own:
        stack.callback(rows.close)
    if not by_name:
        rows.weigh(sample_weight)
    elif not own:
        raise InputError("expected the column of weights named when the stream is made: weights=")
    if rows.n < 2:
        raise InputError(f"expected at least 2 rows, got {rows.n} from {rows.name}")
    _note_columns(estimator, rows)
    memory = usual() if estimator.memory is None else as_bytes(estimator.memory)
    k = _most_components(estimator.n_components)
    fixed = k if isinstance(estimator.n_components, Integral) else 1
    divided = plan(rows, memory, k, spread=estimator.init_params == "random")
    if divided.whole:
        x, weight = rows.read()
        if np.isinf(x).any():
            raise InputError(f"expected finite numbers in {rows.name}, got infinite ones")
        weight = balanced(as_weights(weight, len(x)))
        return ground.arrive(as_rows(x), weight, **extra, k=fixed), rows
    given = [*extra.items(), ("resp_init", estimator.resp_init)]
    for name in (name for name, value in given if value is not None):
        raise InputError(
            f"expected {name}=None with rows that are streamed, got it with {rows.n:,} rows of "
            f"{rows.name} and a memory of {told_bytes(memory)}; raise memory until they fit, or "
            "read them into an array"
        )
    seed = estimator._random_state().randint(np.iinfo(np.int32).max)
    return streamed(rows, divided, k=fixed, seed=seed), rows


def _note_columns(estimator: Any, rows: Stream) -> None:
    estimator.n_features_in_ = rows.d
    estimator.__dict__.pop("feature_names_in_", None)
    if rows.columns is not None:
        estimator.feature_names_in_ = np.array(rows.columns, dtype=object)


def _most_components(asked: Any) -> int:
    if isinstance(asked, Integral):
        return int(asked)
    return MOST if isinstance(asked, str) else max(int(k) for k in asked)


def answers(estimator: Any, X: Any, work: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """What ``work`` says of the rows of a stream (n, …), chunk by chunk."""
    out: FloatArray | None = None
    done = 0
    with _opened(estimator, X, None) as rows:
        for x, _ in _chunks(estimator, rows):
            found = work(x)
            if out is None:
                out = np.empty((rows.n, *found.shape[1:]), dtype=found.dtype)
            out[done : done + len(found)] = found
            done += len(found)
    if out is None:
        raise AssertionError("streams have rows")
    return out


def total(
    estimator: Any, X: Any, work: Callable[[FloatArray], FloatArray], sample_weight: Any = None
) -> tuple[float, float]:
    """Sum of ``work`` over the rows of a stream, weighted, and the sum of weights."""
    summed = mass = 0.0
    with _opened(estimator, X, sample_weight) as rows:
        for x, weight in _chunks(estimator, rows):
            found = work(x).astype(np.float64)
            summed += float(found.sum() if weight is None else weight @ found)
            mass += float(len(x) if weight is None else weight.sum())
    return summed, mass


def _chunks(estimator: Any, rows: Stream) -> Iterator[tuple[FloatArray, FloatArray | None]]:
    size = max(1, min(SCORED, NUMBERS // max(rows.d, estimator.n_components_)))
    for x, weight in rows.chunks(size):
        if np.isinf(x).any():
            raise InputError(f"expected finite numbers in {rows.name}, got infinite ones")
        far = x.dtype == np.float32 and np.abs(x).max() > TOO_FAR
        yield x.astype(np.float64) if far else x, weight


@contextmanager
def _opened(estimator: Any, X: Any, sample_weight: Any) -> Iterator[Stream]:
    """The stream; where it has names, its columns are found by those that the fit saw.

    Raises
    ------
    InputError
        For another number of columns, and names that the source lacks.
    """
    by_name = sample_weight if isinstance(sample_weight, str) else None
    rows = X if isinstance(X, Stream) else stream(X, weights=by_name)
    try:
        names = getattr(estimator, "feature_names_in_", None)
        if names is not None and rows.columns is not None and rows.columns != tuple(names):
            if isinstance(X, Stream) or hasattr(X, "__next__"):
                raise InputError(
                    f"expected the columns {told(names)}, got {told(rows.columns)}; name them in "
                    "this order"
                )
            rows.close()
            rows = stream(X, columns=[str(name) for name in names], weights=by_name)
        if by_name is None:
            rows.weigh(sample_weight)
        if rows.d != estimator.n_features_in_:
            raise InputError(
                f"X has {rows.d} features, but {type(estimator).__name__} is expecting "
                f"{estimator.n_features_in_} features as input"
            )
        yield rows
    finally:
        if not isinstance(X, Stream):
            rows.close()
