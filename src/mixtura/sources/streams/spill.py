"""Rows written once to a binary file of our own, to be read again from there.

Text is slow to read, and an iterator can be read once. The file has no name in its folder where the
system allows that, so that it is gone when the process is, whatever happens.
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mixtura.errors import InputError
from mixtura.sources.budget import told_bytes
from mixtura.sources.streams.raw import RawStream
from mixtura.typing import FloatArray

__all__ = ["spilled"]


def spilled(
    pieces: Iterator[tuple[FloatArray, FloatArray | None]],
    name: str,
    *,
    folder: Path | None = None,
    columns: Sequence[str] | None = None,
    why: str = "it can be read only once",
) -> RawStream:
    """Write pieces (rows, weights) to a file, and stream from it.

    The file holds float32 where the first piece does, else float64.

    Parameters
    ----------
    pieces : iterator of (array (b, d), array (b,) or None)
    name : str
        What messages call the rows.
    folder : Path, optional
        Where the file is to lie: that of temporary files by default.
    columns : sequence of str, optional
    why : str
        The reason, for the note on its size.

    Raises
    ------
    InputError
        Where the disk is full, or there are no rows.
    """
    where = Path(tempfile.gettempdir()) if folder is None else folder
    try:
        file: Any = tempfile.TemporaryFile(dir=where, prefix=".mixtura-", buffering=0)  # noqa: SIM115
    except OSError as error:
        raise InputError(
            f"expected a folder in which {name} can be spilled, got {where} ({error.strerror}); "
            "set TMPDIR to one that can be written"
        ) from None
    try:
        record, n = None, 0
        for rows, weight in pieces:
            if not len(rows):
                continue
            if record is None:
                record = _record(rows, weight)
            _write(file, _packed(rows, weight, record), name, where)
            n += len(rows)
        if record is None:
            raise InputError(f"expected rows, got none from {name}; check where they come from")
        size = n * record.itemsize
        stream = _stream(file, record, n, name, columns)
    except BaseException:
        file.close()  # which removes it
        raise
    stream.notes = (
        f"{name} was spilled to a temporary file of {told_bytes(size)} in {where}: {why}",
    )
    return stream


def _record(rows: FloatArray, weight: FloatArray | None) -> np.dtype[Any]:
    """What a row is in the file: its numbers, and its weight where there is one."""
    single = np.float32 if rows.dtype == np.float32 else np.float64
    whole = np.dtype((single, (rows.shape[1],)))
    return whole if weight is None else np.dtype([("x", whole), ("weight", np.float64)])


def _packed(rows: FloatArray, weight: FloatArray | None, record: np.dtype[Any]) -> FloatArray:
    if record.names is None:
        return np.ascontiguousarray(rows, dtype=record.base)
    out = np.empty(len(rows), dtype=record)
    out["x"] = rows
    out["weight"] = 1.0 if weight is None else weight
    return out


def _write(file: Any, rows: Any, name: str, where: Path) -> None:
    view = memoryview(rows.reshape(-1).view(np.uint8))
    while len(view):
        try:
            view = view[file.write(view) :]
        except OSError as error:
            full = error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
            raise InputError(
                f"expected room on the disk for the rows of {name}, which are spilled to {where}, "
                + (
                    f"got a full disk after {told_bytes(file.tell())}; free some, or set TMPDIR "
                    "to a folder on another disk"
                    if full
                    else f"got: {error.strerror}; check the disk"
                )
                + ". What was written is removed"
            ) from None


def _stream(file: Any, record: np.dtype[Any], n: int, name: str, columns: Any) -> RawStream:
    if record.names is None:
        shape = (n, int(record.shape[0]))
        stream = RawStream(None, record.base, shape, file=file, name=name)
    else:
        d, base = int(record["x"].shape[0]), record["x"].base
        raw = np.dtype([*((f"x{j}", base) for j in range(d)), ("weight", np.float64)])
        stream = RawStream(None, raw, (n, d + 1), file=file, name=name, weight="weight")
    stream.columns = None if columns is None else tuple(columns)
    return stream
