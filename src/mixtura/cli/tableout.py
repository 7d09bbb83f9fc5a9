"""Tables out: text, Parquet or Arrow, written batch by batch.

Text cells are made by Arrow and joined as whole columns, so that no row passes through Python.
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mixtura.cli.columnsout import as_text
from mixtura.cli.files import replacing
from mixtura.sources.columnar import arrow

__all__ = ["BATCH", "SUFFIXES", "batches", "columnar", "format_of", "writing"]

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
#: Rows written at a time, and numbers held at a time for them.
BATCH, NUMBERS = 65_536, 8_000_000


def format_of(path: Path | None) -> str | None:
    """``csv``, ``csv.gz``, ``tsv``, ``tsv.gz``, ``parquet`` or ``arrow``; None if unknown."""
    if path is None or path == Path("-"):
        return "csv"
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        inner = SUFFIXES.get(suffixes[-2] if len(suffixes) > 1 else "")
        return f"{inner}.gz" if inner in ("csv", "tsv") else None
    return SUFFIXES.get(suffixes[-1] if suffixes else "")


def columnar(path: Path | None) -> bool:
    """Whether what is written there keeps columns of numbers, rather than text."""
    return format_of(path) in ("parquet", "arrow")


def batches(n: int, each: int) -> Iterator[tuple[int, int]]:
    """Spans of n rows, each of which takes so many numbers of working memory."""
    size = max(1, min(BATCH, NUMBERS // max(each, 1)))
    for start in range(0, n, size):
        yield start, min(start + size, n)


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
        if columnar(path):
            writer: Any = _Columnar(pa, temporary, str(kind))
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

    text = as_text(column)
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return text
    special = compute.match_substring_regex(text, f'["\\r\\n{delimiter}]')
    if not compute.any(special).as_py():
        return text
    doubled = compute.replace_substring(text, '"', '""')
    quoted = compute.binary_join_element_wise(
        pa.scalar('"'), doubled, pa.scalar('"'), pa.scalar("")
    )
    return compute.if_else(special, quoted, text)
