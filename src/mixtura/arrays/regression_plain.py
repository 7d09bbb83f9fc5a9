"""The kernel of ``regression`` by NumPy: all gates, by products of whole arrays."""

from __future__ import annotations

import numpy as np

from mixtura.typing import FloatArray

__all__ = ["mixed"]


def mixed(
    gates: FloatArray,
    x: FloatArray,
    start: FloatArray,
    slopes: FloatArray,
    least: float,
    out: FloatArray,
) -> None:
    """Write Σₖ rₖ (aₖ + xᵀ Bₖ) to ``out`` (b, m).

    Parameters
    ----------
    gates : array (b, k)
        rₖ.
    x : array (b, g)
    start : array (k, m)
        aₖ.
    slopes : array (k, g, m)
        Bₖ.
    least : float
        Gates up to which may be left out.
    """
    k, g, m = slopes.shape
    if g <= m:  # gates are put to the rows before, or to the products after
        rows = (gates[:, :, None] * x[:, None, :]).reshape(-1, k * g)
        np.matmul(rows, slopes.reshape(k * g, m), out=out)
    else:
        each = (x @ slopes.transpose(1, 0, 2).reshape(g, k * m)).reshape(-1, k, m)
        np.matmul(gates[:, None, :], each, out=out[:, None, :])
    out += gates @ start
