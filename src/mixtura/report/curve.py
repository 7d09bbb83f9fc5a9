"""The BIC curve: what each structure scored at each number of components."""

from __future__ import annotations

from typing import Any

from mixtura import plot
from mixtura.plot.bic import scored
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
    lines = scored(trials)
    if len({k for line in lines.values() for k, _ in line}) < 2:
        return None
    fig = svg.figure(5.8, 3.2)
    ax = fig.add_axes((0.145, 0.155, 0.82, 0.81))
    plot.bic(trials, chosen=chosen, ax=ax, palette=svg.PALETTE)
    svg.sized(ax)
    label = f"BIC against the number of components for {', '.join(sorted(lines))}; lower is better"
    return svg.inline(fig, "bic", label)
