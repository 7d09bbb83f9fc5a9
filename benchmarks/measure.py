"""Measurements: every entrant in a process of its own, timed in turns.

A fresh process loads library, rows and start, notes its resident memory M₀, fits 1 + m iterations
and notes the peak: memory = peak − M₀. The processes of all entrants then take turns, repeat by
repeat (A B A B …), so that a busy machine slows them alike: seconds = (T(1 + m) − T(1)) / m. In
each turn one more process measures what matrix products reach. An entrant of which a single fit
takes longer than the limit has one turn only.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.peers import ENTRANTS, FLOOR, OURS
from benchmarks.work import lloyd_flops, nominal_flops
from benchmarks.workloads import Files, Workload

__all__ = [
    *("Failure", "Measurement", "Worker", "WorkerError", "described", "environment", "judge"),
    "measure",
]

ROOT = Path(__file__).resolve().parent.parent
#: Environment variables that choose BLAS kernels and threads: unset for the workers unless asked.
CORETYPE = "OPENBLAS_CORETYPE"
THREADS = (
    *("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS"),
    *("BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"),
)
#: A fit that takes so many times the limit is not waited for.
PATIENCE = 10


@dataclass(frozen=True)
class Measurement:
    """One entrant on one workload.

    Attributes
    ----------
    seconds : tuple of float
        Per iteration, one for each repeat: by the clock.
    cpu_seconds : tuple of float
        The same in processor time over all threads, which a busy machine disturbs less.
    log_likelihood : float or None
        Mean per row in the last iteration, all rows, in the library's own account.
    judged : float or None
        Mean per row under the final parameters on the first 10,000 rows, by ``judge``.
    peak_bytes : int
        Memory above data and imports.
    foreign : tuple of float or None
        Share of all processors that other processes took, by repeat.
    gemm_share : tuple of float
        Nominal work (``benchmarks.work``) over seconds, as a share of the rate of matrix products
        of the entrant's dtype in the same turn.
    """

    entrant: str
    seconds: tuple[float, ...]
    cpu_seconds: tuple[float, ...]
    log_likelihood: float | None
    judged: float | None
    peak_bytes: int
    foreign: tuple[float | None, ...] = ()
    gemm_share: tuple[float, ...] = ()


@dataclass(frozen=True)
class Failure:
    """An entrant that has no measurement, and why."""

    entrant: str
    reason: str


class WorkerError(RuntimeError):
    """What a worker answers when it can't do what it was asked."""


def measure(
    workload: Workload,
    files: Files,
    entrants: list[str],
    *,
    repeats: int,
    coretype: str | None = None,
    threads: int | None = None,
    limit: float = 60.0,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[list[Measurement], list[Failure], dict[str, Any]]:
    """Measure the entrants on a workload, in turns.

    Returns
    -------
    measurements : list of Measurement
        In the order of ``entrants``.
    failures : list of Failure
        Those that could not take part.
    machine : dict
        BLAS and versions as the workers saw them, and the rates of matrix products by turn.
    """
    m, env, patience = workload.iterations, environment(coretype, threads), PATIENCE * limit
    failures: list[Failure] = []
    with ExitStack() as stack:
        bench = stack.enter_context(Worker(workload, files, None, env))
        workers: dict[str, Worker] = {}
        first: dict[str, dict[str, Any]] = {}
        rates: list[dict[str, float]] = []
        turns: dict[str, list[dict[str, Any]]] = {}

        def attempt(name: str, **request: Any) -> dict[str, Any] | None:
            try:
                return workers[name].ask(patience, **request)
            except WorkerError as error:
                failures.append(Failure(name, str(error)))
                say(f"{workload.name}: {name}: {error}")
                workers.pop(name).close()
                turns.pop(name, None)
                return None

        for name in [each for each in entrants if ENTRANTS[each].least_k <= workload.k]:
            structures = ENTRANTS[name].structures
            own = workload.covariance_type if name.startswith(OURS) else workload.peer_type
            if own not in structures or (name == FLOOR and workload.rank):
                failures.append(Failure(name, f"has no structure {own!r}"))
                continue
            workers[name] = stack.enter_context(Worker(workload, files, name, env))
            found = attempt(name, do="memory", iterations=1 + m)
            if found is not None:
                first[name], turns[name] = found, []
                say(f"{workload.name}: {name}: {found['peak_bytes'] / 1e6:.0f} MB")
        for repeat in range(repeats):
            rates.append(bench.ask(patience, do="peak"))
            for name in list(workers):
                slowest = max([first[name]["seconds"], *(t["longest"] for t in turns[name])])
                if repeat > 0 and slowest > limit:
                    continue
                found = attempt(name, do="time", iterations=m * ENTRANTS[name].longer)
                if found is not None:
                    turns[name].append(found)
                    say(f"{workload.name}: {name}: turn {repeat + 1} of {repeats}: {line(found)}")
        machine = bench.ask(patience, do="libraries") | {"rates": rates}
    return (
        [summary(workload, name, first[name], turns[name], rates) for name in turns],
        failures,
        machine,
    )


def described(
    workload: Workload, files: Files, coretype: str | None = None, threads: int | None = None
) -> dict[str, Any]:
    """BLAS and versions, as workers see them."""
    with Worker(workload, files, None, environment(coretype, threads)) as worker:
        return worker.ask(do="libraries")


def line(turn: Mapping[str, Any]) -> str:
    """A turn in words."""
    load = "unknown" if turn["foreign"] is None else f"{turn['foreign']:.0%}"
    return (
        f"{turn['seconds']:.4g} s, {turn['cpu_seconds']:.4g} s of processors, foreign load {load}"
    )


def summary(
    workload: Workload,
    name: str,
    first: Mapping[str, Any],
    turns: list[dict[str, Any]],
    rates: list[dict[str, float]],
) -> Measurement:
    """All turns of one entrant."""
    own = workload.covariance_type if name.startswith(OURS) else workload.peer_type
    flops = lloyd_flops(workload) if name == FLOOR else nominal_flops(workload, own)
    shares = [
        flops / turn["seconds"] / rate[ENTRANTS[name].dtype]
        for turn, rate in zip(turns, rates, strict=False)
        if turn["seconds"] > 0
    ]
    return Measurement(
        name,
        tuple(turn["seconds"] for turn in turns),
        tuple(turn["cpu_seconds"] for turn in turns),
        first["log_likelihood"],
        first["judged"],
        first["peak_bytes"],
        tuple(turn["foreign"] for turn in turns),
        tuple(shares),
    )


class Worker:
    """A process that holds one entrant and one workload, and answers requests in JSON lines.

    Without an entrant it measures the machine.
    """

    def __init__(
        self, workload: Workload, files: Files, entrant: str | None, env: Mapping[str, str]
    ) -> None:
        job = {
            "workload": asdict(workload),
            "rows": str(files.rows),
            "start": str(files.start),
            "entrant": entrant,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=env,
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(kill=kind is not None)

    def close(self, kill: bool = True) -> None:
        """End the process, at once or when it is done."""
        if self._process.stdout is None or self._process.stdout.closed:
            return
        if kill:
            self._process.kill()
        self._process.communicate()

    def ask(self, patience: float | None = None, **request: Any) -> dict[str, Any]:
        """Send a request and wait for its answer, at most so many seconds.

        Raises
        ------
        WorkerError
            When the answer is an error, or there is none.
        """
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        try:
            stdin.write(json.dumps(request) + "\n")
            stdin.flush()
        except OSError:
            raise WorkerError(f"ended with exit status {self._process.wait()}") from None
        with selectors.DefaultSelector() as ready:
            ready.register(stdout, selectors.EVENT_READ)
            if not ready.select(patience):
                raise WorkerError(f"a fit took more than {patience:.0f} s")
        answer = stdout.readline()
        if not answer:
            raise WorkerError(f"ended with exit status {self._process.wait()}")
        found = dict(json.loads(answer))
        if "error" in found:
            raise WorkerError(found["error"])
        return found


def environment(coretype: str | None, threads: int | None = None) -> Mapping[str, str]:
    """The workers' environment: BLAS's kernels and the threads are its own choice unless given."""
    env = {key: value for key, value in os.environ.items() if key not in (CORETYPE, *THREADS)}
    if coretype is not None:
        env[CORETYPE] = coretype
    if threads is not None:
        env |= dict.fromkeys(THREADS, str(threads))
    inherited = [path for path in sys.path if path]  # finds what this process finds
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT), *inherited])
    return env
