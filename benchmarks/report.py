"""Reports: a stamp, ratios, tables in Markdown, and the same numbers as JSON."""

from __future__ import annotations

import datetime
import math
import os
import platform
import statistics
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.measure import CORETYPE, ROOT, Measurement
from benchmarks.peers import OURS
from benchmarks.workloads import Workload

__all__ = ["Result", "markdown", "ratios", "stamp", "to_json"]


@dataclass(frozen=True)
class Result:
    """All entrants on one workload."""

    workload: Workload
    measurements: tuple[Measurement, ...]

    def of(self, entrant: str) -> Measurement:
        """The measurement of an entrant."""
        return next(m for m in self.measurements if m.entrant == entrant)

    @property
    def peers(self) -> list[Measurement]:
        """The measurements of others."""
        return [m for m in self.measurements if not m.entrant.startswith(OURS)]

    @property
    def ours(self) -> list[Measurement]:
        """Our own measurements."""
        return [m for m in self.measurements if m.entrant.startswith(OURS)]


def ratios(ours: Measurement, peer: Measurement, what: str = "seconds") -> list[float]:
    """How many times faster we are, repeat by repeat, by the clock or in ``cpu_seconds``."""
    pairs = zip(getattr(peer, what), getattr(ours, what), strict=True)
    return [theirs / mine for theirs, mine in pairs if theirs > 0 and mine > 0]


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
        CORETYPE: {"environment": os.environ.get(CORETYPE), "used": coretype},
    }


def commit() -> str:
    """The commit that is measured, with a mark where the tree differs from it."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    try:
        found = git("rev-parse", "--short=12", "--verify", "HEAD")
        return (found or "none") + (" + changes" if git("status", "--porcelain") else "")
    except OSError:
        return "unknown"


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


def to_json(results: list[Result], marks: dict[str, Any]) -> dict[str, Any]:
    """Everything that was measured, with the ratios."""
    out = []
    for result in results:
        entry: dict[str, Any] = {"workload": asdict(result.workload), "measurements": []}
        for measurement in result.measurements:
            entry["measurements"].append(
                asdict(measurement) | {"median_seconds": statistics.median(measurement.seconds)}
            )
        entry["ratios"] = [comparison(own, peer) for peer in result.peers for own in result.ours]
        out.append(entry)
    return {"stamp": marks, "results": out}


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
        "log_likelihood_difference": own.log_likelihood - peer.log_likelihood,
        "judged_difference": own.judged - peer.judged,
        "memory_ratio": own.peak_bytes / peer.peak_bytes if peer.peak_bytes > 0 else None,
    }


def markdown(results: list[Result], marks: dict[str, Any]) -> str:
    """The tables, with the stamp above them."""
    core = marks[CORETYPE]
    lines = [
        f"Measured on {marks['date']} at commit {marks['commit']}; {marks['cpu']}, "
        f"{marks['cores']} cores, {marks['system']}, load {marks['load_average'][0]} at the start; "
        f"{'; '.join(marks['blas'])}; `{CORETYPE}` "
        f"{core['used'] or 'unset'} (was {core['environment'] or 'unset'}); "
        f"Python {marks['python']}, "
        + ", ".join(f"{name} {version}" for name, version in marks["versions"].items())
        + ".",
        "",
        "Seconds are per EM iteration, medians of repeats; the ratio is the median of the repeats' "
        "own ratios, with the least and the greatest; the processor ratio compares processor time "
        "over all threads. Memory is the peak above data and imports. "
        "Log-likelihoods are means per row (nats) over all rows in the last iteration; judged: "
        "the difference of the final parameters on up to 10,000 rows, by the same code for both.",
        "",
    ]
    for peer in sorted({m.entrant for r in results for m in r.peers}):
        lines += [*table(results, peer), ""]
    return "\n".join(lines)


HEAD = (
    *("workload", "n × d", "k", "structure", "iterations", "repeats", "entrant", "s / iteration"),
    *("ratio", "processor ratio", "log-likelihood", "difference", "judged", "memory"),
)


def table(results: list[Result], peer_name: str) -> list[str]:
    """One peer and all of ours, a row each."""
    lines = ["| " + " | ".join(HEAD) + " |", "|---" * len(HEAD) + "|"]
    for result in results:
        peer, w = result.of(peer_name), result.workload
        what = [w.name, f"{w.n:,} × {w.d}", f"{w.k:,}", w.covariance_type]
        what += [f"1 + {w.iterations}", str(len(peer.seconds))]
        for own in (peer, *result.ours):
            first = own is peer
            cells = what if first else [""] * len(what)
            cells = [*cells, own.entrant, seconds(own)]
            cells += (
                ["1", "1", f"{peer.log_likelihood:.6f}", "", ""] if first else against(own, peer)
            )
            cells.append(f"{own.peak_bytes / 1e6:.0f} MB")
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def seconds(own: Measurement) -> str:
    """Seconds per iteration; a dash where noise left nothing that makes sense."""
    median = statistics.median(own.seconds)
    return f"{median:.3g}" if median > 0 else "–"


def against(own: Measurement, peer: Measurement) -> list[str]:
    """Cells that compare one of ours with a peer."""
    each = ratios(own, peer)
    found = comparison(own, peer)
    return [
        f"**{statistics.median(each):.2f}** ({min(each):.2f} to {max(each):.2f})" if each else "–",
        f"{found['median_cpu_ratio'] or math.nan:.2f}",
        f"{own.log_likelihood:.6f}",
        f"{found['log_likelihood_difference']:+.1e}",
        f"{found['judged_difference']:+.1e}",
    ]
