r"""Densities of rows that were measured: with gaps, with noise, or through operators.

For y = A x + e, e ~ N(0, S), log p(y) = log Σₖ exp(log wₖ + log N(y; A μₖ, A Σₖ Aᵀ + S)): a missing
cell is left out, and a row of which nothing was seen has density 1. Whole and exact rows go the
ordinary way, so that a row's density does not depend on the other rows of the call.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mixtura.arrays.linalg import cholesky, log_softmax, logsumexp
from mixtura.arrays.parallel import each_batch
from mixtura.channels import Measured, as_selection, measured
from mixtura.channels.selection import log_kept_of
from mixtura.covariance.observed import LOG_2PI, Observed, observed
from mixtura.mixture import density, reach
from mixtura.typing import FloatArray

if TYPE_CHECKING:
    from mixtura.mixture.mixture import Mixture

__all__ = ["joint", "labels", "log_density", "log_joint", "responsibilities"]

#: Bytes of working memory for one batch.
BATCH_BYTES = 8 * 2**20


def log_density(
    mix: Mixture,
    x: FloatArray,
    *,
    noise: Any = None,
    operators: Any = None,
    censored: Any = None,
    selection: Any = None,
) -> FloatArray:
    """Log density of each row as it was measured, in nats: (n,).

    Parameters
    ----------
    mix : Mixture
    x : array (n, d), or (n, p) with operators
        Finite, or NaN where a cell is missing.
    noise : number or array, optional
        Variances: a number, (p,), (n, p), (p, p) or (n, p, p). Where n = p, a square array is read
        as (n, p).
    operators : array (p, d) or (n, p, d), optional
    censored : pair (lower, upper), optional
        Limits of detection; of a cell at or beyond them, the probability is taken.
    selection : pair (lower, upper) or callable, optional
        The density is that among the rows that were kept: p(x) s(x) / S.

    Raises
    ------
    InputError
        See ``channels.measured`` and ``channels.as_selection``.

    Examples
    --------
    >>> import numpy as np, mixtura as mx
    >>> from mixtura.mixture.measured import log_density
    >>> mix = mx.Mixture([1.0], [[0.0, 0.0]], [1.0])
    >>> log_density(mix, np.array([[0.0, np.nan]])) - mix.marginal([0]).log_density([[0.0]])
    array([0.])
    """
    how = {"noise": noise, "operators": operators, "censored": censored}
    out = density.log_density(mix, x) if _whole(x, **how) else logsumexp(log_joint(mix, x, **how))
    chosen = as_selection(selection, x, noise, operators)
    if chosen is not None:
        factor = cholesky(np.asarray(mix.covariance.dense()))
        seen = chosen.unseen(np.asarray(mix.means), factor).log_seen
        out = out + chosen.log_kept - log_kept_of(mix.log_weights, seen)[chosen.index]
    return np.asarray(out)


def responsibilities(
    mix: Mixture,
    x: FloatArray,
    *,
    noise: Any = None,
    operators: Any = None,
    censored: Any = None,
) -> FloatArray:
    """P(component | row) (n, k); the weights where nothing was seen of a row."""
    how = {"noise": noise, "operators": operators, "censored": censored}
    if _whole(x, **how):
        return np.asarray(density.responsibilities(mix, x))
    return np.asarray(np.exp(log_softmax(log_joint(mix, x, **how))))


def labels(
    mix: Mixture,
    x: FloatArray,
    *,
    noise: Any = None,
    operators: Any = None,
    censored: Any = None,
) -> FloatArray:
    """The most probable component of each row (n,), the first of equal ones."""
    how = {"noise": noise, "operators": operators, "censored": censored}
    if _whole(x, **how):
        return density.labels(mix, x)
    return np.asarray(log_joint(mix, x, **how).argmax(axis=1))


def _whole(x: FloatArray, noise: Any, operators: Any, censored: Any) -> bool:
    """Whether rows are exact and without gaps, so that no more than a batch of joints is held."""
    exact = noise is None and operators is None and censored is None
    return exact and not (x.size and np.isnan(x.min()))


def log_joint(
    mix: Mixture,
    x: FloatArray,
    *,
    noise: Any = None,
    operators: Any = None,
    censored: Any = None,
) -> FloatArray:
    """Log wₖ + log N(y; A μₖ, A Σₖ Aᵀ + S): (n, k)."""
    if noise is None and operators is None and censored is None:
        return _with_gaps(mix, x)
    arrival = measured(x, noise, operators, censored, d=mix.d)
    if arrival is None:
        return np.asarray(density.log_joint(mix, x))
    return arrival.returned(joint(mix, arrival.sorted(x), arrival.channel))


def _with_gaps(mix: Mixture, x: FloatArray) -> FloatArray:
    """Whole rows by the kernel of whole rows, the others by theirs."""
    gaps = np.isnan(x).any(axis=1)
    if not gaps.any():
        return np.asarray(density.log_joint(mix, x))
    out = np.empty((len(x), mix.k))
    out[~gaps] = density.log_joint(mix, x[~gaps])
    arrival = measured(x[gaps], d=mix.d)
    if arrival is None:
        raise AssertionError("rows with gaps have a channel")
    out[gaps] = arrival.returned(joint(mix, arrival.sorted(x[gaps]), arrival.channel))
    return out


def joint(mix: Mixture, y: FloatArray, channel: Measured) -> FloatArray:
    """The same for rows in the order of their channel."""
    components = observed(np.asarray(mix.means), mix.covariance, channel)
    out = np.empty((len(y), mix.k))

    def work(start: int, stop: int) -> None:
        rows, how = y[start:stop], channel[start:stop]
        with np.errstate(over="ignore", invalid="ignore"):
            found = mix.log_weights + components.log_density(rows, how)
        out[start:stop] = reach.mended(mix, found, lambda far: _far_joint(mix, rows, how, far))

    size = int(np.clip(BATCH_BYTES // (8 * components.row_floats(channel)), 64, 8192))
    components.log_density(y[:1], channel[:1])  # factors once, before the threads
    each_batch(work, len(y), size)
    return out


def _far_joint(mix: Mixture, y: FloatArray, channel: Measured, far: FloatArray) -> FloatArray:
    """The same for rows ``far`` (m,) at any finite distance, by the readable path.

    That far out a censored cell tells of the nearest component what its limit does.
    """
    components = Observed(np.asarray(mix.means), mix.covariance)
    y, channel = channel.shown(y), channel.at_limits()
    out = np.empty((len(far), mix.k))
    for i, row in enumerate(far):
        one = channel[row : row + 1]
        (run,) = one.runs()
        law = mix.covariance.observe(run.channel)
        const = mix.log_weights - 0.5 * (np.asarray(law.logdet) + law.n_observed * LOG_2PI)
        with np.errstate(over="ignore", invalid="ignore"):
            v = components._residuals(y[row : row + 1], one, run)
            scale = np.abs(v).max()
            square = np.asarray(law.delta(v / scale)).T
        out[i] = reach.settled(np.asarray(const), square, np.atleast_1d(scale))[0]
    return out
