r"""Rows with censored cells: of which no more is known than an interval, such as "below 0.1".

Censored cells c are missing cells of which something is known. With x = μ + F ξ, the cells o that
were observed, and K = cov(y_c, y_o) T_oo⁻¹, a component says

    y_c | y_o ~ N(μ_c + K (y_o − μ_o), V),    V = B Bᵀ + S_c + K S_o Kᵀ,    B = F_c − K F_o,

so that the density of the row is that of y_o times the probability of the interval, and with
H = Bᵀ / V, δ = E[y_c | y_o, interval] − E[y_c | y_o],

    E[ξ] = ξ̂_o + H δ,    Cov[ξ] = Cov[ξ | y_o] + H (Var[y_c | y_o, interval] − V) Hᵀ

(Tobin 1958 for one Gaussian; Lee & Scott 2012 for mixtures). This is exact where V is a number or
diagonal: one censored cell in a row, or several in columns that the component takes for
independent. Several that it takes for correlated have no such moments, and are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from mixtura.arrays.truncnorm import truncated_normal
from mixtura.channels.measured import Measured, Run
from mixtura.channels.rowwise import Rowwise
from mixtura.errors import InputError
from mixtura.typing import FloatArray

__all__ = ["Censored"]

#: Correlation of censored cells, given the others, that counts as none.
NONE = 1e-12


class _Known(NamedTuple):
    """What rows that are censored in the same cells say; g is 1 or the number of rows n."""

    rows: slice
    log_mass: FloatArray  # (k, n) of the intervals
    shift: FloatArray  # H δ (k, n, d)
    centre: FloatArray  # ξ̂_o (k, n, d)
    loss: FloatArray  # Var[y_c | interval] − V (k, n, m)
    gain: FloatArray  # H (k, g, d, m)


@dataclass(frozen=True, eq=False)
class Censored(Measured):
    """Rows of which some cells are known to lie in intervals.

    Attributes
    ----------
    seen : Measured
        The same rows with the censored cells taken as missing.
    variance : array (n, d)
        Of independent noise, which the limits apply to as well: 0 exact, infinite missing.
    lower, upper : array (n, d)
        Intervals of the censored cells; from −inf to inf for the others.
    group : array (n,) of int
        Rows with the same number lie together and have the same cells missing and censored.
    alike : bool
        Whether rows of a group have the same noise.
    """

    seen: Measured
    variance: FloatArray
    lower: FloatArray
    upper: FloatArray
    group: FloatArray
    alike: bool
    d: int
    operator: None = None

    def __len__(self) -> int:
        return len(self.group)

    def __getitem__(self, rows: slice) -> Censored:
        cut = {name: getattr(self, name)[rows] for name in ("seen", "variance", "lower", "upper")}
        return replace(self, group=self.group[rows], **cut)

    @property
    def missing(self) -> FloatArray:
        return np.asarray(np.isinf(self.variance))

    @property
    def censored(self) -> FloatArray:
        return np.asarray(np.isfinite(self.lower) | np.isfinite(self.upper))

    def shown(self, y: FloatArray) -> FloatArray:
        limit = np.where(np.isfinite(self.lower), self.lower, self.upper)
        return np.where(self.censored, limit, super().shown(y)).astype(y.dtype, copy=False)

    def at_limits(self) -> Measured:
        return Rowwise(self.variance, self.d)

    def warm(self, k: int) -> None:
        self.seen.warm(k)

    def as_of(self, times: int) -> Censored:
        return replace(self, seen=self.seen.as_of(times))

    def row_floats(self, k: int) -> int:
        each = 6 * self.d if self.alike else 5 * self.d * self.d
        return super().row_floats(k) + k * each

    def runs(self) -> Iterator[Run]:
        raise InputError(
            f"expected at most 64 columns beside censored cells, got {self.d}; fit fewer columns"
        )

    # ---- the interface of measured rows ---------------------------------------------------------
    def log_density(
        self, y: FloatArray, means: FloatArray, factor: FloatArray
    ) -> tuple[FloatArray, int]:
        out, failed = self.seen.log_density(y, means, factor)
        if failed < 0:
            for known in self._known(y, means, factor):
                out[known.rows] += known.log_mass.T
        return out, failed

    def moments(
        self, y: FloatArray, resp: FloatArray, means: FloatArray, factor: FloatArray
    ) -> tuple[FloatArray, FloatArray, int]:
        first, second, failed = self.seen.moments(y, resp, means, factor)
        if failed >= 0:
            return first, second, failed
        for known in self._known(y, means, factor):
            r = resp[known.rows].T[:, :, None]
            moved = r * known.shift
            first += moved.sum(axis=1)
            # (ξ̂ + h)(ξ̂ + h)ᵀ − ξ̂ ξ̂ᵀ, in two symmetric halves
            half = _outer(moved, known.centre + 0.5 * known.shift)
            second += half + np.swapaxes(half, 1, 2)
            lost = r * known.loss
            if known.gain.shape[1] == 1:
                lost = lost.sum(axis=1, keepdims=True)
            scaled = known.gain * lost[:, :, None, :]
            second += np.matmul(scaled, np.swapaxes(known.gain, 2, 3)).sum(axis=1)
        return first, second, failed

    def centres(
        self, y: FloatArray, mean: FloatArray, factor: FloatArray
    ) -> tuple[FloatArray, int]:
        out, failed = self.seen.centres(y, mean, factor)
        if failed < 0:
            for known in self._known(y, mean[None], factor[None]):
                out[known.rows] += known.shift[0] @ factor.T
        return out, failed

    # ---- rows that are censored alike -----------------------------------------------------------
    def _known(self, y: FloatArray, means: FloatArray, factor: FloatArray) -> Iterator[_Known]:
        cuts = np.flatnonzero(np.diff(self.group)) + 1
        for start, stop in zip([0, *cuts], [*cuts, len(self.group)], strict=True):
            rows = slice(int(start), int(stop))
            if start < stop and self.censored[start].any():
                yield self._group(rows, y, means, factor)

    def _group(self, rows: slice, y: FloatArray, means: FloatArray, factor: FloatArray) -> _Known:
        cells = self.censored[rows.start]
        o = np.flatnonzero(~cells & np.isfinite(self.variance[rows.start]))
        c = np.flatnonzero(cells)
        noise = self.variance[rows][:1] if self.alike else self.variance[rows]
        f_o, f_c = factor[:, None, o], factor[:, None, c]  # (k, 1, ·, d)
        evidence = f_o @ np.swapaxes(f_o, 2, 3) + noise[:, :, None][:, o] * np.eye(len(o))
        lower = np.linalg.cholesky(evidence)  # (k, g, o, o)
        turn = np.linalg.solve(lower, np.broadcast_to(np.eye(len(o)), lower.shape))
        w = turn @ f_o
        gain_o = np.swapaxes(w @ np.swapaxes(f_c, 2, 3), 2, 3) @ turn  # K (k, g, m, o)
        b = f_c - gain_o @ f_o
        spread = b @ np.swapaxes(b, 2, 3) + noise[:, :, None][:, c] * np.eye(len(c))
        spread = spread + (gain_o * noise[:, None, o]) @ np.swapaxes(gain_o, 2, 3)
        v = np.diagonal(spread, axis1=2, axis2=3)  # (k, g, m)
        self._check_independent(spread, v, rows)
        deviation = y[rows][:, o] - means[:, None, o]  # (k, n, o)
        scale = np.sqrt(v)
        mean = means[:, None, c] + _apply(gain_o, deviation)
        mass, delta, variance = truncated_normal(
            (self.lower[rows][:, c] - mean) / scale, (self.upper[rows][:, c] - mean) / scale
        )
        gain = np.swapaxes(b, 2, 3) / v[:, :, None, :]
        return _Known(
            rows,
            mass.sum(axis=2),
            _apply(gain, scale * delta),
            _apply(np.swapaxes(w, 2, 3), _apply(turn, deviation)),
            v * (variance - 1.0),
            gain,
        )

    def _check_independent(self, spread: FloatArray, v: FloatArray, rows: slice) -> None:
        m = v.shape[2]
        if m < 2:
            return
        size = np.sqrt(v[:, :, :, None] * v[:, :, None, :])
        if (np.abs(spread) > NONE * size)[:, :, ~np.eye(m, dtype=bool)].any():
            raise InputError(
                f"expected at most one censored cell in a row for correlated columns, got {m} (in "
                f"{rows.stop - rows.start} rows where the same cells are censored): their moments "
                "have no closed form; use a structure without correlations between these columns "
                "(covariance_type='diag', or 'block'), or leave some of these columns out"
            )


def _apply(matrices: FloatArray, vectors: FloatArray) -> FloatArray:
    """Matrices (k, g, p, q) times vectors (k, n, q): (k, n, p), g = 1 or n."""
    if matrices.shape[1] == 1:
        return np.asarray(vectors @ np.swapaxes(matrices[:, 0], 1, 2))
    return np.asarray(np.einsum("knpq,knq->knp", matrices, vectors))


def _outer(a: FloatArray, b: FloatArray) -> FloatArray:
    """Σ over rows of a bᵀ for (k, n, d): (k, d, d)."""
    return np.asarray(np.swapaxes(a, 1, 2) @ b)
