"""Checks before a fit: columns without information of their own are named, extreme scales pass."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixtura.errors import InputError
from mixtura.fit.checks import check_rows


def names(x):
    return [f"c{j}" for j in range(x.shape[1])]


def check(x, covariance="auto", **options):
    check_rows(x, names(x), covariance, **options)


def refusal(x, covariance="auto", **options):
    with pytest.raises(InputError) as caught:
        check(x, covariance, **options)
    return str(caught.value)


def test_too_few_rows(rng):
    assert "at least 2 rows, got 1" in refusal(rng.normal(size=(1, 3)))
    message = refusal(rng.normal(size=(4, 3)), n_components=5)
    assert "got 4 rows for 5 components" in message
    assert "at most 4" in message


def test_constant_columns_are_named(rng):
    x = np.column_stack([rng.normal(size=50), np.full(50, 3.5), rng.normal(size=50)])
    message = refusal(x, "diag")
    assert "a constant column (c1 = 3.5)" in message
    assert message.endswith("--columns c0,c2")


def test_equal_rows():
    assert "20 equal rows (c0 = 1, c1 = 1)" in refusal(np.ones((20, 2)))
    assert "20 times the same value" in refusal(np.ones((20, 1)))


def test_copies_are_found_even_with_few_rows(rng):
    x = rng.normal(size=(10, 30))
    x[:, 17] = x[:, 4]
    message = refusal(x)
    assert "'c17' repeats 'c4'" in message
    assert "c17" not in message.split("--columns")[1]


def test_combinations_are_named(rng):
    x = rng.normal(size=(200, 4)) * [1e-3, 1, 1e3, 1]
    x = np.column_stack([x, 3 * x[:, 1] - 0.5 * x[:, 2] + 7])
    message = refusal(x, "full")
    assert "'c4' follows from 'c1', 'c2' exactly" in message
    assert "--columns c0,c1,c2,c3" in message
    assert "--covariance diag" in message


@pytest.mark.parametrize("covariance", ["diag", "spherical"])
def test_structures_without_correlations_take_collinear_columns(rng, covariance):
    x = rng.normal(size=(200, 2))
    check(np.column_stack([x, x[:, 0]]), covariance)


@pytest.mark.parametrize("covariance", ["auto", "full", "tied", "lowrank"])
def test_structures_with_correlations_refuse_them(rng, covariance):
    x = rng.normal(size=(200, 2))
    assert "repeats" in refusal(np.column_stack([x, x[:, 0]]), covariance)


def test_collinear_in_a_sample_only_is_accepted(rng):
    # Columns agree on all rows but the last: a sample of the rows would say that they are one.
    x = rng.normal(size=(90_000, 2))
    x = np.column_stack([x, x.sum(axis=1)])
    refusal(x)
    x[-2, 2] += 1.0
    check(x)


def test_columns_that_rarely_vary_are_accepted(rng):
    rare = np.zeros(90_000)
    rare[77] = 1.0
    check(np.column_stack([rng.normal(size=90_000), rare]))


@given(
    exponents=st.lists(st.integers(-6, 6), min_size=2, max_size=5),
    offsets=st.lists(st.sampled_from([0.0, 1.0, -1e3, 1e6]), min_size=5, max_size=5),
    seed=st.integers(0, 10_000),
)
def test_scales_and_offsets_do_not_matter(exponents, offsets, seed):
    scale = 10.0 ** np.array(exponents)
    shift = np.array(offsets)[: len(scale)]
    z = np.random.default_rng(seed).normal(size=(60, len(scale)))
    check((z + shift) * scale)
    dependent = np.column_stack([z, z @ np.ones(len(scale))])
    assert "follows from" in refusal((dependent + 1.0) * [*scale, 1.0])


def test_extreme_but_valid_tables_pass(rng):
    check(1e12 + rng.normal(size=(1000, 3)))
    check(1e12 + rng.integers(0, 3, size=(1000, 3)).astype(float))
    check(rng.normal(size=(500, 2)) * [1e-6, 1e6])
    check(rng.normal(size=(10, 500)))
    check(rng.integers(0, 2, size=(400, 5)).astype(float))
    check((1000 + rng.normal(size=(500, 3))).astype(np.float32))
    nearly = rng.normal(size=(300, 1))
    check(np.hstack([nearly, nearly + 1e-6 * rng.normal(size=(300, 1))]))


def test_single_precision_collinearity(rng):
    x = (100 + rng.normal(size=(800, 2))).astype(np.float32)
    assert "follows from" in refusal(np.column_stack([x, x[:, 0] + x[:, 1]]))


# ------------------------------------------------------------------ missing cells


def holed(x, share, seed=1):
    """The table with cells taken out at random, and whole rows left."""
    gaps = np.random.default_rng(seed).random(x.shape) < share
    gaps[: len(x) // 3] = False
    return np.where(gaps, np.nan, x)


def test_missing_cells_are_no_reason_to_refuse():
    x = np.random.default_rng(0).normal(size=(90, 3))
    check_rows(holed(x, 0.4), names(x))
    few = x.copy()
    few[:, 0][5:] = np.nan
    few[:5, 1] = np.nan  # no row is whole
    check_rows(few, names(x))


def test_columns_are_judged_by_the_cells_that_are_there():
    x = np.random.default_rng(0).normal(size=(90, 3))
    bare, flat = x.copy(), x.copy()
    bare[:, 1] = np.nan
    with pytest.raises(InputError, match="at least one value in every column, got none in"):
        check_rows(bare, names(x))
    flat[:, 1] = np.where(np.arange(90) % 2, np.nan, 7.0)
    with pytest.raises(InputError, match=r"constant column .* = 7"):
        check_rows(flat, names(x))
    copy = holed(x, 0.3)
    copy[:, 2] = copy[:, 0]
    with pytest.raises(InputError, match="repeats"):
        check_rows(copy, names(x))
    summed = x.copy()
    summed[:, 2] = x[:, 0] + x[:, 1]
    with pytest.raises(InputError, match="follows from"):
        check_rows(holed(summed, 0.3), names(x))
    check_rows(holed(summed, 0.3), names(x), "diag")
