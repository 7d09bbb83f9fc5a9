"""Laws of one covariance, held against dense linear algebra."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.testing import assert_allclose

from mixtura.channels import Diagonal, Linear
from mixtura.covariance import Covariance

RTOL = 1e-8


def close(got: Any, expected: Any, rtol: float = RTOL) -> None:
    """Equal to ``rtol`` of the largest number in sight."""
    expected = np.asarray(expected)
    size = float(np.abs(expected).max(initial=0.0)) or 1.0
    assert_allclose(got, expected, rtol=rtol, atol=rtol * size)


def matrices(cov: Covariance) -> Any:
    """The matrices as ``matmul`` gives them: the definition of the representation."""
    return cov.matmul(np.broadcast_to(np.eye(cov.d), (cov.k, cov.d, cov.d)))


def whitening(cov: Covariance, rng: np.random.Generator) -> None:
    """‖whiten(v)‖² = vᵀ Σ⁻¹ v, and ``mahalanobis`` says the same."""
    v = rng.standard_normal((cov.k, cov.d, 3))
    z = cov.whiten(v)
    expected = np.einsum("kdp,kdp->kp", v, np.linalg.solve(matrices(cov), v))
    close(np.sum(z * z, axis=1), expected)
    close(cov.mahalanobis(v), expected)


def coloring(cov: Covariance, rng: np.random.Generator) -> None:
    """``color`` inverts ``whiten``, and gives unit noise the covariance Σ."""
    v = rng.standard_normal((cov.k, cov.d, 3))
    close(cov.color(cov.whiten(v)), v)
    root = cov.color(np.broadcast_to(np.eye(cov.d), (cov.k, cov.d, cov.d)))
    close(root @ root.swapaxes(1, 2), matrices(cov))


def log_determinant(cov: Covariance, rng: np.random.Generator) -> None:
    """``logdet`` is log |Σ|."""
    sign, expected = np.linalg.slogdet(matrices(cov))
    assert (sign > 0).all()
    assert_allclose(cov.logdet, expected, rtol=0, atol=1e-9 * max(1.0, np.abs(expected).max()))


def matrix_views(cov: Covariance, rng: np.random.Generator) -> None:
    """Dense matrices, variances, inverses and solutions belong to the same Σ."""
    sigma = matrices(cov)
    assert cov.dense().shape == (cov.k, cov.d, cov.d)
    close(cov.dense(), sigma, 1e-12)
    close(cov.diagonal(), np.einsum("kii->ki", sigma), 1e-12)
    close(sigma, sigma.swapaxes(1, 2), 1e-12)
    v = rng.standard_normal((cov.k, cov.d, 2))
    close(cov.solve(v), np.linalg.solve(sigma, v))
    close(cov.precision(), np.linalg.inv(sigma))


def parts(cov: Covariance, rng: np.random.Generator) -> None:
    """Columns, components, scalings and linear images are those of the dense matrices."""
    sigma, k, d = cov.dense(), cov.k, cov.d
    columns = list(rng.permutation(d)[: rng.integers(1, d + 1)])
    close(cov.select(columns).dense(), sigma[:, columns][:, :, columns], 1e-12)
    components = list(rng.integers(0, k, size=k + 1))
    close(cov.take(components).dense(), sigma[components], 1e-12)
    close(cov.scaled(2.5, 0.5).dense(), 2.5 * sigma + 0.5 * np.eye(d), 1e-12)
    factors = rng.uniform(0.2, 3.0, d)
    close(cov.rescaled(factors).dense(), sigma * factors * factors[:, None], 1e-12)
    operators = [rng.standard_normal((2, d)), np.eye(d)[columns] * 1.5, 2 * np.eye(d)[::-1]]
    for a in operators:
        close(cov.linear(a).dense(), a @ sigma @ a.T, 1e-11)


def round_trip(cov: Covariance, rng: np.random.Generator) -> None:
    """``from_parameters`` inverts ``parameters``, exactly."""
    again = type(cov).from_parameters(cov.parameters(), cov.k, cov.d)
    assert (again.k, again.d, again.n_parameters()) == (cov.k, cov.d, cov.n_parameters())
    np.testing.assert_array_equal(again.dense(), cov.dense())


def forms_agree(cov: Covariance, rng: np.random.Generator) -> None:
    """The quadratic and the guarded kernel both give c − ½ (x − μ)ᵀ Σ⁻¹ (x − μ)."""
    means, const = 2 * rng.standard_normal((cov.k, cov.d)), rng.standard_normal(cov.k)
    x = 2 * rng.standard_normal((7, cov.d))
    v = (x[None] - means[:, None]).swapaxes(1, 2)
    expected = np.einsum("kdn,kdn->nk", v, np.linalg.solve(cov.dense(), v))
    kept = x.copy()
    for guarded in (False, True, None):
        form = cov.form(means, const, np.float64, guarded=guarded)
        close(form.log_joint(x), const - 0.5 * expected, 1e-9)
        np.testing.assert_array_equal(x, kept)


def _mixed_channel(rng: np.random.Generator, d: int) -> Diagonal:
    """Noise of different variance per cell, some cells exact, some missing, never all."""
    variance = rng.uniform(0.1, 2.0, d)
    variance[rng.random(d) < 0.2] = 0.0
    variance[rng.random(d) < 0.4] = np.inf
    variance[rng.integers(d)] = 0.7
    return Diagonal(variance)


def observing(cov: Covariance, rng: np.random.Generator) -> None:
    """``observe`` gives the Gaussian law of x given y = A x + e."""
    sigma, d = cov.dense(), cov.d
    cells = _mixed_channel(rng, d)
    selector = np.eye(d)[cells.observed]
    root = rng.standard_normal((2, 2))
    channels = [
        (cells, selector, np.diag(cells.variance[cells.observed])),
        (Diagonal(np.full(d, 0.4)), np.eye(d), 0.4 * np.eye(d)),
        (Linear(rng.standard_normal((2, d)), root @ root.T + 0.2 * np.eye(2)), None, None),
    ]
    for channel, a, s in channels:
        if a is None:
            a, s = channel.operator, channel.noise
        law = cov.observe(channel)
        evidence = a @ sigma @ a.T + s
        gain = np.linalg.solve(evidence, a @ sigma).swapaxes(1, 2)
        v = rng.standard_normal((cov.k, len(a), 3))
        assert law.n_observed == len(a)
        close(law.evidence.dense(), evidence)
        close(law.logdet, np.linalg.slogdet(evidence)[1])
        close(law.delta(v), np.einsum("kpb,kpb->kb", v, np.linalg.solve(evidence, v)))
        close(law.gain(v), gain @ v)
        close(law.residual.dense(), sigma - gain @ (a @ sigma))


def conditioning(cov: Covariance, rng: np.random.Generator) -> None:
    """``conditional`` gives the regression and the Schur complement, given columns in any order."""
    if cov.d < 2:
        return
    order = rng.permutation(cov.d)
    cut = int(rng.integers(1, cov.d))
    given, rest = list(order[:cut]), sorted(order[cut:])
    gain, residual = cov.conditional(given, rest)
    sigma = cov.dense()
    block, cross = sigma[:, given][:, :, given], sigma[:, given][:, :, rest]
    expected = np.linalg.solve(block, cross).swapaxes(1, 2)
    v = rng.standard_normal((cov.k, cut, 2))
    close(gain(v), expected @ v)
    close(residual.dense(), sigma[:, rest][:, :, rest] - expected @ cross)


def adding(plus: Any, a: Covariance, b: Covariance) -> None:
    """``plus`` is Σ + Σ'."""
    close(plus(a, b).dense(), a.dense() + b.dense(), 1e-12)


def fusing(fuse: Any, a: Covariance, b: Covariance) -> None:
    """``fuse`` is (Σ⁻¹ + Σ'⁻¹)⁻¹."""
    expected = np.linalg.inv(np.linalg.inv(a.dense()) + np.linalg.inv(b.dense()))
    close(fuse(a, b).dense(), expected, 1e-7)


def stacking(stack: Any, a: Covariance, b: Covariance) -> None:
    """``stack`` lists the components of both, in order."""
    both = stack([a, b])
    assert both.k == a.k + b.k
    close(both.dense(), np.concatenate([a.dense(), b.dense()]), 1e-12)


#: Laws of every covariance.
LAWS = (
    whitening,
    coloring,
    log_determinant,
    matrix_views,
    parts,
    forms_agree,
    observing,
    conditioning,
)
