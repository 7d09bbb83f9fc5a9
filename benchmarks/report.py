"""Reports on speed: a stamp, ratios, tables in Markdown, and the same numbers as JSON."""

from __future__ import annotations

import datetime
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import Any

from benchmarks.machine import cores, cpu
from benchmarks.measure import CORETYPE, ROOT, THREADS, Failure, Measurement
from benchmarks.peers import OURS, REFERENCE
from benchmarks.workloads import Workload

__all__ = [
    *("Result", "from_json", "heading", "headings", "markdown", "ratios", "shaped", "stamp"),
    "to_json",
]


@dataclass(frozen=True)
class Result:
    """All entrants on one workload, with the stamp of the run."""

    workload: Workload
    measurements: tuple[Measurement, ...]
    failures: tuple[Failure, ...] = ()
    marks: dict[str, Any] = field(default_factory=dict)

    def of(self, entrant: str) -> Measurement:
        """The measurement of an entrant."""
        return next(m for m in self.measurements if m.entrant == entrant)

    def has(self, entrant: str) -> bool:
        """Whether an entrant was measured."""
        return any(m.entrant == entrant for m in self.measurements)

    @property
    def peers(self) -> list[Measurement]:
        """The measurements of others."""
        return [m for m in self.measurements if not m.entrant.startswith(OURS)]

    @property
    def ours(self) -> list[Measurement]:
        """Our own measurements."""
        return [m for m in self.measurements if m.entrant.startswith(OURS)]

    def ratio(self, entrant: str, peer: str = REFERENCE) -> float | None:
        """How many times as fast as a peer; None where one of the two is missing."""
        if not (self.has(entrant) and self.has(peer)):
            return None
        each = ratios(self.of(entrant), self.of(peer))
        return statistics.median(each) if each else None


def ratios(own: Any, peer: Any, what: str = "seconds") -> list[float]:
    """How many times as fast as a peer, turn by turn, by the clock or in ``cpu_seconds``.

    Where one of them had fewer turns, each of its turns is held against all of the other's.
    """
    theirs, mine = getattr(peer, what), getattr(own, what)
    pairs = zip(theirs, mine, strict=True) if len(theirs) == len(mine) else product(theirs, mine)
    return [one / other for one, other in pairs if one > 0 and other > 0]


def stamp(coretype: str | None, threads: int | None, repeats: int) -> dict[str, Any]:
    """Machine, date, commit and settings; ``measure`` adds BLAS and versions."""
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "commit": commit(),
        "cpu": cpu(),
        "cores": cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "load_average": [round(load, 1) for load in os.getloadavg()],
        "repeats": repeats,
        "threads": threads,
        "environment": {key: os.environ[key] for key in THREADS if key in os.environ},
        CORETYPE: {"environment": os.environ.get(CORETYPE), "used": coretype},
    }


def commit() -> str:
    """The commit that is measured, with a mark where the tree differs from it."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        found = git("rev-parse", "--short=12", "--verify", "HEAD")
        changed = git("status", "--porcelain", "--", ".", ":!benchmarks/results")
        return (found or "none") + (" + changes" if changed else "")
    except OSError:
        return "unknown"


def to_json(results: Sequence[Result]) -> dict[str, Any]:
    """Everything that was measured, with the ratios."""
    out = []
    for result in results:
        entry: dict[str, Any] = {"workload": asdict(result.workload), "marks": result.marks}
        entry["measurements"] = []
        for measurement in result.measurements:
            entry["measurements"].append(
                asdict(measurement) | {"median_seconds": statistics.median(measurement.seconds)}
            )
        entry["failures"] = [asdict(failure) for failure in result.failures]
        entry["ratios"] = [comparison(own, peer) for peer in result.peers for own in result.ours]
        out.append(entry)
    return {"results": out}


def from_json(numbers: dict[str, Any]) -> list[Result]:
    """Results, of which ``to_json`` made the numbers."""
    results = []
    for entry in numbers["results"]:
        measurements = []
        for each in entry["measurements"]:
            fields = {key: value for key, value in each.items() if key != "median_seconds"}
            lists: dict[str, Any] = {
                k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()
            }
            measurements.append(Measurement(**lists))
        failures = tuple(Failure(**each) for each in entry["failures"])
        workload, marks = Workload(**entry["workload"]), entry["marks"]
        results.append(Result(workload, tuple(measurements), failures, marks))
    return results


def comparison(own: Measurement, peer: Measurement) -> dict[str, Any]:
    """One of ours against one peer."""
    each, of_cpu = ratios(own, peer), ratios(own, peer, "cpu_seconds")
    return {
        "ours": own.entrant,
        "peer": peer.entrant,
        "ratios": each,
        "median_ratio": statistics.median(each) if each else None,
        "cpu_ratios": of_cpu,
        "median_cpu_ratio": statistics.median(of_cpu) if of_cpu else None,
        "log_likelihood_difference": less(own.log_likelihood, peer.log_likelihood),
        "judged_difference": less(own.judged, peer.judged),
        "memory_ratio": own.peak_bytes / peer.peak_bytes if peer.peak_bytes > 0 else None,
    }


def less(a: float | None, b: float | None) -> float | None:
    """a − b, where there are both."""
    return None if a is None or b is None else a - b


def heading(marks: dict[str, Any]) -> str:
    """Where and when this was measured."""
    core = marks[CORETYPE]
    blas = f"{'; '.join(marks['blas'])}; " if "blas" in marks else ""
    versions = ", ".join(f"{name} {v}" for name, v in marks.get("versions", {}).items())
    python = f"; Python {marks['python']}, {versions}" if "python" in marks else ""
    return (
        f"Measured on {marks['date']} at commit {marks['commit']}; {marks['cpu']}, "
        f"{marks['cores']} cores, {marks['system']}, load {marks['load_average'][0]} at the start; "
        f"{blas}`{CORETYPE}` {core['used'] or 'unset'} (was {core['environment'] or 'unset'})"
        f"{python}."
    )


def headings(results: Sequence[Any]) -> list[str]:
    """Where and when results were measured: a line for each run, with its workloads."""
    runs: dict[str, list[str]] = {}
    for result in results:
        runs.setdefault(heading(result.marks), []).append(result.workload.name)
    several = len(runs) > 1
    return [f"{', '.join(names)}: {run}" if several else run for run, names in runs.items()]


def shaped(result: Any) -> list[str]:
    """A workload in the first cells of a row."""
    w = result.workload
    return [w.name, f"{w.n:,} × {w.d}", f"{w.k:,}", w.covariance_type]


NOTES = (
    "Every row of a table is one entrant. Seconds are per EM iteration from equal starts, medians "
    "of turns that all take in alternation. *Faster* is how many times as fast as that entrant "
    "ours is (double precision, single, truncated): the median of the turns' own ratios, or of one "
    "turn's to all of ours, with the least and the greatest; *in processor time* is the same of "
    "double over all threads. *Share* is nominal work (4 n k f operations, see "
    "`benchmarks/work.py`) over seconds, as a share of the rate of matrix products of the same "
    "dtype in the same turn. Log-likelihoods are means per row (nats) over all rows in the last "
    "iteration, in the library's own account; *judged* "
    "is the difference of the final parameters to scikit-learn's (float64) on up to 10,000 rows, "
    "by one scorer in float64. Memory is the peak above data and imports. *Foreign* is the "
    "greatest share of all processors that other processes took during a turn. faiss makes Lloyd "
    "iterations of k-means: the floor."
)
#: Ours to which each entrant is compared.
FASTER = (OURS, f"{OURS} single", f"{OURS} truncated")
HEAD = (
    *("entrant", "turns", "s / iteration", "faster, double", "faster, single"),
    "faster, truncated",
    *("in processor time", "share", "log-likelihood", "judged", "memory", "foreign"),
)


def markdown(results: Sequence[Result]) -> str:
    """The tables, with the stamps above them."""
    lines = ["\n\n".join(headings(results)), "", NOTES, ""]
    for result in results:
        w = result.workload
        rank = f" of rank {w.rank}" if w.rank else ""
        lines += [
            f"### {w.name}: {w.n:,} × {w.d}, {w.k:,} components, {w.covariance_type}{rank}",
            "",
            *([f"Peers fit {w.peer_type} covariances.", ""] if w.rank else []),
            *table(result),
            "",
        ]
    return "\n".join(lines)


def table(result: Result) -> list[str]:
    """All entrants, a row each, and those that failed."""
    lines = ["| " + " | ".join(HEAD) + " |", "|---" * len(HEAD) + "|"]
    judged = result.of(REFERENCE).judged if result.has(REFERENCE) else None
    for m in result.measurements:
        own = m.entrant.startswith(OURS)
        faster = ["" if own else against(result, name, m) for name in FASTER]
        of_cpu = ratios(result.of(OURS), m, "cpu_seconds") if result.has(OURS) else []
        loads = [load for load in m.foreign if load is not None]
        away = less(m.judged, judged)
        cells = [
            m.entrant,
            str(len(m.seconds)),
            seconds(m),
            *faster,
            "" if own or not of_cpu else f"{statistics.median(of_cpu):.2f}",
            f"{statistics.median(m.gemm_share):.0%}" if m.gemm_share else "–",
            "–" if m.log_likelihood is None else f"{m.log_likelihood:.6f}",
            "–" if away is None else f"{away:+.1e}",
            f"{m.peak_bytes / 1e6:.0f} MB",
            f"{max(loads):.0%}" if loads else "unknown",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    for failure in result.failures:
        reason = failure.reason.replace("|", "\\|")
        lines.append(f"| {failure.entrant} | – | {reason} " + "| " * (len(HEAD) - 3) + "|")
    return lines


def seconds(own: Measurement) -> str:
    """Seconds per iteration; a dash where noise left nothing that makes sense."""
    median = statistics.median(own.seconds)
    return f"{median:.3g}" if median > 0 else "–"


def against(result: Result, ours: str, peer: Measurement) -> str:
    """One of ours against a peer: median, least and greatest."""
    each = ratios(result.of(ours), peer) if result.has(ours) else []
    if not each:
        return "–"
    return f"**{statistics.median(each):.2f}** ({min(each):.2f} to {max(each):.2f})"
