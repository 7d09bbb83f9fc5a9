r"""By what rule rows came into a table: through a window, or with a known probability.

Where x is kept with probability s(x), the density of a kept row is p(x) s(x) / S with
S = Σ wₖ Sₖ, Sₖ = ∫ s N(x; μₖ, Σₖ). Rows that were not kept are missing rows: behind each kept one
stand (1 − S) / S others, of which component k has wₖ (1 − Sₖ) / S, and these phantoms enter EM with
the moments of (1 − s) N(μₖ, Σₖ) (Dempster, Laird & Rubin 1977, §4.2; Melchior & Goulding 2018).

``Window`` has them in closed form, for windows on one column or on columns that a component takes
for independent. ``Inclusion`` has them for any s by quasi-random numbers, the same in every step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from mixtura.arrays.linalg import logsumexp
from mixtura.arrays.truncnorm import truncated_normal
from mixtura.channels.limits import as_limits
from mixtura.errors import InputError
from mixtura.typing import FloatArray

__all__ = ["Inclusion", "Selection", "Unseen", "Window", "as_selection", "log_kept_of"]

#: Draws per component for a probability of inclusion.
DRAWS = 4096
#: Correlation of a window's columns that counts as none.
NONE = 1e-12
#: How far beyond 0 and 1 a probability may be by rounding.
ROUNDING = 1e-9
#: Least log probability that a mixture may have of being kept.
LEAST = -500.0


class Unseen(NamedTuple):
    """What u rules hide of k components."""

    log_seen: FloatArray  # log Sₖ (u, k)
    mass: FloatArray  # 1 − Sₖ (u, k)
    first: FloatArray  # ∫ (1 − s) (x − μ) N (u, k, d)
    second: FloatArray  # ∫ (1 − s) (x − μ)(x − μ)ᵀ N (u, k, d, d)


class Selection(ABC):
    """A rule for each of n rows."""

    #: Rule of each row (n,).
    index: FloatArray
    #: Log s(x) of the rows that were kept: (n,).
    log_kept: FloatArray

    @property
    @abstractmethod
    def columns(self) -> FloatArray:
        """Positions of the columns by which rows are selected."""

    def __len__(self) -> int:
        return len(self.index)

    @abstractmethod
    def __getitem__(self, rows: Any) -> Selection:
        """Some of the rows."""

    @abstractmethod
    def unseen(self, means: FloatArray, factor: FloatArray) -> Unseen:
        """What is hidden of Gaussians with means (k, d) and factors F (k, d, d), F Fᵀ = Σ."""

    #: Whether all rows share one rule, whose answers are then worth keeping.
    shared: bool = True

    def restricted(self) -> Selection:
        """The same rows, with their own rules alone."""
        return self


@dataclass(frozen=True, eq=False)
class Window(Selection):
    """Rows are kept where lower ≤ x ≤ upper in every column, and only there.

    Attributes
    ----------
    lower, upper : array (u, d)
        Windows; infinite where a column has no bound.
    index, log_kept : array (n,)
        Each row's window, and zeros.
    """

    lower: FloatArray
    upper: FloatArray
    index: FloatArray
    log_kept: FloatArray

    def __getitem__(self, rows: Any) -> Window:
        return replace(self, index=self.index[rows], log_kept=self.log_kept[rows])

    @property
    def shared(self) -> bool:  # type: ignore[override]
        """Whether there is one window."""
        return len(self.lower) == 1

    def restricted(self) -> Window:
        used, index = np.unique(self.index, return_inverse=True)
        return replace(self, lower=self.lower[used], upper=self.upper[used], index=index.ravel())

    @property
    def columns(self) -> FloatArray:
        return np.flatnonzero((np.isfinite(self.lower) | np.isfinite(self.upper)).any(axis=0))

    def unseen(self, means: FloatArray, factor: FloatArray) -> Unseen:
        c = self.columns
        sigma = factor @ np.swapaxes(factor, 1, 2)
        v = np.diagonal(sigma, axis1=1, axis2=2)[:, c]  # (k, m)
        self._check_independent(sigma[:, c][:, :, c], v)
        scale = np.sqrt(v)
        low = (self.lower[:, None, c] - means[:, c]) / scale
        high = (self.upper[:, None, c] - means[:, c]) / scale
        log_mass, shift, variance = truncated_normal(low, high)  # (u, k, m)
        log_seen = log_mass.sum(axis=2)
        seen = np.exp(log_seen)
        gain = sigma[:, :, c] / v[:, None, :]  # (k, d, m)
        inside = shift * scale
        spread = np.einsum("uki,ij->ukij", v * (variance - 1.0), np.eye(len(c)))
        spread = gain @ (spread + inside[..., :, None] * inside[..., None, :])
        spread = spread @ np.swapaxes(gain, 1, 2)
        mass = -np.expm1(log_seen)
        first = -seen[..., None] * np.einsum("kdm,ukm->ukd", gain, inside)
        second = mass[..., None, None] * sigma - seen[..., None, None] * spread
        return Unseen(log_seen, mass, first, second)

    def _check_independent(self, sigma: FloatArray, v: FloatArray) -> None:
        m = v.shape[1]
        size = np.sqrt(v[:, :, None] * v[:, None, :])
        if m > 1 and (np.abs(sigma) > NONE * size)[:, ~np.eye(m, dtype=bool)].any():
            raise InputError(
                f"expected a window on one column where columns are correlated, got bounds on {m}: "
                "the moments have no closed form; use covariance_type='diag', or pass the window "
                "as a probability of inclusion, selection=lambda x: "
                "np.all((lower <= x) & (x <= upper), axis=1), which is approximate"
            )


@dataclass(frozen=True, eq=False)
class Inclusion(Selection):
    """Rows are kept with a known probability s(x).

    Attributes
    ----------
    probability : callable
        From x (m, d) to s(x) (m,), in [0, 1].
    normals : array (M, d)
        Standard normal numbers at which s is averaged.
    index, log_kept : array (n,)
        Zeros, and log s(x) of the rows.
    """

    probability: Callable[[FloatArray], Any]
    normals: FloatArray
    index: FloatArray
    log_kept: FloatArray

    def __getitem__(self, rows: Any) -> Inclusion:
        return replace(self, index=self.index[rows], log_kept=self.log_kept[rows])

    @property
    def columns(self) -> FloatArray:
        return np.arange(self.normals.shape[1])

    def unseen(self, means: FloatArray, factor: FloatArray) -> Unseen:
        z = self.normals
        k, d = means.shape
        seen, first, second = np.empty((1, k)), np.empty((1, k, d)), np.empty((1, k, d, d))
        for j in range(k):
            kept = _probabilities(self.probability, means[j] + z @ factor[j].T)
            hidden = (1.0 - kept) / len(z)
            seen[0, j] = kept.mean()
            first[0, j] = factor[j] @ (hidden @ z)
            second[0, j] = factor[j] @ ((hidden[:, None] * z).T @ z) @ factor[j].T
        with np.errstate(divide="ignore"):
            return Unseen(np.log(seen), 1.0 - seen, first, second)


def log_kept_of(log_weights: FloatArray, log_seen: FloatArray) -> FloatArray:
    """Log S of each rule (u,), for weights (k,) and log Sₖ (u, k).

    Raises
    ------
    InputError
        Where hardly anything of the mixture would be kept.
    """
    kept = np.asarray(logsumexp(log_weights + log_seen))
    if not (kept > LEAST).all():
        raise InputError(
            "expected a selection that keeps some of the mixture, got a probability too small to "
            "be computed; start nearer to the rows, or widen the selection"
        )
    return kept


def as_selection(
    selection: Any, x: FloatArray, noise: Any = None, operators: Any = None
) -> Selection | None:
    """The rule by which rows of a table were kept, from a pair of bounds or a function.

    Parameters
    ----------
    selection : pair (lower, upper) or callable, optional
        Bounds, each None, a number, (d,) or (n, d); or x (m, d) to probabilities (m,), the same
        whenever it is asked.
    x : array (n, d)
        NaN where a cell is missing.

    Raises
    ------
    InputError
        For rows that the rule would not have kept, for cells that are missing in columns of the
        window, for a function that does not give probabilities, and beside noise or operators.
    """
    if selection is None:
        return None
    if noise is not None or operators is not None:
        raise InputError(
            f"expected selection without {'noise' if noise is not None else 'operators'}, got "
            "both; what was selected by noisy values has no closed form here"
        )
    n, d = x.shape
    if callable(selection):
        if np.isnan(x).any():
            raise InputError(
                "expected whole rows for a probability of inclusion, got missing cells; drop them"
            )
        with np.errstate(divide="ignore"):
            log_kept = np.log(_probabilities(selection, x.astype(np.float64, copy=False)))
        _refuse(np.isneginf(log_kept), "whose probability of inclusion is 0")
        from scipy.stats import qmc  # large, and seldom needed

        normals = qmc.MultivariateNormalQMC(np.zeros(d), rng=np.random.default_rng(0))
        draws = np.asarray(normals.random(DRAWS), dtype=np.float64).reshape(DRAWS, d)
        return Inclusion(selection, draws, np.zeros(n, dtype=np.int64), log_kept)
    lower, upper = as_limits(selection, n, d, "selection", x.dtype)
    bounded = (np.isfinite(lower) | np.isfinite(upper)).any(axis=0)
    if not bounded.any():
        return None
    if np.isnan(x[:, bounded]).any():
        raise InputError(
            "expected known values in the columns of the window, got missing cells in column "
            f"{int(np.flatnonzero(bounded & np.isnan(x).any(axis=0))[0])}; drop such rows"
        )
    outside = np.asarray(((x < lower) | (x > upper)).any(axis=1))
    _refuse(outside, "that lie outside of the window")
    both = np.hstack(np.broadcast_arrays(lower, upper)) + 0.0
    windows, index = np.unique(both, axis=0, return_inverse=True)
    index = np.broadcast_to(index.ravel(), (n,)) if len(both) == 1 else index.ravel()
    return Window(windows[:, :d], windows[:, d:], np.ascontiguousarray(index), np.zeros(n))


def _refuse(wrong: FloatArray, what: str) -> None:
    if wrong.any():
        raise InputError(
            f"expected rows that the selection keeps, got {int(wrong.sum())} {what}, the first of "
            f"them row {int(np.argmax(wrong))}; drop them, or widen the selection"
        )


def _probabilities(function: Callable[[FloatArray], Any], x: FloatArray) -> FloatArray:
    try:
        values = np.asarray(function(np.array(x)))  # a copy, which it may write to
        if np.iscomplexobj(values) or values.dtype.kind not in "fiub":
            raise TypeError
    except (TypeError, ValueError):
        raise InputError(
            "expected a function from x (m, d) to probabilities of inclusion (m,), got an answer "
            "that is no array of numbers; check what it returns"
        ) from None
    if values.shape != (len(x),):
        raise InputError(
            f"expected a probability of inclusion per row, of shape ({len(x)},), got "
            f"{values.shape} from {len(x)} rows; the function takes x (m, d) and gives (m,)"
        )
    values = values.astype(np.float64)
    if not ((values >= -ROUNDING) & (values <= 1 + ROUNDING)).all():
        span = "NaN" if np.isnan(values).any() else f"{values.min():g} to {values.max():g}"
        raise InputError(
            f"expected probabilities of inclusion between 0 and 1, got {span}; mend the function"
        )
    return np.asarray(np.clip(values, 0.0, 1.0))
