"""Which compiled kernels a fit will need, told as it begins, so that they compile meanwhile."""

from __future__ import annotations

from mixtura.arrays import compiled
from mixtura.covariance.pruned import stages
from mixtura.sources import Rows

__all__ = ["warm"]

#: Columns up to which the fused pass may serve.
FEW = 12


def warm(rows: Rows, k: int) -> None:
    """Begin to compile what a fit of k components to whole and exact rows may call, if it is large.

    Rows that were measured have kernels of their own; see ``Measured.warm``.
    """
    if rows.channel is not None or rows.selection is not None:
        return
    names = ["grouping.group", "grouping.scatter_full", "grouping.scatter_diagonal"]
    if rows.d <= FEW:
        names.insert(0, "fused.expectation")
    if stages(rows.d, k):
        names += ["candidates.best", "candidates.above", "candidates.evaluate"]
    compiled.warm(*names, work=rows.n * k)
