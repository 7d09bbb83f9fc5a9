"""What large tables are computed by: a fused pass, grouped responsibilities, pruned forms.

The fast paths are forced onto small tables, and held against the plain ones there.
"""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

import mixtura as mx
from mixtura.arrays import compiled
from mixtura.covariance import Added, structure
from mixtura.covariance.pruned import CUT, Pruned, principal_axes, stages
from mixtura.fit import driver
from mixtura.fit.engines import Dense
from mixtura.fit.initialise import model_from_start
from mixtura.fit.model import gather
from mixtura.sources import Rows
from mixtura.statistics import Diagonal, Full, Grouped, Trace, grouped, normalise
from tests.laws import fit as laws

pytestmark = pytest.mark.skipif(
    not compiled.serves(compiled.LEAST_WORK), reason="Numba is turned off or absent"
)

STRUCTURES = ["full", "diag", "spherical", "tied", "lowrank", "VEV", "VEI"]
KINDS = [Full(), Diagonal(), Trace()]


@pytest.fixture
def eager(monkeypatch):
    """Compiled code from the first row on."""
    monkeypatch.setattr(compiled, "LEAST_WORK", 1)


def table(n, d, k, seed=0, apart=4.0):
    """Overlapping clusters of different shapes, and their labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % k
    maps = rng.normal(size=(k, d, d)) / np.sqrt(d) + np.eye(d)
    x = apart * rng.normal(size=(k, d))[labels]
    return x + np.einsum("nij,nj->ni", maps[labels], rng.normal(size=(n, d))), labels


def model_of(name, x, labels, weight=None):
    rows = Rows(x, weight)
    rule = structure(name, None, x.shape[1])
    return model_from_start(rows, labels, int(labels.max()) + 1, rule, Added(1e-6)), rows


# ---- the exponential -----------------------------------------------------------------------------
def exponentials(f):
    """``f`` is exp to a few roundings, from 0 down to where float32 ends."""
    for dtype, most in ((np.float32, 2e-7), (np.float64, 5e-16)):
        x = -np.linspace(0, 85, 30_001, dtype=dtype)
        out = np.empty_like(x)
        f(x, out)
        true = np.exp(x.astype(np.longdouble))
        assert np.abs(out / true - 1).max() < most
    x, out = np.array([-1e30, -800.0, 0.0]), np.empty(3)
    f(x, out)
    assert (out[:2] < 1e-300).all() and out[2] == 1.0


def test_exponential_is_exact_to_rounding():
    exponentials(compiled.kernel("exponential.exponential"))


def test_a_series_cut_short_is_rejected():
    def short(x, out):
        n = np.rint(x / np.log(2))
        r = x - n * np.log(2)
        out[:] = np.ldexp(1 + r + r**2 / 2 + r**3 / 6 + r**4 / 24, np.maximum(n, -1070).astype(int))

    with pytest.raises(AssertionError):
        exponentials(short)


# ---- whole steps ---------------------------------------------------------------------------------
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("d", [1, 2, 3, 5])
@pytest.mark.parametrize("name", STRUCTURES)
def test_steps_of_large_tables_take_every_row_once(name, d, weighted, eager):
    if name == "lowrank" and d < 2:
        pytest.skip("one column has no factors")
    x, labels = table(701, d, 5)
    weight = np.random.default_rng(1).uniform(0.2, 3.0, 701) if weighted else None
    model, rows = model_of(name, x, labels, weight)
    laws.expects(Dense(), model, rows)
    laws.expects(Dense(batch_rows=64), model, rows)


@pytest.mark.parametrize("name", STRUCTURES)
def test_steps_of_many_components_take_every_row_once(name, eager):
    x, labels = table(1500, 6, 150, apart=20.0)
    model, rows = model_of(name, x, labels)
    laws.expects(Dense(), model, rows)


def test_a_step_that_forgets_its_last_rows_is_rejected(eager):
    class Forgetful(Dense):
        def expect(self, model, rows, memory=None):
            return super().expect(model, rows.batch(0, rows.n - 3), memory)

    x, labels = table(701, 2, 5)
    model, rows = model_of("full", x, labels)
    with pytest.raises(AssertionError):
        laws.expects(Forgetful(), model, rows)


@pytest.mark.parametrize(("d", "k"), [(2, 4), (8, 40), (44, 20)])
@pytest.mark.parametrize("name", ["full", "diag", "spherical"])
def test_iterates_are_those_of_plain_arrays(name, d, k, monkeypatch):
    x, labels = table(2400, d, k, apart=3.0)
    model, rows = model_of(name, x, labels)
    plain = driver.run(model, rows, Dense(), max_iter=6, tol=0.0)
    monkeypatch.setattr(compiled, "LEAST_WORK", 1)
    fast = driver.run(model, rows, Dense(), max_iter=6, tol=0.0)
    assert_allclose(fast.trace, plain.trace, rtol=1e-11)
    assert_allclose(fast.model.weights, plain.model.weights, rtol=1e-9)
    assert_allclose(fast.model.means, plain.model.means, rtol=1e-8, atol=1e-9)
    spread = plain.model.covariance.dense()
    assert_allclose(fast.model.covariance.dense(), spread, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", ["full", "diag"])
def test_iterates_are_scikit_learns(name):
    from sklearn.mixture import GaussianMixture

    x, labels = table(26_000, 6, 40, apart=3.0)
    means = np.stack([x[labels == j].mean(axis=0) for j in range(40)])
    precisions = np.ones((40, 6)) if name == "diag" else np.tile(np.eye(6), (40, 1, 1))
    settings = {
        "covariance_type": name,
        "weights_init": np.full(40, 1 / 40),
        "means_init": means,
        "precisions_init": precisions,
        "tol": 0.0,
        "max_iter": 4,
    }
    assert compiled.serves(x.shape[0] * 40)
    with pytest.warns(match="did not converge"):
        ours = mx.GaussianMixture(40, **settings).fit(x)
    with pytest.warns(match="did not converge"):
        theirs = GaussianMixture(40, **settings).fit(x)
    assert_allclose(ours.lower_bound_, theirs.lower_bound_, rtol=1e-10)
    for part in ("weights_", "means_", "covariances_"):
        expected = getattr(theirs, part)
        atol = 1e-9 * np.abs(expected).max()
        assert_allclose(getattr(ours, part), expected, rtol=1e-8, atol=atol)


def test_rows_beyond_the_range_of_the_fused_pass_go_the_general_way(eager):
    x, labels = table(600, 2, 3)
    model, _ = model_of("full", x, labels)
    far = x.copy()
    far[77] = [3e9, -2e9]
    far_rows = Rows(far)
    pass_ = model.fused(far_rows)
    assert pass_ is not None
    single = replace(model, compute=np.dtype(np.float32))
    assert np.isnan(single.fused(far_rows)(0, 600)[1])
    for chosen in (model, single):
        _, loglik, _ = Dense().expect(chosen, far_rows)
        assert_allclose(loglik, model.mixture().log_density(far).sum(), rtol=1e-5)


def test_a_component_without_weight_keeps_the_general_way(eager):
    x, labels = table(600, 2, 3)
    model, rows = model_of("full", x, labels)
    gone = replace(model, weights=np.array([0.5, 0.5, 0.0]))
    assert gone.fused(rows) is None
    stats, loglik, _ = Dense().expect(gone, rows)
    assert stats.mass[2] < 1e-200
    assert_allclose(loglik, gone.mixture().log_density(x).sum(), rtol=1e-10)


# ---- grouped responsibilities --------------------------------------------------------------------
def groups(soft, dtype=np.float64):
    """Grouped responsibilities are the plain ones, but for those that are nothing."""
    rng = np.random.default_rng(0)
    for k in (17, 64, 200):
        joint = rng.normal(-40.0, 150.0, (333, k)).astype(dtype)
        weight = rng.uniform(0.0, 2.0, 333)
        for w in (None, weight):
            resp, norm = soft(joint.copy(), w)
            plain, expected = normalise(joint.copy(), w)
            exact = dtype is np.float64
            assert_allclose(
                norm, expected, rtol=1e-13 if exact else 1e-6, atol=0 if exact else 1e-6
            )
            eps = np.finfo(dtype).eps
            got = resp.dense() if isinstance(resp, Grouped) else resp
            assert_allclose(got, plain, rtol=40 * eps, atol=1e-14 if exact else 3e-8)
            if isinstance(resp, Grouped):
                assert (np.diff(resp.bounds) >= 0).all() and resp.bounds[-1] == len(resp.rows)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_groups_hold_what_matters(dtype):
    groups(grouped, dtype)


def test_groups_that_drop_a_thousandth_are_rejected():
    def careless(joint, weight):
        resp, norm = normalise(joint, weight)
        return np.where(resp < 1e-3, 0, resp), norm

    with pytest.raises(AssertionError):
        groups(careless)


def test_crowded_or_impossible_rows_are_not_grouped():
    rng = np.random.default_rng(0)
    resp, _ = grouped(rng.normal(size=(50, 30)))
    assert not isinstance(resp, Grouped)
    joint = rng.normal(-40.0, 150.0, (50, 64))
    joint[3] = -np.inf
    with np.errstate(invalid="ignore"):
        resp, norm = grouped(joint)
    assert not isinstance(resp, Grouped) and norm[3] == -np.inf


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("d", [1, 3, 8, 19])
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: type(k).__name__)
def test_moments_of_groups_are_those_of_all(kind, d, apart):
    rng = np.random.default_rng(0)
    x, k = rng.normal(size=(900, d)), 33
    resp, _ = grouped(rng.normal(-40.0, 150.0, (900, k)))
    assert isinstance(resp, Grouped)
    own = rng.normal(size=(k, d)) if apart else None
    mass, first, second = kind.scatter(x, resp, own)
    plain = gather(x, resp.dense(), kind, np.zeros(d), own)
    assert_allclose(mass, plain.mass, rtol=1e-13)
    assert_allclose(first, plain.first, rtol=1e-11, atol=1e-12)
    assert_allclose(second, plain.second, rtol=1e-11, atol=1e-12)


# ---- pruned forms --------------------------------------------------------------------------------
def pruned_of(x, labels, dtype=np.float64, widths=None):
    model, _ = model_of("full", x, labels)
    covariance, means, d = model.covariance, model.means - model.anchor, x.shape[1]
    const = np.log(model.weights) - 0.5 * (d * np.log(2 * np.pi) + covariance.logdet)
    widths = stages(d, model.k) if widths is None else widths
    axes = principal_axes(x, widths[-1])
    whole = covariance.form(means, const, dtype)
    form = Pruned.of(whole, covariance, means, const, dtype, axes, widths)
    return form, whole, (x - model.anchor).astype(dtype)


def prunes(form, whole, x):
    """What matters is exact; what does not is a bound that does not matter either."""
    got, exact = form.log_joint(x), whole.log_joint(x)
    top = exact.max(axis=1, keepdims=True)
    cut, slack = CUT[x.dtype], 1e-9 if x.dtype == np.float64 else 2e-3
    near = exact > top - cut + slack
    size = np.abs(exact[near])
    assert (np.abs(got[near] - exact[near]) <= slack * (1 + 0.1 * size)).all()
    assert (got[~near] >= exact[~near] - slack * (1 + np.abs(exact[~near]))).all()
    assert (got[~near] < np.broadcast_to(top, near.shape)[~near] - cut + 2 * slack).all()
    return float(near.mean())


@pytest.mark.parametrize("numba", [True, False])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("d", "widths"), [(44, None), (60, (6, 20))])
def test_pruning_is_exact(d, widths, dtype, numba, monkeypatch):
    if not numba:
        monkeypatch.setenv("MIXTURA_NUMBA", "0")
    x, labels = table(1200, d, 24, apart=3.0)
    form, whole, x = pruned_of(x, labels, dtype, widths)
    assert (form.whiteners is not None) == (numba and widths is None)
    assert prunes(form, whole, x) < 0.3


def test_where_bounds_rule_nothing_out_everything_is_evaluated():
    x, _ = table(900, 44, 18, apart=0.0)
    form, whole, x = pruned_of(x, np.arange(900) % 18)
    np.testing.assert_array_equal(form.log_joint(x), whole.log_joint(x))


def test_bounds_that_are_too_low_are_rejected():
    x, labels = table(1200, 44, 24, apart=3.0)
    x = 0.5 * (x + x[np.random.default_rng(0).permutation(1200)])  # rows between two clusters
    form, whole, x = pruned_of(x, labels)
    prunes(form, whole, x)

    class Low:
        def log_joint(self, x):
            return form.first.log_joint(x) - 200.0

    with pytest.raises(AssertionError):
        prunes(replace(form, first=Low()), whole, x)


def test_large_fits_in_many_columns_are_pruned(eager, monkeypatch):
    x, labels = table(1800, 44, 20, apart=3.0)
    model, rows = model_of("full", x, labels)
    model.ready(rows)
    assert isinstance(model.kernel(np.float64)[1], Pruned)
    laws.expects(Dense(), model, rows)
