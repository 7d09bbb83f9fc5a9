"""The lowest floor: triangular systems beside their reference, linear algebra, threads, rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import solve_triangular as reference
from scipy.special import logsumexp as reference_logsumexp

from mixtura.arrays import linalg, parallel
from mixtura.arrays.namespace import as_float, freeze
from mixtura.arrays.triangular import MANY, SMALL, solve_lower, solve_lower_adjoint
from mixtura.sources import Rows


def factors_of(rng, m, d):
    """Lower triangular matrices (m, d, d), with rubbish above the diagonal."""
    return rng.standard_normal((m, d, d)) / max(d, 1) + 2 * np.eye(d)


def solves(kernel, factor, b, adjoint):
    """Law: the solution of L x = b, or of Lᵀ x = b, for each matrix, and b is left alone."""
    kept = b.copy()
    got = kernel(factor, b)
    expected = np.stack(
        [reference(m, v, lower=True, trans=int(adjoint)) for m, v in zip(factor, b, strict=True)]
    )
    assert_allclose(got, expected, rtol=1e-10, atol=1e-12)
    assert_array_equal(b, kept)


@pytest.mark.parametrize(("kernel", "adjoint"), [(solve_lower, False), (solve_lower_adjoint, True)])
@given(seed=st.integers(0, 999), m=st.integers(1, 80), d=st.integers(1, 9), p=st.integers(1, 5))
def test_substitution(kernel, adjoint, seed, m, d, p):
    rng = np.random.default_rng(seed)
    solves(kernel, factors_of(rng, m, d), rng.standard_normal((m, d, p)), adjoint)


def test_substitution_in_the_wrong_direction_is_rejected():
    rng = np.random.default_rng(0)
    with pytest.raises(AssertionError):
        solves(solve_lower, factors_of(rng, 2, 4), rng.standard_normal((2, 4, 3)), True)


@pytest.mark.parametrize("adjoint", [False, True])
@pytest.mark.parametrize("d", [1, 4, 32, 129])
@pytest.mark.parametrize("many", [False, True])
def test_triangular_solutions_by_either_way(d, many, adjoint):
    rng = np.random.default_rng(0)
    m = MANY * d + 1 if many and 3 * d * d <= SMALL else 2
    factor, b = factors_of(rng, m, d), rng.standard_normal((m, d, 3))
    solves(lambda f, v: linalg.solve_triangular(f, v, adjoint=adjoint), factor, b, adjoint)
    one = linalg.solve_triangular(factor[:1], b, adjoint=adjoint)  # one factor for all
    assert_allclose(one[1], reference(factor[0], b[1], lower=True, trans=int(adjoint)), rtol=1e-10)
    assert linalg.solve_triangular(factor, b[:, :, :0]).shape == (m, d, 0)


@given(seed=st.integers(0, 999), scale=st.sampled_from([1.0, 1e3, 1e6]))
def test_logsumexp(seed, scale):
    a = scale * np.random.default_rng(seed).standard_normal((4, 5))
    a[0, 0] = -np.inf
    a[1] = -np.inf
    assert_allclose(linalg.logsumexp(a), reference_logsumexp(a, axis=1), rtol=1e-13)
    assert_allclose(linalg.logsumexp(a, axis=0), reference_logsumexp(a, axis=0), rtol=1e-13)


def test_floats_keep_or_take_their_type():
    single = np.ones(3, np.float32)
    assert as_float(single).dtype == np.float64
    assert as_float(single, keep_single=True) is single
    assert as_float([1, 2]).dtype == np.float64
    assert as_float(np.ones(3, bool)).dtype == np.float64


def test_frozen_arrays_are_copies_of_writeable_ones():
    array = np.ones(3)
    frozen = freeze(array)
    array[0] = 5
    assert frozen[0] == 1
    assert not frozen.flags.writeable
    assert freeze(frozen) is frozen


# ---- threads -----------------------------------------------------------------------------------
@pytest.mark.parametrize(("n", "size"), [(1, 10), (10, 1), (1000, 7), (1000, 1000), (1000, 999)])
def test_batches_cover_every_row_once(n, size, monkeypatch):
    monkeypatch.setattr(parallel, "n_workers", lambda: 3)
    seen = np.zeros(n, int)
    widths = []

    def work(start, stop):
        seen[start:stop] += 1
        widths.append(stop - start)

    parallel.each_batch(work, n, size)
    assert (seen == 1).all()
    assert max(widths) <= size


class Trouble(Exception):
    """What a worker raises."""


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_of_a_worker_reaches_the_caller_and_leaves_the_limits(workers, monkeypatch):
    from threadpoolctl import threadpool_info, threadpool_limits

    def limits():
        return [(lib["filepath"], lib["num_threads"]) for lib in threadpool_info()]

    monkeypatch.setattr(parallel, "n_workers", lambda: workers)

    def work(start, stop):
        if start >= 500:
            raise Trouble(f"rows {start} to {stop}")

    for limit in (1, 2):
        with threadpool_limits(limit, user_api="blas"):
            before = limits()
            with pytest.raises(Trouble, match="rows 5"):
                parallel.each_batch(work, 1000, 10)
            assert limits() == before


def test_a_fit_that_fails_in_a_worker_says_why_and_leaves_the_limits(monkeypatch):
    from threadpoolctl import threadpool_info

    import mixtura as mx
    from mixtura.fit.model import GaussianView

    def fail(self, resp):
        raise Trouble("in a thread")

    monkeypatch.setattr(GaussianView, "statistics", fail)
    before = [lib["num_threads"] for lib in threadpool_info()]
    with pytest.raises(Trouble, match="in a thread"):
        mx.GaussianMixture(2).fit(np.random.default_rng(0).normal(size=(50_000, 2)))
    assert [lib["num_threads"] for lib in threadpool_info()] == before


def test_workers_respect_the_limit_of_the_caller():
    from threadpoolctl import threadpool_limits

    assert parallel.n_workers() >= 1
    with threadpool_limits(1, user_api="blas"):
        assert parallel.n_workers() == 1


# ---- rows --------------------------------------------------------------------------------------
@pytest.mark.parametrize("offset", [0.0, 1e12])
@pytest.mark.parametrize("weighted", [False, True])
def test_moments_of_rows(weighted, offset):
    rng = np.random.default_rng(0)
    x = offset + rng.standard_normal((500, 3))
    weight = rng.uniform(0, 2, 500) if weighted else None
    rows = Rows(x, weight)
    near = x - offset
    mean = np.average(near, axis=0, weights=weight)
    assert_allclose(rows.mean() - offset, mean, atol=1e-12 + np.spacing(offset))
    variance = np.average((near - mean) ** 2, axis=0, weights=weight)
    assert_allclose(rows.variance(), variance, rtol=1e-6 if offset else 1e-12)
    assert rows.total_weight == pytest.approx(500 if weight is None else weight.sum())


def test_batches_of_rows_share_their_memory():
    weight = np.array([0.0, 1, 2, 0, 1])
    rows = Rows(np.arange(10.0).reshape(5, 2), weight, labels=np.arange(5))
    batches = list(rows.batches(2))
    assert [batch.n for batch in batches] == [2, 2, 1]
    assert_array_equal(np.concatenate([b.x for b in batches]), rows.x)
    assert_array_equal(np.concatenate([b.weight for b in batches]), weight)
    assert_array_equal(np.concatenate([b.labels for b in batches]), np.arange(5))
    assert np.shares_memory(batches[0].x, rows.x)
    assert (rows.n, rows.d, rows.n_present) == (5, 2, 3)
