"""Threads over batches of rows: Python threads, each with a single-threaded BLAS.

BLAS and compiled kernels release the interpreter lock, so threads over cache-sized batches beat
BLAS's own threads over large ones. The caller's limits are respected and restored.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import scipy.linalg  # noqa: F401  (loads its BLAS before the controller looks for libraries)
from threadpoolctl import ThreadpoolController

__all__ = ["each_batch", "map_spans", "n_workers", "single_threaded_blas"]

T = TypeVar("T")


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


def n_workers() -> int:
    """Threads to use: the processors this process may run on, within BLAS's current limit."""
    try:
        processors = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        processors = os.cpu_count() or 1
    limits = [lib.num_threads for lib in _controller().lib_controllers if lib.user_api == "blas"]
    return max(1, min([processors, *(int(limit) for limit in limits)]))


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Limit BLAS to one thread, and restore the limit that was set before."""
    with _controller().limit(limits=1, user_api="blas"):
        yield


def map_spans(work: Callable[[int, int], T], n: int, workers: int) -> list[T]:
    """Call ``work(start, stop)`` on ``workers`` contiguous spans of n rows; results in order."""
    workers = max(1, min(workers, n))
    cuts = [n * i // workers for i in range(workers + 1)]
    if workers == 1:
        return [work(0, n)]
    with single_threaded_blas(), ThreadPoolExecutor(workers) as pool:
        return list(pool.map(work, cuts[:-1], cuts[1:]))


def each_batch(work: Callable[[int, int], None], n: int, size: int) -> None:
    """Call ``work(start, stop)`` for every batch of at most ``size`` rows, in threads."""

    def span(start: int, stop: int) -> None:
        for low in range(start, stop, size):
            work(low, min(low + size, stop))

    map_spans(span, n, n_workers() if n > size else 1)
