"""Threads over batches of rows: Python threads, each with a single-threaded BLAS.

BLAS and compiled kernels release the interpreter lock, so threads over cache-sized batches beat
BLAS's own threads over large ones. The caller's limits are respected and restored.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

import scipy.linalg  # noqa: F401  (loads its BLAS before the controller looks for libraries)
import threadpoolctl
from threadpoolctl import ThreadpoolController

__all__ = ["each_batch", "map_spans", "n_workers", "single_threaded_blas"]

T = TypeVar("T")

_openblas = getattr(threadpoolctl, "OpenBLASController", None)


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


class _Limit:
    """One limit for all threads of the process: the first to need it sets it, the last restores.

    Later versions of threadpoolctl let one thread alone change OpenBLAS's limit, until it gives
    that right back; here it goes to whichever thread is the last.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._owner: threading.Thread | None = None
        self._held: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if self._users == 0:
                self._owner = threading.current_thread()
                self._held = _controller().limit(limits=1, user_api="blas")
            self._users += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                release = getattr(_openblas, "clear_controlling_thread", lambda **how: None)
                if self._owner is not threading.current_thread():
                    release(force=True)
                self._held.restore_original_limits()
                release()
                self._owner = self._held = None


_limit = _Limit()


def single_threaded_blas() -> _Limit:
    """A context in which BLAS takes one thread; the limit that was set before comes back."""
    return _limit


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
