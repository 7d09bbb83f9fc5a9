r"""Trajectories of greatest likelihood: smooth sequences from frame-wise predictions.

A model predicts, for each frame t, static features and their slopes (dynamic features) together.
Drawing means alone gives a sequence whose slopes contradict the predicted ones. With W the matrix
that turns a static sequence c into statics and slopes, m and D the means and variances predicted
from each frame's most probable component, the sequence that maximises N(W c; m, D) solves

    (Wᵀ D⁻¹ W) c = Wᵀ D⁻¹ m

(Tokuda et al. 2000; Toda, Black & Tokuda 2007, eq. 34), one banded system per output.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import diags_array, vstack
from scipy.sparse.linalg import spsolve

from mixtura.errors import InputError
from mixtura.typing import FloatArray

__all__ = ["smoothest_sequence", "window_matrix"]


def window_matrix(n: int, window: Sequence[float]) -> object:
    """The sparse matrix (n, n) of a centred window; edges repeat the first and last frame."""
    try:
        taps = [float(v) for v in window]
    except (TypeError, ValueError):
        taps = [np.nan]
    if not np.isfinite(taps).all():
        raise InputError(f"expected a window of finite numbers, got {window!r}")
    if len(taps) % 2 == 0:
        raise InputError(f"expected a window of odd length, centred on its frame, got {len(taps)}")
    half = len(taps) // 2
    inside = [o for o in range(-half, half + 1) if abs(o) < n]  # a window may outreach the frames
    dense = diags_array(
        [np.full(n - abs(o), taps[half + o]) for o in inside], offsets=inside, shape=(n, n)
    ).tolil()
    for t in range(min(half, n)):  # what a window reaches beyond the ends falls on the end frame
        dense[t, 0] += sum(taps[: half - t])
        dense[n - 1 - t, n - 1] += sum(taps[len(taps) - (half - t) :])
    return dense.tocsc()


def smoothest_sequence(
    means: FloatArray, variances: FloatArray, window: Sequence[float]
) -> FloatArray:
    """The static sequence (n, p) of greatest likelihood.

    Parameters
    ----------
    means, variances : array (n, 2 p)
        Of p statics and then their p slopes, for each frame.
    window : sequence of odd length
        Weights that give a slope from neighbouring frames, such as (−0.5, 0, 0.5).
    """
    n, both = means.shape
    if both % 2:
        raise InputError(
            f"expected an even number of outputs, statics and then their slopes, got {both}"
        )
    p = both // 2
    stacked = vstack([diags_array(np.ones(n)), window_matrix(n, window)]).tocsc()
    out = np.empty((n, p))
    for j in range(p):
        precision = 1 / np.concatenate([variances[:, j], variances[:, p + j]])
        target = np.concatenate([means[:, j], means[:, p + j]])
        weighted = stacked.T @ diags_array(precision)
        out[:, j] = spsolve((weighted @ stacked).tocsc(), weighted @ target)
    return out
