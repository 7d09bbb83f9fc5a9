"""The BIC curve: what each structure scored at each number of components."""

from __future__ import annotations

from typing import Any

from mixtura.report import svg

__all__ = ["bic_curve"]


def bic_curve(trials: list[dict[str, Any]], chosen: tuple[int, str]) -> str | None:
    """The figure as SVG, or None where there are not two numbers of components to compare.

    Parameters
    ----------
    trials : list of dict
        With ``n_components``, ``covariance_type`` and ``bic``.
    chosen : (int, str)
        Components and structure of the model kept.
    """
    lines: dict[str, list[tuple[int, float]]] = {}
    for trial in trials:
        bic = trial.get("bic")
        if bic is not None and not trial.get("error"):
            lines.setdefault(trial["covariance_type"], []).append((trial["n_components"], bic))
    if len({k for line in lines.values() for k, _ in line}) < 2:
        return None
    fig = svg.figure(5.8, 3.2)
    ax = fig.add_axes((0.145, 0.155, 0.69, 0.81))
    ends = []
    for name in sorted(lines, key=lambda name: name == chosen[1]):
        line = sorted(lines[name])
        mine = name == chosen[1]
        paint = svg.ACCENT if mine else svg.MUTED
        ax.plot(
            *zip(*line, strict=True), "-o", color=paint, linewidth=2.0 if mine else 1.1,
            markersize=4.5 if mine else 3, alpha=1.0 if mine else 0.75,
        )  # fmt: skip
        ends.append((line[-1], name, paint, mine))
    best = [bic for k, bic in lines.get(chosen[1], ()) if k == chosen[0]]
    if best:
        ax.plot(
            [chosen[0]], best[:1], "o", markersize=12, markerfacecolor="none",
            markeredgecolor=svg.ACCENT, markeredgewidth=1.6,
        )  # fmt: skip
    _style(ax)
    _labels(fig, ax, ends)
    label = f"BIC against the number of components for {', '.join(sorted(lines))}; lower is better"
    return svg.inline(fig, "bic", label)


def _style(ax: Any) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    ax.set_xlabel("components", color=svg.INK, fontsize=10)
    ax.set_ylabel("BIC (lower is better)", color=svg.INK, fontsize=10)
    ax.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    ax.yaxis.set_major_locator(MaxNLocator(5))
    ax.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:,.0f}" if abs(value) < 1e7 else f"{value:.3g}")
    )
    ax.grid(axis="y", color=svg.GRID, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(colors=svg.MUTED, labelsize=9.5, length=0)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(svg.GRID)


def _labels(fig: Any, ax: Any, ends: list[Any]) -> None:
    """Each line's name at its end, pushed apart where they would overlap."""
    (low, high), left = ax.get_ylim(), ax.get_xlim()
    # A line of text and a label, as shares of the axes.
    gap, wide = 13 / 72 / (ax.get_position().height * fig.get_figheight()), 0.2
    spots = sorted(
        ((y - low) / (high - low), (x - left[0]) / (left[1] - left[0]), name, paint, mine)
        for (x, y), name, paint, mine in ends
    )
    placed: list[tuple[float, float]] = []
    for y, x, *_ in spots:
        below = [other for other, at in placed if abs(at - x) < wide]
        placed.append((max([y, *(other + gap for other in below)]), x))
    over = max(0.0, max(height for height, _ in placed) - 1.0)
    heights = [height for height, _ in placed]
    for height, (_, x, name, paint, mine) in zip(heights, spots, strict=True):
        ax.text(
            x + 0.018, height - over, name, transform=ax.transAxes, color=paint, fontsize=9.5,
            va="center", fontweight="bold" if mine else "normal", gid=f"label-{name}",
        )  # fmt: skip
