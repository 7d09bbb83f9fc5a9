"""Work counted instead of seconds: rows seen, operations spent, bytes held, with liars for each.

A liar is an engine, or a way to score, that gives the right answer for too much work.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import logsumexp

from mixtura import GaussianMixture
from mixtura.covariance import LowRankCovariance
from mixtura.fit.engines import Dense
from mixtura.fit.model import GaussianModel
from mixtura.mixture import density
from mixtura.sources import Rows
from tests.laws import work

#: Structures, and features per row and component that a dense pass must see in d columns.
FEATURES: dict[str, Callable[[int], int]] = {
    "full": lambda d: d * (d + 1) // 2 + d + 1,
    "diag": lambda d: 2 * d + 1,
}


def table(n: int, d: int) -> np.ndarray:
    """Rows of three wide clusters."""
    rng = np.random.default_rng(7)
    return rng.standard_normal((n, d)) + 2 * rng.integers(0, 3, size=(n, 1))


def fitted(x: np.ndarray, k: int, covariance_type: str = "full", **options: Any) -> GaussianMixture:
    """An estimator after two iterations from arbitrary labels."""
    labels = np.arange(len(x)) % k
    settings = {"covariance_type": covariance_type, "resp_init": labels, "max_iter": 2, "tol": 0.0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return GaussianMixture(k, **settings | options).fit(x)


def model(d: int, k: int, covariance_type: str = "full") -> GaussianModel:
    """The model of such a fit to few rows."""
    return fitted(table(40 * k, d), k, covariance_type)._model


# ---- engines that waste --------------------------------------------------------------------------
@dataclass(frozen=True)
class Twice(Dense):
    """A second pass for the log-likelihood."""

    def expect(self, model: Any, rows: Rows, memory: Any = None) -> Any:
        stats, _, memory = super().expect(model, rows, memory)
        return stats, super().expect(model, rows, memory)[1], memory


@dataclass(frozen=True)
class Whole(Dense):
    """All rows in one batch: n × k responsibilities."""

    def expect(self, model: Any, rows: Rows, memory: Any = None) -> Any:
        return Dense(batch_rows=rows.n).expect(model, rows, memory)


@dataclass(frozen=True)
class Copying(Dense):
    """A centred copy of all rows."""

    def expect(self, model: Any, rows: Rows, memory: Any = None) -> Any:
        return super().expect(model, Rows(rows.x - 0.0), memory)


class Redone(GaussianModel):
    """A model whose log joints are evaluated twice."""

    def kernel(self, dtype: Any) -> Any:
        compute, form = super().kernel(dtype)
        return compute, Doubled(form)


@dataclass(frozen=True)
class Doubled:
    """A form that evaluates every log joint a second time."""

    inner: Any
    guarded = False
    least_rows = 256

    def log_joint(self, x: np.ndarray) -> np.ndarray:
        return 0.5 * (self.inner.log_joint(x) + self.inner.log_joint(x))

    def row_floats(self, d: int, k: int) -> int:
        return int(self.inner.row_floats(d, k))


# ---- rows ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_a_pass_sees_every_row_once(covariance_type: str) -> None:
    work.sees_rows_once(Dense(), model(3, 4, covariance_type), table(9_000, 3))


def test_an_engine_that_sees_rows_twice_is_caught() -> None:
    with pytest.raises(AssertionError):
        work.sees_rows_once(Twice(), model(3, 4), table(9_000, 3))


def test_a_fit_makes_one_pass_per_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    plain = Dense.expect

    def expect(self: Any, model: Any, rows: Rows, memory: Any = None) -> Any:
        calls.append(rows.n)
        return plain(self, model, rows, memory)

    monkeypatch.setattr(Dense, "expect", expect)
    x = table(600, 3)
    fit = fitted(x, 4, max_iter=7)
    assert fit.n_iter_ == 7
    assert calls == [len(x)] * 7


# ---- operations ----------------------------------------------------------------------------------
@pytest.mark.parametrize("covariance_type", list(FEATURES))
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_pass_spends_two_products(covariance_type: str, dtype: str) -> None:
    d, k = 8, 16
    x = table(4_000, d).astype(dtype)
    work.spends_two_products(Dense(), model(d, k, covariance_type), x, FEATURES[covariance_type](d))


def test_an_engine_that_spends_more_is_caught() -> None:
    with pytest.raises(AssertionError):
        work.spends_two_products(Twice(), model(8, 16), table(4_000, 8), FEATURES["full"](8))


def test_a_form_that_spends_more_is_caught() -> None:
    honest = model(8, 16)
    fields = {name: getattr(honest, name) for name in honest.__dataclass_fields__}
    with pytest.raises(AssertionError):
        work.spends_two_products(Dense(), Redone(**fields), table(2_000, 8), FEATURES["full"](8))


def test_a_count_that_overlooks_a_product_is_caught() -> None:
    with pytest.raises(AssertionError):  # the features of the diagonal are fewer than were used
        work.spends_two_products(Dense(), model(8, 16), table(4_000, 8), FEATURES["diag"](8))
    with pytest.raises(AssertionError):
        work.spends_two_products(Dense(), model(8, 16, "diag"), table(400, 8), FEATURES["full"](8))


def test_products_are_counted_as_they_are() -> None:
    flops: list[float] = []
    a = work.counted(np.ones((3, 4)), flops)
    b = (a + 1.0) @ np.ones((4, 5))
    assert_allclose(np.asarray(b.T @ np.ones((3, 2))), 24.0)
    assert flops == [2 * 3 * 4 * 5, 2 * 5 * 3 * 2]
    np.einsum("ij,ij->i", a, a)
    assert flops[2:] == [2 * 3 * 4]


# ---- bytes ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(("covariance_type", "d"), [("full", 4), ("tied", 4), ("diag", 8)])
def test_a_pass_holds_a_batch(covariance_type: str, d: int) -> None:
    k, x = 64, table(120_000, d)
    held = model(d, k, covariance_type)

    def step(rows: np.ndarray) -> None:
        Dense().expect(held, Rows(rows))

    step(x[:100])
    work.holds_a_batch(step, x, k)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_pass_copies_no_rows(dtype: str) -> None:
    x = table(120_000, 32).astype(dtype)
    held = model(32, 4, "diag")
    work.copies_no_rows(lambda rows: Dense().expect(held, Rows(rows)) and None, x)


def test_a_fit_copies_no_rows_and_holds_no_responsibilities() -> None:
    d, k = 8, 32
    x = table(400_000, d)
    means, weights = x[:k].copy(), np.full(k, 1 / k)
    start = {"means_init": means, "weights_init": weights, "precisions_init": np.ones((k, d))}

    def fit(rows: np.ndarray) -> None:
        fitted(rows, k, "diag", resp_init=None, max_iter=1, **start)

    fit(x[:1000])
    work.copies_no_rows(fit, x)


def test_an_engine_that_holds_everything_is_caught() -> None:
    held = model(16, 64)
    with pytest.raises(AssertionError):
        work.holds_a_batch(lambda x: Whole().expect(held, Rows(x)) and None, table(60_000, 16), 64)


def test_an_engine_that_copies_rows_is_caught() -> None:
    held = model(32, 4, "diag")
    with pytest.raises(AssertionError):
        work.copies_no_rows(lambda x: Copying().expect(held, Rows(x)) and None, table(120_000, 32))


@pytest.mark.parametrize("name", ["score_samples", "predict_proba", "predict"])
@pytest.mark.parametrize(("covariance_type", "d"), [("full", 4), ("diag", 8)])
def test_scores_hold_a_batch_beside_their_answer(name: str, covariance_type: str, d: int) -> None:
    k, x = 128, table(90_000, d)
    fit = fitted(x[: 40 * k], k, covariance_type)
    score = getattr(fit, name)
    score(x[:100])
    work.holds_a_batch(score, x, k)


@pytest.mark.parametrize("of_rows", [True, False])
def test_a_score_that_holds_n_times_k_is_caught(of_rows: bool) -> None:
    mix = fitted(table(5_000, 4), 128).mixture_

    def wasteful(x: np.ndarray) -> np.ndarray:
        joint = density.log_joint(mix, x)
        return logsumexp(joint, axis=1) if of_rows else density.responsibilities(mix, x) + 0 * joint

    with pytest.raises(AssertionError):
        work.holds_a_batch(wasteful, table(60_000, 4), 128)


def test_a_label_from_all_responsibilities_is_caught() -> None:
    fit = fitted(table(5_000, 4), 128)
    with pytest.raises(AssertionError):
        work.holds_a_batch(lambda x: fit.predict_proba(x).argmax(axis=1), table(90_000, 4), 128)


# ---- low rank ------------------------------------------------------------------------------------
COLUMNS = 2_500
LOW: dict[str, Any] = {"covariance_type": "lowrank", "rank": 2, "max_iter": 3}
ASKED: dict[str, Callable[[GaussianMixture, np.ndarray], Any]] = {
    "score_samples": lambda fit, x: fit.score_samples(x),
    "predict_proba": lambda fit, x: fit.predict_proba(x),
    "sample": lambda fit, x: fit.sample(10),
    "bic": lambda fit, x: fit.bic(x),
    "marginal": lambda fit, x: fit.mixture_.marginal(range(0, COLUMNS, 2)).log_density(x[:, ::2]),
    "condition": lambda fit, x: fit.mixture_.condition([0, 1], x[0, :2]).mean,
    "blur": lambda fit, x: fit.mixture_.blur(0.1).log_density(x),
    "grad_log_density": lambda fit, x: fit.mixture_.grad_log_density(x[:4]),
}


@pytest.fixture(scope="module")
def wide() -> tuple[GaussianMixture, np.ndarray]:
    """A low-rank fit in many columns."""
    x = table(100, COLUMNS)
    return fitted(x, 2, **LOW), x


def test_a_low_rank_fit_forms_no_square() -> None:
    x = table(100, COLUMNS)
    fitted(x[:, :100], 2, **LOW)
    work.forms_no_square(lambda: fitted(x, 2, **LOW), COLUMNS)


@pytest.mark.parametrize("name", list(ASKED))
def test_low_rank_answers_form_no_square(
    name: str, wide: tuple[GaussianMixture, np.ndarray]
) -> None:
    work.forms_no_square(lambda: ASKED[name](*wide), COLUMNS)


def test_a_low_rank_fit_that_goes_by_dense_matrices_is_caught() -> None:
    rng = np.random.default_rng(0)
    cov = LowRankCovariance(rng.standard_normal((1, COLUMNS, 2)), np.ones((1, COLUMNS)))
    v = rng.standard_normal((1, COLUMNS, 3))
    assert_allclose(np.asarray(cov.dense()) @ v, cov.matmul(v))
    work.forms_no_square(lambda: cov.matmul(v), COLUMNS)
    with pytest.raises(AssertionError):
        work.forms_no_square(lambda: cov.dense() @ v, COLUMNS)


def test_a_low_rank_pass_gathers_no_second_moments() -> None:
    x = table(300, 400)
    held = fitted(x, 2, **LOW)._model
    stats = Dense().expect(held, Rows(x))[0]
    assert stats.second.size <= held.k * x.shape[1] * (LOW["rank"] + 1)
