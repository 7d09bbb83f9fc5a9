"""Laws of reduction: moments are kept, and the bound is one."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.testing import assert_allclose

from mixtura import Mixture
from tests.laws.algebra import close, grid, integrate, same


def keeps_moments(reduce: Any, mix: Mixture) -> None:
    """Mean and covariance of the mixture are those of the reduced one, at every k."""
    for k in range(1, mix.k + 1):
        smaller = reduce(mix, k)
        assert smaller.k == k
        close(smaller.mean, mix.mean, 1e-9)
        close(smaller.cov, mix.cov, 1e-9)


def identity_at_k(reduce: Any, mix: Mixture) -> None:
    """As many components as there are: nothing changes."""
    same(reduce(mix, mix.k), mix, 1e-12)


def single(reduce: Any, mix: Mixture) -> None:
    """One component: the Gaussian of the mixture's moments."""
    one = reduce(mix, 1)
    close(one.means[0], mix.mean)
    close(one.covariance.dense()[0], mix.cov)


def order_free(reduce: Any, mix: Mixture) -> None:
    """The order of components does not matter."""
    k = max(1, mix.k - 2)
    one, other = reduce(mix, k), reduce(mix.relabel(list(range(mix.k))[::-1]), k)
    x = mix.sample(20, rng=0)
    close(one.log_density(x), other.log_density(x), 1e-7)


def undoes_a_split(reduce: Any, mix: Mixture) -> None:
    """Components given in two parts are found and put together."""
    order = [*range(mix.k), *range(mix.k)]
    weights = np.concatenate([0.3 * mix.weights, 0.7 * mix.weights])
    doubled = Mixture(weights, mix.means[order], mix.covariance.take(order))
    x = mix.sample(20, rng=0)
    close(reduce(doubled, mix.k).log_density(x), mix.log_density(x), 1e-7)


def bounded(reduction: Any, mix: Mixture) -> None:
    """KL(original‖reduced), by quadrature in one column, is at most the bound."""
    axes, x = grid([mix], 6001)
    log_p = mix.log_density(x)
    last = np.inf
    for k in range(1, mix.k + 1):
        answer = reduction(mix, k)
        log_q = answer.mixture.log_density(x)
        truth = integrate(np.exp(log_p) * (log_p - log_q), axes)
        assert truth <= answer.bound + 1e-9
        assert answer.bound <= last + 1e-9
        last = answer.bound


def best_pair(reduce: Any, mix: Mixture) -> None:
    """Down to one fewer, the bound is the least over all pairs, tried one by one."""
    w, means, cov = mix.weights, mix.means, mix.covariance.dense()
    costs = {}
    for i, j in product(range(mix.k), repeat=2):
        if i < j:
            pair = Mixture(w[[i, j]], means[[i, j]], cov[[i, j]])
            logs = [np.linalg.slogdet(m)[1] for m in (pair.cov, cov[i], cov[j])]
            costs[i, j] = 0.5 * ((w[i] + w[j]) * logs[0] - w[i] * logs[1] - w[j] * logs[2])
    answer = reduce(mix, mix.k - 1)
    assert answer.bound <= min(costs.values()) * (1 + 1e-9) + 1e-12
    assert_allclose(_cost(mix, answer), answer.bound, rtol=1e-9, atol=1e-12)


def _cost(mix: Mixture, answer: Any) -> float:
    """½ (Σ W log|S| − Σ w log|Σ|) of the groups."""
    q = answer.mixture
    own = np.linalg.slogdet(mix.covariance.dense())[1]
    merged = np.linalg.slogdet(q.covariance.dense())[1]
    return float(0.5 * (q.weights @ merged - mix.weights @ own))


#: Laws of ``reduce``.
LAWS = (keeps_moments, identity_at_k, single, order_free, undoes_a_split)
