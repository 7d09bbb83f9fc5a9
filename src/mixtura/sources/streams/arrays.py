"""Arrays in memory as streams: whose rows need a conversion that as a whole would be a copy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from mixtura.errors import InputError
from mixtura.sources.streams.prefetch import Fill
from mixtura.sources.streams.raw import mapped_stream
from mixtura.sources.streams.stream import Stream
from mixtura.typing import FloatArray

__all__ = ["ArrayStream", "array_stream"]


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
