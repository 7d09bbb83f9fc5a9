"""Every covariance structure, alone and tied, against dense linear algebra."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given

from mixtura.arrays.linalg import solve_triangular
from mixtura.covariance import (
    Covariance,
    FullCovariance,
    IsotropicCovariance,
    LowRankCovariance,
    TiedCovariance,
    base,
    fuse,
    plus,
    stack,
    structure,
)
from mixtura.errors import ConstructionError, InputError, MixturaError, NotPositiveDefiniteError
from tests.laws import covariance as laws
from tests.laws.cases import NAMES, Case, cases, covariance_of, lying, structure_of

PLAIN = Case(seed=1, k=3, d=4)


def named(law):
    """The name of a law, for test ids."""
    return law.__name__


@pytest.mark.parametrize("law", laws.LAWS, ids=named)
@pytest.mark.parametrize("name", NAMES)
@given(case=cases())
def test_law(name, law, case):
    law(covariance_of(name, case.rng, case.k, case.d), case.rng)


@pytest.mark.parametrize("d", [96, 97, 130])
@pytest.mark.parametrize("name", NAMES)
def test_kernels_of_many_columns(name, d):
    case = Case(seed=9, k=2, d=d)
    laws.forms_agree(covariance_of(name, case.rng, 2, d), case.rng)


@pytest.mark.parametrize("name", NAMES)
@given(case=cases())
def test_parameters_round_trip(name, case):
    cov = covariance_of(name, case.rng, case.k, case.d)
    laws.round_trip(getattr(cov, "shared", cov), case.rng)


@pytest.mark.parametrize("name", NAMES)
@given(case=cases())
def test_number_of_parameters_is_the_rule_s(name, case):
    cov = covariance_of(name, case.rng, case.k, case.d)
    assert cov.n_parameters() == structure_of(name, case.d).n_parameters(case.k, case.d)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("spherical", 3),
        ("diag", 3 * 5),
        ("tied", 15),
        ("full", 3 * 15),
        ("lowrank", 3 * (5 * 2 - 1 + 5)),
        ("tied lowrank", 5 * 2 - 1 + 5),
    ],
)
def test_number_of_parameters(name, expected):
    assert structure_of(name, 5).n_parameters(3, 5) == expected


@pytest.mark.parametrize("law", [laws.adding, laws.fusing, laws.stacking], ids=named)
@pytest.mark.parametrize(("left", "right"), list(itertools.product(NAMES, repeat=2)))
def test_binary_law(law, left, right):
    operation = {laws.adding: plus, laws.fusing: fuse, laws.stacking: stack}[law]
    for case in (Case(0, 1, 1), Case(1, 3, 2), Case(2, 2, 5)):
        rng = case.rng
        a = covariance_of(left, rng, case.k, case.d)
        law(operation, a, covariance_of(right, rng, case.k, case.d))


# ---- liars -------------------------------------------------------------------------------------
def _whiten_with_transposed_factor(self, v):
    return solve_triangular(self.cholesky, v, adjoint=True)


def _logdet_without_the_two(self):
    return np.log(np.linalg.diagonal(self.cholesky)).sum(axis=-1)


def _logdet_of_noise_alone(self):
    return np.log(self.noise).sum(axis=-1)


def _woodbury_without_its_correction(self, v):
    return v / self.noise[:, :, None]


def _select_sorted(self, columns):
    return FullCovariance(self.values[:, sorted(columns)][:, :, sorted(columns)])


def _conditional_without_schur(self, given, rest):
    gain, _ = Covariance.conditional(self, given, rest)
    return gain, self.select(rest)


def _conditional_in_column_order(self, given, rest):
    gain, residual = Covariance.conditional(self, sorted(given), rest)
    return gain, residual


def _observe_with_gain_of_the_noiseless(self, channel):
    law = Covariance.observe(self, channel)
    return base.Law(law.evidence, lambda v: -law.gain(v), law.residual)


def _form_about_the_anchor(self, means, const, dtype, *, guarded=None):
    return FullCovariance.form(self, 0 * means, const, dtype, guarded=guarded)


def _form_that_spoils_the_rows(self, means, const, dtype, *, guarded=None):
    honest = FullCovariance.form(self, means, const, dtype, guarded=guarded)

    def log_joint(self, x):
        answer = honest.log_joint(x)
        x *= 2
        return answer

    return lying(honest, log_joint=log_joint)


def _take_all_alike(self, components):
    return LowRankCovariance(
        self.loadings[[0] * len(components)], self.noise[[0] * len(components)]
    )


LIARS = [
    (laws.whitening, "full", {"whiten": _whiten_with_transposed_factor}),
    (laws.whitening, "lowrank", {"whiten": lambda self, v: v / self._root}),
    (laws.coloring, "full", {"color": lambda self, z: self.cholesky.swapaxes(1, 2) @ z}),
    (laws.coloring, "diag", {"color": lambda self, z: self.variance[:, :, None] * z}),
    (laws.log_determinant, "full", {"logdet": property(_logdet_without_the_two)}),
    (laws.log_determinant, "lowrank", {"logdet": property(_logdet_of_noise_alone)}),
    (laws.log_determinant, "spherical", {"logdet": property(lambda self: np.log(self.variance))}),
    (laws.matrix_views, "lowrank", {"diagonal": lambda self: self.noise}),
    (laws.matrix_views, "lowrank", {"solve": _woodbury_without_its_correction}),
    (laws.parts, "full", {"select": _select_sorted}),
    (laws.parts, "lowrank", {"take": _take_all_alike}),
    (laws.parts, "tied", {"scaled": lambda self, a, b=0.0: TiedCovariance(self.shared, self.k)}),
    (laws.forms_agree, "full", {"form": _form_about_the_anchor}),
    (laws.forms_agree, "full", {"form": _form_that_spoils_the_rows}),
    (laws.observing, "full", {"observe": _observe_with_gain_of_the_noiseless}),
    (laws.conditioning, "full", {"conditional": _conditional_without_schur}),
    (laws.conditioning, "lowrank", {"conditional": _conditional_in_column_order}),
]


@pytest.mark.parametrize(("law", "name", "lies"), LIARS)
def test_liar_is_rejected(law, name, lies):
    honest = covariance_of(name, PLAIN.rng, PLAIN.k, PLAIN.d)
    law(honest, np.random.default_rng(4))
    with pytest.raises(AssertionError):
        law(lying(honest, **lies), np.random.default_rng(4))


def test_every_law_has_a_liar():
    assert {law for law, _, _ in LIARS} == set(laws.LAWS)


def test_liar_of_the_round_trip_is_rejected():
    cov = covariance_of("diag", PLAIN.rng, PLAIN.k, PLAIN.d)
    with pytest.raises(AssertionError):
        laws.round_trip(lying(cov, parameters=lambda self: {"variance": 2 * self.variance}), None)


@pytest.mark.parametrize(
    ("law", "lie"),
    [
        (laws.adding, lambda a, b: a),
        (laws.fusing, plus),
        (laws.stacking, lambda both: stack(both[::-1])),
    ],
)
def test_binary_liar_is_rejected(law, lie):
    rng = PLAIN.rng
    with pytest.raises(AssertionError):
        law(lie, covariance_of("full", rng, 2, 3), covariance_of("diag", rng, 2, 3))


# ---- what is refused ---------------------------------------------------------------------------
def test_names_and_aliases():
    assert structure("isotropic", None, 4) == structure("spherical", None, 4)
    assert structure("diagonal", None, 4) == structure("diag", None, 4)
    assert structure("lowrank", None, 16).rank == 4
    rule = structure("full", None, 4)
    assert structure(rule, None, 4) is rule
    with pytest.raises(InputError, match=r"expected .*'full'.* got 'ful'"):
        structure("ful", None, 4)
    with pytest.raises(InputError, match=r"expected a rank below .* from 1 to 3, got 5"):
        structure("lowrank", 5, 4)


def test_registry_of_files_holds_what_the_structures_fit():
    fitted = [covariance_of(name, PLAIN.rng, PLAIN.k, PLAIN.d) for name in NAMES]
    loose = [getattr(cov, "shared", cov) for cov in fitted]
    assert {type(cov) for cov in loose} == set(Covariance.representations.values()) - {
        TiedCovariance
    }
    assert all(Covariance.representations[cov.name] is type(cov) for cov in loose)


def test_component_that_is_not_positive_definite_is_named():
    good, bad = np.eye(2), np.array([[1.0, 2.0], [2.0, 1.0]])
    with pytest.raises(NotPositiveDefiniteError, match=r"eigenvalue is -1 in component 1"):
        FullCovariance(np.stack([good, bad])).whiten(np.ones((2, 2, 1)))
    with pytest.raises(NotPositiveDefiniteError, match=r"got -2 in component 1"):
        IsotropicCovariance([1.0, -2.0], 3).solve(np.ones((2, 3, 1)))
    with pytest.raises(NotPositiveDefiniteError, match=r"got 0 in component 0, column 1"):
        LowRankCovariance(np.ones((1, 2, 1)), [[1.0, 0.0]]).solve(np.ones((1, 2, 1)))
    with pytest.raises(NotPositiveDefiniteError, match="NaN"):
        FullCovariance(np.full((1, 2, 2), np.nan)).precision()


def test_shapes_that_disagree_are_refused():
    with pytest.raises(ConstructionError, match=r"loadings \(k, d, r\)"):
        LowRankCovariance(np.ones((2, 3, 1)), np.ones((2, 4)))
    with pytest.raises(ConstructionError, match="one component, got 2"):
        TiedCovariance(IsotropicCovariance([1.0, 2.0], 3), 5)


def test_dense_matrices_beyond_the_budget_are_refused(monkeypatch):
    monkeypatch.setattr(base, "MEMORY_BUDGET", 8 * 2 * 5 * 5 - 1)
    cov = LowRankCovariance(np.ones((2, 5, 1)), np.ones((2, 5)))
    with pytest.raises(MixturaError, match=r"2 × 5 × 5.*marginal"):
        cov.dense()
    assert cov.logdet.shape == (2,)


def test_arrays_are_read_only_copies():
    values = np.stack([np.eye(2)] * 2)
    cov = FullCovariance(values)
    values[0, 0, 0] = 7
    assert cov.dense()[0, 0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        cov.values[0, 0, 0] = 3
