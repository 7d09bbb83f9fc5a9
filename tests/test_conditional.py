"""The law of some columns given others for whole tables, row by row and against other routes."""

from __future__ import annotations

import sys
import time
import tracemalloc
from statistics import median

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from numpy.testing import assert_allclose
from scipy.special import expit

from mixtura import Mixture, blend
from mixtura.arrays import compiled
from mixtura.errors import InputError
from mixtura.mixture import conditional as module
from mixtura.mixture.conditional import Conditional
from tests.laws.algebra import split
from tests.laws.cases import NAMES, Case, cases, lying, mixture_of, rows_near

PLAIN = Case(seed=5, k=3, d=4)


def close(got, expected, tolerance=1e-10):
    """Equal to ``tolerance`` of the largest number in sight, at least 1."""
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape
    size = max(1.0, float(np.abs(expected).max(initial=0.0)))
    assert_allclose(got, expected, rtol=0, atol=tolerance * size)


def law_of(name, case):
    """A random conditional law and a generator."""
    rng = case.rng
    mix = mixture_of(name, rng, case.k, case.d)
    return mix.conditional(split(mix, rng)[0]), rng


def pairs(law, rng, n):
    """Rows of given values and of the rest."""
    x = rows_near(law.mixture, rng, n)
    return x[:, list(law.given)], x[:, list(law.rest)]


# ---- laws ----------------------------------------------------------------------------------------
def row_by_row(law, rng):
    """Every answer is that of ``condition`` on its row alone."""
    x, y = pairs(law, rng, 6)
    each = [law.mixture.condition(list(law.given), row) for row in x]
    close(law.responsibilities(x), [m.weights for m in each])
    close(law.mean(x), [m.mean for m in each])
    close(law.cov(x), [m.cov for m in each])
    close(law.log_density(x, y), [m.log_density(v[None])[0] for m, v in zip(each, y, strict=True)])
    close(law.at(x[0]).means, each[0].means)
    for j in range(len(law.rest)):
        alone = [m.marginal([j]) for m in each]
        close(law.quantile(x, [0.05, 0.7])[:, :, j], [m.quantile([0.05, 0.7]) for m in alone])
        close(
            law.cdf(x, y)[:, j],
            [m.cdf(v[[j]])[0] for m, v in zip(alone, y, strict=True)],
        )


def chain(law, rng):
    """log p(x, y) = log p(x) + log p(y | x)."""
    x, y = pairs(law, rng, 20)
    joint = np.empty((20, law.mixture.d))
    joint[:, list(law.given)], joint[:, list(law.rest)] = x, y
    marginal = law.mixture.marginal(list(law.given)).log_density(x)
    close(marginal + law.log_density(x, y), law.mixture.log_density(joint))


def round_trip(law, rng):
    """``quantile`` inverts ``cdf`` and rises with its probability."""
    x, _ = pairs(law, rng, 8)
    levels = np.array([1e-9, 0.01, 0.3, 0.5, 0.8, 0.999])
    values = law.quantile(x, levels)
    assert values.shape == (8, 6, len(law.rest))
    assert (np.diff(values, axis=1) > 0).all()
    for i, level in enumerate(levels):
        assert_allclose(law.cdf(x, values[:, i]), level, rtol=1e-9)
        close(law.quantile(x, level), values[:, i])


def draws(law, rng):
    """Draws have the conditional's mean, covariance and distribution functions."""
    x, _ = pairs(law, rng, 3)
    n = 4000
    y = law.sample(x, n, rng)
    assert y.shape == (3, n, len(law.rest))
    means, covariances = law.mean(x), law.cov(x)
    for i in range(3):
        sd = np.sqrt(np.diag(covariances[i]))
        z = (y[i] - means[i]) / sd
        assert_allclose(z.mean(axis=0), 0, atol=5 / np.sqrt(n))
        products = z[:, :, None] * z[:, None, :]
        expected = covariances[i] / np.outer(sd, sd)
        error = products.std(axis=0) / np.sqrt(n)
        assert (np.abs(products.mean(axis=0) - expected) <= 5.5 * error).all()
        levels = law.cdf(np.repeat(x[[i]], n, axis=0), y[i])
        for j in range(len(law.rest)):  # uniform, by Kolmogorov and Smirnov's statistic
            gap = np.abs(np.sort(levels[:, j]) - (np.arange(n) + 0.5) / n).max()
            assert gap < 2.2 / np.sqrt(n)


def modes(law, rng):
    """At a mode the gradient is zero, and the density is no less than at any component's mean."""
    x, _ = pairs(law, rng, 5)
    best = law.mode(x)
    height = law.log_density(x, best)
    for i in range(5):
        one = law.at(x[i])
        scale = np.sqrt(one.covariance.diagonal()[one.weights.argmax()])
        slope = one.grad_log_density(best[[i]])[0] * scale
        assert np.abs(slope).max() < 1e-6
        assert height[i] >= one.log_density(np.vstack([one.means, one.mean])).max() - 1e-9


def highest_mode(law, rng):
    """No mode that ascents from all components find is higher."""
    x = law.gate.sample(12, rng=rng)
    height = law.log_density(x, law.mode(x))
    for row, reached in zip(x, height, strict=True):
        assert reached >= law.at(row).modes().log_density.max() - 1e-9


LAWS = (row_by_row, chain, round_trip, draws, modes, highest_mode)


@pytest.mark.parametrize("check", LAWS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=6)
@given(case=cases(min_d=2))
def test_law(name, check, case):
    check(*law_of(name, case))


def _own_weights(self, x):
    log_resp, each = Conditional.parts(self, x)
    return np.broadcast_to(self.mixture.log_weights, log_resp.shape), each


def _wrong_side(self, x):
    log_resp, each = Conditional.parts(self, x)
    start = self.mixture.means[:, list(self.rest)]
    return log_resp, 2 * start - each


def _independent(self, X, n=None, rng=None):
    """Every output drawn by itself."""
    out = Conditional.sample(self, X, n, rng)
    generator = np.random.default_rng(1)
    for j in range(out.shape[2]):
        out[:, :, j] = generator.permuted(out[:, :, j], axis=1)
    return out


LIARS = [
    (row_by_row, {"parts": _own_weights}),
    (row_by_row, {"parts": _wrong_side}),
    (row_by_row, {"cov": lambda s, X: np.broadcast_to(s.mixture.cov[2:, 2:], (len(X), 2, 2))}),
    (row_by_row, {"cdf": lambda s, X, Y: 1 - Conditional.cdf(s, X, Y)}),
    (chain, {"parts": _own_weights}),
    (chain, {"log_density": lambda s, X, Y: s.mixture.marginal(list(s.rest)).log_density(Y)}),
    (round_trip, {"quantile": lambda s, X, q: Conditional.quantile(s, X, 0.999 * np.asarray(q))}),
    (draws, {"sample": _independent}),
    (draws, {"sample": lambda s, X, n, rng: 1.1 * Conditional.sample(s, X, n, rng)}),
    (modes, {"mode": lambda s, X: Conditional.mean(s, X)}),
    (modes, {"mode": lambda s, X: Conditional.mode(s, X) + 1e-3}),
    (highest_mode, {"mode": lambda s, X: Conditional.mean(s, X)}),
]


@pytest.mark.parametrize("check", LAWS, ids=lambda f: f.__name__)
def test_every_law_has_a_liar(check):
    honest = mixture_of("full", PLAIN.rng, 3, 4).conditional([1])
    check(honest, np.random.default_rng(2))
    lies = [lie for law, lie in LIARS if law is check]
    assert lies
    for lie in lies:
        with pytest.raises(AssertionError):
            check(lying(honest, **lie), np.random.default_rng(2))


# ---- references ----------------------------------------------------------------------------------
@pytest.mark.parametrize("key", ["faithful|given[0]", "faithful|given[1]", "diabetes|given[0]"])
def test_batched_conditional_is_gmr_s(key, mclust_reference, conditional_reference):
    expected = conditional_reference[key]
    parameters = mclust_reference[key.partition("|")[0]]["models"]["VVV"]["parameters"]
    mix = Mixture(parameters["pro"], parameters["mean"], np.array(parameters["sigma"]))
    law = mix.conditional(expected["given_columns_0based"])
    x = np.array([at["x"] for at in expected["at"]], dtype=float)
    told = {name: [at[name] for at in expected["at"]] for name in expected["at"][0]}
    assert_allclose(law.responsibilities(x), told["weights"], rtol=1e-9, atol=1e-12)
    assert_allclose(law.mean(x), told["mixture_mean"], rtol=1e-9)
    assert_allclose(law.cov(x), told["mixture_covariance"], rtol=1e-9)
    with pytest.raises(AssertionError):  # the liar: the gates are the weights of the joint
        wrong = lying(law, parts=_own_weights).cov(x)
        assert_allclose(wrong, told["mixture_covariance"], rtol=1e-9)


@pytest.mark.parametrize("work", [0, np.inf], ids=["compiled", "numpy"])
@pytest.mark.parametrize("columns", [[0], [0, 1, 2, 3]])
def test_means_are_gated_lines(columns, work, monkeypatch):
    monkeypatch.setattr(compiled, "LEAST_WORK", work)
    law = mixture_of("full", np.random.default_rng(5), 4, 5).conditional(columns)
    x = 1e3 + np.random.default_rng(6).standard_normal((300, len(columns)))
    for rows in (x, x - 1e3):
        log_resp, each = law.parts(rows)
        expected = np.einsum("bk,bkm->bm", np.exp(log_resp), each)
        assert_allclose(law.mean(rows), expected, rtol=1e-10)
        with pytest.raises(AssertionError):  # the liar: lines about the origin of another gate
            assert_allclose(law.mean(rows + 1e-3), expected, rtol=1e-10)


def by_rows(gmm, columns, x):
    """Mean and weights that gmr gives row by row."""
    each = [gmm.condition(columns, row) for row in x]
    return np.array([m.priors @ m.means for m in each]), np.array([m.priors for m in each])


@pytest.mark.slow
def test_twenty_times_faster_than_gmr_row_by_row():
    gmr = pytest.importorskip("gmr")
    rng = np.random.default_rng(0)
    mix = mixture_of("full", rng, 20, 13)
    columns = list(range(10))
    x = mix.sample(4000, rng=rng)[:, columns]
    gmm = gmr.GMM(20, mix.weights, mix.means, mix.covariance.dense())
    mix.conditional(columns).mean(x[:10])  # compile

    def seconds(work):
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    few = x[:100]
    theirs = median(seconds(lambda: by_rows(gmm, columns, few)) for _ in range(3)) / len(few)
    ours = median(seconds(lambda: mix.conditional(columns).mean(x)) for _ in range(5)) / len(x)
    means, weights = by_rows(gmm, columns, few)
    close(mix.conditional(columns).mean(few), means, 1e-9)
    close(mix.conditional(columns).responsibilities(few), weights, 1e-9)
    assert theirs / ours > 20


# ---- numbers that are hard -----------------------------------------------------------------------
@pytest.mark.parametrize("name", ["full", "lowrank", "diag", "spherical", "tied"])
def test_values_at_which_every_component_underflows(name):
    # Components that differ by a shift s have log-odds that are linear in x: with P the precision
    # of the given columns, log(r₁/r₀) = log(w₁/w₀) + sᵀ P (x − μ₀ − s/2).
    rng = np.random.default_rng(6)
    base = mixture_of(name, rng, 1, 4)
    shift = np.array([0.02, -0.01, 3.0, -2.0])
    both = blend([base, base.affine(np.eye(4), shift)], [0.3, 0.7])
    law = both.conditional([0, 1])
    mean, s = base.means[0, :2], shift[:2]
    p = np.linalg.inv(base.covariance.dense()[0, :2, :2])
    x = mean + 10.0 ** rng.uniform(2, 3, (20, 1)) * rng.standard_normal((20, 2))
    assert (np.exp(law.gate.log_density(x)) == 0).any()
    odds = np.log(0.7 / 0.3) + (x - mean - s / 2) @ p @ s
    gates = np.column_stack([expit(-odds), expit(odds)])
    assert np.median(np.minimum(gates[:, 0], gates[:, 1])) > 1e-6
    assert_allclose(law.responsibilities(x), gates, rtol=0, atol=1e-8)
    each = [base.condition([0, 1], row).mean for row in x]
    other = [both.relabel([1, 0]).condition([0, 1], row).means[0] for row in x]
    expected = gates[:, :1] * each + gates[:, 1:] * other
    assert_allclose(law.mean(x), expected, rtol=1e-7, atol=1e-7)
    y = law.sample(x, rng=0)
    for answer in (law.cov(x), law.log_density(x, y), law.quantile(x, 0.3), y, law.mode(x)):
        assert np.isfinite(answer).all()
    with np.errstate(all="ignore"):  # the liar: densities instead of their logarithms
        joint = np.exp(module.density.log_joint(law.gate, x))
        naive = joint / joint.sum(axis=1, keepdims=True)
    assert not np.isfinite(naive).all()


def test_far_away_the_widest_component_rules():
    mix = Mixture([0.5, 0.5], [[0.0, 1.0], [0.0, -1.0]], [1.0, 4.0])
    law = mix.conditional([0])
    x = np.array([[1e5], [-1e8], [1e150]])
    close(law.responsibilities(x), np.tile([0.0, 1.0], (3, 1)))
    close(law.mean(x), -np.ones((3, 1)))


def test_columns_far_from_the_origin():
    mix = mixture_of("full", PLAIN.rng, 3, 4)
    offset = np.array([1e6, -3e5, 2e6, 1e5])
    x = rows_near(mix, np.random.default_rng(0), 20)
    near = mix.conditional([0, 2])
    far = mix.affine(np.eye(4), offset).conditional([0, 2])
    moved = x + offset
    gap = far.mean(moved[:, [0, 2]]) - offset[[1, 3]] - near.mean(x[:, [0, 2]])
    assert np.abs(gap).max() < 1e-8
    close(far.cov(moved[:, [0, 2]]), near.cov(x[:, [0, 2]]), 1e-8)


# ---- large tables --------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def large():
    """20 components, 10 given columns and 5 others; 100,000 rows."""
    rng = np.random.default_rng(0)
    mix = mixture_of("full", rng, 20, 15)
    law = mix.conditional(range(10))
    x = mix.sample(100_000, rng=rng)
    law.mean(x[:10, :10])
    return law, x[:, :10], x[:, 10:]


def peak(work):
    """Bytes of memory held at most while ``work`` runs, beyond what it returns."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        result = work()
        return tracemalloc.get_traced_memory()[1] - before - result.nbytes
    finally:
        tracemalloc.stop()


def bounded(law, x, y):
    """Law: the memory that an answer takes does not grow with the rows; 64 MiB hold it."""
    for work in (
        lambda: law.mean(x),
        lambda: law.cov(x),
        lambda: law.log_density(x, y),
        lambda: law.sample(x, rng=0),
        lambda: law.cdf(x, y),
    ):
        # What is concatenated is held twice for a moment.
        assert peak(work) < 64 * 2**20


def test_memory_is_bounded(large, monkeypatch):
    law, x, y = large
    bounded(law, x, y)
    monkeypatch.setattr(module, "BATCH_BYTES", 2**40)
    with pytest.raises(AssertionError):  # the liar: all rows in one batch
        bounded(law, x, y)


def calls(work):
    """Number of Python calls that ``work`` makes."""
    count = 0

    def watch(frame, event, argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(watch)
    try:
        work()
    finally:
        sys.setprofile(None)
    return count


def loops_over_no_rows(answer, x):
    """Law: there are fewer calls than rows."""
    assert calls(lambda: answer(x)) < len(x)


@pytest.mark.parametrize("verb", ["mean", "cov", "log_density", "sample", "responsibilities"])
def test_no_loop_over_rows(verb, large):
    law, x, y = large
    x, y = x[:20_000], y[:20_000]
    verbs = {"log_density": lambda rows: law.log_density(rows, y)}
    loops_over_no_rows(verbs.get(verb, getattr(law, verb)), x)


def test_a_loop_over_rows_is_rejected(large):
    law, x, _ = large
    with pytest.raises(AssertionError):
        loops_over_no_rows(lambda rows: np.array([law.at(row).mean for row in rows]), x[:300])


# ---- doors ---------------------------------------------------------------------------------------
@pytest.fixture
def named():
    return mixture_of("full", np.random.default_rng(3), 3, 4, columns=("a", "b", "c", "d"))


def test_given_columns_keep_their_order_and_the_rest_theirs(named):
    x = named.sample(5, rng=0)
    law = named.conditional(["c", "a"])
    assert (law.given, law.rest, law.columns) == ((2, 0), (1, 3), ("b", "d"))
    other = named.conditional([0, 2])
    close(law.mean(x[:, [2, 0]]), other.mean(x[:, [0, 2]]))
    assert not np.allclose(law.mean(x[:, [0, 2]]), other.mean(x[:, [0, 2]]))
    table = pd.DataFrame(x, columns=list("abcd"))
    close(law.mean(table), law.mean(x[:, [2, 0]]))
    assert law.gain.shape == (3, 2, 2)


def test_shapes_of_draws_and_quantiles(named):
    law = named.conditional([0])
    x = named.sample(5, rng=0)[:, :1]
    assert law.sample(x, rng=0).shape == (5, 3)
    assert law.sample(x, 1, rng=0).shape == (5, 3)
    assert law.sample(x, 4, rng=0).shape == (5, 4, 3)
    np.testing.assert_array_equal(law.sample(x, rng=7), law.sample(x, rng=np.random.default_rng(7)))
    assert law.quantile(x, 0.5).shape == (5, 3)
    assert law.quantile(x, [0.5]).shape == (5, 1, 3)
    for answer, shape in (
        (law.mean(x[:0]), (0, 3)),
        (law.cov(x[:0]), (0, 3, 3)),
        (law.log_density(x[:0], np.zeros((0, 3))), (0,)),
        (law.mode(x[:0]), (0, 3)),
        (law.sample(x[:0], 4), (0, 4, 3)),
    ):
        assert answer.shape == shape


def test_single_rows_are_the_numbers_they_are(named):
    x = named.sample(9, rng=0)[:, :2].astype(np.float32)
    law = named.conditional([0, 1])
    close(law.mean(x), law.mean(x.astype(float)), 1e-12)
    assert law.mean(x).dtype == np.float64


def test_bound_laws_say_the_same(named):
    law = named.conditional([0, 1])
    x, y = named.sample(6, rng=0)[:, :2], named.sample(6, rng=1)[:, 2:]
    bound = law.bind(x)
    np.testing.assert_array_equal(bound.mean, law.mean(x))
    np.testing.assert_array_equal(bound.cov, law.cov(x))
    np.testing.assert_array_equal(bound.log_density(y), law.log_density(x, y))
    np.testing.assert_array_equal(bound.cdf(y), law.cdf(x, y))
    np.testing.assert_array_equal(bound.quantile([0.1, 0.9]), law.quantile(x, [0.1, 0.9]))
    np.testing.assert_array_equal(bound.sample(3, rng=1), law.sample(x, 3, rng=1))


def test_one_output_may_be_a_vector(named):
    law = named.conditional([0, 1, 2])
    x = named.sample(6, rng=0)
    given, y = x[:, :3], x[:, 3]
    np.testing.assert_array_equal(law.log_density(given, y), law.log_density(given, y[:, None]))


def test_quantiles_at_the_ends_are_infinite(named):
    law = named.conditional([0, 1, 2])
    ends = law.quantile(named.sample(2, rng=0)[:, :3], [0.0, 1.0])
    np.testing.assert_array_equal(ends[:, :, 0], [[-np.inf, np.inf]] * 2)


X2 = np.zeros((3, 2))


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda m: m.conditional(["a", "z"]), "among a, b, c, d in conditional, got 'z'"),
        (lambda m: m.conditional([4]), "from 0 to 3 in conditional, got 4"),
        (lambda m: m.conditional([0, 0]), "distinct columns in conditional"),
        (lambda m: m.conditional([]), "at least one given column, got none"),
        (lambda m: m.conditional("abcd"), "got 'abcd'"),
        (lambda m: m.conditional(list("abcd")), "at most 3 given columns, got all 4"),
        (lambda m: m.conditional([0, 1]).mean(np.zeros((3, 3))), r"X of shape \(n, 2\) \(a, b\)"),
        (lambda m: m.conditional([0]).mean([[np.nan]]), "finite values in X, got NaN"),
        (lambda m: m.conditional([0, 1]).log_density(X2, X2[:2]), r"Y of shape \(3, 2\)"),
        (lambda m: m.conditional([0, 1]).cdf(X2, X2 * np.nan), "finite values in Y"),
        (lambda m: m.conditional([0, 1]).quantile(X2, 1.5), "between 0 and 1"),
        (lambda m: m.conditional([0, 1]).quantile(X2, np.nan), "between 0 and 1"),
        (lambda m: m.conditional([0, 1]).sample(X2, 0), "at least one draw per row, got 0"),
        (lambda m: m.conditional([0, 1]).sample(X2, 2.5), r"whole number of draws.* got 2\.5"),
        (lambda m: m.conditional([0, 1]).at([0.0]), r"shape \(2,\), got \(1,\)"),
    ],
)
def test_bad_questions_say_how_to_mend_them(ask, message, named):
    with pytest.raises(InputError, match=message):
        ask(named)
