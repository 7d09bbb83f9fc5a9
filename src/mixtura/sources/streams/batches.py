"""Iterables of batches as streams: arrays (b, d), data frames, Arrow record batches.

What can be iterated again is, for every pass; an iterator, which cannot, is spilled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mixtura.errors import InputError
from mixtura.sources.streams.pieces import poured
from mixtura.sources.streams.prefetch import Fill
from mixtura.sources.streams.spill import spilled
from mixtura.sources.streams.stream import Stream
from mixtura.sources.streams.tabular import as_numbers
from mixtura.typing import FloatArray

__all__ = ["BatchStream", "iterated"]


class BatchStream(Stream):
    """An iterable that gives the same batches whenever it is iterated.

    Parameters
    ----------
    batches : iterable
        It is iterated once to count its rows.
    """

    ahead = False  # whatever it opens belongs to the thread that called

    def __init__(self, batches: Any, columns: Any = None, weight: str | None = None) -> None:
        self._batches, self._weights_name, self._asked = batches, weight, columns
        n, d, single, largest, names = 0, 0, True, 0, None
        for i, (x, w, named) in enumerate(_read(batches, columns, weight)):
            if i == 0:
                d, names = x.shape[1], named
            n += len(x)
            single = single and x.dtype == np.float32
            largest = max(largest, x.nbytes + (0 if w is None else w.nbytes))
        if not n:
            raise InputError(
                f"expected rows, got none from {_name(batches)}; check where they come from"
            )
        dtype = np.float32 if single else np.float64
        super().__init__(_name(batches), n, d, dtype, weighted=weight is not None)
        self.columns, self.overhead = names, 2 * largest

    @contextmanager
    def reading(self) -> Iterator[Fill]:
        """See ``Stream``."""
        found = _read(self._batches, self._asked, self._weights_name)
        yield poured((x, w) for x, w, _ in found)


def iterated(
    batches: Any,
    columns: Any = None,
    weight: str | None = None,
    folder: Path | None = None,
) -> Stream:
    """A stream of an iterable; one that can be read once only is spilled.

    Parameters
    ----------
    batches : iterable
        Of arrays (b, d), data frames or Arrow record batches; or an object with ``iter_batches``
        or ``to_batches``, such as PyArrow's ``ParquetFile`` and ``Dataset``.
    columns : sequence of str, optional
    weight : str, optional
        The column that holds weights, of batches with names.
    folder : Path, optional
        Where to spill; see ``spilled``.
    """
    for method in ("iter_batches", "to_batches"):
        if hasattr(batches, method):
            return BatchStream(_Again(batches, method), columns, weight)
    if not hasattr(batches, "__next__"):
        return BatchStream(batches, columns, weight)
    names: list[tuple[str, ...] | None] = []

    def pieces() -> Iterator[tuple[FloatArray, FloatArray | None]]:
        for x, w, named in _read(batches, columns, weight):
            if not names:
                names.append(named)
            yield x, w

    stream = spilled(pieces(), _name(batches), folder=folder)
    stream.columns = names[0]
    return stream


class _Again:
    """An object whose batches are made by a method, every time anew."""

    def __init__(self, inner: Any, method: str) -> None:
        self.inner, self.method = inner, method

    def __iter__(self) -> Iterator[Any]:
        return iter(getattr(self.inner, self.method)())


def _name(batches: Any) -> str:
    inner = batches.inner if isinstance(batches, _Again) else batches
    return f"the {type(inner).__name__}"


def _read(
    batches: Iterable[Any], columns: Any, weight: str | None
) -> Iterator[tuple[FloatArray, FloatArray | None, tuple[str, ...] | None]]:
    """Batches as arrays, weights and names, all of one width."""
    source = _name(batches)
    first: Any = None
    for i, batch in enumerate(batches):
        try:
            x, w, names = as_numbers(batch, columns, weight, source)
        except InputError:
            raise
        except (TypeError, ValueError) as error:
            raise InputError(
                f"expected batches of numbers (b, d) from {source}, got batch {i} that is none: "
                f"{type(batch).__name__} ({error})"
            ) from None
        if first is None:
            first = (x.shape[1], names)
        if (x.shape[1], names) != first:
            raise InputError(
                f"expected every batch of {source} with the {first[0]} columns of the first, got "
                f"{x.shape[1]}{'' if names is None else ' (' + ', '.join(names[:8]) + ')'} in "
                f"batch {i}"
            )
        yield x, w, names
