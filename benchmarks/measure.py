"""Measurements: every entrant in a process of its own, timed in turns.

A fresh process loads library, rows and start, notes its resident memory M₀, fits 1 + m iterations
and notes the peak: memory = peak − M₀. The processes of all entrants then take turns, repeat by
repeat (A B A B …), so that a busy machine slows them alike: seconds = (T(1 + m) − T(1)) / m.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from benchmarks.peers import ENTRANTS, Fitter, Task
from benchmarks.workloads import Files, Floats, Workload, read_start

__all__ = ["Measurement", "Worker", "judge", "measure"]

ROOT = Path(__file__).resolve().parent.parent
#: Rows on which the final parameters of all entrants are judged by the same code.
JUDGED_ROWS = 10_000
#: Environment variables that choose BLAS kernels: unset for the workers unless asked for.
CORETYPE = "OPENBLAS_CORETYPE"
THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class Measurement:
    """One entrant on one workload.

    Attributes
    ----------
    seconds : tuple of float
        Per iteration, one for each repeat: by the clock.
    cpu_seconds : tuple of float
        The same in processor time over all threads, which a busy machine disturbs less.
    log_likelihood : float
        Mean per row in the last iteration, all rows, in the library's own account.
    judged : float
        Mean per row under the final parameters on the first 10,000 rows, by ``judge``.
    peak_bytes : int
        Memory above data and imports.
    """

    entrant: str
    seconds: tuple[float, ...]
    cpu_seconds: tuple[float, ...]
    log_likelihood: float
    judged: float
    peak_bytes: int


def measure(
    workload: Workload,
    files: Files,
    entrants: list[str],
    *,
    repeats: int,
    coretype: str | None = None,
    threads: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[list[Measurement], dict[str, Any]]:
    """Measure the entrants on a workload, in turns.

    Returns
    -------
    measurements : list of Measurement
        In the order of ``entrants``.
    libraries : dict
        BLAS and versions, as the workers saw them.
    """
    m, env = workload.iterations, environment(coretype, threads)
    with ExitStack() as stack:
        workers, first = {}, {}
        for name in entrants:
            workers[name] = stack.enter_context(Worker(workload, files, name, env))
            first[name] = workers[name].ask(do="memory", iterations=1 + m)
            say(f"{workload.name}: {name}: {first[name]['peak_bytes'] / 1e6:.0f} MB")
        spent: dict[str, list[dict[str, Any]]] = {name: [] for name in entrants}
        for repeat in range(repeats):
            for name in entrants:
                spent[name].append(workers[name].ask(do="time", iterations=m))
                clock, cpu = spent[name][-1]["seconds"], spent[name][-1]["cpu_seconds"]
                turn = f"({repeat + 1} of {repeats})"
                say(f"{workload.name}: {name}: {clock:.4g} s, {cpu:.4g} s of processors {turn}")
        libraries = workers[entrants[0]].ask(do="libraries")
    return [
        Measurement(
            name,
            tuple(each["seconds"] for each in spent[name]),
            tuple(each["cpu_seconds"] for each in spent[name]),
            first[name]["log_likelihood"],
            first[name]["judged"],
            first[name]["peak_bytes"],
        )
        for name in entrants
    ], libraries


class Worker:
    """A process that holds one entrant and one workload, and answers requests in JSON lines."""

    def __init__(
        self, workload: Workload, files: Files, entrant: str, env: Mapping[str, str]
    ) -> None:
        job = {
            "workload": asdict(workload),
            "rows": str(files.rows),
            "start": str(files.start),
            "entrant": entrant,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.measure", json.dumps(job)],
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
        if kind is not None:
            self._process.kill()
        self._process.communicate()

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and wait for its answer."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        stdin.write(json.dumps(request) + "\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise RuntimeError(f"a worker ended with exit status {self._process.wait()}")
        return dict(json.loads(line))


def environment(coretype: str | None, threads: int | None = None) -> Mapping[str, str]:
    """The workers' environment: BLAS's kernels and the threads are its own choice unless given."""
    env = {key: value for key, value in os.environ.items() if key != CORETYPE}
    if coretype is not None:
        env[CORETYPE] = coretype
    if threads is not None:
        env |= dict.fromkeys(THREADS, str(threads))
    inherited = [path for path in sys.path if path]  # finds what this process finds
    env["PYTHONPATH"] = os.pathsep.join([str(ROOT), *inherited])
    return env


def judge(rows: Floats, weights: Floats, means: Floats, covariances: Floats) -> float:
    """Mean log density of rows in plain float64: log Σ wₖ N(x; μₖ, Σₖ)."""
    from scipy.linalg import solve_triangular
    from scipy.special import logsumexp

    x = np.asarray(rows, dtype=np.float64)
    joint = np.empty((len(x), len(means)))
    with np.errstate(divide="ignore"):
        log_weights = np.log(np.asarray(weights, dtype=np.float64))
    for j, (mean, covariance) in enumerate(zip(means, covariances, strict=True)):
        difference = x - mean
        spread = np.asarray(covariance, dtype=np.float64)
        if spread.ndim == 1:
            z, logdet = difference / np.sqrt(spread), np.log(spread).sum()
        else:
            factor = np.linalg.cholesky(spread)
            z = solve_triangular(factor, difference.T, lower=True, check_finite=False).T
            logdet = 2 * np.log(np.diagonal(factor)).sum()
        joint[:, j] = log_weights[j] - 0.5 * (np.einsum("ij,ij->i", z, z) + logdet)
    return float(logsumexp(joint, axis=1).mean() - 0.5 * x.shape[1] * np.log(2 * np.pi))


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


def libraries() -> dict[str, Any]:
    """BLAS in use, and versions."""
    from importlib.metadata import version

    from threadpoolctl import threadpool_info

    import mixtura

    names = ("numpy", "scipy", "scikit-learn", "numba")
    blas = {
        f"{lib['internal_api']} {lib['version']} ({lib.get('architecture', '?')}), "
        f"{lib['num_threads']} threads"
        for lib in threadpool_info()
        if lib["user_api"] == "blas"
    }
    return {
        "python": sys.version.split()[0],
        "blas": sorted(blas),
        "versions": {"mixtura": mixtura.__version__} | {name: version(name) for name in names},
    }


def timed(fit: Fitter, task: Task, iterations: int) -> tuple[float, float]:
    """Seconds of a fit by the clock, and of processors."""
    gc.collect()
    began = time.perf_counter(), time.process_time()
    fit(task, iterations)
    return time.perf_counter() - began[0], time.process_time() - began[1]


def serve(job: dict[str, Any]) -> None:
    """Be a worker: requests from standard input, answers to standard output."""
    workload, entrant = Workload(**job["workload"]), ENTRANTS[job["entrant"]]
    fit = entrant.load()
    start = read_start(Path(job["start"]))
    x = np.load(job["rows"])
    if entrant.dtype != x.dtype.name:
        x = x.astype(entrant.dtype)
    precisions = start.precisions(workload.covariance_type)
    task = Task(workload, x, start.weights, start.means, precisions)
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "memory":
            gc.collect()
            reset_peak()
            base = resident()
            fitted = fit(task, request["iterations"])
            answer = {"peak_bytes": peak() - base, "log_likelihood": fitted.log_likelihood}
            answer["judged"] = judge(x[:JUDGED_ROWS], *fitted.parameters())
            del fitted
        elif request["do"] == "time":
            short = timed(fit, task, 1)
            long = timed(fit, task, 1 + request["iterations"])
            each = [(b - a) / request["iterations"] for a, b in zip(short, long, strict=True)]
            answer = {"seconds": each[0], "cpu_seconds": each[1]}
        else:
            answer = libraries()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
