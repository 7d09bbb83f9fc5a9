"""What the report computes, held against direct arithmetic, SciPy and scikit-learn.

Each law is a function that tells whether an implementation keeps it; liars must not.
"""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import integrate, stats
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import KFold

import mixtura as mx
from mixtura import fit
from mixtura.cli.record import thinned
from mixtura.covariance import FullCovariance, TiedCovariance
from mixtura.report import FitCheck, brief, fit_check, fitcheck, pit, sections
from mixtura.report.apart import apart, overlap, sentence
from mixtura.report.certainty import certainty
from mixtura.report.reading import read_rows
from mixtura.report.unlikely import log_tails, unlikely
from mixtura.report.verdict import how, reading_of_transforms, verdict, whose
from mixtura.report.wording import listed, to_place
from mixtura.sources import Rows


def mixture_of(k, d, seed=0, spread=3.0):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(k, d, d)) / np.sqrt(d) + np.eye(d)
    weights = rng.uniform(1, 3, size=k)
    return mx.Mixture(weights, spread * rng.normal(size=(k, d)), root @ root.transpose(0, 2, 1))


def tied_of(k, d, seed=0):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(1, d, d)) / np.sqrt(d) + np.eye(d)
    shared = FullCovariance(root @ root.transpose(0, 2, 1))
    return mx.Mixture(np.ones(k), 4 * rng.normal(size=(k, d)), TiedCovariance(shared, k))


# ------------------------------------------------------------------ what sets a component apart


def tells_it_from_the_others(moments, mixture, k):
    """Whether the moments are those of component k and of the mixture without it."""
    rest = [j for j in range(mixture.k) if j != k]
    covariance = np.asarray(mixture.covariance.dense())[rest]
    others = mx.Mixture(mixture.weights[rest], mixture.means[rest], covariance)
    return (
        np.allclose(moments.mean, mixture.means[k], rtol=1e-12)
        and np.allclose(moments.rest_mean, others.mean, rtol=1e-9)
        and np.allclose(moments.rest_sd, np.sqrt(np.diag(others.cov)), rtol=1e-9)
    )


def with_itself(mixture, k):
    """A liar: the rest is the whole mixture."""
    honest = apart(mixture, k)
    sd = np.sqrt(np.diag(mixture.cov))
    return SimpleNamespace(mean=honest.mean, rest_mean=mixture.mean, rest_sd=sd)


@pytest.mark.parametrize("mixture", [mixture_of(3, 4), tied_of(4, 3), mixture_of(2, 1)])
def test_the_rest_is_the_mixture_of_the_others(mixture):
    for k in range(mixture.k):
        assert tells_it_from_the_others(apart(mixture, k), mixture, k)
        assert not tells_it_from_the_others(with_itself(mixture, k), mixture, k)


def test_offsets_cost_no_digits():
    mixture = mixture_of(3, 2)
    far = mx.Mixture(mixture.weights, mixture.means + 1e9, mixture.covariance)
    assert np.allclose(apart(far, 1).rest_sd, apart(mixture, 1).rest_sd, rtol=1e-6)


def test_the_sentence_names_the_most_separate_columns_with_their_numbers():
    means = [[2.04, 54.0, 7.0, 1.0], [4.29, 80.0, 7.1, -1.0]]
    mixture = mx.Mixture([0.36, 0.64], means, [[0.07, 34.0, 1.0, 0.2], [0.17, 36.0, 1.0, 0.2]])
    names = ("eruptions", "waiting", "depth", "tilt")
    # Separations: 2.25 / 0.346 = 6.5, 26 / 5.92 = 4.4, 0.1, and 2 / 0.447 = 4.5.
    assert sentence(mixture, 0, names) == (
        "Lower in eruptions (2.04 against 4.29 in the other) and waiting (54.0 against 80.0); "
        "higher in tilt (1.00 against −1.00)."
    )
    assert sentence(mixture, 1, names).startswith("Higher in eruptions (4.29 against 2.04 in")


def test_a_spread_much_unlike_that_inside_the_others_is_told_beside_the_mean():
    means = [[0.0, 0.0], [20.0, 0.0], [40.0, 0.0]]
    mixture = mx.Mixture([2, 1, 1], means, [[1.0, 2.56], [1.0, 841.0], [1.0, 841.0]])
    # Column a of the others is wide only because they lie apart: inside, it is like component 0.
    assert "narrower in b (standard deviation 1.6 against 29 inside" in sentence(
        mixture, 0, ("a", "b")
    )
    said = sentence(mixture, 2, ("a", "b"))
    assert said.startswith("Higher in a (")
    assert "in the others)" in said and "times" not in said
    wide = mx.Mixture([1, 1], means[:2], [[1.0, 2.56], [1.0, 841.0]])
    assert sentence(wide, 0, ("a", "b")) == (
        "Lower in a (0.0 against 20.0 in the other); 18 times narrower in b (standard deviation "
        "1.6 against 29 inside the other)."
    )


def test_components_of_one_mean_differ_by_their_spread():
    mixture = mx.Mixture([0.5, 0.5], np.zeros((2, 2)), [[1.0, 16.0], [1.0, 1.0]])
    said = sentence(mixture, 0, ("a", "b"))
    assert said == (
        "No mean sets it apart, but it is 4.0 times wider in b "
        "(standard deviation 4.0 against 1.0 in the other)."
    )
    assert "4.0 times narrower in b" in sentence(mixture, 1, ("a", "b"))


def test_components_that_lie_upon_each_other_overlap():
    mixture = mx.Mixture([1.0, 3.0], [[0.0], [0.0]], [1.0, 1.0])
    assert overlap(mixture, 0) == pytest.approx(0.75)
    assert "with a probability of 75% on average" in sentence(mixture, 0, ("a",))


def test_the_overlap_is_an_integral():
    mixture = mx.Mixture([0.4, 0.6], [[0.0], [0.7]], [1.0, 1.1])

    def inside(x):
        mine = 0.4 * stats.norm.pdf(x, 0.0, 1.0)
        return mine / (mine + 0.6 * stats.norm.pdf(x, 0.7, np.sqrt(1.1))) * mine / 0.4

    kept, _ = integrate.quad(inside, -12, 12)
    assert overlap(mixture, 0) == pytest.approx(1 - kept, abs=0.01)
    assert overlap(mixture, 1) != pytest.approx(1 - kept, abs=0.01)


def test_columns_that_tell_components_apart_only_together_are_said_to():
    thin = [[1.0, 0.999], [0.999, 1.0]]
    mixture = mx.Mixture([1, 1], [[-0.2, 0.2], [0.2, -0.2]], [thin, thin])
    said = sentence(mixture, 0, ("a", "b"))
    assert said.startswith("No single column sets it apart, but the columns together do")


def test_one_component_and_many_columns():
    assert sentence(mixture_of(1, 3), 0, ("a", "b", "c")) is None
    means = np.zeros((3, 500))
    means[1, 417] = 9.0
    names = tuple(f"v{j}" for j in range(500))
    mixture = mx.Mixture(np.ones(3), means, np.ones((3, 500)))
    assert sentence(mixture, 1, names) == "Higher in v417 (9.0 against 0.0 in the others)."


def test_numbers_in_words():
    assert to_place(54.4791, 5.87) == "54.5"
    assert to_place(-3e9, 1e8) == "−3.00×10⁹"
    assert [listed(["a", "b", "c"]), listed(["a", "b"]), listed(["a"])] == [
        "a, b and c",
        "a and b",
        "a",
    ]


# ------------------------------------------------------------------ how certain, how unlikely


def test_a_reading_agrees_with_the_mixture(rng):
    mixture, x = mixture_of(4, 3), mixture_of(4, 3).sample(300, rng=1)
    weight = rng.uniform(size=300)
    seen = read_rows(mixture, Rows(x, weight))
    resp = mixture.responsibilities(x)
    assert np.allclose(seen.log_density, mixture.log_density(x), rtol=1e-12)
    assert (seen.component == resp.argmax(axis=1)).all()
    for a in range(4):
        mine = resp.argmax(axis=1) == a
        expected = (weight[mine, None] * resp[mine]).sum(axis=0) / weight.sum()
        assert np.allclose(seen.moved[a], expected)
    assert seen.moved.sum() == pytest.approx(1.0)
    assert np.allclose(seen.share, np.average(resp, axis=0, weights=weight))


def test_rows_come_in_batches(monkeypatch):
    mixture, rows = mixture_of(3, 2), Rows(mixture_of(3, 2).sample(100, rng=1))
    whole = read_rows(mixture, rows)
    monkeypatch.setattr("mixtura.report.reading.NUMBERS", 30)
    parts = read_rows(mixture, rows)
    assert np.allclose(parts.moved, whole.moved)
    assert np.array_equal(parts.component, whole.component)


def knows_its_errors(mixture, truth, n=20_000):
    """Whether the share said to be assigned wrongly is the share that is, within 4 errors."""
    x, made_by = truth.sample(n, rng=3, return_labels=True)
    seen = read_rows(mixture, Rows(x))
    wrong = (seen.component != made_by).mean()
    return abs(certainty(seen).wrong - wrong) < 4 * np.sqrt(wrong * (1 - wrong) / n)


def test_the_share_assigned_wrongly_is_the_share_that_is():
    truth = mixture_of(3, 2, spread=1.2)
    assert knows_its_errors(truth, truth)
    sure = mx.Mixture(truth.weights, truth.means, 0.3 * np.asarray(truth.covariance.dense()))
    assert not knows_its_errors(sure, truth)


def test_pairs_and_levels():
    mixture = mx.Mixture(np.ones(3), [[0.0], [1.0], [9.0]], np.ones(3))
    seen = read_rows(mixture, Rows(mixture.sample(4000, rng=0)))
    found = certainty(seen)
    assert found.pairs[0][:2] == (0, 1)
    off_diagonal = seen.moved.sum() - np.trace(seen.moved)
    assert found.wrong == pytest.approx(off_diagonal)
    resp = mixture.responsibilities(mixture.sample(4000, rng=0)).max(axis=1)
    assert found.above == {
        level: pytest.approx((resp > level).mean()) for level in (0.99, 0.9, 0.5)
    }


def test_the_least_likely_rows():
    mixture, x = mixture_of(3, 3), mixture_of(3, 3).sample(200, rng=1)
    x[17] += 40
    weight = np.ones(200)
    weight[150] = 0
    x[150] += 1e3
    rows = Rows(x, weight)
    found = unlikely(mixture, rows, read_rows(mixture, rows))
    each = [
        mixture.weights[k] * stats.multivariate_normal(mixture.means[k], cov).pdf(x)
        for k, cov in enumerate(mixture.covariance.dense())
    ]
    expected = [int(i) + 1 for i in np.argsort(np.sum(each, axis=0), kind="stable") if i != 150][
        :10
    ]
    assert [row.row for row in found] == expected
    assert found[0].row == 18
    for row in found:
        tails = [tail for _, _, tail in row.cells]
        assert tails == sorted(tails)
        assert all(value == x[row.row - 1, j] for j, value, _ in row.cells)


def test_tails_are_two_sided_and_keep_their_digits():
    mixture = mixture_of(2, 2)
    x = np.array([[0.3, -1.0], [60.0, 90.0]])
    sd = np.sqrt(mixture.covariance.diagonal())
    z = (x[:, None, :] - mixture.means) / sd
    below = np.einsum("k,nkd->nd", mixture.weights, stats.norm.cdf(z))
    assert np.exp(log_tails(mixture, x))[0] == pytest.approx(2 * np.minimum(below, 1 - below)[0])
    far = mx.Mixture([1.0], [[0.0]], [1.0])
    assert log_tails(far, np.array([[60.0]]))[0, 0] == pytest.approx(
        np.log(2) + stats.norm.logsf(60.0)
    )


# ------------------------------------------------------------------ transforms


def looks_uniform(mixture, truth, columns):
    """Whether rows of ``truth``, transformed by ``mixture``, pass as uniform in every column."""
    values = pit.transform(mixture, truth.sample(1500, rng=5), columns)
    return [bool(stats.kstest(column, "uniform").pvalue > 1e-3) for column in values.T]


def test_transforms_of_a_right_model_are_uniform():
    truth = mixture_of(3, 3)
    assert looks_uniform(truth, truth, [0, 2]) == [True, True, True]
    assert looks_uniform(mixture_of(2, 1), mixture_of(2, 1), [0]) == [True]


def test_transforms_of_a_wrong_model_are_not():
    truth = mixture_of(3, 3)
    wide = mx.Mixture(truth.weights, truth.means, 2 * np.asarray(truth.covariance.dense()))
    assert looks_uniform(wide, truth, [0, 2]) == [False, False, False]
    # The same columns, without their correlation: only the row as a whole can tell.
    tight = mx.Mixture([1.0], [[0.0, 0.0]], [[[1.0, 0.9], [0.9, 1.0]]])
    loose = mx.Mixture([1.0], [[0.0, 0.0]], [[1.0, 1.0]])
    assert looks_uniform(loose, tight, [0, 1]) == [True, True, False]


def rounded_rows_pass(transform, intervals=pit.intervals):
    """Whether rounding a right model's rows leaves each column uniform; the last has a spike."""
    law = mx.Mixture([0.4, 0.6], [[0.0, 0.0], [5.0, 9.0]], [[1.0, 1.0], [2.0, 1.0]])
    x = law.sample(1500, rng=2)
    x[:, 0] = np.round(x[:, 0] / 0.8) * 0.8
    values = transform(law, x, [0, 1], cells=intervals(x, [0, 1]))
    assert stats.kstest(values[:, 1], "uniform").pvalue > 1e-3
    assert stats.kstest(values[:, 0], "uniform").pvalue > 1e-3


def test_rounding_makes_no_steps():
    rounded_rows_pass(pit.transform)
    with pytest.raises(AssertionError):  # the liar takes the rounded values as they are
        rounded_rows_pass(pit.transform, lambda x, _: np.stack([x.T, x.T], axis=1))
    with pytest.raises(AssertionError):  # and one whose law is another's is still found out
        rounded_rows_pass(lambda law, *rest, **o: pit.transform(law.blur(3.0), *rest, **o))


def test_values_are_spread_half_way_to_their_neighbours():
    x = np.array([0.0, 0.0, 0.0, 1.0, 3.0, 3.0])[:, None]
    ((low, high),) = pit.intervals(x, [0])
    assert low.tolist() == [-0.5, -0.5, -0.5, 1.0, 2.0, 2.0]
    assert high.tolist() == [0.5, 0.5, 0.5, 1.0, 4.0, 4.0]
    few = np.r_[np.arange(400.0), 7.0, 7.0]  # three of 402 rows are no heavy tie
    ((low, high),) = pit.intervals(few[:, None], [0])
    assert (low == high).all()


def test_ties_are_told(rng):
    x = rng.normal(size=(200, 2))
    x[:, 0] = x[:, 0].round(1)
    check = fit_check(mx.Mixture([1.0], [[0.0, 0.0]], [[1.0, 1.0]]), Rows(x), {})
    assert check.tied == (0,)
    assert "share their value of a, as where numbers" in reading_of_transforms(check, ("a", "b"))[0]
    assert whose(check) == "the rows of this page under the model as it is"


def test_departures_are_kolmogorovs(rng):
    values = rng.uniform(size=(80, 2)) ** [1, 1.5]
    expected = [stats.kstest(column, "uniform").statistic for column in values.T]
    assert pit.departure(values) == pytest.approx(expected)
    twice = rng.integers(1, 4, size=80)
    repeated = np.repeat(values, twice, axis=0)
    assert pit.departure(values, twice) == pytest.approx(pit.departure(repeated))
    assert pit.chance(80, 1) == pytest.approx(stats.kstwo.ppf(0.95, 80))
    assert pit.chance(80, 5) == pytest.approx(stats.kstwo.ppf(0.99, 80))


# ------------------------------------------------------------------ the check of fit


def fitted(x, k, structure, weight=None):
    """A fit and its record, as the command line makes them."""
    rows = Rows(x, weight)
    found = fit.search(rows, n_components=k, covariance_type=structure)
    info = {
        "n_rows": rows.n, "log_likelihood": found.best.log_likelihood, "n_components": k,
        "covariance_type": structure, "n_parameters": found.best.n_parameters, "rank": None,
    }  # fmt: skip
    return found.mixture, rows, info


def agrees_with_a_plain_loop(check, x, k, structure, held_out=True):
    """Whether the numbers are those of a loop over scikit-learn's folds and mixtures."""
    mine, theirs = np.empty(len(x)), np.empty(len(x))
    for train, test in KFold(5, shuffle=True, random_state=0).split(x):
        part = x[train] if held_out else x
        for out, count, kind in ((mine, k, structure), (theirs, 1, "full")):
            model = GaussianMixture(
                count, covariance_type=kind, reg_covar=0, tol=1e-12, max_iter=1000, n_init=3,
                random_state=0,
            )  # fmt: skip
            out[test] = model.fit(part).score_samples(x[test])
    gain = mine - theirs
    expected = [mine.mean(), theirs.mean(), gain.mean(), gain.std(ddof=1) / np.sqrt(len(x))]
    return [check.model, check.gaussian, check.gain, check.se] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("k", "structure"), [(1, "diag"), (2, "full"), (2, "tied")])
def test_held_out_numbers_are_those_of_a_plain_loop(rng, k, structure):
    x = rng.normal(size=(200, 2)) @ [[1.0, 0.4], [0.0, 0.7]]
    x[120:] += (12.0, -9.0) if k == 2 else 0.0
    mixture, rows, info = fitted(x, k, structure)
    check = fit_check(mixture, rows, info)
    assert check.fitted
    assert check.unseen
    assert agrees_with_a_plain_loop(check, x, k, structure)
    assert not agrees_with_a_plain_loop(check, x, k, structure, held_out=False)
    assert check.values.shape == (200, 3)
    assert pit.departure(check.values).max() < pit.chance(200, 3, level=1e-3)


def test_one_gaussian_has_nothing_to_be_held_against(rng):
    mixture, rows, info = fitted(rng.normal(size=(60, 2)), 1, "full")
    check = fit_check(mixture, rows, info)
    assert check.model is not None
    assert check.gaussian is check.gain is None
    renamed = fit_check(mixture, rows, {**info, "covariance_type": "VVV"})
    assert renamed.gain is None
    assert "one Gaussian itself" in verdict(check)


def test_rows_of_no_weight_change_nothing_and_equal_weights_neither(rng):
    x = rng.normal(size=(120, 2))
    x[70:] += 8
    plain = fit_check(*fitted(x, 2, "diag"))
    heavy = fit_check(*fitted(x, 2, "diag", np.full(120, 3.0)))
    assert [heavy.model, heavy.gain, heavy.se] == pytest.approx([plain.model, plain.gain, plain.se])
    more = np.insert(x, [10, 50], 99.0, axis=0)
    weight = np.ones(122)
    weight[[10, 51]] = 0
    dropped = fit_check(*fitted(more, 2, "diag", weight))
    assert dropped.n == 120
    assert dropped.model == pytest.approx(plain.model, rel=1e-9)


def test_new_rows_are_tried_on_the_model_itself():
    mixture, x = mixture_of(2, 3), mixture_of(2, 3, seed=0).sample(150, rng=8)
    check = fit_check(mixture, Rows(x), {"n_rows": 150, "log_likelihood": -1.0})
    assert not check.fitted
    one = stats.multivariate_normal(mixture.mean, mixture.cov).logpdf(x)
    gain = mixture.log_density(x) - one
    assert check.gaussian == pytest.approx(one.mean())
    assert check.gain == pytest.approx(gain.mean())
    assert check.se == pytest.approx(gain.std(ddof=1) / np.sqrt(150))


def test_rows_fitted_are_known_by_number_and_likelihood(rng):
    mixture, rows, info = fitted(rng.normal(size=(100, 2)), 1, "full")
    seen = read_rows(mixture, rows)
    assert fitcheck.is_fitted_to(info, rows, seen)
    assert not fitcheck.is_fitted_to({}, rows, seen)
    other = Rows(rows.x + np.array([0.01, 0.0]))
    assert not fitcheck.is_fitted_to(info, other, read_rows(mixture, other))
    assert not fitcheck.is_fitted_to({**info, "n_rows": 99}, rows, seen)


def test_why_there_is_no_number_is_said(rng):
    few = fit_check(*fitted(rng.normal(size=(12, 6)), 1, "full"))
    assert few.model is None
    assert "12 rows of 6 columns are too few to refit 27 free parameters" in few.why
    assert few.why in how(few)
    assert not few.unseen
    # A column that varies on one row only is constant without it.
    x = rng.normal(size=(100, 2))
    x[:, 1] = 0.0
    x[3, 1] = 1.0
    mixture = mx.Mixture([1.0], [x.mean(axis=0)], [[1.0, 0.1]])
    told = {"covariance_type": "diag", "n_parameters": 4}
    failed = fit_check(mixture, Rows(x), told, fitted=True)
    assert failed.model is None
    assert re.search(r"the refit of one Gaussian without fold \d of 5 failed", failed.why)
    assert failed.values.shape == (100, 3)


def test_of_many_rows_a_draw_is_looked_at(rng, monkeypatch):
    monkeypatch.setattr("mixtura.report.fitcheck.MOST_ROWS", 150)
    x = rng.normal(size=(400, 1))
    x[200:] += 9
    check = fit_check(*fitted(x, 2, "full"))
    assert (check.n, check.used) == (400, 150)
    assert "of 150 rows drawn at random" in how(check)


def test_progress_of_refits_is_told(rng):
    seen = []
    fit_check(*fitted(rng.normal(size=(60, 2)), 1, "diag"), callback=seen.append)
    assert {step.trial for step in seen} == set(range(5))
    assert {step.n_trials for step in seen} == {5}
    assert all(step.finished is None for step in seen)


def told(gain, se, new=False):
    return FitCheck(not new, True, 50, 50, model=gain - 4.0, gaussian=-4.0, gain=gain, se=se)


def test_verdicts():
    ahead, behind, even = told(0.78, 0.1), told(-0.5, 0.1), told(0.1, 0.1)
    assert "e^0.78 ≈ 2.2 times as likely under the mixture" in verdict(ahead)
    assert "e^0.5 ≈ 1.6 times as likely under one Gaussian" in verdict(behind)
    assert "does not tell the mixture from one Gaussian" in verdict(even)
    assert "e^0.03 ≈ 1.03 times" in verdict(told(0.03, 0.001))
    assert "e^800 times" in verdict(told(800.0, 1.0))
    assert "ahead by 0.78 ± 0.1 (a row is e^0.78 ≈ 2.2 times as likely)" in brief(ahead)
    assert "behind by 0.5" in brief(behind)
    assert "times" not in brief(even)
    assert "ahead by 0.1 ± 0.1, no more than chance" in brief(even)
    assert "chance" not in brief(ahead)
    assert "e^0.0005 ≈ 1.0005 times" in verdict(told(0.0005, 1e-5))
    info = {"log_likelihood": -3.0}
    raised = sections.checked(told(1.04, 0.1), info, ("a",))["verdict"]
    assert "is on average e<sup>1</sup> ≈ 2.8 times as likely" in raised


# ------------------------------------------------------------------ the trace in the record


def test_a_trace_is_thinned_to_its_first_last_and_some_between():
    short = thinned([-3.0, -2.0, -1.5])
    assert short == {"n_iter": [1, 2, 3], "log_likelihood": [-3.0, -2.0, -1.5]}
    trace = [-1.0 / i for i in range(1, 2001)]
    long = thinned(trace)
    assert len(long["n_iter"]) == 500
    assert (long["n_iter"][0], long["n_iter"][-1]) == (1, 2000)
    assert all(trace[i - 1] == v for i, v in zip(*long.values(), strict=True))
    assert thinned([float("-inf"), -1.0])["n_iter"] == [2]
