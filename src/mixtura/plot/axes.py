"""Axes: the one given, or those of a new figure; and their plain dress."""

from __future__ import annotations

import importlib
from typing import Any

from mixtura.errors import InputError, MissingExtraError
from mixtura.plot.palette import Palette

__all__ = ["axes_of", "check_matplotlib", "dress", "figure_of", "name_axis", "short"]

#: Characters that are left of a name where there is little room.
LONGEST_NAME = 28


def check_matplotlib() -> None:
    """Make sure that matplotlib is installed.

    Raises
    ------
    MissingExtraError
    """
    try:
        importlib.import_module("matplotlib")
    except ImportError:
        raise MissingExtraError("matplotlib", "cli", "drawing") from None


def axes_of(ax: Any, palette: Palette, size: tuple[float, float] | None = None) -> Any:
    """``ax`` itself, or the only Axes of a new figure of pyplot's.

    Parameters
    ----------
    ax : matplotlib Axes or None
    palette : Palette
    size : (float, float), optional
        Of a new figure, in inches.

    Raises
    ------
    InputError
        If ``ax`` is something else.
    """
    check_matplotlib()
    from matplotlib.axes import Axes

    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=size, layout="constrained", facecolor=palette.surface)
        ax.set_facecolor(palette.surface)
    elif not isinstance(ax, Axes):
        several = hasattr(ax, "__len__")
        raise InputError(
            f"expected ax as one matplotlib Axes, got {type(ax).__name__}; "
            + ("pass one of them, such as ax[0]" if several else "make one with plt.subplots()")
            + ", or leave ax out for a new figure"
        )
    return ax


def figure_of(fig: Any, palette: Palette, size: tuple[float, float]) -> Any:
    """``fig`` itself, or a new figure of pyplot's of that size in inches.

    Raises
    ------
    InputError
        If ``fig`` is something else.
    """
    check_matplotlib()
    from matplotlib.figure import FigureBase

    if fig is None:
        import matplotlib.pyplot as plt

        return plt.figure(figsize=size, facecolor=palette.surface)
    if not isinstance(fig, FigureBase):
        raise InputError(
            f"expected fig as a matplotlib Figure, got {type(fig).__name__}; make one with "
            "plt.figure(), or leave fig out for a new one"
        )
    return fig


def dress(
    ax: Any, palette: Palette, *, x: str | None = None, y: str | None = None, boxed: bool = False
) -> None:
    """Colour the frame and the ticks, and name the axes; ``boxed`` keeps all four sides."""
    for side, spine in ax.spines.items():
        spine.set_color(palette.grid)
        if side in ("top", "right") and not boxed:
            spine.set_visible(False)
    ax.tick_params(color=palette.grid, labelcolor=palette.muted)
    for axis, name in ((ax.xaxis, x), (ax.yaxis, y)):
        axis.get_offset_text().set_color(palette.muted)
        if name is not None:
            axis.set_label_text(name)
            axis.label.set_color(palette.ink)
            axis.label.set_parse_math(False)


def name_axis(axis: Any, name: str, palette: Palette) -> None:
    """Name an axis, with the offset or the power of ten that its numbers leave out."""
    formatter = axis.get_major_formatter()
    formatter.set_locs(axis.get_majorticklocs())
    offset = formatter.get_offset()
    axis.get_offset_text().set_visible(False)
    signed = offset.startswith(("+", "-", "\u2212"))
    power = f"  ({offset if signed else '×' + offset})" if offset else ""
    axis.set_label_text(name + power)
    axis.label.set(color=palette.ink, fontsize=11)
    axis.label.set_parse_math(False)


def short(name: str, most: int = LONGEST_NAME) -> str:
    """A name, cut where it is long: for figures in which panels stand close."""
    return name if len(name) <= most else name[: most - 1] + "…"
