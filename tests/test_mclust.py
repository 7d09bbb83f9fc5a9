"""Log-likelihoods of mclust at a fixed number of components, from its recorded partitions."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

import mixtura as mx

#: mclust's name of a model -> ours.
MODELS = {"VVV": "full", "EEE": "tied", "VVI": "diag", "VII": "spherical"}
SETS = ("faithful", "iris", "diabetes", "thyroid", "banknote", "ex4_1", "cross", "wdbc10", "wdbc30")


def fit(load, entry, covariance_type, tol, **settings):
    """EM from the recorded partition, to convergence."""
    x = load(entry["file"], entry["columns"]).x
    settings = {"reg_covar": 0, "resp_init": np.array(entry["partition"]) - 1, **settings}
    gm = mx.GaussianMixture(
        entry["G"], covariance_type=covariance_type, tol=tol, max_iter=20_000, **settings
    )
    return x, gm.fit(x)


def agrees(x, gm, expected):
    """Law: log-likelihood and criteria are mclust's to 1e-6."""
    assert_allclose(gm.score(x) * len(x), expected["loglik"], rtol=1e-6)
    # The sign is scikit-learn's: lower is better. mclust's is the opposite.
    assert_allclose(gm.bic(x), -expected["BIC"], rtol=1e-6)
    assert_allclose(gm.aic(x), 2 * expected["df"] - 2 * expected["loglik"], rtol=1e-6)


def test_every_recorded_set_is_tested(mclust_reference):
    assert set(mclust_reference) == set(SETS)
    assert all(set(MODELS) <= set(entry["models"]) for entry in mclust_reference.values())


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", SETS)
def test_log_likelihood_at_a_fixed_number_of_components(name, model, load, mclust_reference):
    entry = mclust_reference[name]
    x, gm = fit(load, entry, MODELS[model], tol=1e-11)
    assert gm.converged_
    assert x.shape == (entry["n"], entry["d"])
    agrees(x, gm, entry["models"][model])


@pytest.mark.parametrize("name", ["faithful", "iris", "diabetes"])
def test_parameters_where_they_are_recorded(name, load, mclust_reference):
    # mclust stopped at 1e-10 of the log-likelihood, flat at its top: parameters are good to 1e-4.
    entry = mclust_reference[name]
    expected = entry["models"]["VVV"]["parameters"]
    _, gm = fit(load, entry, "full", tol=1e-13)
    assert_allclose(gm.weights_, expected["pro"], rtol=1e-4)
    assert_allclose(gm.means_, expected["mean"], rtol=1e-4)
    size = np.abs(expected["sigma"]).max()
    assert_allclose(gm.covariances_, expected["sigma"], rtol=1e-4, atol=1e-4 * size)


@pytest.mark.parametrize(
    ("covariance_type", "settings"),
    [("full", {"reg_covar": 1e-4}), ("tied", {}), ("full", {"resp_init": np.arange(150) % 3})],
    ids=["a floor", "another structure", "another partition"],
)
def test_another_fit_is_rejected(covariance_type, settings, load, mclust_reference):
    entry = mclust_reference["iris"]
    expected = entry["models"]["VVV"]
    agrees(*fit(load, entry, "full", tol=1e-11), expected)
    with pytest.raises(AssertionError):
        agrees(*fit(load, entry, covariance_type, tol=1e-11, **settings), expected)
