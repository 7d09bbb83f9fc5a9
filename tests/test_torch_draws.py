"""Draws of tensors: seeds, moments, and gradients through the choice of component."""

from __future__ import annotations

import numpy as np
import pytest

from mixtura import Mixture
from mixtura.errors import InputError
from tests.laws.cases import NAMES, mixture_of

torch = pytest.importorskip("torch")

K, D = 3, 2


def mixture(name="full", k=K, d=D, seed=1):
    """A mixture of tensors."""
    return mixture_of(name, np.random.default_rng(seed), k, d).to("torch")


def test_seeds_and_generators():
    mix = mixture()
    x, labels = mix.sample(20, rng=7, return_labels=True)
    assert x.shape == (20, D)
    assert labels.shape == (20,)
    assert torch.equal(mix.sample(20, rng=7), x)
    assert torch.equal(mix.sample(20, rng=np.random.default_rng(7)), x)
    assert not torch.equal(mix.sample(20, rng=8), x)
    one, other = (mix.sample(20, rng=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, other)
    torch.manual_seed(5)
    one = mix.sample(20)
    torch.manual_seed(5)
    assert torch.equal(mix.sample(20), one)
    assert mix.sample(0).shape == (0, D)
    assert mix.sample(0, gradient="straight-through").shape == (0, D)


@pytest.mark.parametrize("gradient", ["pathwise", "straight-through", "score"])
@pytest.mark.parametrize("name", NAMES)
def test_draws_have_the_mixture_s_moments(name, gradient):
    mix = mixture(name)
    x, labels, *_ = mix.sample(20_000, rng=0, return_labels=True, gradient=gradient)
    spread = torch.linalg.diagonal(mix.cov).sqrt()
    assert ((x.mean(dim=0) - mix.mean).abs() < 5 * spread / 20_000**0.5).all()
    torch.testing.assert_close(torch.cov(x.T), mix.cov, rtol=0.1, atol=0.1)
    share = torch.bincount(labels, minlength=K) / 20_000
    torch.testing.assert_close(share.double(), mix.weights, rtol=0, atol=0.02)
    for j in range(K):
        torch.testing.assert_close(
            torch.cov(x[labels == j].T), mix.covariance.dense()[j], rtol=0.15, atol=0.1
        )


@pytest.mark.parametrize("gradient", ["pathwise", "straight-through", "score"])
@pytest.mark.parametrize("name", ["lowrank", "tied", "diag"])
def test_conditional_draws_have_the_conditional_s_moments(name, gradient):
    law = mixture(name, d=3).conditional([1])
    x = torch.tensor([[-1.0], [0.5]], dtype=torch.float64)
    y = law.sample(x, 20_000, rng=0, gradient=gradient)
    if gradient == "score":
        y, log_choice = y
        assert log_choice.shape == (2, 20_000)
    assert y.shape == (2, 20_000, 2)
    for i in range(2):
        torch.testing.assert_close(y[i].mean(dim=0), law.mean(x)[i], rtol=0.05, atol=0.08)
        torch.testing.assert_close(torch.cov(y[i].T), law.cov(x)[i], rtol=0.1, atol=0.1)
    assert law.sample(x, rng=0).shape == law.bind(x).sample(rng=0).shape == (2, 2)


def test_pathwise_gradient_of_means_counts_the_draws():
    mix = mixture()
    means = mix.means.clone().requires_grad_()
    x, labels = Mixture(mix.weights, means, mix.covariance).sample(50, rng=0, return_labels=True)
    x.sum().backward()
    counts = torch.bincount(labels, minlength=K).double()
    torch.testing.assert_close(means.grad, counts[:, None].expand(K, D))


def test_straight_through_leaves_the_draws_alone():
    mix = mixture()
    x, labels = mix.sample(50, rng=0, return_labels=True, gradient="straight-through")
    distance = mix.covariance.mahalanobis((x[None] - mix.means[:, None]).mT)
    assert distance[labels, torch.arange(50)].max() < 30
    score, again, log_choice = mix.sample(50, rng=0, return_labels=True, gradient="score")
    assert score.shape == (50, D)
    torch.testing.assert_close(log_choice, mix.log_weights[again])


# ---- gradients of expectations -------------------------------------------------------------------
def parameters():
    """Logits, means and Cholesky factors."""
    rng = np.random.default_rng(2)
    factors = 0.4 * rng.standard_normal((K, D, D)) + 0.5 * np.eye(D)
    values = (rng.standard_normal(K), rng.standard_normal((K, D)), factors)
    return [torch.tensor(v, requires_grad=True) for v in values]


def build(logits, means, factors):
    return Mixture(torch.softmax(logits, 0), means, factors @ factors.mT)


Q = torch.tensor([[1.0, 0.5], [-0.3, 2.0]], dtype=torch.float64)
SLOPE = torch.tensor([1.0, -2.0], dtype=torch.float64)


def quadratic(x):
    return ((x @ Q) * x).sum(dim=1) + x @ SLOPE


def expected_quadratic(mix):
    return (Q * mix.cov).sum() + mix.mean @ Q @ mix.mean + SLOPE @ mix.mean


def unbiased(estimate, exact, batches=60):
    """Law: the mean gradient over batches is the exact one, within five standard errors."""
    inputs = parameters()
    mix = build(*inputs)

    def gradients(value):
        found = torch.autograd.grad(value, inputs, retain_graph=True, allow_unused=True)
        pairs = zip(found, inputs, strict=True)
        return [torch.zeros_like(leaf) if slope is None else slope for slope, leaf in pairs]

    drawn = [gradients(estimate(mix, rng)) for rng in range(batches)]
    for i, target in enumerate(gradients(exact(mix))):
        each = torch.stack([g[i] for g in drawn])
        error = each.std(dim=0) / batches**0.5
        assert ((each.mean(dim=0) - target).abs() <= 5 * error + 1e-12).all()


def with_score(mix, rng):
    x, log_choice = mix.sample(2000, rng, gradient="score")
    value = quadratic(x)
    return (value + (value.detach() - value.mean().detach()) * log_choice).mean()


def with_labels(mix, rng):
    x, labels = mix.sample(2000, rng, return_labels=True)
    value = quadratic(x)
    return (value + value.detach() * mix.log_weights[labels]).mean()


def pathwise_only(mix, rng):
    return quadratic(mix.sample(2000, rng)).mean()


@pytest.mark.parametrize("estimate", [with_score, with_labels])
def test_the_score_function_is_unbiased(estimate):
    unbiased(estimate, expected_quadratic)


def test_leaving_out_the_choice_is_rejected():
    with pytest.raises(AssertionError):
        unbiased(pathwise_only, expected_quadratic)


def test_straight_through_is_exact_for_linear_functions():
    unbiased(
        lambda mix, rng: (mix.sample(2000, rng, gradient="straight-through") @ SLOPE).mean(),
        lambda mix: mix.mean @ SLOPE,
    )


def test_straight_through_reaches_the_weights():
    logits, means, factors = parameters()
    x = build(logits, means, factors).sample(100, rng=0, gradient="straight-through")
    quadratic(x).mean().backward()
    for leaf in (logits, means, factors):
        assert leaf.grad.abs().sum() > 0
    logits.grad = None
    quadratic(build(logits, means, factors).sample(100, rng=0)).mean().backward()
    assert logits.grad is None or (logits.grad == 0).all()


@pytest.mark.parametrize("gradient", ["straight-through", "score"])
def test_a_policy_learns_which_component_to_choose(gradient):
    # The reward asks for y near sign(x): the gates must follow x.
    torch.manual_seed(0)
    weights = torch.zeros(2, requires_grad=True)
    means = torch.tensor([[-0.3, -1.0], [0.3, 1.0]], requires_grad=True)
    optimiser = torch.optim.Adam([weights, means], lr=0.05)
    x = torch.linspace(-1, 1, 64)[:, None]
    target = torch.sign(x)

    def reward_of(y):
        return -((y - target) ** 2).sum(dim=-1)

    before = None
    for step in range(80):
        policy = Mixture(torch.softmax(weights, 0), means, 0.1 * torch.ones(2, 2)).conditional([0])
        if gradient == "score":
            y, log_choice = policy.sample(x, rng=step, gradient="score")
            gain = reward_of(y)
            objective = (gain + (gain - gain.mean()).detach() * log_choice).mean()
        else:
            gain = reward_of(policy.sample(x, rng=step, gradient="straight-through"))
            objective = gain.mean()
        before = gain.mean().item() if before is None else before
        optimiser.zero_grad()
        (-objective).backward()
        optimiser.step()
    assert gain.mean().item() > 0.5 * before


# ---- errors --------------------------------------------------------------------------------------
def test_errors_say_what_to_do():
    mix = mixture()
    with pytest.raises(InputError, match="'straight-through', 'score', got 'gumbel'"):
        mix.sample(3, gradient="gumbel")
    with pytest.raises(InputError, match=r'mixture of tensors .* \.to\("torch"\)'):
        mix.to("numpy").sample(3, gradient="score")
    with pytest.raises(InputError, match=r"torch.Generator draws from mix.to"):
        mix.to("numpy").sample(3, rng=torch.Generator())
    with pytest.raises(InputError, match="a seed or a generator of PyTorch or NumPy, got str"):
        mix.sample(3, rng="seven")
