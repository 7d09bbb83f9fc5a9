"""Block-diagonal covariances: the exact M-step, and blocks that are given or found."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import block_diag
from scipy.sparse.csgraph import connected_components

import mixtura as mx
from mixtura.covariance import Block
from mixtura.covariance.block import found_blocks, labels_of
from mixtura.errors import InputError


def matrix_of(rng, sizes):
    """A covariance of strongly linked blocks."""
    return block_diag(*(0.6 + 0.4 * np.eye(size) + 0.2 * rng.random() for size in sizes))


def same_partition(a, b):
    """Whether two labellings of columns say the same groups."""
    return np.array_equal(a[:, None] == a, b[:, None] == b)


def test_a_given_partition_is_a_product_of_smaller_mixtures_laws(rng):
    # With one component the blocks are independent: their separate fits are the joint one.
    x = rng.multivariate_normal(np.zeros(5), np.cov(rng.standard_normal((5, 9))), 300)
    gm = mx.GaussianMixture(covariance_type=Block([[0, 3], [1, 2, 4]]), reg_covar=0).fit(x)
    apart = [mx.GaussianMixture(reg_covar=0).fit(x[:, block]) for block in ([0, 3], [1, 2, 4])]
    parts = [g.score_samples(x[:, b]) for g, b in zip(apart, ([0, 3], [1, 2, 4]), strict=True)]
    assert_allclose(gm.score_samples(x), sum(parts), rtol=1e-10)
    joint = mx.GaussianMixture(reg_covar=0).fit(x).score_samples(x)
    assert not np.allclose(gm.score_samples(x), joint, rtol=1e-3)  # the liar: no blocks


@pytest.mark.parametrize("sizes", [(2, 3), (1, 1, 4), (6,), (1, 1, 1)])
def test_blocks_are_found(sizes, rng):
    sigma = matrix_of(rng, sizes)
    order = rng.permutation(len(sigma))
    truth = np.repeat(np.arange(len(sizes)), sizes)[order]
    x = rng.multivariate_normal(np.zeros(len(sigma)), sigma, 800)[:, order]
    assert same_partition(found_blocks(np.cov(x.T, ddof=0), 800.0), truth)
    # With very few rows links are not worth their parameters.
    assert len(set(found_blocks(np.cov(x[:4].T, ddof=0) + np.eye(len(sigma)), 4.0))) >= len(sizes)


def test_components_have_blocks_of_their_own_and_bic_counts_them(rng):
    a, b = matrix_of(rng, (2, 2)), matrix_of(rng, (3, 1))
    x = np.concatenate(
        [
            rng.multivariate_normal(np.zeros(4), a, 400),
            rng.multivariate_normal(np.full(4, 9), b, 400),
        ]
    )
    gm = mx.GaussianMixture(2, covariance_type="block", resp_init=np.repeat([0, 1], 400)).fit(x)
    labels = labels_of(gm.covariances_)
    assert same_partition(labels[0], np.array([0, 0, 1, 1]))
    assert same_partition(labels[1], np.array([0, 0, 0, 1]))
    free = (3 + 3) + (6 + 1) + 2 * 4 + 1
    assert_allclose(gm.bic(x), -2 * gm.score(x) * 800 + free * np.log(800), rtol=1e-12)
    full = mx.GaussianMixture(2, resp_init=np.repeat([0, 1], 400)).fit(x)
    assert gm.bic(x) < full.bic(x)


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([[0, 1], [1, 2]], "column 1 twice"),
        ([[0, 1], []], "expected blocks of column positions"),
        ([[0, -1], [1, 2]], "expected blocks of column positions"),
        ([[0, 1]], r"cover all 3 columns, got none for 2"),
        ([[0, 1], [2, 3]], r"columns 0 to 2, got column 3"),
    ],
)
def test_a_partition_that_is_none_is_refused(blocks, message, rng):
    with pytest.raises(InputError, match=message):
        mx.GaussianMixture(covariance_type=Block(blocks)).fit(rng.standard_normal((20, 3)))


@pytest.mark.parametrize("chained", [False, True])
def test_blocks_are_columns_that_are_linked(chained):
    # Of a chain only neighbours are linked by cells; all of it is one block none the less.
    rng = np.random.default_rng(5)
    order = rng.permutation(7)
    blocks = np.array([0, 0, 0, 0, 0, 1, 2])
    matrix = (blocks[:, None] == blocks) * rng.uniform(0.1, 1.0, (7, 7))
    if chained:
        matrix[np.abs(np.subtract.outer(np.arange(7), np.arange(7))) > 1] = 0.0
    matrix = (matrix + matrix.T)[order][:, order]
    expected = connected_components(matrix, directed=False)[1]
    assert_array_equal(labels_of(np.stack([matrix, np.eye(7)])), [expected, np.arange(7)])
    naive = np.unique((matrix != 0).argmax(axis=1), return_inverse=True)[1]
    assert np.array_equal(naive, expected) is not chained  # the liar: the first link is the block
