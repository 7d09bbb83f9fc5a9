"""How well predictions did, where the truth is in the table.

RMSE = √mean (y − ŷ)²,  R² = 1 − Σ (y − ŷ)² / Σ (y − ȳ)²,  the share of rows whose interval holds
y, and the mean log density of y under the law that was predicted for it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mixtura.mixture.predict import Predictions
from mixtura.report.numbers import number, percent
from mixtura.typing import FloatArray

__all__ = ["Accuracy"]


class Accuracy:
    """Sums over batches of rows; rows without a target's value count for the others alone.

    Parameters
    ----------
    truth : array (n, m)
        Values of the targets in the whole table, NaN where missing.
    """

    def __init__(self, truth: FloatArray) -> None:
        values = np.asarray(truth, dtype=np.float64)
        known = ~np.isnan(values)
        self.count = known.sum(axis=0)
        centre = np.nansum(values, axis=0) / np.maximum(self.count, 1)
        self.total = np.nansum((values - centre) ** 2, axis=0)
        self.squares = np.zeros(values.shape[1])
        self.inside = np.zeros(values.shape[1])
        self.log_density, self.whole = 0.0, 0

    def add(self, found: Predictions, truth: FloatArray) -> None:
        """Take in a batch."""
        self.squares += np.nansum((truth - found.value) ** 2, axis=0)
        self.inside += ((found.low <= truth) & (truth <= found.high)).sum(axis=0)
        known = ~np.isnan(found.log_density)
        self.log_density += float(found.log_density[known].sum())
        self.whole += int(known.sum())

    @property
    def rmse(self) -> FloatArray:
        """Root mean squared error of each target (m,); NaN without any row."""
        return np.sqrt(self._mean(self.squares))

    @property
    def r2(self) -> FloatArray:
        """Share of each target's variance that is predicted (m,); NaN where it does not vary."""
        varies = self.total > 0
        ratio = np.divide(self.squares, self.total, out=np.full(len(varies), np.nan), where=varies)
        return np.asarray(1.0 - ratio)

    @property
    def coverage(self) -> FloatArray:
        """Share of rows whose interval holds the truth (m,)."""
        return self._mean(self.inside)

    def _mean(self, sums: FloatArray) -> FloatArray:
        some = self.count > 0
        out = np.full(len(some), np.nan)
        return np.asarray(np.divide(sums, self.count, out=out, where=some))

    def told(self, names: Sequence[str], level: float) -> list[str]:
        """A sentence for each target with known values, and one for their joint density."""
        lines = []
        for j, name in enumerate(names):
            if not self.count[j]:
                continue
            rows = int(self.count[j])
            lines.append(
                f"{name}: RMSE {number(self.rmse[j])} over {rows:,} row{'s' * (rows != 1)}, "
                f"R² {number(self.r2[j], 3)}, {percent(self.coverage[j])} within the "
                f"{100 * level:g}% interval"
            )
        if self.whole:
            mean = number(self.log_density / self.whole, 5)
            said = f"mean log predictive density {mean} nats per row"
            if len(lines) == 1:
                lines[0] += f", {said}"
            else:
                lines.append(f"all targets together: {said}")
        return lines
