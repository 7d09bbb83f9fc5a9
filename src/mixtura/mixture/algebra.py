r"""The algebra under which mixtures are closed: every function returns a new ``Mixture``.

For x ~ Σ wₖ N(μₖ, Σₖ) and y = A x + e, e ~ N(0, S): y ~ Σ wₖ N(A μₖ, A Σₖ Aᵀ + S), and given y
component k has weight ∝ wₖ N(y; A μₖ, A Σₖ Aᵀ + S) and the Gaussian law of its ``Law``.
Conditioning is S = 0 on some columns, denoising is A = I, and a product with N(m, P) is the
observation y = m with noise P. Weights are combined as logarithms, so that values far from every
component, where all densities underflow, still give the right answer.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mixtura.arrays.linalg import log, log_softmax, logsumexp, symmetrise
from mixtura.arrays.namespace import (
    as_float,
    finite,
    holds,
    is_numpy,
    known,
    namespace,
    to_numpy,
    zeros,
)
from mixtura.arrays.random import generator as random_source
from mixtura.channels import Channel, Diagonal, Linear
from mixtura.covariance import (
    Covariance,
    DiagonalCovariance,
    FullCovariance,
    IsotropicCovariance,
    Law,
    TiedCovariance,
    fuse,
    plus,
    stack,
)
from mixtura.covariance.base import MEMORY_BUDGET, is_scaled_selector
from mixtura.errors import InputError, NotPositiveDefiniteError
from mixtura.mixture import convert, draws, reach
from mixtura.typing import Array, FloatArray, Seed

if TYPE_CHECKING:
    from mixtura.mixture.mixture import Mixture

__all__ = [
    "affine",
    "blend",
    "blur",
    "check_mixture",
    "condition",
    "denoise",
    "log_evidence",
    "marginal",
    "observe",
    "product",
    "relabel",
    "sample",
]

LOG_2PI = float(np.log(2 * np.pi))
#: Arrays of the size of the answer that a product holds at once.
COPIES = 8


def _make(log_weights: Array, means: Array, covariance: Covariance, columns: Any) -> Mixture:
    from mixtura.mixture.mixture import Mixture

    return Mixture._from_log_weights(log_weights, means, covariance, columns)


def _names(mix: Mixture, kept: Sequence[int]) -> tuple[str, ...] | None:
    return None if mix.columns is None else tuple(mix.columns[i] for i in kept)


def _vector(values: Any, size: int, what: str, like: Array = None) -> Array:
    try:
        v = as_float(values, like=like)
    except InputError:
        raise
    except (TypeError, ValueError):
        raise InputError(f"expected numbers for {what}") from None
    if v.ndim == 0 and size == 1:
        v = v[None]
    if tuple(v.shape) != (size,):
        raise InputError(f"expected {what} of shape ({size},), got {tuple(v.shape)}")
    if not finite(v):
        raise InputError(f"expected finite numbers for {what}, got NaN or infinity")
    return v


# ---- parts of one mixture --------------------------------------------------------------------
def marginal(mix: Mixture, columns: list[int]) -> Mixture:
    """The law of some columns, in the order given."""
    if not columns:
        raise InputError("expected at least one column in marginal, got none")
    return _make(
        mix.log_weights, mix.means[:, columns], mix.covariance.select(columns), _names(mix, columns)
    )


def condition(mix: Mixture, given: list[int], values: Any) -> Mixture:
    """The law of the other columns given values of some; see ``Mixture.condition``."""
    v = _vector(values, len(given), "the given values", mix.means)
    rest = [j for j in range(mix.d) if j not in set(given)]
    if not given:
        return mix
    if not rest:
        raise InputError(
            f"expected at most {mix.d - 1} given columns, got all {mix.d}: nothing is left to "
            "describe; log_density gives the density at a point"
        )
    if is_numpy(v):
        reach.check(mix, v, given)
    part = marginal(mix, given)
    gain, covariance = mix.covariance.conditional(given, rest)
    deviation = (v - part.means)[:, :, None]
    means = mix.means[:, rest] + gain(deviation)[:, :, 0]
    joint = _log_joint_one(part, v)
    return _make(joint, means, covariance, _names(mix, rest))


def _log_joint_one(mix: Mixture, x: Array) -> Array:
    """Log joint (k,) at one point, by exact differences."""
    delta = mix.covariance.mahalanobis((x - mix.means)[:, :, None])[:, 0]
    return mix.log_weights - 0.5 * (mix.d * LOG_2PI + mix.covariance.logdet + delta)


def relabel(mix: Mixture, order: Sequence[int]) -> Mixture:
    """Components in another order."""
    indices = [operator.index(i) for i in order]
    if sorted(indices) != list(range(mix.k)):
        raise InputError(f"expected a permutation of 0 … {mix.k - 1} as order, got {indices}")
    return _make(
        mix.log_weights[indices], mix.means[indices], mix.covariance.take(indices), mix.columns
    )


def blend(mixtures: Sequence[Mixture], weights: Any = None) -> Mixture:
    """The mixture of mixtures Σ vᵢ pᵢ(x).

    Parameters
    ----------
    mixtures : sequence of Mixture
        In the same columns.
    weights : array (m,), optional
        Non-negative; equal by default.
    """
    mixtures = list(mixtures)
    if not mixtures:
        raise InputError("expected at least one mixture to blend, got none")
    for mixture in mixtures:
        check_mixture(mixture, "blend")
    first = convert.meet(mixtures[0], *mixtures[1:], weights)
    mixtures = [first, *(convert.alike(other, first) for other in mixtures[1:])]
    for other in mixtures[1:]:
        _same_space(first, other, "blend")
    share = (
        as_float(np.ones(len(mixtures)), like=first.means)
        if weights is None
        else _vector(weights, len(mixtures), "weights", first.means)
    )
    if not (holds(share >= 0) and holds(share.sum() > 0)):
        raise InputError(f"expected non-negative weights, not all zero, got {to_numpy(share)}")
    xp = namespace(first.means)
    logs = [m.log_weights + log(share)[i] for i, m in enumerate(mixtures)]
    means = xp.concat([m.means for m in mixtures])
    return _make(xp.concat(logs), means, stack([m.covariance for m in mixtures]), first.columns)


def check_mixture(value: Any, what: str) -> None:
    """Refuse an operand that is no mixture."""
    if not (hasattr(value, "means") and hasattr(value, "covariance")):
        raise InputError(f"expected a Mixture in {what}, got {type(value).__name__}")


def _same_space(a: Mixture, b: Mixture, what: str) -> None:
    check_mixture(b, what)
    if a.d != b.d:
        raise InputError(f"expected mixtures with as many columns in {what}, got {a.d} and {b.d}")
    if a.columns is not None and b.columns is not None and a.columns != b.columns:
        raise InputError(
            f"expected the same columns in {what}, got {list(a.columns)} and {list(b.columns)}; "
            "reorder one with marginal()"
        )


# ---- maps and noise --------------------------------------------------------------------------
def affine(mix: Mixture, operator: Any, offset: Any, columns: Any) -> Mixture:
    """The law of A x + b; see ``Mixture.affine``."""
    a = _operator(operator, mix)
    p = int(a.shape[0])
    b = None if offset is None else _vector(offset, p, "b", mix.means)
    means = mix.means @ namespace(a).matrix_transpose(a)
    means = means if b is None else means + b
    covariance = mix.covariance.linear(a)
    try:
        covariance.logdet  # noqa: B018
    except NotPositiveDefiniteError:
        raise InputError(
            f"expected A ({p}, {mix.d}) with linearly independent rows, got one that maps the "
            "mixture onto a flat; drop dependent rows, or add noise with observe()"
        ) from None
    names = None
    if columns is not None:
        names = tuple(str(c) for c in columns)
        if len(names) != p or len(set(names)) != p:
            raise InputError(f"expected {p} distinct column names, got {list(names)}")
    elif p == mix.d:
        picked = is_scaled_selector(a)
        if picked is not None and (picked[0] == np.arange(p)).all():
            names = mix.columns
    return _make(mix.log_weights, means, covariance, names)


def _operator(operator: Any, mix: Mixture) -> Array:
    try:
        a = as_float(operator, like=mix.means)
    except InputError:
        raise
    except (TypeError, ValueError):
        raise InputError("expected numbers in the operator A") from None
    if a.ndim == 0:
        xp = namespace(mix.means)
        a = a * xp.eye(mix.d, dtype=mix.means.dtype, device=mix.means.device)
    if a.ndim != 2 or a.shape[1] != mix.d or a.shape[0] == 0:
        raise InputError(f"expected an operator A of shape (p, {mix.d}), got {tuple(a.shape)}")
    if not finite(a):
        raise InputError("expected a finite operator A, got NaN or infinity")
    return a


def noise_covariance(
    noise: Any, d: int, k: int, *, like: Array = None, what: str = "noise"
) -> Covariance:
    """Noise in any accepted form (variances) as a covariance tied over k components, of arrays
    like ``like``."""
    if isinstance(noise, Covariance):
        if noise.d != d or noise.k not in (1, k):
            raise InputError(
                f"expected {what} with one component in {d} columns, got {noise.k} in {noise.d}"
            )
        if isinstance(noise, TiedCovariance):
            noise = noise.shared
        noise = noise.converted(lambda a: as_float(a, like=like))
        return TiedCovariance(noise, k) if noise.k == 1 else noise
    try:
        s = as_float(noise, like=like)
    except InputError:
        raise
    except (TypeError, ValueError):
        raise InputError(f"expected numbers for {what}") from None
    if not finite(s):
        raise InputError(f"expected finite numbers for {what}, got NaN or infinity")
    shape = tuple(s.shape)
    if shape not in ((), (d,), (d, d)):
        raise InputError(
            f"expected {what} as a number, ({d},) or ({d}, {d}) variances, got shape {shape}"
        )
    if shape == (d, d):
        return TiedCovariance(_noise_matrix(s, what), k)
    _non_negative(s, what)
    if shape == ():
        return TiedCovariance(IsotropicCovariance(s[None], d), k)
    return TiedCovariance(DiagonalCovariance(s[None]), k)


def _noise_matrix(s: Array, what: str) -> Covariance:
    """A noise covariance (d, d), checked, in the narrowest structure."""
    values = known(s)
    if values is None:
        return FullCovariance(symmetrise(s)[None])
    asymmetry, negative = (1e-8, 1e-10) if values.dtype == np.float64 else (1e-4, 1e-5)
    size, gap = float(np.abs(values).max()), np.abs(values - values.T).max()
    if gap > asymmetry * max(size, 1e-300):
        raise InputError(f"expected a symmetric covariance for {what}, got one off by {gap:.3g}")
    if not np.any(values - np.diag(np.diag(values))):
        return DiagonalCovariance(_non_negative(namespace(s).linalg.diagonal(s), what)[None])
    smallest = float(np.linalg.eigvalsh(values)[0])
    if smallest < -negative * size:
        raise InputError(
            f"expected a positive semidefinite covariance for {what}, got one with "
            f"eigenvalue {smallest:.3g}"
        )
    return FullCovariance(s[None])


def _non_negative(s: Array, what: str) -> Array:
    if not holds(s >= 0):
        least = float(to_numpy(s).min())
        raise InputError(f"expected non-negative variances for {what}, got {least:.3g}")
    return s


def blur(mix: Mixture, noise: Any) -> Mixture:
    """The law of x + e; see ``Mixture.blur``."""
    extra = noise_covariance(noise, mix.d, mix.k, like=mix.means)
    own = mix.covariance
    if isinstance(own, TiedCovariance):
        covariance = plus(own, extra)
    elif isinstance(extra, TiedCovariance) and isinstance(extra.shared, IsotropicCovariance):
        covariance = own.scaled(1.0, extra.shared.variance[0])
    else:
        covariance = plus(own, extra)
    return _make(mix.log_weights, mix.means, covariance, mix.columns)


def product(a: Mixture, b: Mixture) -> Mixture:
    """The normalised product of two mixtures; see ``Mixture.product``."""
    _same_space(a, b, "product")
    numbers = sum(int(np.prod(v.shape)) for v in a.covariance.parameters().values())
    size = 8 * (max(numbers // a.k, a.d) + a.d) * a.k * b.k
    if COPIES * size > MEMORY_BUDGET:
        raise InputError(
            f"expected a product that fits into memory, but {a.k} × {b.k} components in {a.d} "
            f"columns take {size / 2**30:.1f} GiB, several times over; reduce() the mixtures first"
        )
    left = [i for i in range(a.k) for _ in range(b.k)]
    right = [j for _ in range(a.k) for j in range(b.k)]
    cov_a, cov_b = a.covariance.take(left), b.covariance.take(right)
    total = plus(cov_a, cov_b)
    gap = (b.means[right] - a.means[left])[:, :, None]
    # μ = μₐ + Σₐ (Σₐ + Σ_b)⁻¹ (μ_b − μₐ);  weight ∝ wₐ w_b N(μ_b; μₐ, Σₐ + Σ_b)
    means = a.means[left] + cov_a.matmul(total.solve(gap))[:, :, 0]
    overlap = -0.5 * (a.d * LOG_2PI + total.logdet + total.mahalanobis(gap)[:, 0])
    logs = a.log_weights[left] + b.log_weights[right] + overlap
    return _make(logs, means, fuse(cov_a, cov_b), a.columns or b.columns)


# ---- observation -----------------------------------------------------------------------------
def _observation(mix: Mixture, y: Any, operator: Any, noise: Any) -> tuple[Law, Array]:
    """The law of x given y, and the residuals y − A μ (k, p, 1)."""
    if noise is None:
        raise InputError(
            "expected the variance of the noise, got none; pass noise=, or condition() for "
            "values that are known exactly"
        )
    a = None if operator is None else _operator(operator, mix)
    p = mix.d if a is None else int(a.shape[0])
    v = _vector(y, p, "y", mix.means)
    predicted = mix.means if a is None else mix.means @ namespace(a).matrix_transpose(a)
    extra = noise_covariance(noise, p, 1, like=mix.means)
    return _law(mix.covariance, a, extra, p), (v - predicted)[:, :, None]


def _law(covariance: Covariance, a: Array, noise: Covariance, p: int) -> Law:
    """The law of x given y = A x + e; picked columns are observed cells in any order and scale."""
    picked = None if a is None else is_scaled_selector(a)
    if picked is None:
        return covariance.observe(channel_of(a, noise, covariance.d, p))
    columns, factors = picked
    order = np.argsort(columns)
    # y / c, sorted, measures cells with noise S / c²
    cells = noise.rescaled(1 / factors).select(order)
    selector = np.eye(covariance.d)[columns[order]]
    law = covariance.observe(channel_of(selector, cells, covariance.d, p))
    return Law(
        evidence=law.evidence.select(np.argsort(order)).rescaled(factors),
        gain=lambda v: law.gain((v / factors[:, None])[:, order, :]),
        residual=law.residual,
    )


def channel_of(a: Array, noise: Covariance, d: int, p: int) -> Channel:
    """The narrowest channel for y = A x + e, for noise with one component."""
    shared = noise.shared if isinstance(noise, TiedCovariance) else noise
    if isinstance(shared, IsotropicCovariance | DiagonalCovariance):
        variance = shared.diagonal()[0]
        if a is None:
            common = shared.variance[0] if isinstance(shared, IsotropicCovariance) else None
            return Diagonal(variance, common, np.arange(d))
        picked = is_scaled_selector(a)
        if picked is not None and (picked[1] == 1).all() and (np.diff(picked[0]) > 0).all():
            return Diagonal(_cells(variance, picked[0], d), seen=picked[0])
    operator = np.eye(d) if a is None else a
    return Linear(operator, shared.dense()[0])


def _cells(variance: Array, columns: FloatArray, d: int) -> Array:
    """Variances (d,) of cells: those given for some columns, infinite for the others."""
    place = np.eye(d)[columns]
    xp, seen = namespace(variance), place.any(axis=0)
    unknown = as_float(np.where(seen, 0.0, np.inf), like=variance)
    return xp.where(unknown > 0, unknown, variance @ as_float(place, like=variance))


def observe(mix: Mixture, y: Any, operator: Any, noise: Any) -> Mixture:
    """The posterior of x given y = A x + e; see ``Mixture.observe``."""
    law, residual = _observation(mix, y, operator, noise)
    means = mix.means + law.gain(residual)[:, :, 0]
    try:
        law.residual.logdet  # noqa: B018
    except NotPositiveDefiniteError:
        raise InputError(
            "expected noise with positive variance, got some that fixes x exactly; use "
            "condition() for values that are known exactly"
        ) from None
    return _make(_log_evidence(mix, law, residual), means, law.residual, mix.columns)


def log_evidence(mix: Mixture, y: Any, operator: Any, noise: Any) -> Any:
    """Log density of y = A x + e; see ``Mixture.log_evidence``."""
    law, residual = _observation(mix, y, operator, noise)
    total = logsumexp(_log_evidence(mix, law, residual))
    return float(total) if is_numpy(total) else total


def _log_evidence(mix: Mixture, law: Law, residual: Array) -> Array:
    delta = law.delta(residual)[:, 0]
    return mix.log_weights - 0.5 * (law.n_observed * LOG_2PI + law.logdet + delta)


def denoise(mix: Mixture, y: Array, noise: Any, return_cov: bool) -> Any:
    """Posterior moments of x given rows y = x + e; see ``Mixture.denoise``."""
    extra = noise_covariance(_denoise_noise(noise, mix.means), mix.d, 1, like=mix.means)
    law = mix.covariance.observe(channel_of(None, extra, mix.d, mix.d))
    xp = namespace(y, mix.means)
    if is_numpy(y):
        reach.check(mix, y)
    n, d, k = y.shape[0], mix.d, mix.k
    size = max(1, (8 * 2**20) // (8 * d * k))
    residual = law.residual.dense() if return_cov else None
    means, covariances = [], []
    for start in range(0, n, size):
        batch = y[start : start + size]
        v = xp.permute_dims(batch[None, :, :] - mix.means[:, None, :], (0, 2, 1))
        logs = mix.log_weights[:, None] - 0.5 * (law.logdet[:, None] + law.delta(v))
        resp = xp.exp(log_softmax(logs, axis=0))  # (k, b)
        each = xp.permute_dims(mix.means[:, :, None] + law.gain(v), (2, 0, 1))  # (b, k, d)
        weighted = xp.permute_dims(resp, (1, 0))[:, :, None] * each
        mean = xp.sum(weighted, axis=1)
        means.append(mean)
        if residual is not None:
            centred = each - mean[:, None, :]
            spread = xp.permute_dims(resp, (1, 0))[:, :, None] * centred
            between = xp.matmul(xp.permute_dims(spread, (0, 2, 1)), centred)
            within = xp.permute_dims(resp, (1, 0)) @ xp.reshape(residual, (k, d * d))
            covariances.append(between + xp.reshape(within, (-1, d, d)))
    mean = xp.concat(means) if means else zeros((0, d), mix.means)
    if residual is None:
        return mean
    return mean, (xp.concat(covariances) if covariances else zeros((0, d, d), mix.means))


def _denoise_noise(noise: Any, like: Array) -> Any:
    """A number is a standard deviation; a vector would be ambiguous."""
    if isinstance(noise, Covariance):
        return noise
    s = as_float(noise, like=like)
    if s.ndim == 1:
        raise InputError(
            "expected noise as one standard deviation or a covariance (d, d), got a vector, which "
            "could mean either standard deviations or variances; pass numpy.diag(variances)"
        )
    if s.ndim == 0:
        if not holds(s > 0):
            raise InputError(f"expected a positive standard deviation, got {float(s)}")
        return s * s
    return s


# ---- draws -----------------------------------------------------------------------------------
def sample(mix: Mixture, n: int, rng: Seed, return_labels: bool, gradient: str) -> Any:
    """Draw rows; see ``Mixture.sample``."""
    try:
        size = operator.index(n)
    except TypeError:
        raise InputError(f"expected a whole number of rows, got {n!r}") from None
    if size < 0:
        raise InputError(f"expected a non-negative number of rows, got {size}")
    draws.check_gradient(gradient, mix)
    generator = random_source(rng, mix.means)
    if not is_numpy(mix.means):
        return draws.sample(mix, size, generator, return_labels, gradient)
    labels = generator.choice(mix.k, size=size, p=np.asarray(mix.weights))
    x = np.empty((size, mix.d))
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.arange(mix.k + 1))
    z = generator.standard_normal((size, mix.d))
    x[order] = mix.covariance.color_rows(z, bounds) + np.asarray(mix.means)[labels[order]]
    return (x, labels) if return_labels else x
