"""What a figure shows when there is more than fits: which columns, which rows, how far out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixtura.mixture import Mixture
from mixtura.typing import FloatArray

__all__ = ["Drawn", "draw_rows", "frame", "grid", "separation", "telling"]

#: Columns looked at, best first.
CANDIDATES = 100


# ---- columns -----------------------------------------------------------------------------------
def separation(mixture: Mixture) -> FloatArray:
    """Share of each column's variance that lies between the components (d,)."""
    spread = mixture.means - mixture.mean
    between = mixture.weights @ spread**2
    within = mixture.weights @ mixture.covariance.diagonal()
    total = between + within
    return np.asarray(between / np.where(total > 0, total, 1.0))


def telling(mixture: Mixture, most: int) -> list[int]:
    """At most ``most`` columns, those that tell the components apart best, in table order.

    A column that nearly repeats one already taken (correlation within the components beyond
    ±0.95) waits until no others are left.
    """
    if mixture.d <= most:
        return list(range(mixture.d))
    order = [int(i) for i in np.argsort(-separation(mixture), kind="stable")[:CANDIDATES]]
    part = mixture.marginal(order)
    cov = np.tensordot(part.weights, np.asarray(part.covariance.dense()), axes=1)
    sd = np.sqrt(np.diag(cov))
    near = np.abs(cov / np.outer(sd, sd)) > 0.95
    taken: list[int] = []
    for place in range(len(order)):
        if not near[place, taken].any():
            taken.append(place)
    taken += [place for place in range(len(order)) if place not in taken]
    return sorted(order[place] for place in taken[:most])


# ---- rows --------------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Drawn:
    """Rows that a figure draws as dots.

    Attributes
    ----------
    x : array (m, d)
    component : array (m,)
        The most likely component of each.
    weight : array (m,)
    total : int
        Rows of positive weight, of which these are all or some.
    """

    x: FloatArray
    component: FloatArray
    weight: FloatArray
    total: int


def draw_rows(
    mixture: Mixture,
    x: FloatArray,
    weight: FloatArray,
    most: int,
    component: FloatArray | None = None,
) -> Drawn:
    """All rows of positive weight, or a random ``most`` of them: the same in every call.

    Parameters
    ----------
    component : array (n,), optional
        The most likely component of each row, where it is known: rows may then have gaps (NaN).
    """
    live = np.flatnonzero(weight > 0)
    total = len(live)
    if total > most:
        live = np.sort(np.random.default_rng(0).choice(live, most, replace=False))
    some = np.asarray(x[live], dtype=np.float64)
    if component is None:
        mine = np.asarray(mixture.responsibilities(some)).argmax(axis=1)
    else:
        mine = np.asarray(component[live])
    return Drawn(some, mine, weight[live], total)


# ---- limits and grids --------------------------------------------------------------------------
def frame(x: FloatArray) -> tuple[float, float]:
    """Limits for a column's values (n,): their range, unless a few far rows squeeze the rest.

    NaN is left out; where nothing is left, 0 to 1.
    """
    x = x[~np.isnan(x)]
    if not len(x):
        return 0.0, 1.0
    low, high = float(x.min()), float(x.max())
    inner_low, inner_high = np.quantile(x, [0.005, 0.995])
    reach = 0.6 * (inner_high - inner_low)
    if reach > 0:
        low, high = max(low, inner_low - reach), min(high, inner_high + reach)
    pad = 0.06 * (high - low) or 1.0
    return float(low - pad), float(high + pad)


def grid(low: float, high: float, means: FloatArray, sds: FloatArray, n: int) -> FloatArray:
    """Points from low to high, at least n: closer where a component is narrow.

    Parameters
    ----------
    low, high : float
    means, sds : array (k,)
    n : int
    """
    even = np.linspace(low, high, n)
    narrow = sds < 4 * (high - low) / n
    close = means[narrow, None] + sds[narrow, None] * np.linspace(-4, 4, 33)
    inside = close[(close > low) & (close < high)]
    return np.unique(np.concatenate([even, inside]))
