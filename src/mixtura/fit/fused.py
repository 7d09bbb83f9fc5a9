"""The E-step and its moments in one compiled pass, where columns and components are few.

Features and responsibilities of a tile of rows then fit into the first cache, and matrix products
of such small sizes are mostly overhead: ``arrays.fused`` does it all in one loop. Which rows are
beyond its range is known only afterwards; those batches go the general way.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mixtura.arrays.compiled import kernel
from mixtura.covariance.form import Quadratic
from mixtura.sources import Rows
from mixtura.statistics import Statistics
from mixtura.typing import FloatArray

__all__ = ["FusedExpectation", "fused"]

#: Features × components up to which the loop beats matrix products, and the most components.
MOST, MOST_COMPONENTS = 1536, 128


def fused(model: Any, rows: Rows) -> FusedExpectation | None:
    """The compiled pass of a Gaussian model over whole and exact rows; None where it cannot be."""
    if rows.channel is not None or rows.selection is not None or model.k > MOST_COMPONENTS:
        return None
    _, form = model.kernel(rows.x.dtype)
    if not isinstance(form, Quadratic):
        return None
    products = form.kind.products(model.d)
    if products is None or type(form.kind) is not type(model.kind):
        return None
    features = len(products[0]) + model.d + 1
    if features * model.k > MOST or not np.isfinite(form.coefficients).all():
        return None
    return FusedExpectation(model, rows, form, products)


class FusedExpectation:
    """Statistics and log-likelihood of spans of rows."""

    def __init__(self, model: Any, rows: Rows, form: Quadratic, products: Any) -> None:
        self._model, self._rows = model, rows
        left, right, place = products
        packed = form.coefficients.shape[0] - model.d - 1
        f = len(left) + model.d + 1
        table = np.zeros((model.k, -(-f // 3) * 3), dtype=form.coefficients.dtype)
        table[:, : len(left)] = form.coefficients[place].T
        table[:, len(left) : f] = form.coefficients[packed:].T
        self._table, self._left, self._right, self._place = table, left, right, place
        self._packed = packed
        self._expectation = kernel("fused.expectation")

    def __call__(self, start: int, stop: int) -> tuple[Statistics, float]:
        """Statistics and log-likelihood; the latter NaN where the loop does not serve."""
        model, rows = self._model, self._rows
        moments = np.zeros(self._table.shape)
        weight = np.empty(0)
        if rows.weight is not None:
            weight = np.ascontiguousarray(rows.weight[start:stop], dtype=np.float64)
        loglik = self._expectation(
            rows.x[start:stop],
            weight,
            model.anchor,
            self._table,
            self._left,
            self._right,
            moments,
        )
        q, d = len(self._left), model.d
        second: FloatArray = np.zeros((model.k, self._packed))
        for i, at in enumerate(self._place):
            second[:, at] += moments[:, i]
        mass = moments[:, q + d].copy()
        first = np.ascontiguousarray(moments[:, q : q + d])
        anchor = model.anchor[None]
        return Statistics(mass, mass.copy(), first, second, anchor, model.kind), float(loglik)
