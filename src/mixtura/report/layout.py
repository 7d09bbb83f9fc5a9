"""Which columns a figure or a card shows when there are more than fit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["separation", "telling"]

#: Columns looked at, best first.
CANDIDATES = 100


def separation(mixture: Any) -> NDArray[np.float64]:
    """Share of each column's variance that lies between the components (d,)."""
    spread = mixture.means - mixture.mean
    between = mixture.weights @ spread**2
    within = mixture.weights @ mixture.covariance.diagonal()
    total = between + within
    share: NDArray[np.float64] = between / np.where(total > 0, total, 1.0)
    return share


def telling(mixture: Any, most: int) -> list[int]:
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
