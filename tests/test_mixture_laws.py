"""Densities, derivatives, draws and algebra of mixtures of every structure."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings

from mixtura import Mixture, blend
from tests.laws import algebra, density
from tests.laws.cases import NAMES, Case, cases, lying, mixture_of

PLAIN = Case(seed=5, k=3, d=4)
SOME = ("spherical", "diag", "full", "lowrank", "tied")


def named(law):
    """The name of a law, for test ids."""
    return law.__name__


@pytest.mark.parametrize("law", [*density.LAWS, *algebra.LAWS], ids=named)
@pytest.mark.parametrize("name", NAMES)
@given(case=cases())
def test_law(name, law, case):
    rng = case.rng
    law(mixture_of(name, rng, case.k, case.d), rng)


@pytest.mark.parametrize("law", algebra.SPLIT_LAWS, ids=named)
@pytest.mark.parametrize("name", NAMES)
@given(case=cases(min_d=2))
def test_law_of_given_and_rest(name, law, case):
    rng = case.rng
    law(mixture_of(name, rng, case.k, case.d), rng)


@pytest.mark.parametrize("name", NAMES)
@given(case=cases(max_d=1))
def test_distribution_function(name, case):
    rng = case.rng
    density.distribution(mixture_of(name, rng, case.k, 1), rng)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", [Case(0, 1, 1), Case(1, 3, 2), Case(2, 4, 5)], ids=str)
def test_draws(name, case):
    rng = case.rng
    density.draws(mixture_of(name, rng, case.k, case.d), rng)


@pytest.mark.parametrize("right", NAMES)
@pytest.mark.parametrize("left", NAMES)
@settings(max_examples=5)
@given(case=cases())
def test_products_and_blends(left, right, case):
    rng = case.rng
    one = mixture_of(left, rng, case.k, case.d)
    other = mixture_of(right, rng, 1 + case.k % 3, case.d)
    algebra.products(one, other, rng)
    algebra.blends(blend, one, other, rng)


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_quadrature(name, d):
    rng = np.random.default_rng(11)
    algebra.integrals(mixture_of(name, rng, 2, d), mixture_of(name, rng, 3, d), rng)


# ---- liars -------------------------------------------------------------------------------------
def _flipped_gain(self, columns, values):
    """Condition as if every covariance between given and rest had the other sign."""
    sign = np.ones(self.d)
    sign[columns] = -1
    twisted = Mixture(self.weights, self.means, self.covariance.rescaled(sign))
    mirrored = 2 * self.means[:, columns] - values  # μ − (v − μ)
    honest = Mixture.condition(self, columns, values)
    if self.k == 1:
        return Mixture.condition(twisted, columns, mirrored[0])
    moved = np.stack(
        [
            Mixture.condition(
                Mixture([1.0], self.means[[j]], self.covariance.take([j])), columns, mirrored[j]
            ).means[0]
            for j in range(self.k)
        ]
    )
    return Mixture(honest.weights, moved, honest.covariance)


def _prior_weights(verb):
    def lie(self, *arguments, **keywords):
        honest = getattr(Mixture, verb)(self, *arguments, **keywords)
        return Mixture(self.weights, honest.means, honest.covariance)

    return lie


def _product_without_overlap(self, other):
    honest = Mixture.product(self, other)
    weights = np.outer(self.weights, other.weights).ravel()
    return Mixture(weights, honest.means, honest.covariance)


def _batch_shift(self, X):
    honest = Mixture.log_density(self, X)
    return honest - 1e-8 * np.mean(honest)


def _single_arithmetic(self, X):
    return Mixture.log_density(self, np.asarray(X, np.float32)) + (
        1e-5 if np.asarray(X).dtype == np.float32 else 0
    )


def _first_component_favoured(self, X):
    return np.log(self.weights[0]) + Mixture(
        [1.0], self.means[:1], self.covariance.take([0])
    ).log_density(X)


LIARS = [
    (density.densities, {"log_density": lambda s, X: Mixture.log_density(s, X) + s.d * 0.01}),
    (density.densities, {"responsibilities": lambda s, X: np.full((len(X), s.k), 1 / s.k)}),
    (density.moments, {"cov": property(lambda s: s.covariance.dense().mean(axis=0))}),
    (density.gradients, {"grad_log_density": lambda s, X: -Mixture.grad_log_density(s, X)}),
    (
        density.hessians,
        {
            "hessian_log_density": lambda s, X: (
                -np.einsum("nk,kij->nij", s.responsibilities(X), s.covariance.precision())
            )
        },
    ),
    (
        density.tweedie,
        {
            "denoise": lambda s, y, noise, return_cov=False: Mixture.denoise(
                s, y, noise**2, return_cov
            )
        },
    ),
    (density.tweedie, {"blur": lambda s, noise: Mixture.blur(s, noise**0.5)}),
    (density.rows_alone, {"log_density": _batch_shift}),
    (density.single_rows, {"log_density": _single_arithmetic}),
    (density.permutations, {"log_density": _first_component_favoured}),
    (
        density.draws,
        {
            "sample": lambda s, n, rng=None, return_labels=False: tuple(
                part[np.argsort(labels, kind="stable")]
                for x, labels in [Mixture.sample(s, n, rng, True)]
                for part in (x, labels)
            )
        },
    ),
    (algebra.marginals, {"marginal": lambda s, c: Mixture.marginal(s, sorted(c))}),
    (algebra.blurs, {"blur": lambda s, noise: Mixture.blur(s, np.square(noise))}),
    (algebra.affine_maps, {"affine": lambda s, A, b=None: Mixture.affine(s, A.T, b)}),
    (algebra.bayes, {"observe": _prior_weights("observe")}),
    (
        algebra.bayes,
        {"log_evidence": lambda s, y, A, noise: Mixture.log_evidence(s, y, A, 2 * noise)},
    ),
    (
        algebra.evidence,
        {"log_evidence": lambda s, y, A, noise: Mixture.log_evidence(s, y, A, 2 * noise)},
    ),
    (algebra.chain_rule, {"condition": _flipped_gain}),
    (algebra.chain_rule, {"condition": _prior_weights("condition")}),
    (algebra.blur_elsewhere_commutes, {"condition": _prior_weights("condition")}),
    (algebra.blur_on_given_is_observation, {"observe": _prior_weights("observe")}),
]


@pytest.mark.parametrize(("law", "lies"), LIARS, ids=lambda value: getattr(value, "__name__", ""))
def test_liar_is_rejected(law, lies):
    honest = mixture_of("full", PLAIN.rng, PLAIN.k, PLAIN.d)
    law(honest, np.random.default_rng(8))
    with pytest.raises(AssertionError):
        law(lying(honest, **lies), np.random.default_rng(8))


def test_liar_about_quantiles_is_rejected():
    honest = mixture_of("full", PLAIN.rng, 3, 1)
    density.distribution(honest, PLAIN.rng)
    first = Mixture([1.0], honest.means[:1], honest.covariance.take([0]))
    with pytest.raises(AssertionError):
        density.distribution(lying(honest, quantile=lambda self, q: first.quantile(q)), PLAIN.rng)


@pytest.mark.parametrize("law", algebra.PAIR_LAWS, ids=named)
def test_product_without_overlap_is_rejected(law):
    rng = np.random.default_rng(2)
    one, other = mixture_of("full", rng, 2, 2), mixture_of("full", rng, 2, 2)
    law(one, other, rng)
    with pytest.raises(AssertionError):
        law(lying(one, product=_product_without_overlap), other, rng)


def test_blend_without_weights_is_rejected():
    rng = np.random.default_rng(2)
    one, other = mixture_of("full", rng, 2, 2), mixture_of("full", rng, 2, 2)
    with pytest.raises(AssertionError):
        algebra.blends(lambda parts, weights=None: blend(parts), one, other, rng)


def test_every_law_has_a_liar():
    with_liar = {law for law, _ in LIARS}
    assert with_liar == {*density.LAWS, density.draws, *algebra.LAWS, *algebra.SPLIT_LAWS}
