"""What each structure scored at each number of components: BIC = −2 log L + p log n."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from statistics import median
from typing import TYPE_CHECKING, Any

from mixtura.errors import InputError
from mixtura.plot.axes import axes_of, dress
from mixtura.plot.palette import Palette, palette_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["bic", "ceiling", "scored"]

#: Trials below which all are shown.
FEW = 8

#: One structure's line: its BIC by number of components.
Line = list[tuple[int, float]]


def bic(
    tried: Any,
    *,
    ax: Axes | None = None,
    chosen: tuple[int, str] | None = None,
    full: bool = False,
    palette: Palette | None = None,
) -> Axes:
    """Draw BIC against the number of components, one line for each structure.

    Parameters
    ----------
    tried : fitted estimator, SearchResult or sequence
        An estimator that searched (``n_components="auto"`` or a list), its ``search_``, or the
        trials themselves, as values or as the dicts that a model file records, each with
        ``n_components``, ``covariance_type``, ``bic`` and ``error``.
    ax : matplotlib Axes, optional
        By default those of a new figure.
    chosen : (int, str), optional
        Components and structure to ring; by default what the search chose, or the lowest BIC.
    full : bool
        Show all values. By default the axis ends at best + 4 (median − best) of eight trials or
        more, so that those near the best can be told apart; lines beyond leave at the top.
    palette : Palette, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InputError
        Where nothing was tried, or nothing could be fitted.
    MissingExtraError
        Where matplotlib is not installed.

    Examples
    --------
    >>> import numpy as np, mixtura as mx
    >>> X = np.random.default_rng(0).normal(size=(200, 2)) + [[0, 0], [9, 9]] * 100
    >>> gm = mx.GaussianMixture([1, 2, 3], covariance_type="auto", random_state=0).fit(X)
    >>> ax = mx.plot.bic(gm)
    >>> sorted(text.get_text() for text in ax.texts)
    ['diag', 'full', 'spherical', 'tied']
    """
    best, trials = _read(tried)
    lines = scored(trials)
    if not lines:
        raise InputError(
            "expected at least one trial with a BIC, got none: nothing was tried, or nothing could "
            "be fitted; each trial's error says why"
        )
    kept = chosen or best or min((bic, k, name) for name in lines for k, bic in lines[name])[1:]
    kept = (int(kept[0]), str(kept[1]))
    paint = palette_of(palette)
    ax = axes_of(ax, paint)
    for name in sorted(lines, key=lambda name: name == kept[1]):
        mine = name == kept[1]
        ax.plot(
            *zip(*lines[name], strict=True), "-o", color=paint.accent if mine else paint.muted,
            linewidth=2.0 if mine else 1.1, markersize=4.5 if mine else 3,
            alpha=1.0 if mine else 0.75, label=name,
        )  # fmt: skip
    for k, value in lines.get(kept[1], ()):
        if k == kept[0]:
            ax.plot(
                [k], [value], "o", markersize=12, markerfacecolor="none",
                markeredgecolor=paint.accent, markeredgewidth=1.6,
            )  # fmt: skip
    _frame(ax, paint, lines)
    top = math.inf if full else ceiling(lines)
    if math.isfinite(top):
        least = min(value for line in lines.values() for _, value in line)
        ring = max((value for k, value in lines.get(kept[1], ()) if k == kept[0]), default=least)
        top = max(top, ring)
        ax.set_ylim(least - 0.05 * (top - least), top + 0.05 * (top - least))
    _names(ax, paint, lines, kept[1])
    return ax


def scored(trials: Iterable[Any]) -> dict[str, Line]:
    """BIC by number of components for each structure; trials that failed are left out."""
    lines: dict[str, Line] = {}
    for trial in trials:
        told = trial if isinstance(trial, Mapping) else vars(trial)
        value = told.get("bic")
        if value is not None and not told.get("error") and math.isfinite(value):
            line = lines.setdefault(str(told["covariance_type"]), [])
            line.append((int(told["n_components"]), float(value)))
    return {name: sorted(line) for name, line in lines.items()}


def ceiling(lines: Mapping[str, Line]) -> float:
    """best + 4 (median − best) where values lie beyond that; infinite where none does."""
    values = sorted(value for line in lines.values() for _, value in line)
    if len(values) < FEW:
        return math.inf
    top = values[0] + 4 * (median(values) - values[0])
    return top if values[0] < top < values[-1] else math.inf


def _read(tried: Any) -> tuple[tuple[int, str] | None, list[Any]]:
    """What was chosen, where that is known, and the trials."""
    search = getattr(tried, "search_", tried)
    if search is None or hasattr(search, "fit_predict") or hasattr(search, "get_params"):
        raise InputError(
            f"expected a search over several models, got {type(tried).__name__} "
            + ("fitted as one; set" if search is None else "before a fit; fit it with")
            + " n_components='auto' or a list such as [1, 2, 3]"
        )
    best = getattr(search, "best", None)
    trials = getattr(search, "trials", search)
    usable = isinstance(trials, Iterable) and not isinstance(trials, str | bytes | Mapping)
    listed = list(trials) if usable else [None]
    if not all(isinstance(trial, Mapping) or hasattr(trial, "bic") for trial in listed):
        raise InputError(
            "expected a fitted estimator with search_, its table, or a list of dicts with "
            "n_components, covariance_type and bic, got "
            f"{type(tried).__name__}; pass the estimator or search_.trials"
        )
    return None if best is None else (best.n_components, best.covariance_type), listed


def _frame(ax: Any, palette: Palette, lines: dict[str, Line]) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    dress(ax, palette, x="components", y="BIC (lower is better)")
    first = min(line[0][0] for line in lines.values())
    last = max(line[-1][0] for line in lines.values())
    wide = max(last - first, 1)
    # Room at the right for the names of the lines, beyond the end of the axis.
    ax.set_xlim(first - 0.06 * wide, last + 0.26 * wide)
    ax.spines["bottom"].set_bounds(first - 0.06 * wide, last + 0.06 * wide)
    ticks = MaxNLocator(8, integer=True).tick_values(first, last)
    ax.set_xticks([tick for tick in ticks if first <= tick <= last])
    ax.yaxis.set_major_locator(MaxNLocator(5))
    ax.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: f"{value:,.0f}" if abs(value) < 1e7 else f"{value:.3g}")
    )
    ax.grid(axis="y", color=palette.grid, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(length=0)
    ax.spines["left"].set_visible(False)


def _names(ax: Any, palette: Palette, lines: dict[str, Line], chosen: str) -> None:
    """Each line's name at its end, or where it leaves the top; pushed apart where they overlap.

    Lines that are beyond the top throughout are named there, with an arrow.
    """
    (low, high), left = ax.get_ylim(), ax.get_xlim()
    # A line of text and a label, as shares of the axes.
    gap, wide = 13 / 72 / (ax.bbox.height / ax.figure.dpi), 0.2
    spots = sorted(
        ((y - low) / (high - low), (k - left[0]) / (left[1] - left[0]), name)
        for name, line in lines.items()
        for k, y in [_last_seen(line, high)]
    )
    heights: list[float] = []
    for i, (y, x, _) in enumerate(spots):
        below = [heights[j] for j in range(i) if abs(spots[j][1] - x) < wide]
        heights.append(max([y, *(other + gap for other in below)]))
    # Those pushed over the top go back under it, and push down only whom they meet.
    for i in reversed(range(len(spots))):
        x = spots[i][1]
        above = [heights[j] for j in range(i + 1, len(spots)) if abs(spots[j][1] - x) < wide]
        heights[i] = min([heights[i], 1.0, *(other - gap for other in above)])
    for height, (_, x, name) in zip(heights, spots, strict=True):
        mine = name == chosen
        beyond = min(value for _, value in lines[name]) > high
        ax.text(
            x + 0.018, height, f"{name} ↑" if beyond else name,
            transform=ax.transAxes, fontsize=9.5, va="center",
            color=palette.accent if mine else palette.muted,
            fontweight="bold" if mine else "normal", gid=f"label-{name}",
        )  # fmt: skip


def _last_seen(line: Line, top: float) -> tuple[float, float]:
    """The end of a line, or where it leaves the top for good."""
    seen = [i for i, (_, value) in enumerate(line) if value <= top]
    if not seen:
        return line[-1][0], top
    if seen[-1] == len(line) - 1:
        return line[-1]
    (k, y), (after, beyond) = line[seen[-1]], line[seen[-1] + 1]
    return k + (after - k) * (top - y) / (beyond - y), top
