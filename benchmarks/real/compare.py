"""One case, measured: every library in its own process, in turns, and scored by the judge.

Each process, once it has library and data, fits as many EM steps as the case says (its memory is
watched meanwhile, and what is compiled or loaded late is done with), then fits on to convergence.
The timed fits follow, in turns (A B A B …), so that a busy machine slows all alike: a time is that
of a whole call, from the same start to the same number of EM steps, with the library's overhead.
"""

from __future__ import annotations

import os
import statistics
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.real.cases import Case, read, start
from benchmarks.real.fitters import OURS
from benchmarks.real.score import log_likelihood
from benchmarks.real.worker import Worker, write

__all__ = ["Measured", "Outcome", "compare"]

#: Of the mean log-likelihood per row, at which a fit to convergence stops.
TOL = 1e-13
#: Seconds that a timed turn takes at least; short fits are repeated and their mean counts.
LEAST = 0.1


@dataclass
class Measured:
    """A library on a case; log-likelihoods are the judge's, totals in nats, None where it failed.

    Attributes
    ----------
    equal, converged : float or None
        After equal numbers of EM steps, and at the end.
    steps : int or None
        EM steps to the end, where the library tells.
    seconds, cpu_seconds : list of float
        Of a whole fit, one for each turn, by the clock and in processor time.
    peak_bytes, whole_bytes : int
        Peak memory above library and data in a first fit, and of the whole process.
    failed : str
        What the library said where it failed.
    """

    entrant: str
    equal: float | None = None
    converged: float | None = None
    steps: int | None = None
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    peak_bytes: int = 0
    whole_bytes: int = 0
    failed: str = ""


@dataclass
class Outcome:
    """All libraries on a case, ours first."""

    case: Case
    rows: int
    columns: int
    load: float
    measured: list[Measured]

    @property
    def ours(self) -> Measured:
        """Our own."""
        return self.measured[0]

    def ratios(self, peer: Measured, what: str = "seconds") -> list[float]:
        """How many times longer the peer took, turn by turn."""
        pairs = zip(getattr(peer, what), getattr(self.ours, what), strict=True)
        return [theirs / mine for theirs, mine in pairs if mine > 0]

    def summary(self, peer: Measured) -> dict[str, Any]:
        """What sets a peer and us apart."""
        clock, cpu = self.ratios(peer), self.ratios(peer, "cpu_seconds")
        mine = self.ours
        return {
            "peer": peer.entrant,
            "equal_difference": difference(mine.equal, peer.equal),
            "converged_difference": difference(mine.converged, peer.converged),
            "median_ratio": statistics.median(clock) if clock else None,
            "least_ratio": min(clock, default=None),
            "greatest_ratio": max(clock, default=None),
            "median_cpu_ratio": statistics.median(cpu) if cpu else None,
        }


def difference(ours: float | None, theirs: float | None) -> float | None:
    """Ours less theirs, where there are both."""
    return None if ours is None or theirs is None else ours - theirs


def compare(
    case: Case,
    files: dict[str, Path],
    *,
    present: tuple[str, ...],
    repeats: int,
    env: Mapping[str, str],
    say: Callable[[str], None],
) -> tuple[Outcome, dict[str, str]]:
    """Measure a case; also the versions of the libraries that took part."""
    table = read(case.data, files)
    begin = start(table, case.k)
    n, d = table.x.shape
    found = [Measured(name) for name in (OURS, *(p for p in case.peers if p in present))]
    outcome = Outcome(case, n, d, round(os.getloadavg()[0], 2), found)
    versions: dict[str, str] = {}

    def judged(answer: dict[str, Any]) -> float:
        shapes = {"weights": (case.k,), "means": (case.k, d), "covariances": (case.k, d, d)}
        arrays = [np.reshape(answer[name], shape) for name, shape in shapes.items()]
        return log_likelihood(table, *arrays)

    with tempfile.TemporaryDirectory() as folder:
        write(case, table, begin, Path(folder))
        workers = []
        try:
            for each in found:
                weighted = table.weights is not None
                worker = Worker(each.entrant, case, Path(folder), weighted, env)
                workers.append(worker)
                versions |= worker.ask("versions")
                worker.forget_peak()
                before = worker.resident()
                answer = worker.ask("fit", case.iterations, 0.0)
                each.whole_bytes = worker.resident("VmHWM")
                each.peak_bytes = max(each.whole_bytes - before, 0)
                if "failed" in answer:
                    each.failed = answer["failed"]
                    continue
                each.equal = judged(answer)
                if case.limit:
                    end = worker.ask("fit", case.limit, TOL)
                    if "failed" in end:
                        each.failed = end["failed"]
                    else:
                        each.converged, each.steps = judged(end), end["iterations"]
            for _ in range(repeats):
                for each, worker in zip(found, workers, strict=True):
                    if each.equal is not None:
                        spent = worker.ask("time", case.iterations, 0.0, LEAST)
                        each.seconds.append(spent["seconds"])
                        each.cpu_seconds.append(spent["cpu_seconds"])
        finally:
            for worker in workers:
                worker.__exit__()
    for each in found[1:]:
        apart = outcome.summary(each) if not each.failed else each.failed
        say(f"{case.name}: {each.entrant}: {apart}")
    return outcome, versions
