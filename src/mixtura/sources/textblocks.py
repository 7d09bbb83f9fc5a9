"""Delimited text in blocks: tables of some megabytes each, by the rules of ``delimited``.

A block ends where a line does that is not inside quotes. What the layout is (comments, delimiter,
header) is seen in the first block; where encodings change, the block in which they do is read as
Latin-1.
"""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mixtura.errors import InputError
from mixtura.sources.columnar import arrow
from mixtura.sources.delimited import decoded, table_of
from mixtura.sources.layout import find_layout
from mixtura.sources.tables import Table

__all__ = ["BLOCK", "text_blocks"]

#: Bytes of text in a block, and those beyond which a quotation was never closed.
BLOCK, UNCLOSED = 4 << 20, 64 << 20


def text_blocks(path: Path, size: int = BLOCK) -> Iterator[Table]:
    """Tables of consecutive rows, of about so many bytes of text.

    Raises
    ------
    InputError
        As of ``delimited.read``, with the number of the line in the file.
    """
    arrow(f"reading {path.name}")
    layout = None
    notes: list[str] = []
    for block in _cut(_pieces(path, max(size, 1 << 17)), path):
        fresh: list[str] = []
        text = decoded(block, path, fresh, empty=layout is not None)
        if layout is None:
            layout = find_layout(text, path)
            lines = text[: layout.start].count(b"\n")
            body = memoryview(text)[layout.start :]
        else:
            body = memoryview(text)
        table = None
        if len(bytes(body[: 1 << 16]).strip()) or len(bytes(body).strip()):
            table = table_of(body, replace(layout, lines=lines), path, notes_before=tuple(fresh))
        lines += bytes(body).count(b"\n")
        if table is not None and table.n:
            told = tuple(note for note in table.notes if note not in notes)
            notes.extend(told)
            yield replace(table, notes=told)


def _pieces(path: Path, size: int) -> Iterator[bytes]:
    """The file's bytes, unpacked, as UTF-8 where a mark says that they are UTF-16."""
    try:
        with path.open("rb", buffering=1 << 16) as file:
            source: Any = file
            if source.peek(2).startswith(b"\x1f\x8b"):
                source = gzip.GzipFile(fileobj=file)
            piece: bytes = source.read(size)
            wide: Any = None
            if piece.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                wide = codecs.getincrementaldecoder("utf-16")()
            while piece:
                yield piece if wide is None else wide.decode(piece).encode()
                piece = source.read(size)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"expected a whole gzip file, got a damaged one: {path} ({error}); compress it again"
        ) from None
    except UnicodeError:
        raise InputError(
            f"expected text in one encoding, got {path}, which is not the UTF-16 that its first "
            "bytes promise; save it as UTF-8"
        ) from None
    except OSError as error:
        raise InputError(
            f"expected a file that can be read, got {path} ({error.strerror}); check it"
        ) from None


def _cut(pieces: Iterator[bytes], path: Path) -> Iterator[bytes]:
    """The same bytes in blocks that end with a line."""
    rest = b""
    for piece in pieces:
        rest += piece
        end = _end(rest)
        if end:
            yield rest[:end]
            rest = rest[end:]
        elif len(rest) > UNCLOSED + len(piece):
            raise InputError(
                f"expected every quotation mark of {path} to be closed and lines to end, got "
                f"{len(rest) >> 20} MB without the end of a row; look for a quotation mark that "
                "is never closed"
            )
    if rest.strip():
        yield rest


def _end(text: bytes) -> int:
    """Behind the last line that ends outside of quotes; 0 where there is none."""
    mark = b"\n" if b"\n" in text else b"\r"
    end = text.rfind(mark) + 1
    if mark == b"\r" and end == len(text):  # perhaps the first half of \r\n
        end = text.rfind(mark, 0, end - 1) + 1
    while end and text.count(b'"', 0, end) % 2:
        end = text.rfind(mark, 0, end - 1) + 1
    return end
