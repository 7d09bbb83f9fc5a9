"""A file as tables of consecutive rows: what ``tables.read`` gives, some of it at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mixtura.errors import InputError
from mixtura.sources import npy
from mixtura.sources.streams.columnar import batches_of, damaged, opened_file
from mixtura.sources.streams.identity import Identity
from mixtura.sources.tables import Table, kind_of
from mixtura.sources.textblocks import BLOCK, text_blocks

__all__ = ["blocks"]


def blocks(path: Path, rows: int = 65_536, size: int = BLOCK) -> Iterator[Table]:
    """Tables of consecutive rows of a file.

    Parameters
    ----------
    path : Path
        Of any format that ``tables.read`` knows.
    rows : int
        Rows in a table, where the format is not text; record batches of Arrow files are whole.
    size : int
        Bytes of text in a table.

    Raises
    ------
    InputError
        As of ``tables.read``; and where the file changed before its end was read.
    """
    kind = kind_of(path)
    identity = Identity.of(path)
    if kind == "text":
        found = text_blocks(path, size)
    elif kind == "npy":
        found = _of_array(path, rows)
    else:
        found = _of_batches(path, kind, rows)
    for table in found:
        yield table
        identity.check()


def _of_array(path: Path, rows: int) -> Iterator[Table]:
    array = npy.mapped(path)
    dtype, shape, offset = array.dtype, array.shape, int(array.offset)
    by_column = array.ndim == 2 and not array.flags.c_contiguous
    del array
    whole = npy.read(path)  # names and notes; mapped, so nothing is read
    names, notes = whole.names, whole.notes
    if by_column:
        for start in range(0, whole.n, rows):
            part = whole.rows(start, start + rows)
            yield Table(path.name, "npy", names, tuple(map(np.array, part.columns)), notes)
            notes = ()
        return
    record = dtype if len(shape) == 1 else np.dtype((dtype, (shape[1],)))
    with path.open("rb", buffering=0) as file:
        file.seek(offset)
        for start in range(0, shape[0], rows):
            records: Any = np.empty(min(rows, shape[0] - start), dtype=record)
            _fill(file, records, path)
            if dtype.names is not None:
                columns = tuple(np.ascontiguousarray(records[name]) for name in names)
            else:
                columns = tuple(records.reshape(len(records), -1).T.copy())
            yield Table(path.name, "npy", names, columns, notes)
            notes = ()


def _fill(file: Any, out: Any, path: Path) -> None:
    view = memoryview(out.reshape(-1).view(np.uint8))
    while len(view):
        count = file.readinto(view)
        if not count:
            raise InputError(f"expected a whole NPY file, but {path} ended before; write it again")
        view = view[count:]


def _plain(column: Any) -> Any:
    """A column as values: dictionaries differ from batch to batch, and files keep one."""
    import pyarrow as pa

    coded = pa.types.is_dictionary(column.type)
    return column.dictionary_decode() if coded else column


def _of_batches(path: Path, kind: str, rows: int) -> Iterator[Table]:
    import pyarrow as pa

    with opened_file(path, kind) as opened:
        found, any_rows = batches_of(opened, kind, rows, None), False
        while True:
            with damaged(path, kind):
                batch = next(found, None)
            if batch is None:
                break
            if not len(batch):
                continue
            any_rows = True
            names = tuple(str(name) for name in batch.schema.names)
            columns = tuple(pa.chunked_array([_plain(column)]) for column in batch.columns)
            if not names:
                raise InputError(f"expected columns in {path}, got none; check how it was written")
            yield Table(path.name, kind, names, columns)
        if not any_rows:
            raise InputError(
                f"expected rows in {path}, got columns without any row; check how it was written"
            )
