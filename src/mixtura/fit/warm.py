"""Which compiled kernels a fit will need, told as it begins, so that they compile meanwhile."""

from __future__ import annotations

import numpy as np

from mixtura.arrays import compiled
from mixtura.covariance.pruned import stages
from mixtura.sources import Rows
from mixtura.statistics import Full, MomentKind

__all__ = ["warm"]

#: Columns up to which the fused pass may serve.
FEW = 12


def warm(rows: Rows, k: int, kind: MomentKind, precision: str) -> None:
    """Begin to compile what a fit of k components to whole and exact rows may call, if it is large.

    Rows that were measured have kernels of their own; see ``Measured.warm``.
    """
    if rows.channel is not None or rows.selection is not None or not kind.scatters:
        return
    full = isinstance(kind, Full)
    names = ["grouping.group", "grouping.scatter_full" if full else "grouping.scatter_diagonal"]
    if rows.d <= FEW:
        names.insert(0, "fused.expectation")
    if full and stages(rows.d, k):
        names += ["candidates.best", "candidates.above", "candidates.evaluate"]
    narrow = {"double": rows.x.dtype == np.float32, "single": True, "mixed": None}[precision]
    real = "" if narrow is None else "f4" if narrow else "f8"
    compiled.warm(*names, work=rows.n * k, real=real)
