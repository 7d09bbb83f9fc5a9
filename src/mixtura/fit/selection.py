r"""The view of rows that came through a selection: what was not kept enters as phantom mass.

The log joint loses log S, the log of the probability that a row of the mixture is kept, and the
statistics gain, per unit of kept weight, wₖ / S times the moments of what is hidden of component k.
This is EM with the rows that were not kept as missing data, so the likelihood of the kept ones,
Π p(x) s(x) / S, never falls; see ``channels.selection``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mixtura.channels.selection import Selection, log_kept_of
from mixtura.covariance import FullCovariance
from mixtura.statistics import Statistics
from mixtura.typing import FloatArray, View

__all__ = ["SelectedView"]


class SelectedView:
    """A view of a batch whose rows were selected."""

    def __init__(self, model: Any, view: View, selection: Selection) -> None:
        self._model, self._view, self._selection = model, view, selection.restricted()
        self._unseen = model.unseen(self._selection)
        with np.errstate(divide="ignore"):
            #: Log S of each rule (u,).
            self._log_seen = log_kept_of(np.log(model.weights), self._unseen.log_seen)

    @property
    def log_joint(self) -> FloatArray:
        """Log wₖ + log N(x; μₖ, Σₖ) + log s(x) − log S: (b, k)."""
        joint = self._view.log_joint
        chosen = self._selection
        joint += (chosen.log_kept - self._log_seen[chosen.index])[:, None].astype(joint.dtype)
        return joint

    def statistics(self, resp: FloatArray) -> Statistics:
        """Statistics under responsibilities (b, k), and those of the rows that were not kept."""
        stats: Statistics = self._view.statistics(resp)
        model, unseen, kind = self._model, self._unseen, stats.kind
        kept = resp.sum(axis=1, dtype=np.float64)
        kept = np.bincount(self._selection.index, weights=kept, minlength=len(self._log_seen))
        share = (kept / np.exp(self._log_seen))[:, None] * model.weights  # (u, k)
        mass = (share * unseen.mass).sum(axis=0)
        first = np.einsum("uk,ukd->kd", share, unseen.first)
        second = FullCovariance(np.einsum("uk,ukde->kde", share, unseen.second))
        packed = kind.of_covariance(np.ones(len(mass)), second)
        return stats + Statistics(mass, mass.copy(), first, packed, model.means, kind)
