"""Chunks read ahead: one buffer is computed with while a thread fills the other.

Buffers are reused, so a pass of any length takes the memory of two chunks. A chunk is valid until
the next one is asked for.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from queue import SimpleQueue
from typing import Any, TypeAlias

import numpy as np

from mixtura.typing import FloatArray

__all__ = ["BUFFERS", "Fill", "buffers", "one_by_one", "prefetched"]

#: Buffers of a pass: one is computed with, one is filled.
BUFFERS = 2
#: Seconds for which the end of a pass waits for a read that hangs.
PATIENCE = 10.0

#: ``fill(x, weight) -> rows``: fills x (m, d) and, where there are any, weights (m,) from their
#: start; fewer than m rows only at the end of the source.
Fill: TypeAlias = Callable[[FloatArray, FloatArray | None], int]
Buffer: TypeAlias = tuple[FloatArray, FloatArray | None]


def buffers(size: int, d: int, dtype: Any, weighted: bool, count: int = BUFFERS) -> list[Buffer]:
    """Room for so many chunks."""
    return [
        (np.empty((size, d), dtype=dtype), np.empty(size) if weighted else None)
        for _ in range(count)
    ]


def one_by_one(reading: Callable[[], AbstractContextManager[Fill]], one: Buffer) -> Iterator[Any]:
    """Chunks in turn, each read when it is asked for, into one buffer."""
    x, weight = one
    with reading() as fill:
        while count := fill(x, weight):
            yield x[:count], None if weight is None else weight[:count]
            if count < len(x):
                return


def prefetched(
    reading: Callable[[], AbstractContextManager[Fill]], room: list[Buffer]
) -> Iterator[Any]:
    """The same, by a thread that reads ahead.

    Whatever goes wrong there is raised here, after the chunks before it.
    """
    empty: SimpleQueue[Any] = SimpleQueue()
    full: SimpleQueue[Any] = SimpleQueue()
    for one in room:
        empty.put(one)

    def work() -> None:
        try:
            with reading() as fill:
                while (one := empty.get()) is not None:
                    count = fill(*one)
                    if count:
                        full.put((one, count))
                    if count < len(one[0]):
                        break
        except BaseException as error:
            full.put(error)
            return
        full.put(None)

    thread = threading.Thread(target=work, name="mixtura-read", daemon=True)
    thread.start()
    try:
        while (found := full.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            one, count = found
            x, weight = one
            yield x[:count], None if weight is None else weight[:count]
            empty.put(one)
    finally:
        empty.put(None)  # a pass that is given up ends after the read that is under way
        thread.join(PATIENCE)
