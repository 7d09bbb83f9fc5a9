"""Work on many components, piece by piece.

A table (k, d, r) of many components is far larger than a processor's cache, and every pass over
it goes to memory. Pieces of a few components stay in the cache from the first step of a
computation to the last, and threads take them in turn.
"""

from __future__ import annotations

from collections.abc import Callable

from mixtura.arrays.parallel import each_batch, single_threaded_blas

__all__ = ["by_pieces"]

#: Numbers of one table in a piece.
PIECE = 2**16


def by_pieces(work: Callable[[slice], None], k: int, numbers: int) -> None:
    """Call ``work`` with slices of the k components, of which each has so many numbers."""

    def piece(start: int, stop: int) -> None:
        with single_threaded_blas():  # small matrices, on which threads would wait
            work(slice(start, stop))

    each_batch(piece, k, max(1, PIECE // max(1, numbers)))
