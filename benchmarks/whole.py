"""Whole fits: default settings, each library's own start and stopping rule, to the end.

Seconds are those of a whole call of ``fit``. What a fit reached is judged on all rows by
``benchmarks.judge``, for libraries stop where they like: a ratio means something only where the
log-likelihood is no worse.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import Failure, Worker, WorkerError, environment
from benchmarks.peers import ENTRANTS, REFERENCE
from benchmarks.report import ratios, shaped
from benchmarks.workloads import Workload, prepare

__all__ = ["WHOLE", "Fit", "Whole", "table", "whole"]

#: Workloads that are fitted to the end.
WHOLE = ("b", "c", "d")
#: Seconds after which a fit is given up.
PATIENCE = 3600.0


@dataclass(frozen=True)
class Fit:
    """One entrant's fits.

    Attributes
    ----------
    seconds, cpu_seconds : tuple of float
        Of each fit: by the clock, and of processors.
    foreign : tuple of float or None
        Share of all processors that other processes took meanwhile.
    judged : float
        Mean log density of all rows.
    """

    entrant: str
    seconds: tuple[float, ...]
    cpu_seconds: tuple[float, ...]
    foreign: tuple[float | None, ...]
    judged: float
    iterations: int | None
    converged: bool | None
    peak_bytes: int


@dataclass(frozen=True)
class Whole:
    """All entrants on one workload."""

    workload: Workload
    fits: tuple[Fit, ...]
    failures: tuple[Failure, ...] = ()
    marks: dict[str, Any] = field(default_factory=dict)

    def of(self, entrant: str) -> Fit | None:
        """The fits of an entrant; None where there are none."""
        return next((fit for fit in self.fits if fit.entrant == entrant), None)

    def ratio(self, entrant: str, peer: str = REFERENCE) -> float | None:
        """How many times as fast as a peer: the median of the turns that both had."""
        own, other = self.of(entrant), self.of(peer)
        if own is None or other is None:
            return None
        return statistics.median(ratios(own, other))


def whole(
    workload: Workload,
    cache: Path,
    *,
    entrants: Sequence[str] | None = None,
    repeats: int = 3,
    limit: float = 60.0,
    coretype: str | None = None,
    threads: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Whole:
    """Fit a workload to the end, in turns; an entrant that takes longer than the limit has one."""
    files, env = prepare(workload, cache), environment(coretype, threads)
    found: dict[str, list[dict[str, Any]]] = {}
    failures = []
    with ExitStack() as stack:
        workers = {
            name: stack.enter_context(Worker(workload, files, name, env))
            for name in entrants or ENTRANTS
            if ENTRANTS[name].whole
        }
        for repeat in range(repeats):
            for name in list(workers):
                done = found.setdefault(name, [])
                if done and max(fit["seconds"] for fit in done) > limit:
                    continue
                rows = 0 if done else workload.n
                try:
                    done.append(
                        workers[name].ask(PATIENCE, do="memory", iterations=None, rows=rows)
                    )
                except WorkerError as error:
                    failures.append(Failure(name, str(error)))
                    workers.pop(name).close()
                    del found[name]
                    continue
                turn = f"whole fit {repeat + 1} of {repeats}"
                say(f"{workload.name}: {name}: {turn}: {done[-1]['seconds']:.4g} s")
    fits = [
        Fit(
            name,
            tuple(fit["seconds"] for fit in done),
            tuple(fit["cpu_seconds"] for fit in done),
            tuple(fit["foreign"] for fit in done),
            done[0]["judged"],
            done[0]["iterations"],
            done[0]["converged"],
            max(fit["peak_bytes"] for fit in done),
        )
        for name, done in found.items()
    ]
    return Whole(workload, tuple(fits), tuple(failures))


def table(found: Sequence[Whole]) -> list[str]:
    """A row for each entrant of each workload, with ratios to scikit-learn's two precisions."""
    lines = [
        "| workload | n × d | k | structure | entrant | s | times as fast as scikit-learn | "
        "as its float32 | judged log-likelihood | less scikit-learn's | iterations | memory | "
        "foreign load |",
        "|---" * 13 + "|",
    ]
    for each in found:
        reference = each.of(REFERENCE)
        head = shaped(each)
        for fit in each.fits:
            times = [each.ratio(fit.entrant, p) for p in (REFERENCE, f"{REFERENCE} float32")]
            loads = [load for load in fit.foreign if load is not None]
            ended = "" if fit.converged else " (not converged)"
            cells = [
                *head,
                fit.entrant,
                f"{statistics.median(fit.seconds):.3g}",
                *("–" if ratio is None else f"{ratio:.2f}" for ratio in times),
                f"{fit.judged:.6f}",
                "–" if reference is None else f"{fit.judged - reference.judged:+.1e}",
                f"{fit.iterations}{ended}",
                f"{fit.peak_bytes / 1e6:.0f} MB",
                f"{max(loads):.0%}" if loads else "unknown",
            ]
            lines.append("| " + " | ".join(cells) + " |")
            head = [""] * len(head)
        for failure in each.failures:
            cells = [*head, failure.entrant, failure.reason, *[""] * 7]
            lines.append("| " + " | ".join(cells) + " |")
            head = [""] * len(head)
    return lines
