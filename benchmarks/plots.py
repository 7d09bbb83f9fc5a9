"""The pictures: how many times as fast as scikit-learn, and how much memory, a dot per entrant."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import Measurement
from benchmarks.peers import FLOOR, OURS, REFERENCE
from benchmarks.report import Result, ratios

__all__ = ["draw", "memory", "speed"]

INK, MUTED, GRID = "#1c1f26", "#5f646e", "#d9d6cf"
#: Entrants -> colour and marker: ours filled, others open.
MARKS = {
    OURS: ("#2266aa", "o"),
    f"{OURS} single": ("#cc5522", "D"),
    f"{OURS} truncated": ("#aa3377", "*"),
    REFERENCE: ("#5f646e", "s"),
    "scikit-learn float32": ("#5f646e", "^"),
    "pomegranate": ("#882255", "v"),
    "torchgmm": ("#229966", "P"),
    FLOOR: ("#1c1f26", "x"),
}
#: Inches, for a page about 800 pixels wide.
WIDTH, PER_WORKLOAD, MARGIN = 8.0, 0.62, 1.75

#: A measurement -> value, least and greatest; None where there is nothing to draw.
Reading = Callable[[Result, Measurement], tuple[float, float, float] | None]


def speed(results: Sequence[Result]) -> Any:
    """Times as fast as scikit-learn in float64, per iteration."""

    def read(result: Result, own: Measurement) -> tuple[float, float, float] | None:
        if not result.has(REFERENCE):
            return None
        each = ratios(own, result.of(REFERENCE))
        return (statistics.median(each), min(each), max(each)) if each else None

    return chart(
        results,
        read,
        "Times as fast as scikit-learn (float64), per EM iteration; further right is faster",
        line=1.0,
    )


def memory(results: Sequence[Result]) -> Any:
    """Peak memory above data and imports."""

    def read(result: Result, own: Measurement) -> tuple[float, float, float] | None:
        size = max(own.peak_bytes / 1e6, 1.0)  # a page or two is no memory
        return size, size, size

    return chart(
        results, read, "Peak memory above data and imports, MB; further left is less", line=None
    )


def chart(results: Sequence[Result], read: Reading, label: str, line: float | None) -> Any:
    """Workloads from the top, values on a logarithmic axis."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.ticker import FuncFormatter

    figure = Figure(figsize=(WIDTH, MARGIN + PER_WORKLOAD * len(results)), dpi=150)
    axes = figure.add_subplot()
    seen: list[str] = []
    for row, result in enumerate(results):
        shown = [(m, found) for m in result.measurements if (found := read(result, m))]
        for place, (own, (value, low, high)) in enumerate(shown):
            colour, marker = MARKS.get(own.entrant, (INK, "."))
            y = row + 0.5 * ((place + 0.5) / len(shown) - 0.5)  # so that none hides another
            axes.plot([low, high], [y, y], color=colour, lw=1.2, alpha=0.6, zorder=2)
            filled = own.entrant.startswith(OURS) or marker == "x"
            axes.plot(
                value,
                y,
                marker,
                ms=7,
                mec=colour,
                mfc=colour if filled else "white",
                mew=1.4,
                zorder=3,
            )
            if own.entrant not in seen:
                seen.append(own.entrant)
    if line is not None:
        axes.axvline(line, color=MUTED, lw=1, zorder=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel(label, color=INK)
    axes.set_yticks(range(len(results)), [name(result) for result in results], color=INK)
    axes.set_ylim(len(results) - 0.5, -0.5)
    axes.grid(axis="x", color=GRID, lw=0.8)
    axes.grid(axis="x", which="minor", color=GRID, lw=0.3)
    for edge in range(1, len(results)):
        axes.axhline(edge - 0.5, color=GRID, lw=0.8)
    axes.tick_params(axis="both", length=0, which="both", colors=INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
    handles = []
    for entrant in [each for each in MARKS if each in seen]:
        colour, marker = MARKS[entrant]
        face = colour if entrant.startswith(OURS) else "white"
        handles.append(
            Line2D([], [], ls="", marker=marker, ms=7, mec=colour, mfc=face, mew=1.4, label=entrant)
        )
    figure.legend(handles=handles, loc="upper center", ncols=4, frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.62 / figure.get_size_inches()[1]))
    return figure


def name(result: Result) -> str:
    """A workload in two lines."""
    w = result.workload
    rank = f" {w.rank}" if w.rank else ""
    return f"{w.name}: {w.n:,} × {w.d}\nk = {w.k:,}, {w.covariance_type}{rank}"


def draw(results: Sequence[Result], folder: Path) -> None:
    """Write ``speed.png`` and ``memory.png``."""
    for title, figure in (("speed", speed(results)), ("memory", memory(results))):
        figure.savefig(folder / f"{title}.png", facecolor="white")
