r"""Block-diagonal covariances: groups of columns that are independent inside each component.

For a partition of the columns the M-step is exact: Σₖ is Sₖ with the cells between blocks set to
zero. A partition that is not given is found at the start, component by component, among those that
thresholds on the correlations give: at a threshold t the blocks are the connected components of
the graph with an edge where |rᵢⱼ| > t, so that the partitions are nested as t falls (they are those
of single linkage; Tan, Witten & Shojaie 2015), and the one of least BIC is kept,

    Nₖ Σ over blocks log|Rₖ,block| + log(Nₖ) Σ over blocks p (p + 1)/2,

with R the correlations (Devijver & Gallopin 2018). Later steps keep it: the zeros of the previous
covariance say which it was.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixtura.covariance.base import Covariance, Structure
from mixtura.covariance.floor import Floor
from mixtura.covariance.full import FullCovariance
from mixtura.errors import InputError
from mixtura.statistics import Full as FullMoments
from mixtura.statistics import MomentKind, Statistics
from mixtura.typing import FloatArray

__all__ = ["Block", "found_blocks", "labels_of"]


@dataclass(frozen=True)
class Block(Structure):
    """Fit block-diagonal Σₖ.

    Parameters
    ----------
    blocks : sequence of sequences of int, optional
        A partition of the columns 0 … d − 1, the same for all components; by default each
        component's own is found at the start.

    Examples
    --------
    >>> import numpy as np, mixtura as mx
    >>> from mixtura.covariance import Block
    >>> X = np.random.default_rng(0).standard_normal((50, 3))
    >>> gm = mx.GaussianMixture(covariance_type=Block([[0, 2], [1]])).fit(X)
    >>> bool(gm.covariances_[0, 0, 1] == 0)
    True
    """

    blocks: Sequence[Sequence[int]] | None = None

    name = "block"
    words = "groups of columns that are correlated, and independent of the other groups"

    def __post_init__(self) -> None:
        if self.blocks is None:
            return
        try:
            blocks = tuple(tuple(operator.index(j) for j in block) for block in self.blocks)
        except TypeError:
            raise InputError(
                f"expected blocks of column positions, got {self.blocks!r}; pass a list of lists, "
                "as in [[0, 2], [1]]"
            ) from None
        object.__setattr__(self, "blocks", blocks)
        listed = [j for block in blocks for j in block]
        twice = sorted({j for j in listed if listed.count(j) > 1})
        if twice or not listed or min(listed) < 0 or not all(blocks):
            what = f"column {twice[0]} twice" if twice else f"{self.blocks!r}"
            raise InputError(
                f"expected blocks of column positions, each column in one of them, got {what}; "
                "list every position from 0 to d − 1 once, as in [[0, 2], [1]]"
            )

    def kind(self, previous: Covariance | None, d: int) -> MomentKind:
        return FullMoments()

    def fit(self, stats: Statistics, previous: Covariance | None, floor: Floor) -> FullCovariance:
        spread = stats.spread()
        labels = self._labels(spread, stats.mass, previous)
        inside = labels[:, :, None] == labels[:, None, :]
        # Clipping keeps blocks apart but for rounding.
        return FullCovariance(np.where(inside, floor.matrices(np.where(inside, spread, 0.0)), 0.0))

    def _labels(
        self, spread: FloatArray, mass: FloatArray, previous: Covariance | None
    ) -> FloatArray:
        """The block (k, d) of each column."""
        k, d = spread.shape[:2]
        if self.blocks is not None:
            return np.broadcast_to(self._given(d), (k, d))
        if previous is not None:
            return labels_of(np.asarray(previous.dense()))
        total = mass if len(mass) == k else mass.sum(keepdims=True)
        return np.stack([found_blocks(s, float(n)) for s, n in zip(spread, total, strict=True)])

    def _given(self, d: int) -> FloatArray:
        labels = np.full(d, -1)
        for i, block in enumerate(self.blocks or ()):
            if max(block) >= d:
                raise InputError(
                    f"expected blocks of the columns 0 to {d - 1}, got column {max(block)}; leave "
                    "it out"
                )
            labels[list(block)] = i
        missing = np.flatnonzero(labels < 0)
        if len(missing):
            raise InputError(
                f"expected blocks that cover all {d} columns, got none for "
                f"{', '.join(str(j) for j in missing[:10])}; add them, each as a block of its own "
                "if it is independent of the others"
            )
        return labels

    def n_parameters(self, k: int, d: int) -> int:
        if self.blocks is None:
            return k * d  # at least; ``count`` knows better once it is fitted
        return k * sum(len(block) * (len(block) + 1) // 2 for block in self.blocks)

    def count(self, covariance: Covariance) -> int:
        """Free parameters of what was fitted."""
        labels = labels_of(np.asarray(covariance.dense()))
        if self.blocks is not None:
            return self.n_parameters(covariance.k, covariance.d)
        sizes = [np.bincount(row) for row in labels]
        return int(sum((s * (s + 1) // 2).sum() for s in sizes))


def labels_of(matrices: FloatArray) -> FloatArray:
    """The block (k, d) of each column of matrices (k, d, d): columns linked by non-zero cells."""
    linked = matrices != 0
    first = linked.argmax(axis=-1)
    if (linked == (first[:, :, None] == first[:, None, :])).all():  # no zero inside of any block
        return np.stack([np.unique(row, return_inverse=True)[1] for row in first])
    from scipy.sparse.csgraph import connected_components

    return np.stack([connected_components(m, directed=False)[1] for m in linked])


def found_blocks(spread: FloatArray, mass: float) -> FloatArray:
    """The block (d,) of each column: the partition of least BIC among those of thresholds.

    Parameters
    ----------
    spread : array (d, d)
        Moments of one component per unit of mass.
    mass : float
    """
    from scipy.cluster.hierarchy import fcluster, linkage  # few fits need these
    from scipy.spatial.distance import squareform

    d = len(spread)
    variance = np.diagonal(spread)
    sd = np.sqrt(np.where(variance > 0, variance, 1.0))
    correlation = np.clip(spread / sd / sd[:, None], -1, 1)
    np.fill_diagonal(correlation, 1.0)
    best, chosen = np.inf, np.zeros(d, dtype=np.int64)
    if d == 1:
        return chosen
    tree = linkage(squareform(1 - np.abs(correlation), checks=False), method="single")
    for n_blocks in range(1, d + 1):
        labels = fcluster(tree, n_blocks, criterion="maxclust") - 1
        value = 0.0
        for block in range(labels.max() + 1):
            inside = np.flatnonzero(labels == block)
            sign, logdet = np.linalg.slogdet(correlation[np.ix_(inside, inside)])
            logdet = logdet if sign > 0 else -np.inf
            p = len(inside)
            # A singular block of correlations fits without bound: that is no reason to keep it.
            value += mass * max(logdet, -36.0 * p) + np.log(max(mass, 2.0)) * p * (p + 1) / 2
        if value < best:
            best, chosen = value, labels
    return np.asarray(chosen, dtype=np.int64)
