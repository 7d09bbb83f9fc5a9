"""How delimited text is laid out: comments, delimiter, header, and where the rows begin."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixtura.errors import InputError
from mixtura.sources.cells import MISSING, NUMBER
from mixtura.sources.sniffing import WHITESPACE, sniff

__all__ = ["Layout", "find_layout", "lines_of", "records"]

csv.field_size_limit(1 << 24)


@dataclass(frozen=True)
class Layout:
    """How the text is laid out: what precedes the rows, and what separates their cells."""

    delimiter: str
    names: tuple[str, ...]
    start: int  # byte at which the rows begin
    lines: int  # lines before that byte
    notes: tuple[str, ...]


def lines_of(raw: bytes | memoryview) -> Iterator[str]:
    """Lines with their ends, as the csv module wants them."""
    return (line.decode() for line in io.BytesIO(raw))


def find_layout(raw: bytes, path: Path) -> Layout:
    """Find comments, delimiter and header."""
    start, skipped, comment = 0, 0, ""
    while start < len(raw):
        end = raw.find(b"\n", start) + 1 or len(raw)
        line = raw[start:end].decode().strip()
        if line and not line.startswith("#"):
            break
        comment = line.lstrip("#").strip() or comment
        start, skipped = end, skipped + 1
    else:
        raise InputError(
            f"expected a header and rows in {path}, got only comments and blank lines; "
            "check how it was written"
        )
    sample = raw[start : start + (1 << 17)].decode(errors="ignore")
    delimiter = sniff(sample, path.suffixes, whole=start + (1 << 17) >= len(raw))
    found = records(lines_of(memoryview(raw)[start:]), delimiter)
    first, length, lines = next(found)
    second = next(found, ([], 0, 0))[0]
    notes: list[str] = []
    if skipped and comment:
        notes.append("lines that start with # before the table were skipped")
    if _all_numbers(first):
        named = _split(comment, delimiter)
        if len(named) == len(first) and not _all_numbers(named):
            names = tuple(name.strip() for name in named)
            notes[:] = ["the column names were read from the comment above the rows"]
        else:
            names = tuple(f"x{i}" for i in range(len(first)))
            notes.append(
                "the first line is all numbers, so it was read as a row; the columns are called "
                + (names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}")
            )
        return Layout(delimiter, names, start, skipped, tuple(notes))
    if not second:
        raise InputError(
            f"expected rows under the header of {path}, got the header alone "
            f"({len(first)} column{'s' * (len(first) != 1)}); check how it was written"
        )
    names = _named(first, notes)
    if len(second) == len(first) + 1:
        names = ("", *names) if second[-1].strip() else (*names, "")
        names = _named(names, notes)
    return Layout(delimiter, names, start + length, skipped + lines, tuple(notes))


def _named(header: Any, notes: list[str]) -> tuple[str, ...]:
    """Header cells as names; a cell without text is named after its place."""
    names = []
    for place, cell in enumerate(header, 1):
        name = cell.strip()
        if not name:
            name = f"column {place}"
            notes.append(f"column {place} has no name in the header: it is called {name!r}")
        names.append(name)
    return tuple(names)


def records(lines: Iterator[str], delimiter: str) -> Iterator[tuple[list[str], int, int]]:
    """Records that are not blank, each with the bytes and the lines read so far."""
    taken = [0, 0]

    def counted() -> Iterator[str]:
        for line in lines:
            taken[0] += len(line.encode())
            taken[1] += 1
            yield line.strip(" \t\n") + "\n" if delimiter == WHITESPACE else line

    blank = delimiter == WHITESPACE
    reader = csv.reader(counted(), delimiter=" " if blank else delimiter, skipinitialspace=blank)
    for record in reader:
        if record:
            yield record, taken[0], taken[1]


def _split(text: str, delimiter: str) -> list[str]:
    if not text:
        return []
    return (
        text.split() if delimiter == WHITESPACE else next(csv.reader([text], delimiter=delimiter))
    )


def _all_numbers(cells: list[str]) -> bool:
    given = [cell.strip() for cell in cells if cell.strip() not in MISSING]
    return bool(given) and all(re.fullmatch(NUMBER, cell) for cell in given)
