"""The value `Mixture`: which structure each operation returns, columns by name, immutability."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pandas as pd
import pytest

import mixtura as mx
from mixtura import (
    DiagonalCovariance,
    FullCovariance,
    IsotropicCovariance,
    LowRankCovariance,
    Mixture,
    TiedCovariance,
)
from mixtura.covariance import base
from mixtura.errors import MixturaError
from tests.laws.cases import NAMES, lying, mixture_of, random_covariance_matrix

K, D = 3, 4
LOOSE = {"spherical": "isotropic", "diag": "diagonal", "lowrank": "lowrank", "full": "full"}
#: Kronecker products stand beside the ladder's low-rank rung; see their own tests.
LADDER = [name for name in NAMES if "kronecker" not in name]
RNG = np.random.default_rng(0)
MATRIX = random_covariance_matrix(RNG, D)
VECTOR = RNG.uniform(0.1, 1.0, D)
ROTATION = np.linalg.qr(RNG.standard_normal((D, D)))[0]
GENERAL = RNG.standard_normal((2, D))
SELECTOR = np.eye(D)[[2, 0]]
Y = RNG.standard_normal(D)

#: operation -> what isotropic, diagonal, low-rank and full become.
TABLE = {
    "marginal": (lambda m: m.marginal([2, 0]), "isotropic diagonal lowrank full"),
    "condition": (lambda m: m.condition([1], [0.2]), "isotropic diagonal lowrank full"),
    "relabel": (lambda m: m.relabel([2, 0, 1]), "isotropic diagonal lowrank full"),
    "blend with itself": (lambda m: mx.blend([m, m]), "isotropic diagonal lowrank full"),
    "product with itself": (lambda m: m.product(m), "isotropic diagonal lowrank full"),
    "blur by a number": (lambda m: m.blur(0.1), "isotropic diagonal lowrank full"),
    "blur by a vector": (lambda m: m.blur(VECTOR), "diagonal diagonal lowrank full"),
    "blur by a diagonal matrix": (
        lambda m: m.blur(np.diag(VECTOR)),
        "diagonal diagonal lowrank full",
    ),
    "blur by a matrix": (lambda m: m.blur(MATRIX), "full full full full"),
    "pick and scale columns alike": (
        lambda m: m.affine(3 * SELECTOR),
        "isotropic diagonal lowrank full",
    ),
    "scale columns": (lambda m: m.affine(np.diag(VECTOR)), "diagonal diagonal lowrank full"),
    "rotate": (lambda m: m.affine(2 * ROTATION), "isotropic full full full"),
    "map": (lambda m: m.affine(GENERAL), "full full full full"),
    "observe all": (lambda m: m.observe(Y, None, 0.1), "isotropic diagonal lowrank full"),
    "observe all, noise per column": (
        lambda m: m.observe(Y, None, VECTOR),
        "diagonal diagonal lowrank full",
    ),
    "observe some": (lambda m: m.observe(Y[:2], SELECTOR, 0.1), "diagonal diagonal lowrank full"),
    "observe some, scaled": (
        lambda m: m.observe(Y[:2], 2 * SELECTOR, VECTOR[:2]),
        "diagonal diagonal lowrank full",
    ),
    "observe a map": (lambda m: m.observe(Y[:2], GENERAL, 0.1), "full full full full"),
    "observe with full noise": (lambda m: m.observe(Y, None, MATRIX), "full full full full"),
}
RUNGS = ("isotropic", "diagonal", "lowrank", "full")


def structure_name(mix):
    """The name of the structure, and of what a tied one shares."""
    covariance = mix.covariance
    if covariance.name == "tied":
        return f"tied {covariance.shared.name}"
    return covariance.name


def closes(mix, operation, expected):
    """Law: the operation returns the structure that the table says."""
    assert structure_name(operation(mix)) == expected


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("row", TABLE)
def test_operations_return_the_narrowest_structure(row, rung, tied):
    name = next(name for name, loose in LOOSE.items() if loose == rung)
    if tied:
        name = "tied" if name == "full" else f"tied {name}"
    operation, expected = TABLE[row]
    narrowest = expected.split()[RUNGS.index(rung)]
    mix = mixture_of(name, np.random.default_rng(1), K, D)
    closes(mix, operation, f"tied {narrowest}" if tied else narrowest)


def test_an_operation_that_widens_is_rejected():
    mix = mixture_of("diag", np.random.default_rng(1), K, D)
    wide = lying(
        mix,
        marginal=lambda self, columns: Mixture(
            self.weights, self.means[:, columns], self.covariance.select(columns).dense()
        ),
    )
    with pytest.raises(AssertionError):
        closes(wide, TABLE["marginal"][0], "diagonal")


@pytest.mark.parametrize("right", LADDER)
@pytest.mark.parametrize("left", LADDER)
def test_product_has_the_wider_structure_of_two(left, right):
    rng = np.random.default_rng(2)
    a, b = mixture_of(left, rng, K, D), mixture_of(right, rng, 2, D)
    names = [structure_name(m) for m in (a, b)]
    wider = max((name.removeprefix("tied ") for name in names), key=RUNGS.index)
    both_tied = all(name.startswith("tied ") for name in names)
    assert structure_name(a.product(b)) == (f"tied {wider}" if both_tied else wider)
    assert structure_name(mx.blend([a, b])) == wider


def test_low_rank_refuses_to_become_full_beyond_the_budget(monkeypatch):
    mix = mixture_of("lowrank", np.random.default_rng(1), K, D)
    monkeypatch.setattr(base, "MEMORY_BUDGET", 8 * K * D * D - 1)
    for refused in (lambda: mix.blur(MATRIX), lambda: mix.observe(Y[:2], GENERAL, 0.1)):
        with pytest.raises(MixturaError, match=r"expected at most .* GiB"):
            refused()
    mix.blur(VECTOR).condition([0, 1], [0.0, 0.0])  # these stay low-rank


@pytest.mark.parametrize(
    ("covariance", "kind"),
    [
        ([1.0, 2.0], IsotropicCovariance),
        (np.ones((2, 3)), DiagonalCovariance),
        (np.stack([np.eye(3)] * 2), FullCovariance),
        (LowRankCovariance(np.ones((2, 3, 1)), np.ones((2, 3))), LowRankCovariance),
        (TiedCovariance(FullCovariance(np.eye(3)[None]), 2), TiedCovariance),
    ],
)
def test_covariance_in_every_accepted_form(covariance, kind):
    mix = Mixture([1, 3], np.zeros((2, 3)), covariance)
    assert isinstance(mix.covariance, kind)
    assert (mix.k, mix.d, mix.columns) == (2, 3, None)
    np.testing.assert_array_equal(mix.weights, [0.25, 0.75])


# ---- columns -----------------------------------------------------------------------------------
@pytest.fixture
def named():
    return mixture_of("full", np.random.default_rng(3), K, 3, columns=("a", "b", "c"))


def test_columns_by_name_and_position(named):
    assert named.marginal(["c", "a"]).columns == ("c", "a")
    assert named.marginal("b").columns == ("b",)
    assert named.marginal([-1, 0]).columns == ("c", "a")
    assert named.condition("b", 0.3).columns == ("a", "c")
    assert named.blur(0.1).relabel([1, 0, 2]).product(named).columns == ("a", "b", "c")
    x = named.sample(5, rng=0)
    np.testing.assert_array_equal(
        named.condition(["c", "a"], [1.0, 2.0]).log_density(x[:, [1]]),
        named.condition([2, 0], [1.0, 2.0]).log_density(x[:, [1]]),
    )


def test_columns_after_affine_maps(named):
    assert named.affine(2 * np.eye(3), [1, 2, 3]).columns == ("a", "b", "c")
    assert named.affine(np.ones((1, 3))).columns is None
    assert named.affine(np.ones((1, 3)), columns=["sum"]).columns == ("sum",)


def test_tables_are_matched_by_column_name(named):
    x = named.sample(6, rng=0)
    table = pd.DataFrame(x[:, [2, 0, 1]], columns=["c", "a", "b"]).assign(other=1.0)
    np.testing.assert_array_equal(named.log_density(table), named.log_density(x))
    np.testing.assert_array_equal(named.responsibilities(table), named.responsibilities(x))


# ---- a value -----------------------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
def test_pickles_and_copies_compute_the_same(name):
    mix = mixture_of(name, np.random.default_rng(4), K, D, columns=list("abcd"))
    x = mix.sample(5, rng=1)
    expected = mix.log_density(x)
    for other in (pickle.loads(pickle.dumps(mix)), copy.deepcopy(mix), copy.copy(mix)):
        assert other.columns == mix.columns
        assert structure_name(other) == structure_name(mix)
        np.testing.assert_array_equal(other.log_density(x), expected)


def test_values_are_immutable():
    means = np.zeros((2, 2))
    mix = Mixture([0.5, 0.5], means, [1.0, 1.0])
    means[0] = 9
    assert (mix.means == 0).all()
    for attribute in ("weights", "means", "mean", "cov", "log_weights"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(mix, attribute)[...] = 1
    with pytest.raises(AttributeError):
        mix.weights = np.ones(2)
    with pytest.raises(AttributeError):
        del mix.means


def test_values_compare_by_identity_and_hash():
    mix, twin = (Mixture([1.0], [[0.0]], [1.0]) for _ in range(2))
    assert mix == mix
    assert mix != twin
    assert len({mix, twin}) == 2


def test_repr_names_what_matters(named):
    assert repr(named) == "Mixture(k=3, d=3, full, columns=['a', 'b', 'c'])"


def test_seeds_and_generators_draw_alike(named):
    x, labels = named.sample(20, rng=7, return_labels=True)
    np.testing.assert_array_equal(named.sample(20, rng=np.random.default_rng(7)), x)
    assert not np.array_equal(named.sample(20, rng=8), x)
    assert labels.shape == (20,)
    assert named.sample(0).shape == (0, 3)


def test_scikit_learn_s_models_in_and_out():
    from sklearn.mixture import BayesianGaussianMixture, GaussianMixture

    x = mixture_of("full", np.random.default_rng(5), 2, 3).sample(200, rng=0)
    table = pd.DataFrame(x, columns=["a", "b", "c"])
    for kind in (GaussianMixture, BayesianGaussianMixture):
        for covariance_type in ("full", "tied", "diag", "spherical"):
            model = kind(n_components=2, covariance_type=covariance_type, random_state=0).fit(table)
            mix = Mixture.from_sklearn(model)
            assert mix.columns == ("a", "b", "c")
            back = mix.to_sklearn()
            assert back.covariance_type == covariance_type
            if kind is GaussianMixture:
                np.testing.assert_allclose(mix.log_density(x), model.score_samples(table))
            np.testing.assert_allclose(mix.log_density(x), back.score_samples(table))
            np.testing.assert_allclose(back.precisions_, model.precisions_, rtol=1e-6)
            np.testing.assert_array_equal(back.predict(table), mix.responsibilities(x).argmax(1))
            assert mx.Mixture.from_sklearn(back).covariance.name == mix.covariance.name
    ours = mx.GaussianMixture(2).fit(x)
    assert Mixture.from_sklearn(ours) is ours.mixture_
