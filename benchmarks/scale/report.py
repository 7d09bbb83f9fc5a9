"""Tables and pictures of fits with many components."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.plots import GRID, INK
from benchmarks.report import heading
from benchmarks.scale.fits import Fit

__all__ = ["PARTS", "exponent", "markdown", "read", "write"]

#: Entrants -> colour, marker and name in a legend.
LOOKS = {
    "truncated": ("#2266aa", "o", "Mixtura, truncated"),
    "dense": ("#cc5522", "D", "Mixtura, dense"),
    "scikit-learn": ("#5f646e", "s", "scikit-learn"),
}
#: Parts -> titles.
PARTS = {
    "growth": "Seconds per iteration against the number of components",
    "time": "Log-likelihood of rows held out against time",
    "images": "Mixtures of factor analysers on Fashion-MNIST",
}
HEAD = {
    "growth": ("k", "entrant", "rows", "s / iteration", "times the smallest k's"),
    "time": ("rows", "k", "entrant", "iterations", "s", "held out, nats", "pairs", "memory"),
    "images": (
        *("k", "parameters", "entrant", "s / iteration", "iterations", "whole fit, s"),
        *("held out, nats", "pairs per row", "memory", "exact end"),
    ),
}


def write(folder: Path, part: str, fits: Sequence[Fit]) -> None:
    """``scale.json`` and ``scale.md`` with the other parts as they were, and the part's picture."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = read(folder) | {part: list(fits)}
    numbers = {name: [asdict(fit) for fit in parts[name]] for name in PARTS if name in parts}
    (folder / "scale.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf8")
    (folder / "scale.md").write_text(markdown(parts), encoding="utf8")
    picture(part, fits).savefig(folder / f"scale-{part}.png", facecolor="white")


def read(folder: Path) -> dict[str, list[Fit]]:
    """The parts that a folder has."""
    path = folder / "scale.json"
    if not path.exists():
        return {}
    numbers = json.loads(path.read_text(encoding="utf8"))
    return {part: [Fit.read(each) for each in fits] for part, fits in numbers.items()}


def markdown(parts: dict[str, list[Fit]]) -> str:
    """All parts."""
    lines = ["# Many components", ""]
    for part, title in PARTS.items():
        if part not in parts:
            continue
        fits = parts[part]
        lines += [f"## {title}", "", heading(fits[0].marks), ""]
        lines += ["| " + " | ".join(HEAD[part]) + " |", "|---" * len(HEAD[part]) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in ROWS[part](fits)]
        lines += ["", *SAID[part](fits), "", f"![{title}](scale-{part}.png)", ""]
    return "\n".join(lines)


# ---- seconds per iteration against k -------------------------------------------------------------
def scaled(fit: Fit, n: int) -> float:
    """Seconds per iteration, in proportion to the rows where fewer were fitted."""
    return fit.settled * n / fit.job.n


def growth_rows(fits: Sequence[Fit]) -> list[list[str]]:
    n = max(fit.job.n for fit in fits)
    first = {fit.job.entrant: scaled(fit, n) for fit in reversed(fits)}
    return [
        [
            f"{fit.job.k:,}",
            LOOKS[fit.job.entrant][2],
            f"{fit.job.n:,}" + (" (seconds in proportion)" if fit.job.n < n else ""),
            f"{scaled(fit, n):.3g}",
            f"{scaled(fit, n) / first[fit.job.entrant]:.2f}",
        ]
        for fit in fits
    ]


def growth_said(fits: Sequence[Fit]) -> list[str]:
    held = {fit.job.k: fit for fit in fits if fit.job.entrant == "truncated"}
    if not {1_000, 10_000} <= set(held):
        return []
    small, large = held[1_000], held[10_000]
    return [
        f"From 1,000 to 10,000 components a truncated iteration takes "
        f"{large.settled / small.settled:.2f} times as long; after {len(large.seconds)} "
        f"iterations the rows held out have {small.held_out[-1]:.3f} and "
        f"{large.held_out[-1]:.3f} nats."
    ]


def growth_picture(fits: Sequence[Fit], axes: Any) -> None:
    n = max(fit.job.n for fit in fits)
    for entrant, (colour, marker, name) in LOOKS.items():
        own = [fit for fit in fits if fit.job.entrant == entrant]
        if not own:
            continue
        at, seconds = [fit.job.k for fit in own], [scaled(fit, n) for fit in own]
        axes.plot(at, seconds, color=colour, lw=1.4, label=name)
        for fit, x, y in zip(own, at, seconds, strict=True):
            face = colour if fit.job.n == n else "white"
            axes.plot(x, y, marker, ms=7, mec=colour, mfc=face, mew=1.4)
    logarithmic(axes, "both")
    axes.set_xlabel("components", color=INK)
    axes.set_ylabel(f"seconds per iteration, {n:,} rows × {fits[0].job.d}", color=INK)


# ---- log-likelihood against time -----------------------------------------------------------------
def time_rows(fits: Sequence[Fit]) -> list[list[str]]:
    return [
        [
            f"{fit.job.n:,} × {fit.job.d}",
            f"{fit.job.k:,}",
            LOOKS[fit.job.entrant][2],
            str(len(fit.seconds)),
            f"{fit.whole:.3g}",
            f"{fit.held_out[-1]:.4f}",
            f"{fit.pairs:.3g}",
            f"{fit.peak_bytes / 1e6:,.0f} MB",
        ]
        for fit in fits
    ]


def time_picture(fits: Sequence[Fit], axes: Any) -> None:
    for fit in fits:
        colour, marker, name = LOOKS[fit.job.entrant]
        many = fit.job.n == max(other.job.n for other in fits)
        label = f"{name}, k = {fit.job.k:,}, {fit.job.n:,} rows"
        style = {"color": colour, "lw": 1.4, "ls": "-" if many else "--"}
        large = many and fit.job.k == max(other.job.k for other in fits)
        face = colour if large else "white"
        clock, held = np.array(fit.clock), np.array(fit.held_out)
        axes.plot(clock, held, marker=marker, ms=5, mfc=face, mec=colour, label=label, **style)
    levels = np.concatenate([np.array(fit.held_out)[1:] for fit in fits])
    axes.set_ylim(levels.min() - 1, levels.max() + 1)
    logarithmic(axes, "x")
    axes.set_xlabel("seconds since the fit began", color=INK)
    axes.set_ylabel("mean log density of 10,000 rows held out, nats", color=INK)


# ---- images --------------------------------------------------------------------------------------
def image_rows(fits: Sequence[Fit]) -> list[list[str]]:
    return [
        [
            f"{fit.job.k:,}",
            f"{fit.parameters / 1e6:.1f} million",
            LOOKS[fit.job.entrant][2],
            f"{fit.settled:.3g}",
            f"{len(fit.seconds)}{'' if fit.converged else ' (not converged)'}",
            f"{fit.whole:.4g}",
            f"{fit.held_out[-1]:.2f}",
            f"{fit.pairs / fit.job.n:,.0f}",
            f"{fit.peak_bytes / 1e6:,.0f} MB",
            f"{fit.end:.3g} s" if fit.job.entrant == "truncated" else "–",
        ]
        for fit in fits
    ]


def image_said(fits: Sequence[Fit]) -> list[str]:
    held = [fit for fit in fits if fit.job.entrant == "truncated"]
    dense = {fit.job.k: fit for fit in fits if fit.job.entrant == "dense"}
    lines = []
    if len(held) > 1:
        first, last = held[0], held[-1]
        lines.append(
            f"From {first.job.k:,} to {last.job.k:,} components a truncated iteration takes "
            f"{last.settled / first.settled:.2f} times as long. Pairs evaluated in a fit "
            f"grow as (n k)^{exponent(held, False):.2f}, with the exact pass at the end as "
            f"(n k)^{exponent(held, True):.2f}."
        )
    for fit in held:
        if (other := dense.get(fit.job.k)) is not None:
            lines.append(against(fit, other))
    return [" ".join(lines)] if lines else []


def against(fit: Fit, other: Fit) -> str:
    """A fit beside the dense engine's, whole or of one iteration."""
    k, step = f"k = {fit.job.k:,}", f"{other.settled / fit.settled:.1f} times"
    if other.job.iterations is None:
        away = fit.held_out[-1] / other.held_out[-1] - 1
        return (
            f"{k}: the whole fit is {other.whole / fit.whole:.1f} times as fast as the dense "
            f"engine's, an iteration {step}; the log-likelihood of images held out differs by "
            f"{away:+.2%}."
        )
    projected = other.start + len(fit.seconds) * other.settled
    text = (
        f"{k}: an iteration is {step} as fast as the dense engine's, of which "
        f"{plural(len(other.seconds), 'was', 'were')} made; with as many iterations its whole fit "
        f"would take {projected / fit.whole:.1f} times as long"
    )
    if fit.job.after != len(other.seconds):
        return text + "."
    mine, theirs = fit.held_out[0], other.held_out[-1]
    return (
        f"{text}; after those iterations the images held out have {mine:.2f} nats and "
        f"{theirs:.2f} ({mine / theirs - 1:+.2%})."
    )


def plural(count: int, one: str, many: str) -> str:
    """A number and the verb that goes with it."""
    return f"{count} {one if count == 1 else many}"


def exponent(fits: Sequence[Fit], end: bool) -> float:
    """Slope of log pairs on log n k: 1 where every pair is evaluated equally often."""
    sizes = np.array([fit.job.n * fit.job.k for fit in fits], dtype=np.float64)
    pairs = np.array([fit.pairs for fit in fits]) + (sizes if end else 0)
    return float(np.polyfit(np.log(sizes), np.log(pairs), 1)[0])


def image_picture(fits: Sequence[Fit], axes: Any) -> None:
    for entrant, (colour, marker, name) in LOOKS.items():
        own = [f for f in fits if f.job.entrant == entrant and f.job.iterations is None]
        if not own:
            continue
        sizes, pairs = [f.job.n * f.job.k for f in own], [f.pairs for f in own]
        label = name
        if len(own) > 1:
            label += f": (n k)^{exponent(own, False):.2f}"
        axes.plot(sizes, pairs, marker=marker, ms=7, color=colour, mfc="white", lw=1.4, label=label)
    logarithmic(axes, "both")
    axes.set_xlabel("rows × components", color=INK)
    axes.set_ylabel("pairs evaluated in a fit", color=INK)


# ---- shared --------------------------------------------------------------------------------------
ROWS = {"growth": growth_rows, "time": time_rows, "images": image_rows}
SAID = {"growth": growth_said, "time": lambda fits: [], "images": image_said}
DRAWN = {"growth": growth_picture, "time": time_picture, "images": image_picture}


def picture(part: str, fits: Sequence[Fit]) -> Any:
    """The picture of a part."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=150)
    axes = figure.add_subplot()
    DRAWN[part](fits, axes)
    axes.tick_params(axis="both", length=0, which="both", colors=INK)
    axes.grid(color=GRID, lw=0.8)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(frameon=False)
    figure.tight_layout()
    return figure


def logarithmic(axes: Any, which: str) -> None:
    """Logarithmic axes with plain numbers."""
    from matplotlib.ticker import FuncFormatter

    plain = FuncFormatter(lambda value, _: f"{value:,.10g}" if value < 1e6 else f"{value:.0e}")
    if which in ("x", "both"):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(plain)
    if which in ("y", "both"):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(plain)
