"""How many rows an Arrow file holds, and how long its longest record batch is, bodies unread.

A file is a sequence of messages, (marker, length, metadata, body), of which the metadata are a
FlatBuffers table: field 1 is the kind of the message, 2 its header, 3 the length of its body, and
field 0 of a record batch's header is its number of rows (Apache Arrow's columnar format, "IPC").
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

__all__ = ["Batches", "batches_in"]

MARKER, RECORD_BATCH = b"\xff\xff\xff\xff", 3


class Batches(NamedTuple):
    """What a file holds: rows in all, the rows of its longest batch, bytes of its largest body."""

    n: int
    rows: int
    body: int


def batches_in(path: Path) -> Batches:
    """Walk through the messages of a file.

    Raises
    ------
    ValueError
        Where these are damaged.
    """
    total = longest = largest = 0
    with path.open("rb") as file:
        if file.read(8)[:6] != b"ARROW1":
            file.seek(0)
        while (found := _message(file)) is not None:
            kind, rows, body = found
            largest = max(largest, body)
            if kind == RECORD_BATCH:
                total, longest = total + rows, max(longest, rows)
            file.seek(-body % 8 + body, 1)
    return Batches(total, longest, largest)


def _message(file: BinaryIO) -> tuple[int, int, int] | None:
    """Kind, rows and length of the body of the next message; None at the end."""
    head = file.read(4)
    size = file.read(4) if head == MARKER else head
    if len(size) < 4:
        return None
    length = struct.unpack("<i", size)[0]
    if length == 0:
        return None
    data = file.read(length) if 0 < length < 1 << 28 else b""
    if len(data) != length or length < 8:
        raise ValueError("its messages are damaged")
    try:
        root = struct.unpack_from("<I", data)[0]
        kind = _field(data, root, 1, "<B")
        body = _field(data, root, 3, "<q")
        header = _place(data, root, 2)
        rows = 0
        if kind == RECORD_BATCH and header:
            rows = _field(data, header + struct.unpack_from("<I", data, header)[0], 0, "<q")
    except struct.error:
        raise ValueError("its messages are damaged") from None
    if rows < 0 or body < 0:
        raise ValueError("its messages are damaged")
    return kind, rows, body


def _place(data: bytes, table: int, field: int) -> int:
    """Where a field of a table stands; 0 where it has none."""
    virtual = table - struct.unpack_from("<i", data, table)[0]
    if virtual < 0 or 4 + 2 * field >= struct.unpack_from("<H", data, virtual)[0]:
        return 0
    offset = int(struct.unpack_from("<H", data, virtual + 4 + 2 * field)[0])
    return table + offset if offset else 0


def _field(data: bytes, table: int, field: int, kind: str) -> int:
    place = _place(data, table, field)
    return int(struct.unpack_from(kind, data, place)[0]) if place else 0
