r"""k-means++ by rejection: the next centre is row x with probability ∝ w(x) D²(x).

D²(x) is the squared distance to the nearest centre so far (Arthur & Vassilvitskii 2007). A bound
B ≥ D² that is known for all rows makes the draw cheap: propose x with probability ∝ w B, accept it
with probability D²(x) / B(x), and the law of what is accepted is that of k-means++ exactly. Only
proposals have their D² computed.

Cohen-Addad et al. (2020) and Shah, Agrawal & Jaiswal (2025) draw by norms, B = 2 (‖x‖² + ‖c₁‖²).
Here B(x) = ‖x − c₁‖², for one pass over the rows: never larger than theirs, and half of it on
average. Each centre then takes about 2 OPT₁ / OPTₖ proposals (of optimal costs with one and k
centres), at k d each. When the proposals have cost what a pass over all rows would, that pass is
made, and B is the distance to the nearest centre of those there are: from then on, exact D²
sampling, as stale as it is cheap. So no data take more than twice the work of the better way.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mixtura.fit.nearest import Cloud, lifted, nearest_of
from mixtura.typing import FloatArray

__all__ = ["seeds"]

#: Fewest and most proposals that are judged at once, and most that are hoped to be accepted.
LEAST, MOST, HOPED = 64, 8192, 256
#: Precisions in which nearest centres are looked for, and at last differences.
LADDER: tuple[Any, ...] = (np.float32, np.float64, None)


def seeds(cloud: Cloud, k: int, rng: np.random.Generator) -> FloatArray:
    """Rows (k,) of the cloud, in the order in which k-means++ draws them.

    Parameters
    ----------
    cloud : Cloud
    k : int
    rng : Generator

    Returns
    -------
    array (m,) of int
        Distinct rows; m < k where fewer than k differ.

    Examples
    --------
    >>> import numpy as np
    >>> from mixtura.fit.nearest import Cloud
    >>> x = np.repeat([[0.0], [5.0], [9.0]], 4, axis=0)
    >>> chosen = seeds(Cloud(x), 3, np.random.default_rng(0))
    >>> np.sort(x[chosen, 0])
    array([0., 5., 9.])
    """
    first = _draw(np.cumsum(cloud.mass), 1, rng)
    draw = _Draw(cloud, first, k)
    while draw.count < k and draw.total > 0:
        if not draw.propose(rng):
            draw.renew()
    return draw.chosen[: draw.count]


class _Draw:
    """The centres so far, and the bound from which more are proposed."""

    def __init__(self, cloud: Cloud, first: FloatArray, k: int) -> None:
        self._cloud, self._k = cloud, k
        self.chosen, self.count = np.empty(k, dtype=np.int64), 1
        self.chosen[:1] = first
        self._centres = np.empty((k, cloud.x.shape[1]))
        self._centres[:1] = cloud.points(first)
        self._rung, self._rate = 0, 1.0
        self._bound(cloud.squared(self._centres[:1], np.zeros(cloud.n, dtype=np.int64)))

    def _bound(self, values: FloatArray) -> None:
        self._stale, self._known, self._spent = values, self.count, 0.0
        self._cumulative = np.cumsum(self._cloud.mass * values)
        self.total = float(self._cumulative[-1])

    def propose(self, rng: np.random.Generator) -> bool:
        """Judge a block of proposals; False when they have cost as much as a new bound."""
        hoped = min(1.2 * (self._k - self.count) + 4, HOPED)
        size = int(np.clip(hoped / self._rate, LEAST, MOST))
        index = _draw(self._cumulative, size, rng)
        level = rng.random(size) * self._stale[index]
        distance, maybe = self._distances(index, level)
        before = self.count
        index, level = index[maybe], level[maybe]
        points = self._cloud.points(index)
        for i in range(len(index)):
            if level[i] >= distance[i]:
                continue
            self.chosen[self.count], self._centres[self.count] = index[i], points[i]
            self.count += 1
            if self.count == self._k:
                break
            diff = points - points[i]
            np.minimum(distance, np.einsum("ij,ij->i", diff, diff), out=distance)
        self._rate = max((self.count - before) / size, 0.5 * self._rate, hoped / MOST)
        self._spent += size * (0.5 * (before + self.count) + LEAST)
        return self._spent < self._cloud.n * self.count

    def _distances(self, index: FloatArray, level: FloatArray) -> tuple[FloatArray, FloatArray]:
        """D² of the proposals that may be accepted, and their places.

        A distance to any centre is at least D²: one in single precision refuses most of them.
        """
        maybe = np.flatnonzero(level < self._stale[index])
        for dtype in LADDER[self._rung :] if self._rung else LADDER[:2]:
            points = self._cloud.points(index[maybe])
            distance = _squared(points, self._centres[: self.count], dtype)
            inside = level[maybe] < distance
            maybe, distance = maybe[inside], distance[inside]
        return distance, maybe

    def renew(self) -> None:
        """Take as bound the distance of every row to the nearest of the centres there are."""
        if self._known == self.count:  # rounding hides how near they are: look more closely
            self._rung = min(self._rung + 1, len(LADDER) - 1)
        dtype, centres = LADDER[self._rung], self._centres[: self.count]
        if dtype is None:
            values = self._stale
            for c in centres:
                values = np.minimum(values, self._cloud.squared(c[None], _zeros(self._cloud.n)))
        else:
            labels = nearest_of(self._cloud.lifted(dtype), centres)
            values = self._cloud.squared(centres, labels)
        self._bound(np.minimum(values, self._stale))


def _squared(points: FloatArray, centres: FloatArray, dtype: Any) -> FloatArray:
    """‖x − c‖² to the centre that is nearest in this precision; None compares differences."""
    if dtype is None:
        best = np.full(len(points), np.inf)
        for c in centres:
            diff = points - c
            np.minimum(best, np.einsum("ij,ij->i", diff, diff), out=best)
        return best
    diff = points - centres[nearest_of(lifted(points, dtype), centres)]
    return np.asarray(np.einsum("ij,ij->i", diff, diff))


def _zeros(n: int) -> FloatArray:
    return np.zeros(n, dtype=np.int64)


def _draw(cumulative: FloatArray, size: int, rng: np.random.Generator) -> FloatArray:
    """Places (size,), each with probability proportional to its step."""
    place = np.searchsorted(cumulative, rng.random(size) * cumulative[-1], side="right")
    last = int(np.searchsorted(cumulative, cumulative[-1], side="left"))
    return np.asarray(np.minimum(place, last))
