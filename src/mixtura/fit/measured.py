"""The view of rows that were measured through channels: missing cells, noise, projections.

It answers the engine as ``GaussianView`` does for whole and exact rows: the log joint of what was
observed, and the expected statistics of what was not. Both are exact, so EM never descends.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mixtura.covariance.observed import Observed
from mixtura.sources import Rows
from mixtura.statistics import Statistics
from mixtura.typing import FloatArray

__all__ = ["MeasuredView"]


class MeasuredView:
    """A Gaussian model held against one batch of measured rows."""

    def __init__(self, model: Any, rows: Rows) -> None:
        self._model, self._rows = model, rows
        self._components: Observed = model.components(rows)

    @property
    def log_joint(self) -> FloatArray:
        """Log wₖ + log N(y; A μₖ, A Σₖ Aᵀ + S): (b, k)."""
        with np.errstate(divide="ignore"):
            log_weights = np.log(self._model.weights)
        joint = self._components.log_density(self._rows.x, self._rows.channel)
        joint += log_weights
        return joint

    def statistics(self, resp: FloatArray) -> Statistics:
        """Expected sufficient statistics under responsibilities (b, k), weights included."""
        return self._components.statistics(self._rows.x, self._rows.channel, resp, self._model.kind)
