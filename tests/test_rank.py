"""Low-rank structures whose components choose their own rank."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

import mixtura as mx
from mixtura.covariance import LowRank, lowrank
from mixtura.errors import InputError


def factors(rng, n, d, r, noise=0.4):
    """Rows of a factor analyser of rank r with strong loadings."""
    loadings = rng.standard_normal((d, r)) * 1.5
    return rng.standard_normal((n, r)) @ loadings.T + noise * rng.standard_normal((n, d))


@pytest.mark.parametrize("many_columns", [False, True])
def test_each_component_gets_its_own_rank(many_columns, rng, monkeypatch):
    if many_columns:
        monkeypatch.setattr(lowrank, "DENSE_COLUMNS", 0)
    truth = [1, 3, 0]
    x = np.concatenate([factors(rng, 400, 15, r) + 12 * i for i, r in enumerate(truth)])
    labels = np.repeat(np.arange(3), 400)
    gm = mx.GaussianMixture(
        3, covariance_type="lowrank", rank="auto", resp_init=labels, reg_covar=0, max_iter=200
    ).fit(x)
    found = gm.mixture_.covariance.loadings.any(axis=1).sum(axis=1)
    assert found.tolist() == truth
    free = sum(15 * r - r * (r - 1) // 2 + 15 for r in truth) + 3 * 15 + 2
    assert_allclose(gm.bic(x), -2 * gm.score(x) * 1200 + free * np.log(1200), rtol=1e-12)
    assert np.diff(gm.trace_).min() > -1e-9
    # The liar: one rank for all costs more.
    for rank in (1, 3):
        same = mx.GaussianMixture(
            3, covariance_type="lowrank", rank=rank, resp_init=labels, reg_covar=0, max_iter=200
        ).fit(x)
        assert gm.bic(x) < same.bic(x)


def test_a_chosen_rank_is_kept_and_survives_saving(rng, tmp_path):
    x = factors(rng, 300, 8, 2)
    gm = mx.GaussianMixture(covariance_type=LowRank("auto"), tol=1e-8, max_iter=500).fit(x)
    assert gm.mixture_.covariance.loadings.any(axis=1).sum() == 2
    mx.save(gm.mixture_, tmp_path / "m.safetensors")
    again = mx.load(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(again.covariance.dense(), gm.mixture_.covariance.dense())
    fixed = mx.GaussianMixture(covariance_type="lowrank", rank=2, tol=1e-8, max_iter=500).fit(x)
    assert_allclose(gm.score(x), fixed.score(x), atol=1e-4)


@pytest.mark.parametrize("rank", [0, -1, "best", 1.5])
def test_a_rank_that_is_none_is_refused(rank):
    with pytest.raises(InputError, match="expected a rank of at least 1, or 'auto'"):
        LowRank(rank)
