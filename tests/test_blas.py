"""Triangular solves and Gram matrices of rows, against NumPy."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from numpy.testing import assert_allclose

from mixtura.arrays.blas import gram, substitute


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("b", "d"), [(1, 1), (7, 3), (3, 40), (0, 5), (300, 17)])
def test_rows_are_solved_and_multiplied(b, d, dtype):
    rng = np.random.default_rng(0)
    factor = (np.tril(rng.normal(size=(d, d))) + 4 * d**0.5 * np.eye(d)).astype(dtype)
    x = rng.normal(size=(b, d)).astype(dtype)
    garbage = factor + np.triu(rng.normal(size=(d, d)), 1).astype(dtype)  # is not looked at
    tight = 1e-12 if dtype == np.float64 else 1e-5
    given = x.copy()
    z = substitute(garbage, given)
    assert z is given and z.dtype == dtype
    assert_allclose(z @ factor.T, x, rtol=tight, atol=tight)
    product = gram(x)
    assert product.dtype == dtype and not np.triu(product, 1).any()
    assert_allclose(product, np.tril(x.T @ x), rtol=tight, atol=10 * tight)
    if b and d > 1:  # the other triangle's system is another
        with pytest.raises(AssertionError):
            assert_allclose(z @ factor, x, rtol=tight, atol=tight)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_block_of_a_factor_serves(dtype):
    rng = np.random.default_rng(1)
    factor = (np.tril(rng.normal(size=(9, 9))) + 9 * np.eye(9)).astype(dtype)
    x = rng.normal(size=(5, 4)).astype(dtype)
    block = factor[3:7, 3:7]
    assert_allclose(substitute(block, x.copy()), np.linalg.solve(block, x.T).T, rtol=1e-5)


def test_threads_at_once_do_not_mix():
    rng = np.random.default_rng(0)
    factor = np.tril(rng.normal(size=(60, 60))) + 30 * np.eye(60)
    x = rng.normal(size=(8, 500, 60))
    alone = [np.linalg.solve(factor, rows.T).T for rows in x]
    found = x.copy()
    threads = [threading.Thread(target=substitute, args=(factor, rows)) for rows in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_allclose(found, alone, rtol=1e-12, atol=1e-14)


def test_what_it_cannot_take_is_an_error():
    x = np.zeros((4, 3))
    for wrong in (x.T, x.astype(int), np.zeros(3), x[:, ::2]):
        with pytest.raises(TypeError, match="C-contiguous"):
            gram(wrong)
    with pytest.raises(TypeError, match="float64"):
        substitute(np.eye(3, dtype=np.float32), x)
    with pytest.raises(TypeError, match="one after another"):
        substitute(np.eye(3).T[:, ::-1], x)
    with pytest.raises(ValueError, match=r"\(3, 3\)"):
        substitute(np.eye(4), x)
