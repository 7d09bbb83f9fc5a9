"""The trace of a fit: the mean log-likelihood per row, ℓᵢ, by iteration i.

EM converges linearly: near the end ℓ* − ℓᵢ shrinks by a constant factor from one iteration to the
next. The first steps gain whole nats and the last a millionth of one, so that no even scale shows
both. Here height is ℓ on the scale −log₁₀(ℓ* − ℓ + δ), with ℓ* the best value and δ the smallest
gap to it: it still rises with ℓ, but every factor of ten by which the gap shrinks takes as much
height as the one before, and steady convergence is a straight line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mixtura.errors import InputError
from mixtura.plot.axes import axes_of, dress
from mixtura.plot.palette import Palette, palette_of
from mixtura.typing import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["trace"]

#: Gaps below this share of the best value, or of 1, are rounding, and drawn as none.
ROUNDING = 1e-12


def trace(
    trace: Any,
    *,
    iterations: Sequence[int] | None = None,
    ax: Axes | None = None,
    palette: Palette | None = None,
) -> Axes:
    """Draw how the log-likelihood rose from iteration to iteration.

    The height of a point is the log-likelihood per row on a scale that is logarithmic in its gap
    to the best value, so that the first jump and the slow end can both be read: the ticks say by
    how many nats per row a point falls short of the best value, which is written at the top. A
    straight line is steady (linear) convergence. It bends upwards before the last point, as the
    last value is compared with itself and not with the unknown limit.

    Parameters
    ----------
    trace : fitted estimator, SearchResult or sequence of float
        With ``trace_`` or ``trace``, or the mean log-likelihoods per row themselves.
    iterations : sequence of int, optional
        Their numbers, ascending, where some are left out; by default 1, 2, 3, …
    ax : matplotlib Axes, optional
        By default those of a new figure. Its scale is made for this trace alone: draw another on
        Axes of its own.
    palette : Palette, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InputError
    MissingExtraError
        Where matplotlib is not installed.

    Examples
    --------
    >>> import mixtura as mx
    >>> ax = mx.plot.trace([-4.0, -2.5, -2.1, -2.01, -2.001])
    >>> ax.lines[0].get_ydata().tolist()
    [-4.0, -2.5, -2.1, -2.01, -2.001]
    """
    values = _read(trace)
    steps = _numbers(iterations, len(values))
    paint = palette_of(palette)
    ax = axes_of(ax, paint)
    ax.plot(
        steps, values, "-o" if len(values) <= 40 else "-", color=paint.accent, linewidth=1.8,
        markersize=3.5, label="log-likelihood per row", zorder=3,
    )  # fmt: skip
    ax.plot(steps[-1:], values[-1:], "o", color=paint.accent, markersize=6, zorder=4)
    dress(ax, paint, x="iteration", y="nats per row short of the best")
    _scale(ax, values, paint)
    _count(ax, int(steps[0]), int(steps[-1]))
    ax.grid(axis="y", color=paint.grid, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(length=0)
    ax.spines["left"].set_visible(False)
    return ax


def _read(trace: Any) -> FloatArray:
    found = getattr(trace, "trace_", None)
    if found is None:
        inner = getattr(trace, "trace", None)  # of an array it is a method
        found = trace if inner is None or callable(inner) else inner
    try:
        values = np.asarray(found, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(
            "expected a fitted estimator or a sequence of log-likelihoods, got "
            f"{type(trace).__name__}; call fit() first, or pass its trace_"
        ) from None
    if values.ndim != 1 or not len(values):
        raise InputError(
            f"expected at least one log-likelihood (n_iter,), got shape {values.shape}; a fit "
            "with max_iter=0 has no trace"
        )
    if not np.isfinite(values).all():
        at = int(np.flatnonzero(~np.isfinite(values))[0])
        raise InputError(
            f"expected finite log-likelihoods, got {values[at]} in place {at}; leave it out"
        )
    return values


def _numbers(iterations: Any, n: int) -> FloatArray:
    if iterations is None:
        return np.arange(1, n + 1)
    steps = np.asarray(iterations)
    if steps.shape != (n,) or steps.dtype.kind not in "iu" or (np.diff(steps) <= 0).any():
        raise InputError(
            f"expected iterations as {n} ascending whole numbers, one per log-likelihood, got "
            f"{list(iterations)[:5]!r}"
        )
    return steps


@dataclass(frozen=True)
class _Gap:
    """The scale −log₁₀(best − y + least), which rises with y."""

    best: float
    least: float

    def height(self, y: Any) -> Any:
        with np.errstate(invalid="ignore", divide="ignore"):
            return -np.log10(self.best - np.asarray(y, dtype=np.float64) + self.least)

    def value(self, height: Any) -> Any:
        return self.best + self.least - 10.0 ** -np.asarray(height, dtype=np.float64)


def _scale(ax: Any, values: FloatArray, palette: Palette) -> None:
    """The scale, ticks at powers of ten of the gap, and the best value itself at the top."""
    best = float(values.max())
    gaps = best - values
    widest = float(gaps.max())
    said = f"{best:.6g}".replace("-", "\u2212")
    rounding = ROUNDING * max(abs(best), 1.0)
    if widest <= rounding:
        ax.set_yticks([best], labels=[said])
        ax.set_ylabel("nats per row")
        return
    scale = _Gap(best, max(float(gaps[gaps > 0].min()), rounding))
    ax.set_yscale("function", functions=(scale.height, scale.value))
    bottom, top = scale.height(best - widest), scale.height(best)
    tall = top - bottom
    ax.set_ylim(scale.value(bottom - 0.06 * tall), scale.value(top + 0.1 * tall))
    low, high = np.floor(np.log10(scale.least)), np.floor(np.log10(1.05 * widest))
    powers = np.arange(high, low, -max(1, int(np.ceil((high - low) / 7))))
    marks = {
        float(best - 10.0**power): _power(int(power))
        for power in powers
        if scale.height(best - 10.0**power) < top - 0.08 * tall
    }
    ax.set_yticks([*marks, best], labels=[*marks.values(), "best"])
    ax.annotate(
        f"{said} nats per row", (1.0, best), xycoords=("axes fraction", "data"),
        xytext=(0, 5), textcoords="offset points", ha="right", va="bottom", fontsize=9,
        color=palette.ink,
    )  # fmt: skip


def _power(power: int) -> str:
    """A power of ten as a number, or with a raised exponent."""
    if -3 <= power <= 3:
        return f"{10.0**power:,g}"
    return "10" + str(power).translate(str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"))


def _count(ax: Any, first: int, last: int) -> None:
    """Ticks at the first and the last iteration and at round numbers between."""
    from matplotlib.ticker import MaxNLocator

    wide = max(last - first, 1)
    ax.set_xlim(first - 0.03 * wide, last + 0.03 * wide)
    ticks = MaxNLocator(6, integer=True).tick_values(first, last)
    inner = [int(tick) for tick in ticks if first + 0.1 * wide < tick < last - 0.07 * wide]
    ax.set_xticks(sorted({first, *inner, last}))
