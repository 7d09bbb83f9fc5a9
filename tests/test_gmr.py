"""Conditionals that gmr computed from mclust's mixtures, to 1e-9."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from mixtura import Mixture

CONDITIONALS = ("faithful|given[0]", "faithful|given[1]", "diabetes|given[0]")


@pytest.fixture
def joint(mclust_reference):
    """The joint mixture of a data set, and its columns."""

    def make(name):
        entry = mclust_reference[name]
        parameters = entry["models"]["VVV"]["parameters"]
        columns = entry["columns"]
        return Mixture(
            parameters["pro"], parameters["mean"], np.array(parameters["sigma"]), columns=columns
        )

    return make


def test_every_recorded_conditional_is_tested(conditional_reference):
    assert set(conditional_reference) == set(CONDITIONALS)


@pytest.mark.parametrize("by_name", [False, True])
@pytest.mark.parametrize("key", CONDITIONALS)
def test_conditional_is_gmr_s(key, by_name, joint, conditional_reference):
    expected = conditional_reference[key]
    mix = joint(key.partition("|")[0])
    given = expected["given_columns_0based"]
    columns = [mix.columns[j] for j in given] if by_name else given
    assert len(expected["at"]) == 3
    for at in expected["at"]:
        got = mix.condition(columns, at["x"])
        assert got.columns == tuple(c for j, c in enumerate(mix.columns) if j not in given)
        assert_allclose(got.weights, at["weights"], rtol=1e-9, atol=1e-12)
        assert_allclose(got.means, at["means"], rtol=1e-9)
        assert_allclose(got.covariance.dense(), at["covariances"], rtol=1e-9)
        assert_allclose(got.mean, at["mixture_mean"], rtol=1e-9)
        assert_allclose(got.cov, at["mixture_covariance"], rtol=1e-9)


def test_weights_of_the_joint_are_not_the_conditional_s(joint, conditional_reference):
    # The liar: conditioning that leaves the weights alone.
    expected = conditional_reference[CONDITIONALS[0]]
    mix = joint("faithful")
    for at in expected["at"]:
        assert np.abs(mix.weights - at["weights"]).max() > 1e-3
