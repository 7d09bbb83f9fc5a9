"""Laws of the fit: the M-step is optimal, EM never descends, rows may be visited in any way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.testing import assert_allclose
from scipy.special import logsumexp

from mixtura import Mixture
from mixtura.covariance import Added, Covariance, Structure, TiedCovariance
from mixtura.fit import run
from mixtura.fit.engines import Dense
from mixtura.fit.initialise import model_from_start
from mixtura.fit.model import GaussianModel, gather
from mixtura.sources import Rows
from tests.laws.cases import clusters
from tests.laws.density import log_joint


def brute_force(mix: Mixture, rows: Rows) -> tuple[Any, float]:
    """Weighted responsibilities (n, k) and total log-likelihood, by SciPy, row by row."""
    joint = log_joint(mix, rows.x.astype(np.float64))
    total = logsumexp(joint, axis=1)
    weight = np.ones(rows.n) if rows.weight is None else rows.weight
    return np.exp(joint - total[:, None]) * weight[:, None], float(weight @ total)


def complete_loglik(mix: Mixture, x: Any, resp: Any) -> float:
    """Σ r log wₖ N(x; μₖ, Σₖ): what the M-step maximises."""
    return float(np.sum(resp * log_joint(mix, x)))


# ---- the M-step ----------------------------------------------------------------------------------
def _moved(cov: Covariance, step: float, rng: np.random.Generator | None) -> Covariance:
    """A nearby covariance of the same structure; a common factor where ``rng`` is None."""
    if isinstance(cov, TiedCovariance):
        return TiedCovariance(_moved(cov.shared, step, rng), cov.k)
    moved = {}
    for name, array in cov.parameters().items():
        direction = np.ones(array.shape) if rng is None else rng.standard_normal(array.shape)
        if array.ndim > 1 and array.shape[-1] == array.shape[-2]:
            direction = 0.5 * (direction + direction.swapaxes(-1, -2))  # symmetry is kept
        moved[name] = array * (1 + step * direction)
    return type(cov).from_parameters(moved, cov.k, cov.d)


def nearby(mix: Mixture, rng: np.random.Generator) -> list[Mixture]:
    """Mixtures a small step away, both ways, in weights, means or covariances."""
    found = []
    for step in (1e-4, -1e-4):
        shift = rng.standard_normal(mix.means.shape) * np.sqrt(mix.covariance.diagonal())
        tilt = mix.weights * np.exp(step * rng.standard_normal(mix.k))
        found += [
            Mixture(tilt, mix.means, mix.covariance),
            Mixture(mix.weights, mix.means + step * shift, mix.covariance),
            Mixture(mix.weights, mix.means, _moved(mix.covariance, step, None)),
            Mixture(mix.weights, mix.means, _moved(mix.covariance, step, rng)),
        ]
    return found


def maximise(rule: Structure, x: Any, resp: Any, steps: int = 0) -> Mixture:
    """The mixture that an M-step without a floor gives, after the steps of a start and some."""
    k, d = resp.shape[1], x.shape[1]
    anchor = x.mean(axis=0)
    fitted: Any = None
    for _ in range(rule.start_passes + steps):
        stats = gather(x - anchor, resp, rule.kind(fitted, d), anchor)
        fitted = rule.fit(stats, fitted, Added(0.0))
    model = GaussianModel(np.ones(k) / k, x[:k], fitted, rule, Added(0.0), anchor)
    stats = gather(x - anchor, resp, model.kind, anchor)
    return model.maximise(stats).mixture()


def step_is_optimal(
    rule: Structure, rng: np.random.Generator, k: int, d: int, steps: int = 0
) -> None:
    """No nearby parameters have a greater expected complete log-likelihood."""
    x, _ = clusters(rng, k * (4 * d + 6), k, d)
    resp = rng.dirichlet(np.ones(k), len(x))
    best = maximise(rule, x, resp, steps)
    value = complete_loglik(best, x, resp)
    for _ in range(3):
        for other in nearby(best, rng):
            assert complete_loglik(other, x, resp) <= value + 1e-10 * abs(value)


def step_never_worsens(rule: Structure, rng: np.random.Generator, k: int, d: int) -> None:
    """From any covariance of the structure, a step does not lower the log-likelihood."""
    x, _ = clusters(rng, k * (4 * d + 6), k, d)
    resp = rng.dirichlet(np.ones(k), len(x))
    mix = maximise(rule, x, resp)
    anchor = x.mean(axis=0)
    covariance = _moved(mix.covariance, 0.3, None)
    for _ in range(4):
        before = complete_loglik(Mixture(mix.weights, mix.means, covariance), x, resp)
        stats = gather(x - anchor, resp, rule.kind(covariance, d), anchor)
        covariance = rule.fit(stats, covariance, Added(0.0))
        after = complete_loglik(Mixture(mix.weights, mix.means, covariance), x, resp)
        assert after >= before - 1e-10 * abs(before)


# ---- EM ------------------------------------------------------------------------------------------
def started(
    rule: Structure, rows: Rows, k: int, rng: np.random.Generator, floor: Any = None
) -> GaussianModel:
    """A model from random responsibilities that favour one component per row."""
    resp = rng.dirichlet(np.full(k, 0.3), rows.n)
    return model_from_start(rows, resp, k, rule, Added(0.0) if floor is None else floor)


def never_descends(model: GaussianModel, rows: Rows, engine: Any = None, steps: int = 25) -> None:
    """The trace of log-likelihoods rises, and is that of the models which entered the steps."""
    fit = run(model, rows, engine or Dense(), max_iter=steps, tol=0.0)
    trace = np.array(fit.trace)
    assert len(trace) == fit.n_iter <= steps
    assert (np.diff(trace) >= -1e-9 * np.abs(trace[:-1])).all(), np.diff(trace).min()
    _, first = brute_force(model.mixture(), rows)
    assert_allclose(trace[0], first / rows.total_weight, rtol=1e-8, atol=1e-8)


# ---- engines -------------------------------------------------------------------------------------
def expects(engine: Any, model: GaussianModel, rows: Rows, rtol: float = 1e-7) -> None:
    """Statistics and log-likelihood are those of all rows, each taken once with its weight."""
    stats, loglik, _ = engine.expect(model, rows)
    resp, total = brute_force(model.mixture(), rows)
    x = rows.x.astype(np.float64)
    assert_allclose(loglik, total, rtol=rtol / 100, atol=rtol / 100 * rows.n)
    assert_allclose(stats.mass, resp.sum(axis=0), rtol=rtol / 10, atol=rtol / 1000)
    anchor = x.mean(axis=0)
    plain = gather(x - anchor, resp, model.kind, anchor)
    moved = stats.about(plain.anchor)
    for name in ("mass", "weight", "first", "second"):
        expected = getattr(plain, name)
        size = np.abs(expected).max()
        got = getattr(moved, name)
        assert_allclose(got, expected, rtol=rtol, atol=rtol / 10 * size, err_msg=name)


def same_iterates(
    one: GaussianModel, other: GaussianModel, rows: Rows, engine: Any, its: Any
) -> None:
    """Two starts and two engines that should not differ give the same trace and means."""
    left = run(one, rows, engine, max_iter=12, tol=0.0)
    right = run(other, rows, its, max_iter=12, tol=0.0)
    assert_allclose(left.trace, right.trace, rtol=1e-9, atol=1e-10)
    assert_allclose(left.model.means, right.model.means, rtol=1e-7, atol=1e-8)


def permuted(model: GaussianModel, order: Any) -> GaussianModel:
    """The model with its components in another order."""
    return replace(
        model,
        weights=model.weights[order],
        means=model.means[order],
        covariance=model.covariance.take(list(order)),
    )


def order_is_no_matter(
    model: GaussianModel, rows: Rows, order: Any, permute: Any = permuted
) -> None:
    """Components in another order take the same way, in that order."""
    one = run(model, rows, Dense(), max_iter=12, tol=0.0)
    other = run(permute(model, order), rows, Dense(), max_iter=12, tol=0.0)
    assert_allclose(other.trace, one.trace, rtol=1e-9, atol=1e-10)
    assert_allclose(other.model.means, one.model.means[order], rtol=1e-6, atol=1e-7)
    assert_allclose(other.model.weights, one.model.weights[order], rtol=1e-6, atol=1e-8)
