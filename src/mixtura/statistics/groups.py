"""Which rows count for which component, where most responsibilities are next to nothing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mixtura.typing import FloatArray

__all__ = ["active", "negligible"]

#: Responsibilities below this share of the largest are dropped where moments are taken
#: component by component.
NEGLIGIBLE = {np.dtype(np.float64): 1e-15, np.dtype(np.float32): 1e-9}


def negligible(resp: FloatArray) -> float:
    """The responsibility up to which rows are left out, in the unit of the weights."""
    return float(NEGLIGIBLE[resp.dtype] * resp.max(initial=0))


def active(resp: FloatArray, least: float) -> Iterator[tuple[int, FloatArray]]:
    """Every component with rows of more than ``least`` responsibility (b, k), and those rows."""
    components, rows = np.nonzero(np.ascontiguousarray((resp > least).T))
    cuts = np.searchsorted(components, np.arange(resp.shape[1] + 1))
    for j in np.flatnonzero(np.diff(cuts)):
        yield int(j), rows[cuts[j] : cuts[j + 1]]
