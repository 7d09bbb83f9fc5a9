"""A worker: one entrant and one workload in a process of its own, answering in JSON lines.

Whatever a library prints goes to standard error. An error is an answer too, so that a peer that is
not installed, or fails, is a line in the report and no more.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.judge import judge
from benchmarks.machine import gemm_peak, libraries, peak, reset_peak, resident, timed
from benchmarks.peers import ENTRANTS, OURS, Entrant, Fitted, Fitter, Task
from benchmarks.workloads import Workload, read_start

__all__ = ["Held", "serve"]

#: Rows on which the final parameters of all entrants are judged by the same code.
JUDGED_ROWS = 10_000
#: A worker may have so much of the machine's memory.
MEMORY_SHARE = 0.7


class Held:
    """An entrant with its task in memory, and what it can be asked."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._fit, self._task = load(ENTRANTS[job["entrant"]], job)

    def memory(self, iterations: int | None, rows: int = JUDGED_ROWS) -> dict[str, Any]:
        """A fit, its peak memory, and what a judge says of it on the first rows."""
        gc.collect()
        reset_peak()
        base, fitted = resident(), []
        span = timed(lambda: fitted.append(self._fit(self._task, iterations)))
        most, (result,) = peak() - base, fitted
        return span.__dict__ | {
            "peak_bytes": most,
            "log_likelihood": result.log_likelihood,
            "judged": self._judged(result, rows),
            "iterations": result.iterations,
            "converged": result.converged,
        }

    def _judged(self, fitted: Fitted, rows: int) -> float | None:
        if fitted.parameters is None or rows == 0:
            return None
        return judge(self._task.x[:rows], *fitted.parameters())

    def time(self, iterations: int) -> dict[str, Any]:
        """Seconds per iteration, (T(1 + m) − T(1)) / m, in both times, and the foreign load."""
        gc.collect()
        short = timed(lambda: self._fit(self._task, 1))
        gc.collect()
        long = timed(lambda: self._fit(self._task, 1 + iterations))
        return {
            "seconds": (long.seconds - short.seconds) / iterations,
            "cpu_seconds": (long.cpu_seconds - short.cpu_seconds) / iterations,
            "foreign": long.foreign,
            "longest": long.seconds,
        }

    def passes(self, long: int, accelerate: bool) -> dict[str, Any]:
        """Log-likelihoods of so many passes of ours."""
        from benchmarks.passes import objectives

        return {"objectives": objectives(self._task, long, accelerate)}


class Bench:
    """The machine itself: what its BLAS reaches."""

    def peak(self) -> dict[str, Any]:
        """Floating point operations per second, by dtype."""
        return gemm_peak()

    def libraries(self) -> dict[str, Any]:
        """BLAS and versions."""
        return libraries()


def load(entrant: Entrant, job: dict[str, Any]) -> tuple[Fitter, Task]:
    """The library imported, rows and start in memory."""
    workload = Workload(**job["workload"])
    fit = entrant.load()
    start = read_start(Path(job["start"]))
    x = np.load(job["rows"])
    ours = job["entrant"].startswith(OURS)
    structure = workload.covariance_type if ours else workload.peer_type
    labels = start.labels(x) if structure == "lowrank" else None
    precisions = start.precisions(structure) if labels is None else None
    if entrant.dtype != x.dtype.name:
        x = x.astype(entrant.dtype)
    return fit, Task(workload, structure, x, start.weights, start.means, precisions, labels)


def serve(job: dict[str, Any]) -> None:
    """Be a worker: requests from standard input, answers to what was standard output."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf8")
    os.dup2(2, 1)
    bound_memory()
    name = job.get("entrant")
    held: list[Any] = []

    def answer(request: dict[str, Any]) -> Any:
        if not held:
            held.append(Bench() if name is None else Held(job))
        do = request.pop("do")
        return {"ready": True} if do == "load" else getattr(held[0], do)(**request)

    for line in sys.stdin:
        print(json.dumps(safely(answer, json.loads(line), name)), file=answers, flush=True)


def bound_memory(share: float = MEMORY_SHARE) -> None:
    """No more data than so much of the machine's memory: who asks for more fails alone."""
    with suppress(OSError, ValueError, AttributeError):  # not on every system
        most = int(share * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def safely(answer: Callable[[Any], Any], request: Any, name: str | None) -> dict[str, Any]:
    """The answer, or why there is none."""
    try:
        return dict(answer(request))
    except ImportError as error:
        return {"error": f"not installed ({error}); to have it: {ENTRANTS[name or OURS].install}"}
    except NotImplementedError as error:
        return {"error": str(error) or "cannot do this"}
    except MemoryError:
        return {"error": "out of memory"}
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        return {"error": f"{type(error).__name__}: {first}"[:200]}


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
