"""Sequences of greatest likelihood, held against dense linear algebra."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import check_grad
from scipy.stats import norm

from mixtura.errors import InputError
from mixtura.mixture.trajectory import smoothest_sequence, window_matrix

WINDOWS = [(-0.5, 0.0, 0.5), (1.0, -2.0, 1.0), (0.1, -0.4, 0.2, 0.5, 0.3), (0.7,)]


def slopes(sequence, window):
    """The window laid on a sequence (n,) of which the ends repeat, by NumPy."""
    half = len(window) // 2
    return np.correlate(np.pad(sequence, half, mode="edge"), window, mode="valid")


def frames(rng, n, p):
    """Means and variances (n, 2 p) of statics and slopes."""
    return rng.standard_normal((n, 2 * p)), rng.uniform(0.05, 2.0, (n, 2 * p))


def windows_are_correlations(matrix, rng):
    """Law: the matrix of a window lays it on a sequence."""
    for window in WINDOWS:
        for n in (1, 2, 3, 9):
            x = rng.standard_normal(n)
            assert_allclose(matrix(n, window) @ x, slopes(x, window), atol=1e-12)


def solves_the_dense_system(solve, rng):
    """Law: (Wᵀ D⁻¹ W) c = Wᵀ D⁻¹ m, in dense algebra."""
    for window in WINDOWS:
        for n, p in ((1, 1), (2, 1), (15, 3)):
            means, variances = frames(rng, n, p)
            got = solve(means, variances, window)
            assert got.shape == (n, p)
            w = np.vstack([np.eye(n), np.column_stack([slopes(e, window) for e in np.eye(n)])])
            for j in range(p):
                m = np.concatenate([means[:, j], means[:, p + j]])
                d = np.diag(1 / np.concatenate([variances[:, j], variances[:, p + j]]))
                assert_allclose(got[:, j], np.linalg.solve(w.T @ d @ w, w.T @ d @ m), atol=1e-10)


def is_most_likely(solve, rng):
    """Law: no sequence nearby has a greater likelihood, and the gradient there is zero."""
    window = WINDOWS[0]
    means, variances = frames(rng, 12, 1)

    def log_likelihood(c):
        both = np.concatenate([c, slopes(c, window)])
        return norm.logpdf(both, means.T.ravel(), np.sqrt(variances.T.ravel())).sum()

    best = solve(means, variances, window)[:, 0]
    for scale in (1e-3, 0.1, 1.0):
        near = best + scale * rng.standard_normal((20, 12))
        assert all(log_likelihood(c) < log_likelihood(best) for c in near)
    assert check_grad(log_likelihood, lambda c: np.zeros(12), best) < 1e-4


def test_windows():
    windows_are_correlations(window_matrix, np.random.default_rng(0))


def test_windows_that_forget_the_ends_are_rejected():
    def inside(n, window):
        half = len(window) // 2
        return sum(v * np.eye(n, k=o) for o, v in zip(range(-half, half + 1), window, strict=True))

    with pytest.raises(AssertionError):
        windows_are_correlations(inside, np.random.default_rng(0))


@pytest.mark.parametrize("law", [solves_the_dense_system, is_most_likely])
def test_sequence(law):
    law(smoothest_sequence, np.random.default_rng(1))


@pytest.mark.parametrize("law", [solves_the_dense_system, is_most_likely])
@pytest.mark.parametrize(
    "lie",
    [
        lambda means, variances, window: means[:, : means.shape[1] // 2],
        lambda means, variances, window: smoothest_sequence(means, 1 / variances, window),
        lambda means, variances, window: smoothest_sequence(means, variances, window[::-1]),
    ],
    ids=["frame-wise means", "precisions for variances", "window reversed"],
)
def test_liars_are_rejected(law, lie):
    with pytest.raises(AssertionError):
        law(lie, np.random.default_rng(1))


def test_certain_slopes_give_their_integral():
    t = np.linspace(0, 1, 50)
    truth = np.sin(2 * np.pi * t)
    means = np.column_stack([truth + 0.3 * (-1.0) ** np.arange(50), slopes(truth, WINDOWS[0])])
    variances = np.column_stack([np.full(50, 0.1), np.full(50, 1e-6)])
    got = smoothest_sequence(means, variances, WINDOWS[0])[:, 0]
    assert np.abs(np.diff(got, 2)).max() < 0.1 * np.abs(np.diff(means[:, 0], 2)).max()
    assert np.abs(got - truth).mean() < 0.2


def test_long_sequences_stay_sparse():
    means, variances = frames(np.random.default_rng(0), 20_000, 1)
    got = smoothest_sequence(means, variances, WINDOWS[0])
    # Frames are coupled over a few neighbours: the middle does not feel the ends.
    part = smoothest_sequence(means[9000:11000], variances[9000:11000], WINDOWS[0])
    assert_allclose(got[9900:10100], part[900:1100], atol=1e-8)


def test_refusals():
    means, variances = frames(np.random.default_rng(0), 5, 2)
    with pytest.raises(InputError, match=r"even number of outputs.* got 3"):
        smoothest_sequence(means[:, :3], variances[:, :3], WINDOWS[0])
    for window in ((-1.0, 1.0), ()):
        with pytest.raises(InputError, match=f"odd length.* got {len(window)}"):
            smoothest_sequence(means, variances, window)
    for window in ((0.0, np.nan, 0.0), ("a", 0.0, 1.0)):
        with pytest.raises(InputError, match="finite numbers"):
            smoothest_sequence(means, variances, window)
