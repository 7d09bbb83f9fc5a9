"""A budget of memory for a fit to a stream: how much of it chunks, a sample and EM itself take.

    budget = working + overhead + max(sample · start, sample · drawn + buffers · chunk · row)

The sample is fitted first, with copies of it that starts make; then it stays beside the buffers,
for components that collapse. Working memory is the engine's: batches of threads, and statistics.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np

from mixtura.arrays.parallel import n_workers
from mixtura.errors import InputError
from mixtura.sources.budget import told_bytes
from mixtura.sources.streams import Stream
from mixtura.sources.streams.prefetch import BUFFERS

__all__ = ["Plan", "plan"]

#: Working memory of one thread's batches.
BATCH = 6 << 20
#: Copies of statistics and parameters besides one for each thread.
COPIES = 6
#: Fewest and most rows of a chunk, and bytes beyond which larger ones gain nothing.
LEAST_CHUNK, MOST_CHUNK, CHUNK_BYTES = 1024, 1 << 20, 32 << 20
#: Fewest and most rows of the sample, and rows that each component wants at least.
LEAST_SAMPLE, MOST_SAMPLE, EACH = 2000, 250_000, 20
#: Numbers of eight bytes that starts take for a row: copies of it, and others.
START_COPIES, START_NUMBERS = 6, 16


@dataclass(frozen=True)
class Plan:
    """How a budget is spent.

    Attributes
    ----------
    chunk, sample : int
        Rows.
    whole : bool
        Whether all rows can be held.
    """

    chunk: int
    sample: int
    whole: bool


def plan(stream: Stream, memory: int, k: int, *, spread: bool = False) -> Plan:
    """Divide a budget.

    Parameters
    ----------
    stream : Stream
    memory : int
        Bytes that the fit may take beyond what the process had before.
    k : int
        Components, at most.
    spread : bool
        Whether starts hold responsibilities (n, k).

    Raises
    ------
    InputError
        For a budget with which nothing works, with the least one that does.
    """
    d, row = stream.d, stream.row_bytes
    dense = k * d * (d + 3) // 2
    working = n_workers() * (BATCH + 8 * dense) + COPIES * 8 * max(dense, k * d * d)
    working += stream.overhead
    start = row + 8 * (START_COPIES * d + START_NUMBERS) + (16 * k if spread else 0)
    fewest = min(stream.n, max(LEAST_SAMPLE, EACH * k))
    least = working + _beside(fewest, start, row, min(LEAST_CHUNK, stream.n))
    if memory < least:
        raise InputError(
            f"expected memory for one chunk of {stream.name} at least, got {told_bytes(memory)}; "
            f"the least that works with {k} component{'s' * (k != 1)} in {d} "
            f"column{'s' * (d != 1)} is memory='{ceil(least / 1e6)}MB'"
        )
    rest = memory - working
    if stream.n * start <= rest:
        return Plan(stream.n, stream.n, True)
    # Half of the rest for the sample, as long as it is small: then all others are chunks.
    sample = int(np.clip(rest // 2 // start, fewest, MOST_SAMPLE))
    left = rest - sample * _drawn(row)
    most = min(MOST_CHUNK, max(LEAST_CHUNK, CHUNK_BYTES // row))
    return Plan(int(np.clip(left // (BUFFERS * row), LEAST_CHUNK, most)), sample, False)


def _drawn(row: int) -> int:
    """Bytes that a row of the sample takes while it is drawn: its keys, and copies."""
    return int(2.5 * (row + 24))


def _beside(sample: int, start: int, row: int, chunk: int) -> int:
    return max(sample * start, sample * _drawn(row) + BUFFERS * chunk * row)
