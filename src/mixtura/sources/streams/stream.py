"""A stream: rows that are read again for every pass, and never held at once.

n, d, dtype and the columns' names are known before the first pass; ``chunks`` makes a whole pass.
Each kind of source is a file beside this one, which says in ``reading`` how a buffer is filled.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from typing import Any, ClassVar

import numpy as np

from mixtura.errors import InputError
from mixtura.sources.rows import as_weights
from mixtura.sources.streams.identity import ended
from mixtura.sources.streams.prefetch import Fill, buffers, one_by_one, prefetched
from mixtura.sources.tables import near, told
from mixtura.typing import FloatArray

__all__ = ["Stream", "chosen"]

#: Names that pandas gives to the index of a data frame in a file.
INDEX = re.compile(r"__index_level_\d+__")
#: Bytes of a chunk where all rows are read.
WHOLE = 4 << 20


class Stream(ABC):
    """Rows in chunks, pass after pass.

    Attributes
    ----------
    name : str
        What messages call it.
    n, d : int
        Rows and columns.
    dtype : dtype
        float32 where every column is, else float64: what chunks are given in.
    columns : tuple of str, optional
        Names of the columns, where the source has any.
    weighted : bool
        Whether chunks come with weights.
    notes : tuple of str
        What had to be done to the source.
    watch : callable (int) -> None, optional
        Told the rows of a pass so far, after each chunk.
    """

    #: Whether a thread may read ahead.
    ahead: ClassVar[bool] = True
    #: Bytes that a pass takes besides its buffers.
    overhead: int = 0

    name: str
    n: int
    columns: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    watch: Callable[[int], Any] | None = None

    def __init__(self, name: str, n: int, d: int, dtype: Any, *, weighted: bool = False) -> None:
        self.name, self.n, self.d, self.dtype = name, n, d, np.dtype(dtype)
        self._column_of_weights = weighted
        self._weight: FloatArray | None = None

    @property
    def weighted(self) -> bool:
        """Whether chunks come with weights."""
        return self._column_of_weights or self._weight is not None

    @property
    def row_bytes(self) -> int:
        """Bytes of a row in a buffer."""
        return int(self.d * self.dtype.itemsize) + (8 if self._column_of_weights else 0)

    def weigh(self, weight: Any) -> None:
        """Give the rows weights (n,) from memory.

        Raises
        ------
        InputError
        """
        if weight is None:
            return
        if self._column_of_weights:
            raise InputError("expected weights from an array or from a column, got both")
        self._weight = as_weights(weight, self.n)

    @abstractmethod
    def reading(self) -> AbstractContextManager[Fill]:
        """Open the source for one pass: a function that fills buffers, see ``prefetch.Fill``."""

    def chunks(self, size: int) -> Iterator[tuple[FloatArray, FloatArray | None]]:
        """One pass: rows (b, d) and weights (b,) or None, at most ``size`` rows at a time.

        A chunk is valid until the next one is asked for, and nobody may write to it.

        Raises
        ------
        InputError
            Where the source changed since the stream was opened, or cannot be read.
        """
        size = max(1, min(size, self.n))
        count = 2 if self.ahead and size < self.n else 1
        room = buffers(size, self.d, self.dtype, self._column_of_weights, count)
        read = one_by_one(self.reading, room[0]) if count == 1 else prefetched(self.reading, room)
        seen = 0
        with closing(read) as parts:  # type: ignore[type-var]
            for x, weight in parts:
                start, seen = seen, seen + len(x)
                if seen > self.n:
                    raise ended(self.name, self.n, seen)
                if self._weight is not None:
                    weight = self._weight[start:seen]
                yield x, weight
                if self.watch is not None:
                    self.watch(seen)
        if seen != self.n:
            raise ended(self.name, self.n, seen)

    def read(self) -> tuple[FloatArray, FloatArray | None]:
        """All rows (n, d) and weights (n,) or None, in one pass."""
        x = np.empty((self.n, self.d), dtype=self.dtype)
        weight = np.empty(self.n) if self.weighted else None
        done = 0
        for rows, w in self.chunks(max(1, WHOLE // self.row_bytes)):
            x[done : done + len(rows)] = rows
            if weight is not None:
                weight[done : done + len(rows)] = w
            done += len(rows)
        return x, weight

    def close(self) -> None:  # noqa: B027  (most hold nothing)
        """Release what the stream holds, files of its own included."""

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def chosen(name: str, names: Any, columns: Any, weight: str | None) -> list[str]:
    """Which columns of a source are rows: those asked for, or all but the weights and an index.

    Raises
    ------
    InputError
        For names that the source has not, or that are asked for twice.
    """
    for one in [*(columns or ()), *([] if weight is None else [weight])]:
        if one not in names:
            raise InputError(
                f"expected a column of {name}, got {one!r}; "
                + (near(str(one), names) or f"its columns are {told(names)}")
            )
    if columns is None:
        taken = [str(one) for one in names if one != weight and not INDEX.fullmatch(str(one))]
    else:
        taken = list(columns)
    if len(set(taken)) < len(taken) or weight in taken:
        raise InputError(f"expected every column of {name} once, got {told(taken)}")
    if not taken:
        raise InputError(f"expected at least one column of {name} besides the weights, got none")
    return taken
