"""What the machine is, what it can do, and what else it is doing.

Memory is what the system calls resident. Foreign load is the share of all processors that others
kept busy while a span was timed, (busy − own) / (seconds · processors), from ``/proc/stat``. The
peak of matrix products is measured, not looked up: the best of a few 2 n³ / t.
"""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = [
    *("Span", "cores", "cpu", "gemm_peak", "libraries", "peak", "reset_peak", "resident"),
    *("timed",),
]

#: Distributions whose versions are recorded where they are installed.
DISTRIBUTIONS = (
    *("numpy", "scipy", "scikit-learn", "numba", "torch", "pomegranate", "torchgmm"),
    "faiss-cpu",
)


@dataclass(frozen=True)
class Span:
    """How long something took.

    Attributes
    ----------
    seconds : float
        By the clock.
    cpu_seconds : float
        Of processors, over all threads of this process.
    foreign : float or None
        Share of all processors that others kept busy; None where the system does not tell.
    """

    seconds: float
    cpu_seconds: float
    foreign: float | None


def timed(work: Callable[[], Any]) -> Span:
    """Call ``work`` and say how long it took."""
    before = busy()
    began = time.perf_counter(), time.process_time()
    work()
    clock, cpu = time.perf_counter() - began[0], time.process_time() - began[1]
    return Span(clock, cpu, foreign(before, busy(), clock, cpu))


def foreign(
    before: tuple[float, int] | None, after: tuple[float, int] | None, clock: float, cpu: float
) -> float | None:
    """Share of the processors' time that others took; the clock of the system ticks at 10 ms."""
    if before is None or after is None or clock <= 0:
        return None
    others = after[0] - before[0] - cpu
    return min(max(others / (clock * after[1]), 0.0), 1.0)


def busy() -> tuple[float, int] | None:
    """Seconds that all processors together have worked since the system began, and how many."""
    try:
        lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
        ticks = os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return None
    total = [int(cell) for cell in lines[0].split()[1:9]]
    idle = total[3] + total[4]  # waiting for a disk is idle too
    n = sum(line.startswith("cpu") for line in lines) - 1
    return (sum(total) - idle) / ticks, max(n, 1)


def resident() -> int:
    """Resident bytes now; the peak where the system tells no more."""
    return _status("VmRSS") or _maxrss()


def reset_peak() -> None:
    """Start the peak anew at what is resident now, where the system can (Linux)."""
    with suppress(OSError):  # elsewhere the peak since the process began counts
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def peak() -> int:
    """Peak resident bytes."""
    return _status("VmHWM") or _maxrss()


def _status(field: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    found = [line for line in lines if line.startswith(field + ":")]
    return 1024 * int(found[0].split()[1]) if found else 0


def _maxrss() -> int:
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def gemm_peak(size: int = 1536, repeats: int = 4) -> dict[str, float]:
    """Operations per second of a square matrix product, by dtype: the best of a few."""
    rates = {}
    for dtype in ("float32", "float64"):
        a = np.ones((size, size), dtype=dtype)
        out = np.empty_like(a)
        np.matmul(a, a, out=out)  # BLAS wakes its threads
        seconds = []
        for _ in range(repeats):
            began = time.perf_counter()
            np.matmul(a, a, out=out)
            seconds.append(time.perf_counter() - began)
        rates[dtype] = 2 * size**3 / min(seconds)
    return rates


def libraries() -> dict[str, Any]:
    """BLAS in use, and versions."""
    from importlib.metadata import PackageNotFoundError, version

    from threadpoolctl import threadpool_info

    import mixtura

    blas = {
        f"{lib['internal_api']} {lib['version']} ({lib.get('architecture', '?')}), "
        f"{lib['num_threads']} threads"
        for lib in threadpool_info()
        if lib["user_api"] == "blas"
    }
    versions = {"mixtura": mixtura.__version__}
    for name in DISTRIBUTIONS:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return {"python": sys.version.split()[0], "blas": sorted(blas), "versions": versions}


def cpu() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf8").splitlines()
        return next(
            line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")
        )
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def cores() -> int:
    """Processors that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1
