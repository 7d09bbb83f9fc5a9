"""Numbers where naive formulas fail: far values, tight components, float32, many columns."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import log_softmax, logsumexp, softmax
from scipy.stats import multivariate_normal

import mixtura as mx
from mixtura import LowRankCovariance, Mixture
from mixtura.covariance.factored import Factored
from mixtura.covariance.form import Guarded, Mapped, Partly, Quadratic
from mixtura.fit.engines import Dense
from mixtura.sources import Rows
from tests.laws.cases import NAMES, mixture_of
from tests.laws.density import log_joint


@pytest.mark.parametrize("distance", [1e2, 1e4, 1e6])
@pytest.mark.parametrize("name", NAMES)
def test_values_far_from_every_component(name, distance):
    # Every density underflows; the answers live in the log domain.
    rng = np.random.default_rng(0)
    mix = mixture_of(name, rng, 3, 3)
    x = distance * rng.standard_normal((4, 3))
    assert (np.exp(mix.log_density(x)) == 0).any()
    joint = log_joint(mix, x)
    assert_allclose(mix.log_density(x), logsumexp(joint, axis=1), rtol=1e-9)
    resp = mix.responsibilities(x)
    assert_allclose(resp.sum(axis=1), 1, rtol=1e-12)
    assert (resp.argmax(axis=1) == joint.argmax(axis=1)).all()
    assert np.isfinite(mix.grad_log_density(x)).all()


@pytest.mark.parametrize("distance", [50.0, 1e3, 1e5])
@pytest.mark.parametrize("name", NAMES)
def test_conditions_and_observations_far_away(name, distance):
    rng = np.random.default_rng(1)
    mix = mixture_of(name, rng, 3, 3)
    value = np.array([distance])
    part = Mixture(mix.weights, mix.means[:, [1]], mix.covariance.dense()[:, [1]][:, :, [1]])
    logs = log_joint(part, value[None])[0]
    given = mix.condition([1], value)
    assert_allclose(given.log_weights, log_softmax(logs), rtol=1e-9, atol=1e-9)
    assert_allclose(given.weights, softmax(logs), rtol=1e-6, atol=1e-300)
    # Conditioning goes on exactly from weights that are zero in floating point.
    again = given.condition([0], [-distance])
    both = mix.condition([1, 0], [distance, -distance])
    assert_allclose(again.log_weights, both.log_weights, rtol=1e-8, atol=1e-6)
    seen = mix.observe(value, np.eye(3)[[1]], 0.1)
    noisy = log_joint(mix.marginal([1]).blur(0.1), value[None])[0]
    assert_allclose(seen.log_weights, log_softmax(noisy), rtol=1e-9, atol=1e-9)
    assert np.isfinite(mix.denoise(np.full((1, 3), distance), 0.5)).all()


def test_products_of_mixtures_that_do_not_overlap():
    one, other = Mixture([1.0], [[0.0]], [1.0]), Mixture([1, 1], [[200.0], [300.0]], [1.0, 1.0])
    joined = one.product(other)
    assert_allclose(joined.means[:, 0], [100, 150])
    assert_allclose(joined.weights, [1, 0], atol=1e-300)
    assert_allclose(joined.log_weights[1], -(300**2 - 200**2) / 4)


@pytest.mark.parametrize("offset", [0.0, 1e12])
@pytest.mark.parametrize("name", NAMES)
def test_tight_components_far_apart(name, offset):
    # Spread 1e3 against a standard deviation of about 1e-3, at any offset: digits must survive.
    rng = np.random.default_rng(2)
    d = 3
    small = mixture_of(name, rng, 2, d)
    scale = 2.0**-10
    centre = offset + np.round(rng.uniform(-1e3, 1e3, (2, d)))
    if offset:
        scale = 1.0  # a unit spread is what float64 can still hold there
    mix = Mixture(small.weights, centre, small.covariance.scaled(scale**2))
    steps = np.round(rng.standard_normal((6, d)) * 8) / 8 * scale
    labels = np.arange(6) % 2
    x = centre[labels] + steps
    expected = [
        np.log(mix.weights[j])
        + multivariate_normal(np.zeros(d), mix.covariance.dense()[j]).logpdf(v)
        for j, v in zip(labels, x - centre[labels], strict=True)
    ]
    assert_allclose(mix.log_density(x), expected, rtol=1e-9, atol=1e-6 if not offset else 1e-2)
    assert_allclose(mix.responsibilities(x), np.eye(2)[labels], atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_kernel_is_guarded_only_where_digits_are_at_stake(name):
    small = mixture_of(name, np.random.default_rng(2), 2, 3)

    def kernel(means, dtype):
        form = small.covariance.form(means, np.zeros(2), dtype)
        return type(form.inner if isinstance(form, Mapped) else form)

    assert kernel(np.array([[1.0, 0, 0], [0, 1.0, 0]]), np.float64) in (Quadratic, Factored)
    assert kernel(np.array([[1e4, 0, 0], [0, 1e4, 0]]), np.float64) is Guarded
    assert kernel(np.array([[3e2, 0, 0], [0, 3e2, 0]]), np.float32) is Guarded


@pytest.mark.parametrize("name", ["full", "tied", "lowrank"])
def test_many_columns_whiten_in_blocks(name):
    # Beyond some number of columns full matrices are whitened block by block.
    rng = np.random.default_rng(3)
    mix = mixture_of(name, rng, 2, 200)
    x = mix.sample(5, rng=0)
    assert_allclose(mix.log_density(x), logsumexp(log_joint(mix, x), axis=1), rtol=1e-9)


# ---- float32 -----------------------------------------------------------------------------------
def test_float32_never_gives_negative_variances():
    # Far from zero, E[x²] − E[x]² in float32 is rounding: it must not be formed.
    rng = np.random.default_rng(4)
    x = (rng.standard_normal((2000, 3)) * [0.5, 1.0, 2.0] + 1e4).astype(np.float32)
    exact = x.astype(np.float64).var(axis=0)
    for covariance_type in ("full", "tied", "diag", "spherical", "lowrank"):
        gm = mx.GaussianMixture(1, covariance_type=covariance_type).fit(x)
        variances = gm.mixture_.covariance.diagonal()[0]
        assert gm.means_.dtype == np.float32
        expected = exact.mean() if covariance_type == "spherical" else exact
        assert_allclose(variances, expected, rtol=1e-4)
        assert np.isfinite(gm.score(x))
        many = mx.GaussianMixture(3, covariance_type=covariance_type, random_state=0).fit(x)
        assert (many.mixture_.covariance.diagonal() > 0).all()


@pytest.mark.parametrize("name", ["full", "tied", "diag", "spherical", "lowrank"])
def test_float32_rows_fit_as_float64_rows_do(name, load):
    x = load("wdbc").x[:, :8]
    x = ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32)
    settings = {"init_params": "deterministic", "max_iter": 500, "tol": 1e-6, "rank": 2}
    single, double = (
        mx.GaussianMixture(2, covariance_type=name, **settings).fit(rows)
        for rows in (x, x.astype(np.float64))
    )
    assert single.weights_.dtype == single.means_.dtype == np.float32
    assert single.mixture_.means.dtype == np.float64
    assert single.score_samples(x).dtype == np.float32
    assert_allclose(single.lower_bound_, double.lower_bound_, rtol=0, atol=1e-4)
    # One E-step of one model: what float32 arithmetic costs, before it adds up.
    mine, loglik, _ = Dense().expect(double._model, Rows(x))
    theirs, expected, _ = Dense().expect(double._model, Rows(x.astype(np.float64)))
    assert_allclose(loglik / len(x), expected / len(x), rtol=0, atol=2e-6)
    assert_allclose(mine.mass, theirs.mass, rtol=1e-5)
    assert_allclose(mine.means(), theirs.means(), rtol=0, atol=1e-5)


# ---- many columns ------------------------------------------------------------------------------
BIG = """
import numpy as np
import mixtura as mx

d, rank, k = 2000, 10, 10
rng = np.random.default_rng(0)
centres = 2 * rng.standard_normal((k, d))
maps = rng.standard_normal((k, d, rank)).astype(np.float32)
labels = np.arange(1200) % k
x = centres[labels] + np.einsum("ndr,nr->nd", maps[labels], rng.standard_normal((1200, rank)))
x += rng.standard_normal(x.shape)
gm = mx.GaussianMixture(
    k, covariance_type="lowrank", rank=rank, resp_init=labels, max_iter=3, tol=0, reg_covar="auto"
)
mix = gm.fit(x).mixture_
assert mix.covariance.name == "lowrank" and mix.covariance.rank == rank
assert np.isfinite(mix.log_density(x)).all()
assert (mix.responsibilities(x).argmax(axis=1) == labels).all()
draws = mix.sample(300, rng=0)
assert mix.marginal(list(range(0, d, 2))).d == d // 2
rest = mix.condition(list(range(0, d, 2)), draws[0, ::2])
assert rest.covariance.name == "lowrank" and np.isfinite(rest.log_density(draws[:2, 1::2])).all()
one = mx.Mixture([1.0], mix.means[:1], mix.covariance.take([0]))
pair = mix.blur(0.5).product(one)
assert pair.covariance.rank == 2 * rank
seen = mix.observe(draws[0, :50], np.eye(d)[:50], 0.1)
assert seen.covariance.name == "lowrank"
assert np.isfinite(mix.denoise(draws[:5], 0.3)).all()
assert np.isfinite(mix.grad_log_density(draws[:5])).all()
status = open("/proc/self/status").read()  # ru_maxrss would hold what the parent took
print(status.split("VmHWM:")[1].split()[0])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_two_thousand_columns_of_rank_ten_within_a_gigabyte():
    done = subprocess.run([sys.executable, "-c", BIG], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1e6  # kilobytes


def test_low_rank_algebra_never_forms_a_square_matrix(monkeypatch):
    def refuse(self):
        raise AssertionError("a d × d matrix was formed")

    mix = mixture_of("lowrank", np.random.default_rng(5), 3, 6)
    for method in ("dense", "precision", "widened"):
        monkeypatch.setattr(LowRankCovariance, method, refuse)
    x = mix.sample(4, rng=0)
    mix.log_density(x)
    mix.grad_log_density(x)
    mix.denoise(x, 0.5)
    mix.marginal([0, 3]).condition([0], [0.1])
    mix.condition([1, 2], [0.0, 0.0]).blur([0.1, 0.2, 0.3, 0.4]).product(mix.marginal([0, 1, 2, 3]))
    mix.observe(x[0], None, 0.1)
    mix.affine(np.diag(np.arange(1.0, 7.0)))
    with pytest.raises(AssertionError, match="d × d"):
        np.asarray(mix.cov)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", ["full", "diag", "spherical"])
def test_few_narrow_components_leave_the_others_their_product(name, dtype):
    rng = np.random.default_rng(4)
    mix = mixture_of(name, rng, 12, 3)
    shrink = np.ones(12)
    shrink[[2, 7]] = 1e-5 if dtype is np.float64 else 1e-3
    parts = [mix.covariance.take([j]).scaled(float(shrink[j] ** 2)) for j in range(12)]
    covariance = type(mix.covariance).stacked(parts)
    const = -covariance.logdet
    form = covariance.form(mix.means, const, dtype)
    assert isinstance(form, Partly) and form.guarded
    assert list(form.narrow) == [2, 7]
    spread = np.sqrt(np.stack([np.diagonal(m) for m in covariance.dense()]))
    near = mix.means[:, None] + spread[:, None] * rng.standard_normal((12, 40, 3))
    x = near.reshape(-1, 3).astype(dtype)
    expected = covariance.form(mix.means, const, dtype, guarded=True).log_joint(x)
    size = 1e-9 if dtype is np.float64 else 2e-3
    assert_allclose(form.log_joint(x), expected, rtol=size, atol=size)

    wrong = Partly(form.quick, form.exact, form.narrow[:1])  # one left to a product of zeros
    with pytest.raises(AssertionError):
        assert_allclose(wrong.log_joint(x), expected, rtol=size, atol=size)
