"""Delimited text as tables: CSV, TSV and their kin, plain or gzipped.

Every cell is kept as the text it is; which columns are numbers is decided later, and on request.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mixtura.errors import InputError
from mixtura.sources.columnar import arrow
from mixtura.sources.layout import Layout, find_layout, lines_of, records
from mixtura.sources.sniffing import WHITESPACE
from mixtura.sources.tables import FORMATS, Table

__all__ = ["decoded", "read", "table_of"]


def read(path: Path) -> Table:
    """Read delimited text; the delimiter is one of comma, semicolon, tab, bar or white space."""
    arrow(f"reading {path.name}")
    notes: list[str] = []
    raw = decoded(_unpacked(path), path, notes)
    layout = find_layout(raw, path)
    table = table_of(memoryview(raw)[layout.start :], layout, path, notes_before=tuple(notes))
    return replace(table, notes=(*table.notes, *layout.notes))


def table_of(body: Any, layout: Layout, path: Path, *, notes_before: tuple[str, ...]) -> Table:
    """The table of a text's rows, or of some of them.

    Parameters
    ----------
    body : memoryview
        Lines of UTF-8 that end with line feeds.
    layout : Layout
        Its ``lines`` are those before the body.
    path : Path
    notes_before : tuple of str
        What was noted of the text before.
    """
    pa = arrow(f"reading {path.name}")
    notes = list(notes_before)
    quotes = sum(part.count(b'"') for part in _parts(body))
    quoted = quotes > 0
    if quotes % 2:
        _check_quotes(body, layout, path)
    if layout.delimiter == WHITESPACE:
        columns = _parse(pa, _tabbed(bytes(body)), "\t", quoted, layout, path)
    else:
        columns = _parse(pa, body, layout.delimiter, quoted, layout, path)
    if layout.delimiter == ";":
        columns = _decimal_commas(columns, layout.names, notes)
    if len(layout.names) == 1 and re.search(rb"(?:^|\n)[ \t]*\n\s*\S", body):
        notes.append("blank lines were skipped: a missing cell of a single column is written NA")
    return Table(path.name, "text", layout.names, tuple(columns), tuple(notes))


def _parts(body: Any) -> Iterator[bytes]:
    """The text in copies of a megabyte."""
    return (bytes(body[low : low + (1 << 20)]) for low in range(0, len(body), 1 << 20))


# ------------------------------------------------------------------ bytes


def _unpacked(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
        if raw.startswith(b"\x1f\x8b"):
            raw = gzip.decompress(raw)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"expected a whole gzip file, got a damaged one: {path} ({error}); compress it again"
        ) from None
    except OSError as error:
        raise InputError(
            f"expected a file that can be read, got {path} ({error.strerror}); check it"
        ) from None
    return raw


#: Characters that no text table holds.
CONTROL = bytes(set(range(32)) - set(b"\t\n\r\f\x1b"))


def decoded(raw: bytes, path: Path, notes: list[str], *, empty: bool = False) -> bytes:
    """The text as UTF-8 with line feeds; a note if it was in another encoding.

    It may be empty where it is not the first of a file.
    """
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        try:
            raw = raw.decode("utf-16").encode()
        except UnicodeError:
            raise _rubbish(path) from None
    if raw.translate(None, CONTROL) != raw if len(raw) < 1 << 20 else b"\0" in raw:
        raise _rubbish(path)
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    try:
        raw.decode()
    except UnicodeDecodeError:
        raw = raw.decode("latin-1").encode()
        notes.append("the text is not UTF-8: it was read as Latin-1")
    if b"\r" in raw:
        raw = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if not empty and not raw.strip():
        raise InputError(
            f"expected a header and rows in {path}, got an empty file; check how it was written"
        )
    return raw


def _rubbish(path: Path) -> InputError:
    return InputError(
        f"expected a table ({FORMATS}), got binary contents that are none of these: {path}; "
        "export the data in one of those formats"
    )


# ------------------------------------------------------------------ rows


def _tabbed(body: bytes) -> bytes:
    """White-space-delimited text with single tabs instead."""
    if b'"' in body:
        out = io.StringIO()
        found = (record for record, *_ in records(lines_of(body), WHITESPACE))
        csv.writer(out, delimiter="\t", lineterminator="\n").writerows(found)
        return out.getvalue().encode()
    body = re.sub(rb"(?m)^[ \t]+|[ \t]+$", b"", body)
    return re.sub(rb"[ \t]+", b"\t", body)


def _check_quotes(body: Any, layout: Layout, path: Path) -> None:
    """Refuse a quotation mark that is never closed: it would swallow the rows after it."""
    blank = layout.delimiter == WHITESPACE
    delimiter = " " if blank else layout.delimiter
    reader = csv.reader(lines_of(body), delimiter=delimiter, skipinitialspace=blank, strict=True)
    begun = 0
    try:
        for _ in reader:
            begun = reader.line_num
    except csv.Error as error:
        if "end of data" in str(error):
            raise InputError(
                f"expected every quotation mark of {path} to be closed, got one that is not, on "
                f"line {layout.lines + begun + 1}; close it, or double it inside a quoted cell"
            ) from None


def _parse(
    pa: Any, body: Any, delimiter: str, quoted: bool, layout: Layout, path: Path
) -> list[Any]:
    from pyarrow import csv as arrow_csv

    # Columns by place: PyArrow's names may repeat, ours are checked by the table itself.
    places = [str(i) for i in range(len(layout.names))]
    size = max(1 << 20, min(len(body), 1 << 26))
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(pa.py_buffer(body)),
            read_options=arrow_csv.ReadOptions(column_names=places, block_size=size),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=quoted),
            convert_options=arrow_csv.ConvertOptions(
                column_types={place: pa.string() for place in places},
                strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        raise _explained(body, delimiter, layout, path, str(error)) from None
    return list(table.columns)


def _explained(body: Any, delimiter: str, layout: Layout, path: Path, reason: str) -> InputError:
    """Which line breaks the table, found by reading it slowly."""
    expected = len(layout.names)
    try:
        for record, _, lines in records(lines_of(body), delimiter):
            if len(record) != expected:
                return InputError(
                    f"expected {expected} cells on every line of {path} (the columns "
                    f"{_shown(layout.names)}), got {len(record)} on line {layout.lines + lines}: "
                    f"{_shown(record)}; mend that line, or quote cells that hold "
                    f"{_DELIMITERS.get(delimiter, repr(delimiter))}"
                )
    except csv.Error as error:
        reason = str(error)
    return InputError(
        f"expected rows of {expected} cells in {path}, got text that cannot be parsed ({reason}); "
        "look for a quotation mark that is never closed"
    )


_DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}


def _shown(cells: Any) -> str:
    text = ", ".join(str(cell) for cell in cells)
    return text if len(text) <= 60 else text[:57] + "…"


def _decimal_commas(columns: list[Any], names: tuple[str, ...], notes: list[str]) -> list[Any]:
    """Cells such as ``3,14`` with points instead, where semicolons separate the cells."""
    from pyarrow import compute

    from mixtura.sources.cells import given_cells

    changed = []
    for i, (name, column) in enumerate(zip(names, columns, strict=True)):
        given = given_cells(column)
        comma = compute.match_substring_regex(given, r"^[+-]?\d*,\d+([eE][+-]?\d+)?$")
        plain = compute.match_substring_regex(given, r"^[+-]?\d+([eE][+-]?\d+)?$")
        if compute.any(comma).as_py() and compute.all(compute.or_(comma, plain)).as_py():
            columns[i] = compute.replace_substring(column, ",", ".")
            changed.append(name)
    if changed:
        notes.append(f"decimal commas were read as decimal points in {_shown(changed)}")
    return columns
