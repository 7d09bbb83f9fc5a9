r"""Modes of a mixture: where ascent from its components ends (Carreira-Perpiñán 2000).

Ascents that end at one point are one mode, and the rows that climb to it are its region of
attraction: clusters by density, in which components that form one hump are one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mixtura.mixture.ascent import Field
from mixtura.mixture.convert import numpy_only
from mixtura.mixture.pairs import same_space
from mixtura.typing import FloatArray

if TYPE_CHECKING:
    from mixtura.mixture.mixture import Mixture

__all__ = ["Modes", "modes"]

#: Points closer than MERGE are one mode, and rows that end within REACH of one belong to it: both
#: are lengths in the components' spreads.
MERGE, REACH = 1e-3, 1e-2


@dataclass(frozen=True, eq=False)
class Modes:
    """Local maxima of a density, the highest first.

    Made by ``Mixture.modes``.

    Attributes
    ----------
    points : array (m, d)
    log_density : array (m,)
    component : array (k,) of int
        The mode that the ascent from each component's mean reaches.
    mixture : Mixture
    """

    points: FloatArray
    log_density: FloatArray
    component: FloatArray
    mixture: Mixture = field(repr=False)

    def __len__(self) -> int:
        return len(self.points)

    def attract(self, X: Any) -> FloatArray:
        """The mode in whose region of attraction each row lies: a clustering by density.

        Components that form one hump share one label, unlike with ``responsibilities``.

        Parameters
        ----------
        X : array (n, d)

        Returns
        -------
        array (n,) of int
            Positions in ``points``; −1 for rows whose ascent ends at a mode that ``modes()``
            missed, because no component's mean climbs to it. ``modes(starts=X)`` finds it.

        Examples
        --------
        >>> import mixtura as mx
        >>> mix = mx.Mixture([1, 1, 1], [[0.0], [1.0], [9.0]], [1.0, 1.0, 1.0])
        >>> mix.modes().attract([[-1.0], [2.0], [8.0]])
        array([0, 0, 1])
        """
        numpy_only("attract", self.mixture, X)
        rows = np.asarray(self.mixture._rows(X), dtype=np.float64)
        ascent = Field(self.mixture)
        ends = ascent.ascend(rows - ascent.centre)
        labels = np.full(len(rows), -1)
        best = np.full(len(rows), REACH)
        metric = ascent.at(self.points - ascent.centre).metric
        for j, (point, m) in enumerate(zip(self.points - ascent.centre, metric, strict=True)):
            gap = ends - point
            distance = np.sqrt(np.einsum("ni,ij,nj->n", gap, m, gap))
            labels = np.where(distance < best, j, labels)
            best = np.minimum(best, distance)
        return labels


def modes(mix: Mixture, starts: Any = None) -> Modes:
    """Local maxima of the density; see ``Mixture.modes``."""
    same_space(mix, mix, "modes")
    numpy_only("modes", mix, starts)
    ascent = Field(mix)
    x = mix.means - ascent.centre
    if starts is not None:
        x = np.concatenate([x, np.asarray(mix._rows(starts), dtype=np.float64) - ascent.centre])
    ends = ascent.climb(x)
    top = ascent.at(ends)
    value, metric = top.value, top.metric
    kept: list[int] = []
    label = np.empty(len(ends), dtype=np.int64)
    for i in np.argsort(-value, kind="stable"):
        gap = ends[kept] - ends[i]
        distance = np.sqrt(np.einsum("mi,mij,mj->m", gap, metric[kept], gap))
        if len(kept) and distance.min() < MERGE:
            label[i] = distance.argmin()
            continue
        label[i] = len(kept)
        kept.append(int(i))
    return Modes(ends[kept] + ascent.centre, value[kept], label[: mix.k], mix)
