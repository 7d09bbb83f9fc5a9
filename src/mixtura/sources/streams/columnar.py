"""Parquet and Arrow files in batches, through PyArrow: decoded piece by piece, never mapped.

A Parquet file is decoded by pages, whatever its row groups; an Arrow file by record batches, which
are read whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mixtura.errors import InputError
from mixtura.sources.columnar import arrow
from mixtura.sources.streams.identity import Identity
from mixtura.sources.streams.messages import batches_in
from mixtura.sources.streams.pieces import numbers, numeric, poured
from mixtura.sources.streams.prefetch import Fill
from mixtura.sources.streams.stream import Stream, chosen

__all__ = [
    "ColumnarStream",
    "arrow_stream",
    "batches_of",
    "damaged",
    "opened_file",
    "parquet_stream",
]

#: Rows decoded at a time, bytes that they may take, and bytes read at a time.
ROWS, DECODED, READ = 65_536, 2 << 20, 1 << 18
#: Bytes of a page of a column, as most writers make them, packed and unpacked.
PAGE = 3 << 19


class ColumnarStream(Stream):
    """Rows of a Parquet or Arrow file.

    Parameters
    ----------
    path : Path
    kind : str
        "parquet" or "arrow".
    columns : sequence of str, optional
        All by default, which must then be numbers.
    weight : str, optional
        The column that holds weights.
    """

    def __init__(
        self, path: Path, kind: str, columns: Sequence[str] | None = None, weight: str | None = None
    ) -> None:
        self.identity = Identity.of(path)
        self._path, self._kind = path, kind
        with damaged(path, kind):
            n, schema, largest = _looked_at(path, kind)
        if not n or not len(schema):
            raise InputError(
                f"expected rows and columns in {path}, got {n} rows and {len(schema)} columns; "
                "check how it was written"
            )
        taken = chosen(str(path), schema.names, columns, weight)
        kinds = {name: schema.field(name).type for name in [*taken, *([weight] if weight else [])]}
        import pyarrow as pa

        for name, one in kinds.items():
            one = one.value_type if pa.types.is_dictionary(one) else one
            if not numeric(one) and not pa.types.is_null(one):
                raise InputError(
                    f"expected numbers in column {name!r} of {path}, got cells of type {one}; "
                    "leave it out: name the columns that are to be fitted"
                )
        single = all(pa.types.is_float32(kinds[name]) for name in taken)
        dtype = np.float32 if single else np.float64
        super().__init__(str(path), n, len(taken), dtype, weighted=weight is not None)
        self.columns, self._weights_name = tuple(taken), weight
        width = len(taken) + (weight is not None)
        self._rows = int(np.clip(DECODED // (8 * width), 1024, ROWS))
        self.overhead = largest or 2 * DECODED + (READ + PAGE) * width
        self._largest = largest

    @contextmanager
    def reading(self) -> Iterator[Fill]:
        """See ``Stream``."""
        self.identity.check()
        names = [*(self.columns or ()), *([self._weights_name] if self._weights_name else [])]
        with opened_file(self._path, self._kind) as opened:
            yield poured(self._pieces(opened, names))
        self.identity.check()

    def _pieces(self, opened: Any, names: list[str]) -> Iterator[Any]:
        batches = batches_of(opened, self._kind, self._rows, names)
        while True:
            try:
                with damaged(self._path, self._kind):
                    batch = next(batches, None)
            except InputError:
                self.identity.check()  # it may have been cut or replaced meanwhile
                raise
            if batch is None:
                return
            if not len(batch):
                continue
            found = [numbers(batch.column(name), name, self.name) for name in names]
            weight = found.pop() if self._weights_name else None
            yield found, weight


def batches_of(opened: Any, kind: str, rows: int, names: Sequence[str] | None) -> Iterator[Any]:
    """Record batches of an opened file, those of Parquet of so many rows."""
    if kind == "parquet":
        columns = None if names is None else list(names)
        yield from opened.iter_batches(batch_size=rows, columns=columns, use_threads=False)
    elif hasattr(opened, "get_batch"):
        for i in range(opened.num_record_batches):
            yield opened.get_batch(i)
    else:
        yield from opened


@contextmanager
def damaged(path: Path, kind: str) -> Iterator[None]:
    """PyArrow's errors as ours."""
    pa = arrow(f"reading {path.name}")
    try:
        yield
    except InputError:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        what = "Parquet" if kind == "parquet" else "Arrow"
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "unreadable"
        raise InputError(
            f"expected a whole {what} file, got a damaged one: {path} ({reason}); write it again"
        ) from None


@contextmanager
def opened_file(path: Path, kind: str) -> Iterator[Any]:
    """The file for batches: a ParquetFile, or a reader of Arrow's file or stream format."""
    pa = arrow(f"reading {path.name}")
    with damaged(path, kind):
        if kind == "parquet":
            from pyarrow import parquet

            opened: Any = parquet.ParquetFile(path, buffer_size=READ, pre_buffer=False)
            source = opened
        else:
            with path.open("rb") as file:
                head = file.read(6)
            if head.startswith(b"FEA1"):
                raise InputError(
                    f"expected an Arrow file in batches, got one of Feather's first version: "
                    f"{path}; write it again with a current version, or as Parquet"
                )
            source = pa.OSFile(str(path), "rb")
            whole = head == b"ARROW1"
            opened = pa.ipc.open_file(source) if whole else pa.ipc.open_stream(source)
    with source:
        yield opened


def _looked_at(path: Path, kind: str) -> tuple[int, Any, int]:
    """Rows, schema, and the bytes that a record batch takes which is read whole (0: none is)."""
    with opened_file(path, kind) as opened:
        if kind == "parquet":
            return int(opened.metadata.num_rows), opened.schema_arrow, 0
        schema = opened.schema
    found = batches_in(path)
    return found.n, schema, found.body + 8 * found.rows * len(schema)


def parquet_stream(path: Path, columns: Any = None, weight: str | None = None) -> ColumnarStream:
    """A Parquet file."""
    return ColumnarStream(path, "parquet", columns, weight)


def arrow_stream(path: Path, columns: Any = None, weight: str | None = None) -> ColumnarStream:
    """An Arrow (Feather) file, or a stream of Arrow batches in a file."""
    return ColumnarStream(path, "arrow", columns, weight)
