"""The README's table of speed, made from ``results/speed.json`` and ``results/whole.json``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.files import read_speed, read_whole
from benchmarks.peers import FLOOR, OURS, REFERENCE
from benchmarks.report import Result
from benchmarks.whole import Whole

__all__ = ["BEGIN", "END", "between", "replaced", "rows", "table"]

BEGIN, END = "<!-- table: speed -->", "<!-- end -->"
SINGLE, TRUNCATED = f"{OURS} single", f"{OURS} truncated"


def table(folder: Path) -> list[str]:
    """The lines that stand between the marks."""
    speed = read_speed(folder / "speed.json")
    whole = read_whole(folder / "whole.json") if (folder / "whole.json").exists() else []
    return [*rows(speed, whole), "", *machines([result.marks for result in speed])]


def machines(marks: Sequence[dict[str, Any]]) -> list[str]:
    """A line for each machine: when it ran, and what."""
    runs: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for m in marks:
        machine = f"{m['cpu']}, {m['cores']} cores", ", ".join(m["blas"])
        runs.setdefault(machine, []).append((m["date"].split()[0], m["commit"]))
    lines = []
    for (processor, blas), ran in runs.items():
        dates, commits = (", ".join(dict.fromkeys(each)) for each in zip(*ran, strict=True))
        lines.append(f"{processor}, {dates}, commit {commits}; {blas}.")
    return lines


def rows(speed: Sequence[Result], whole: Sequence[Whole]) -> list[str]:
    """Times as fast as scikit-learn in float64, per iteration and to the end, and memory."""
    head = ["rows × columns", "components", "double", "single", "truncated", "next best"]
    head += ["whole fit", "memory", "scikit-learn's"]
    lines = ["| " + " | ".join(head) + " |", "|---|---" + "|---:" * (len(head) - 2) + "|"]
    fits = {each.workload.name: each for each in whole}
    for result in speed:
        w = result.workload
        kind = f"{w.covariance_type} {w.rank}" if w.rank else w.covariance_type
        ended = fits.get(w.name)
        cells = [
            f"{w.n:,} × {w.d}",
            f"{w.k:,} {kind}",
            times(result.ratio(OURS)),
            times(result.ratio(SINGLE)),
            times(result.ratio(TRUNCATED)),
            best(result),
            times(None if ended is None else ended.ratio(f"{OURS} mixed") or ended.ratio(OURS)),
            size(result, OURS),
            size(result, REFERENCE),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def best(result: Result) -> str:
    """The fastest of the other libraries."""
    found = [
        (ratio, m.entrant)
        for m in result.peers
        if m.entrant not in (REFERENCE, FLOOR) and (ratio := result.ratio(m.entrant))
    ]
    if not found:
        return "–"
    ratio, entrant = max(found)
    return f"{times(ratio)} ({entrant})"


def times(ratio: float | None) -> str:
    """A ratio to two digits that count."""
    return "–" if ratio is None else f"{ratio:.0f}×" if ratio >= 10 else f"{ratio:.1f}×"


def size(result: Result, entrant: str) -> str:
    """Peak memory."""
    return f"{result.of(entrant).peak_bytes / 1e6:,.0f} MB" if result.has(entrant) else "–"


def between(text: str) -> list[str] | None:
    """The lines between the marks; None where there are no marks."""
    lines = text.splitlines()
    if BEGIN not in lines:
        return None
    first = lines.index(BEGIN) + 1
    return lines[first : lines.index(END, first)]


def replaced(text: str, new: Sequence[str]) -> str:
    """The text with other lines between the marks."""
    lines = text.splitlines()
    first = lines.index(BEGIN) + 1
    last = lines.index(END, first)
    return "\n".join([*lines[:first], *new, *lines[last:]]) + "\n"
