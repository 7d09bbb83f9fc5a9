"""NPY files as streams: the header says how their records lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mixtura.sources import npy
from mixtura.sources.streams.raw import RawStream

__all__ = ["npy_stream"]


def npy_stream(path: Path, columns: Any = None, weight: str | None = None) -> RawStream:
    """An NPY file; a structured array's fields are its columns."""
    array = npy.mapped(path)
    if array.dtype.names is not None and array.ndim == 1:
        shape = (len(array), len(array.dtype.names))
    elif array.ndim == 1:
        shape = (len(array), 1)
    else:
        shape = (int(array.shape[0]), int(array.shape[1]))
    by_column = array.ndim == 2 and array.flags.f_contiguous and not array.flags.c_contiguous
    return RawStream(
        path,
        array.dtype,
        shape,
        offset=int(array.offset),
        by_column=by_column,
        columns=columns,
        weight=weight,
    )
