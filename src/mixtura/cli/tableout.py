"""Tables out: text, Parquet or Arrow, written batch by batch.

Text cells are made by Arrow and joined as whole columns, so that no row passes through Python.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mixtura.cli.files import replacing
from mixtura.sources.cells import cells, given_cells
from mixtura.sources.columnar import arrow

__all__ = ["SUFFIXES", "as_arrow", "format_of", "writing"]

#: How a name ends, and what is then written.
SUFFIXES = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".feather": "arrow",
    ".arrow": "arrow",
}


def format_of(path: Path | None) -> str | None:
    """``csv``, ``csv.gz``, ``tsv``, ``tsv.gz``, ``parquet`` or ``arrow``; None if unknown."""
    if path is None or path == Path("-"):
        return "csv"
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        inner = SUFFIXES.get(suffixes[-2] if len(suffixes) > 1 else "")
        return f"{inner}.gz" if inner in ("csv", "tsv") else None
    return SUFFIXES.get(suffixes[-1] if suffixes else "")


def as_arrow(column: Any, *, typed: bool) -> Any:
    """A table's column for writing.

    Parameters
    ----------
    column : NumPy vector or Arrow array
    typed : bool
        Whether text that is numbers becomes numbers, as a Parquet reader expects; text output
        keeps every cell as it came.
    """
    import pyarrow as pa
    from pyarrow import compute

    if isinstance(column, np.ndarray):
        return pa.chunked_array([pa.array(np.ascontiguousarray(column))])
    if not typed or not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column
    judged = cells(column)
    if judged.values is None or judged.reason:
        return column
    given = given_cells(column)
    try:
        return compute.cast(given, pa.int64())
    except pa.ArrowInvalid:
        return compute.cast(given, pa.float64())


@contextmanager
def writing(path: Path | None) -> Iterator[Any]:
    """A function that appends a ``pyarrow.Table`` to the file, or to standard output as CSV.

    The file appears under its name only when the block ends well.
    """
    pa = arrow("writing tables")
    kind = format_of(path)
    with ExitStack() as stack:
        if path is None or path == Path("-"):
            yield _Text(_Stdout(), ",")
            return
        temporary = stack.enter_context(replacing(path))
        if kind in ("parquet", "arrow"):
            writer: Any = _Columnar(pa, temporary, kind)
            stack.callback(writer.close)
        else:
            file: Any = stack.enter_context(open(temporary, "wb"))
            if kind in ("csv.gz", "tsv.gz"):
                file = stack.enter_context(
                    gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0)
                )
            writer = _Text(file, "," if kind in ("csv", "csv.gz") else "\t")
        yield writer


class _Stdout:
    """Bytes to standard output."""

    def write(self, content: bytes) -> None:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()


class _Columnar:
    """Parquet, or Arrow's file format (Feather)."""

    def __init__(self, pa: Any, path: Path, kind: str) -> None:
        self.pa, self.path, self.kind = pa, path, kind
        self.writer: Any = None

    def __call__(self, batch: Any) -> None:
        if self.writer is None:
            if self.kind == "parquet":
                from pyarrow import parquet

                self.writer = parquet.ParquetWriter(self.path, batch.schema)
            else:
                self.writer = self.pa.ipc.new_file(str(self.path), batch.schema)
        self.writer.write_table(batch)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close()


class _Text:
    """Delimited text; cells are quoted only where they must be."""

    def __init__(self, file: Any, delimiter: str) -> None:
        self.file, self.delimiter, self.begun = file, delimiter, False

    def __call__(self, batch: Any) -> None:
        if not self.begun:
            self.begun = True
            head = io.StringIO()
            writer = csv.writer(head, delimiter=self.delimiter, lineterminator="\n")
            writer.writerow(batch.column_names)
            self.file.write(head.getvalue().encode())
        self.file.write(_lines(batch, self.delimiter))


def _lines(batch: Any, delimiter: str) -> bytes:
    import pyarrow as pa
    from pyarrow import compute

    columns = [_text(column.combine_chunks(), delimiter) for column in batch.columns]
    options = {"null_handling": "replace", "null_replacement": ""}
    joined = compute.binary_join_element_wise(*columns, pa.scalar(delimiter), **options)
    lines = compute.binary_join_element_wise(joined, pa.scalar(""), pa.scalar("\n"))
    if isinstance(lines, pa.ChunkedArray):
        lines = lines.combine_chunks()
    # The array keeps its cells end to end: that is the text.
    offsets = np.frombuffer(lines.buffers()[1], dtype=np.int32)[lines.offset :][: len(lines) + 1]
    return bytes(memoryview(lines.buffers()[2])[offsets[0] : offsets[-1]])


def _text(column: Any, delimiter: str) -> Any:
    """A column as strings, quoted where the delimiter, quotes or line ends ask for it."""
    import pyarrow as pa
    from pyarrow import compute

    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return column.cast(pa.string())
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    try:
        text = column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        cells = [
            None if cell is None else json.dumps(cell, default=str) for cell in column.to_pylist()
        ]
        text = pa.array(cells, pa.string())
    special = compute.match_substring_regex(text, f'["\\r\\n{delimiter}]')
    if not compute.any(special).as_py():
        return text
    doubled = compute.replace_substring(text, '"', '""')
    quoted = compute.binary_join_element_wise(
        pa.scalar('"'), doubled, pa.scalar('"'), pa.scalar("")
    )
    return compute.if_else(special, quoted, text)
