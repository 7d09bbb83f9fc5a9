"""Workers: each holds one library and one case in a process of its own, and answers requests.

A request is a line of words, an answer a line of JSON; R speaks the same language as Python.
Memory is read from outside, from the system's account of the process, alike for all.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import ROOT
from benchmarks.real.cases import Case, Start, Table
from benchmarks.real.fitters import PYTHON, Job, quiet

__all__ = ["Worker", "write"]


def write(case: Case, table: Table, start: Start, folder: Path) -> None:
    """The files of a case: one for Python, one for R."""
    given = {key: value for key, value in table._asdict().items() if value is not None}
    begin = {f"start_{key}": value for key, value in start._asdict().items()}
    np.savez(folder / "case.npz", **given, **begin)
    if "mclust" in case.peers:
        mass = np.ones(len(table.x)) if table.weights is None else table.weights
        together = np.column_stack([table.x, start.labels, mass])
        np.savetxt(folder / "case.csv", together, fmt="%.17g", delimiter=",")


def command(entrant: str, case: Case, folder: Path, weighted: bool) -> list[str]:
    """What starts a worker."""
    if entrant == "mclust":
        script, rows = Path(__file__).with_name("mclust.R"), folder / "case.csv"
        return ["Rscript", str(script), str(rows), case.structure, str(case.k), f"{weighted:d}"]
    rows = folder / "case.npz"
    return [
        *(sys.executable, "-m", "benchmarks.real.worker"),
        *(entrant, str(rows), case.structure, str(case.k)),
    ]


class Worker:
    """A process that holds one library and one case."""

    def __init__(
        self, entrant: str, case: Case, folder: Path, weighted: bool, env: Mapping[str, str]
    ) -> None:
        self._process = subprocess.Popen(
            command(entrant, case, folder, weighted),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
            env=env,
        )
        self._name = f"{entrant} on {case.name}"

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self, *words: object) -> dict[str, Any]:
        """Send a request and wait for its answer."""
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        with suppress(BrokenPipeError):
            stdin.write(" ".join(str(word) for word in words) + "\n")
            stdin.flush()
        line = stdout.readline()
        if not line:
            raise RuntimeError(f"{self._name} ended with exit status {self._process.wait()}")
        return dict(json.loads(line))

    def resident(self, field: str = "VmRSS") -> int:
        """Resident bytes now, or with "VmHWM" at the peak; 0 where the system does not tell."""
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        except OSError:
            return 0
        found = [line.split()[1] for line in status.splitlines() if line.startswith(field)]
        return 1024 * int(found[0]) if found else 0

    def forget_peak(self) -> None:
        """Start the peak anew at what is resident now."""
        with suppress(OSError):
            Path(f"/proc/{self._process.pid}/clear_refs").write_text("5", encoding="ascii")


def versions() -> dict[str, str]:
    """Of the Python libraries that are here."""
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in ("mixtura", "numpy", "scipy", "numba", "scikit-learn", "stepmix", "pygmmis"):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def seconds() -> tuple[float, float]:
    """By the clock, and of processors, those of finished child processes included."""
    return time.perf_counter(), sum(os.times()[:4])


def serve(entrant: str, path: str, structure: str, k: str) -> None:
    """Be a worker in Python."""
    arrays = dict(np.load(path))
    begin = Start(**{name: arrays[f"start_{name}"] for name in Start._fields})
    table = Table(*(arrays.get(name) for name in Table._fields))  # type: ignore[arg-type]
    job, fit = Job(table, begin, int(k), structure), quiet(PYTHON[entrant]())
    answer: dict[str, Any]
    for line in sys.stdin:
        what, *rest = line.split()
        if what == "versions":
            answer = versions()
        elif what == "fit":
            try:
                found = fit(job, int(rest[0]), float(rest[1]))
                names = ("weights", "means", "covariances")
                answer = {
                    name: np.asarray(value).ravel().tolist()
                    for name, value in zip(names, found.parameters(), strict=True)
                }
                answer["iterations"] = int(found.iterations)
            except Exception as error:
                answer = {"failed": f"{type(error).__name__}: {error}"}
        else:
            gc.collect()
            fits, began = 0, seconds()
            while not fits or seconds()[0] - began[0] < float(rest[2]):
                fit(job, int(rest[0]), float(rest[1]))
                fits += 1
            clock, cpu = ((b - a) / fits for a, b in zip(began, seconds(), strict=True))
            answer = {"seconds": clock, "cpu_seconds": cpu, "fits": fits}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve(*sys.argv[1:])
