"""The kernels of ``scores`` by NumPy: for work that does not repay compilation."""

from __future__ import annotations

import numpy as np

from mixtura.typing import FloatArray

__all__ = ["labels", "log_total", "shares"]


def log_total(joint: FloatArray, out: FloatArray) -> None:
    """See ``scores.log_total``; the memory of ``joint`` is used."""
    top = joint.max(axis=1, keepdims=True)
    np.subtract(joint, top, out=joint)
    np.exp(joint, out=joint)
    out[:] = np.log(joint.sum(axis=1)) + top[:, 0]


def shares(joint: FloatArray, out: FloatArray) -> None:
    """See ``scores.shares``."""
    np.subtract(joint, joint.max(axis=1, keepdims=True), out=out)
    np.exp(out, out=out)
    out /= out.sum(axis=1, keepdims=True)


def labels(joint: FloatArray, out: FloatArray) -> None:
    """See ``scores.labels``."""
    joint.argmax(axis=1, out=out)
