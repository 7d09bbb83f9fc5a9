"""Rows as records of equal length in a binary file: NPY, memory-mapped arrays, and spilled rows.

They are read by plain reads into reused buffers: pages of a mapped file would count as resident
memory. Rows of the type that is computed in go straight into the buffer; others, and arrays that
lie column by column, through a small one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mixtura.errors import InputError
from mixtura.sources.streams.identity import Identity
from mixtura.sources.streams.prefetch import Fill
from mixtura.sources.streams.stream import Stream, chosen
from mixtura.typing import FloatArray

__all__ = ["RawStream"]

#: Bytes of the small buffer.
STAGE = 1 << 20


class RawStream(Stream):
    """Rows of a binary file.

    Parameters
    ----------
    path : Path
    dtype : dtype
        Of one number; of one row, where it has fields.
    shape : (int, int)
        Rows, and columns (or fields).
    offset : int
        Byte at which the first row begins.
    by_column : bool
        Whether columns lie one after the other, as in Fortran.
    columns : sequence of str, optional
        Fields to read, or x0, x1, … of an array without names; all by default.
    weight : str, optional
        The one that holds weights.
    file : file, optional
        Open, in the place of the path: only one pass at a time is then made.
    """

    overhead = STAGE

    def __init__(
        self,
        path: Path | None,
        dtype: Any,
        shape: tuple[int, int],
        *,
        offset: int = 0,
        by_column: bool = False,
        columns: Sequence[str] | None = None,
        weight: str | None = None,
        file: Any = None,
        name: str | None = None,
    ) -> None:
        raw = np.dtype(dtype)
        n, width = shape
        label = name or str(path)
        names = list(raw.names) if raw.names else [f"x{j}" for j in range(width)]
        taken = chosen(label, names, columns, weight)
        kinds = [raw[one] if raw.names else raw for one in taken]
        for one, kind in zip(taken, kinds, strict=True):
            if kind.kind not in "biuf":
                raise InputError(
                    f"expected numbers in {label}, got {kind} in {one!r}; save it with a numeric "
                    "dtype: np.save(path, array.astype(float))"
                )
        narrow = all(kind.kind == "f" and kind.itemsize == 4 for kind in kinds)
        super().__init__(
            label,
            n,
            len(taken),
            np.float32 if narrow else np.float64,
            weighted=weight is not None,
        )
        self._path, self._file, self._offset, self._raw = path, file, offset, raw
        self._width, self._by_column = width, by_column
        self._places = [names.index(one) for one in taken]
        self._names = [names[j] for j in self._places] if raw.names else None
        self._weights_at = None if weight is None else names.index(weight)
        self._weights_name = weight
        if raw.names:
            self.columns = tuple(taken)
        self.identity = None if path is None or file is not None else Identity.of(path)

    @contextmanager
    def reading(self) -> Iterator[Fill]:
        """See ``Stream``."""
        if self._file is not None:
            self._file.seek(self._offset)
            yield self._filler(self._file)
            return
        if self._path is None or self.identity is None:
            raise AssertionError("a stream has a path or a file")
        try:
            file = open(self._path, "rb", buffering=0)  # noqa: SIM115
        except OSError as error:
            self.identity.check()
            raise InputError(
                f"expected a file that can be read, got {self._path} ({error.strerror})"
            ) from None
        with file:
            self.identity.check(file)
            file.seek(self._offset)
            yield self._filler(file)
            self.identity.check(file)

    def _filler(self, file: Any) -> Fill:
        straight = (
            not self._by_column
            and self._raw.names is None
            and self._weights_at is None
            and self._places == list(range(self._width))
        )
        position = 0

        def fill(x: FloatArray, weight: FloatArray | None) -> int:
            nonlocal position
            count = min(len(x), self.n - position)
            if not count:
                return 0
            if self._by_column:
                self._columns_into(file, x, weight, position, count)
            elif straight and x.dtype == self._raw:
                self._read(file, x[:count])
            else:
                self._records_into(file, x, weight, count)
            position += count
            return count

        return fill

    def _records_into(self, file: Any, x: FloatArray, weight: Any, count: int) -> None:
        record = self._raw if self._raw.names else np.dtype((self._raw, (self._width,)))
        step = max(1, STAGE // record.itemsize)
        stage = np.empty(min(step, count), dtype=record)
        for low in range(0, count, step):
            rows = stage[: min(step, count - low)]
            self._read(file, rows)
            part = slice(low, low + len(rows))
            if self._names is None:
                x[part] = rows[:, self._places]
                if weight is not None:
                    weight[part] = rows[:, self._weights_at]
                continue
            for j, field in enumerate(self._names):
                x[part, j] = rows[field]
            if weight is not None:
                weight[part] = rows[self._weights_name]

    def _columns_into(self, file: Any, x: FloatArray, weight: Any, row: int, count: int) -> None:
        step = max(1, STAGE // self._raw.itemsize)
        stage = np.empty(min(step, count), dtype=self._raw)
        targets = [(place, x[:, j]) for j, place in enumerate(self._places)]
        if weight is not None:
            targets.append((self._weights_at or 0, weight))
        for place, out in targets:
            file.seek(self._offset + (place * self.n + row) * self._raw.itemsize)
            for low in range(0, count, step):
                part = stage[: min(step, count - low)]
                self._read(file, part)
                out[low : low + len(part)] = part

    def _read(self, file: Any, out: Any) -> None:
        """Fill an array from the file, whole or not at all."""
        view = memoryview(out.reshape(-1).view(np.uint8))
        while len(view):
            try:
                count = file.readinto(view)
            except OSError as error:
                raise InputError(
                    f"expected rows that can be read in {self.name}, got: {error.strerror}; check "
                    "the disk"
                ) from None
            if not count:
                if self.identity is not None:
                    self.identity.check(file)
                raise InputError(
                    f"expected {self.n:,} rows in {self.name}, but the file ended before; write it "
                    "again"
                )
            view = view[count:]

    def close(self) -> None:
        """See ``Stream``."""
        if self._file is not None:
            self._file.close()
