"""Arrays in memory as streams: whose rows need a conversion that as a whole would be a copy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mixtura.errors import InputError
from mixtura.sources.streams.prefetch import Fill
from mixtura.sources.streams.raw import RawStream
from mixtura.sources.streams.stream import Stream
from mixtura.typing import FloatArray

__all__ = ["ArrayStream", "array_stream", "mapped_stream"]


class ArrayStream(Stream):
    """An array (n, d) of numbers, whatever its type and layout; slices of it are taken."""

    ahead = False

    def __init__(self, array: Any) -> None:
        if len(array.shape) != 2 or array.dtype.kind not in "biuf" or 0 in array.shape:
            raise InputError(
                f"expected an array of numbers (n, d), got shape {array.shape} of {array.dtype}"
            )
        n, d = (int(size) for size in array.shape)
        single = array.dtype == np.float32
        super().__init__("the array", n, d, np.float32 if single else np.float64)
        self._array = array

    @contextmanager
    def reading(self) -> Iterator[Fill]:
        """See ``Stream``."""
        position = 0

        def fill(x: FloatArray, weight: FloatArray | None) -> int:
            nonlocal position
            count = min(len(x), self.n - position)
            x[:count] = self._array[position : position + count]
            position += count
            return count

        yield fill


def array_stream(array: Any) -> Stream:
    """An array as a stream: by reads where it is a mapped file, else piece by piece."""
    if isinstance(array, np.memmap):
        found = mapped_stream(array)
        if found is not None:
            return found
    return ArrayStream(array)


def mapped_stream(array: np.memmap[Any, Any]) -> RawStream | None:
    """A mapped array that is a part of its file as it lies there; None for other views."""
    root: Any = array
    while isinstance(root.base, np.memmap):
        root = root.base
    if array.ndim != 2 or array.dtype.names or root.mode == "c" or root.filename is None:
        return None  # what was written to a copy is not in the file
    if not (array.flags.c_contiguous or array.flags.f_contiguous):
        return None
    start = array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    if not 0 <= start <= root.nbytes - array.nbytes:
        return None
    if root.mode in ("r+", "w+"):
        root.flush()
    return RawStream(
        Path(root.filename),
        array.dtype,
        (int(array.shape[0]), int(array.shape[1])),
        offset=int(root.offset) + start,
        by_column=not array.flags.c_contiguous,
    )
