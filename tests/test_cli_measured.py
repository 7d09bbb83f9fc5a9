"""Missing cells and columns of errors on the command line: what is fitted, scored, said, refused.

Answers are held against the estimator and against SciPy's densities, cell by cell; each law has a
liar which it must reject.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import chi2, multivariate_normal

import mixtura as mx
from mixtura.cli.record import thresholds
from mixtura.io import read
from mixtura.report import tail as tails
from mixtura.report.observations import Observations
from tests.test_cli import flat, place, run, table  # noqa: F401 (place: every test's empty folder)

NAMES, ERRORS = ("a", "b", "c"), ("e_a", "e_b", "e_c")
FIT = ("--components", "2", "--covariance", "full", "--columns", "a,b,c", "--quiet")
NOISY = ("--noise-columns", "e_a,e_b,e_c")
TRUTH = mx.Mixture(
    [0.6, 0.4],
    [[0.0, 0.0, 0.0], [4.0, -3.0, 2.0]],
    [np.eye(3) + 0.5, np.diag([0.5, 2.0, 1.0])],
    columns=NAMES,
)


def drawn(rng, n=300, gaps=0.25, noise=True):
    """Rows of the truth with gaps and errors of their own: x and standard deviations."""
    sd = rng.uniform(0.2, 1.5, (n, 3)) if noise else np.zeros((n, 3))
    x = TRUTH.sample(n, rng) + sd * rng.standard_normal((n, 3))
    x[rng.random(x.shape) < gaps] = np.nan
    x[np.isnan(x).all(axis=1), 0] = 1.0
    return x, sd


def write(name, x, sd=None, **more):
    def text(values):
        return ["" if np.isnan(v) else repr(float(v)) for v in values]

    columns = dict(zip(NAMES, map(text, x.T), strict=True))
    if sd is not None:
        columns |= dict(zip(ERRORS, map(text, sd.T), strict=True))
    return table(name, {**columns, **more})


def scored(*arguments):
    result = run("score", *arguments)
    return list(csv.DictReader(io.StringIO(result.stdout))), result.stderr


def numbers(rows, *names):
    return np.array([[float(row[name]) for name in names] for row in rows]).squeeze()


def dense(mix, x, sd):
    """Log wₖ + log N(y_o; μₖₒ, Σₖₒₒ + Sₒₒ) by SciPy: (n, k)."""
    cov = np.asarray(mix.covariance.dense())
    out = np.repeat(np.log(mix.weights)[None], len(x), axis=0)
    for i, row in enumerate(x):
        o = np.flatnonzero(~np.isnan(row) & np.isfinite(sd[i]))
        for k in range(mix.k) if len(o) else ():
            spread = cov[k][np.ix_(o, o)] + np.diag(sd[i, o] ** 2)
            out[i, k] += multivariate_normal(mix.means[k, o], spread).logpdf(row[o])
    return out


# ------------------------------------------------------------------ fit


def fits_as_the_estimator(model, x, noise):
    """Whether the model is as likely for these rows as the estimator's fit."""
    mix, info = read(model)
    gm = mx.GaussianMixture(2, reg_covar="auto", n_init=3, random_state=0, tol=1e-6, max_iter=500)
    best = gm.fit(x, noise=noise).score(x, noise=noise)
    mine = logsumexp(dense(mix, x, np.zeros(x.shape) if noise is None else np.sqrt(noise)), axis=1)
    assert info["log_likelihood"] == pytest.approx(mine.mean(), abs=1e-6)
    return abs(mine.mean() - best) < 2e-3


def test_columns_of_errors_are_standard_deviations(rng):
    x, sd = drawn(rng, 500)
    run("fit", write("t.csv", x, sd), *FIT, *NOISY)
    assert fits_as_the_estimator("t.safetensors", x, sd**2)
    mix, info = read("t.safetensors")
    assert mix.columns == NAMES
    assert info["noise_columns"] == dict(zip(NAMES, ERRORS, strict=True))
    missing = np.isnan(x)
    assert info["missing"] == {
        "cells": int(missing.sum()), "rows": int(missing.any(axis=1).sum()), "empty_rows": 0,
        "columns": dict(zip(NAMES, missing.sum(axis=0).tolist(), strict=True)),
    }  # fmt: skip
    # Liars: errors taken for variances, and errors not taken at all.
    run("fit", write("variances.csv", x, np.sqrt(sd)), *FIT, *NOISY)
    assert not fits_as_the_estimator_would(read("variances.safetensors")[0], mix, x, sd)
    run("fit", "t.csv", *FIT, "-o", "plain.safetensors")
    assert not fits_as_the_estimator_would(read("plain.safetensors")[0], mix, x, sd)


def fits_as_the_estimator_would(mix, best, x, sd):
    mine, theirs = (logsumexp(dense(m, x, sd), axis=1).mean() for m in (mix, best))
    return theirs - mine < 2e-3


def test_errors_by_pairs_and_one_for_all(rng):
    x, sd = drawn(rng, 200)
    sd[:, [1, 2]] = 0.0
    run("fit", write("t.csv", x, sd), *FIT, *NOISY)
    run("fit", "t.csv", *FIT, "--noise-columns", "a=e_a", "-o", "pair.safetensors")
    one, two = read("t.safetensors")[0], read("pair.safetensors")
    np.testing.assert_allclose(one.means, two[0].means, rtol=1e-9)
    assert two[1]["noise_columns"] == {"a": "e_a"}
    sd[:, [1, 2]] = sd[:, [0]]
    run("fit", write("s.csv", x, sd), *FIT, *NOISY)
    run("fit", "s.csv", *FIT, "--noise-columns", "e_a", "-o", "all.safetensors")
    one, two = read("s.safetensors")[0], read("all.safetensors")
    np.testing.assert_allclose(one.means, two[0].means, rtol=1e-9)
    assert two[1]["noise_columns"] == dict.fromkeys(NAMES, "e_a")
    run("fit", "s.csv", *FIT[:4], *NOISY, "--quiet", "-o", "unasked.safetensors")
    unasked = read("unasked.safetensors")[0]
    assert unasked.columns == NAMES  # the columns of errors are not fitted themselves
    np.testing.assert_array_equal(unasked.means, one.means)


def test_infinite_errors_and_empty_cells_say_the_same(rng):
    x, sd = drawn(rng, 200)
    hole = rng.random(x.shape) < 0.1
    run("fit", write("inf.csv", x, np.where(hole, np.inf, sd)), *FIT, *NOISY)
    empty = np.where(hole, np.nan, sd)  # an error may lack where its value does
    run("fit", write("gap.csv", np.where(hole, np.nan, x), empty), *FIT, *NOISY)
    (one, told), (two, also) = read("inf.safetensors"), read("gap.safetensors")
    np.testing.assert_array_equal(one.means, two.means)
    assert told["missing"] == also["missing"]


def test_rows_without_a_value_are_left_out_and_counted(rng):
    x, _ = drawn(rng, 120, noise=False)
    run("fit", write("t.csv", x), *FIT)
    said = run("fit", write("u.csv", np.insert(x, [0, 50], np.nan, axis=0)), *FIT[:6]).stdout
    (one, _), (two, info) = read("t.safetensors"), read("u.safetensors")
    np.testing.assert_array_equal(one.means, two.means)
    assert info["n_rows"] == 120
    assert info["missing"]["empty_rows"] == 2
    cells = int(np.isnan(x).sum())
    assert said.startswith("u.csv: 120 rows, 3 columns\n")
    assert f"missing: {cells} of 360 cells" in said
    assert "left out: 2 rows without any value" in said
    told = run("describe", "u.safetensors").stdout
    assert f"missing: {cells} of 360 cells" in told
    assert "for whole and exact rows" in told


def test_structures_weights_and_searches_compose(rng):
    x, sd = drawn(rng, 150)
    data = write("t.csv", x, sd, w=rng.uniform(0.5, 2, 150).tolist())
    options = ["-k", "1..2", "--covariance", "VEV,EEE,lowrank", "--weights", "w", *NOISY, "--json"]
    told = json.loads(run("fit", data, *options, "--quiet", "--report", "r.html").stdout)
    assert {trial["covariance_type"] for trial in told["trials"]} == {"VEV", "EEE", "lowrank"}
    assert (told["weights_column"], told["n_rows"]) == ("w", 150)
    assert told["columns"] == list(NAMES)


def test_the_readme_shows_what_is_printed(monkeypatch):
    root = Path(__file__).parents[1]
    shown = re.findall(
        r"^\$ mixtura (fit .*airquality.*)\n((?:.*\n)*?)```$",
        (root / "README.md").read_text(encoding="utf8"), flags=re.MULTILINE,
    )  # fmt: skip
    ((command, expected),) = shown
    command = command.replace("examples/", f"{root}/examples/").split()
    monkeypatch.setenv("COLUMNS", "100")
    assert run(*command).stdout == expected


def test_the_summary_names_the_columns_of_errors(rng):
    x, sd = drawn(rng, 100, gaps=0.0)
    said = run("fit", write("t.csv", x, sd), *FIT[:6], *NOISY).stdout
    assert "errors of measurement taken out: a ± e_a, b ± e_b, c ± e_c" in said
    assert "missing" not in said
    assert "standard deviations" in flat(run("fit", "--help").stdout)


BAD = {
    "unknown": ("e_a,e_b,e_z", 1, ["'e_z'", "did you mean"]),
    "too few": ("e_a,e_b", 1, ["each of the 3 columns fitted (a, b, c)", "got 2", "a=e_a"]),
    "pair without column": ("d=e_a", 1, ["fitted before =", "'d'", "a, b, c"]),
    "names and pairs": ("a=e_a,e_b,e_c", 1, ["got both", "a=e_a"]),
    "pair twice": ("a=e_a,a=e_b", 1, ["'e_a' and 'e_b'"]),
    "text": ("e_a,e_b,t", 1, ["standard deviations", "text, such as 'x'"]),
    "negative": ("e_a,e_b,n", 1, ["0 or more", "1 negative cell in column 'n'", "row 3: -1"]),
    "lacking": ("e_a,e_b,m", 1, ["1 value without one in column 'm'", "row 2", "inf"]),
    "fitted too": ("e_a,e_b,c", 2, ["not fitted themselves", "'c'"]),
    "weights too": ("e_a,e_b,w", 2, ["'w'", "--weights"]),
    "nothing": (",", 2, ["e_a,e_b"]),
}


@pytest.mark.parametrize("case", BAD)
def test_errors_at_fault_are_said(case, rng):
    asked, code, words = BAD[case]
    x, sd = drawn(rng, 20, gaps=0.0)
    more = {"t": ["x"] * 20, "n": ["1", "1", "-1"] + ["1"] * 17, "m": ["1", ""] + ["1"] * 18}
    data = write("t.csv", x, sd, **more, w=np.ones(20))
    weights = ["--weights", "w"] if case == "weights too" else []
    message = run("fit", data, *FIT[:6], "--noise-columns", asked, *weights, code=code)
    for word in ("expected", "got", *words):
        assert word in flat(message.stderr)
    assert os.listdir() == ["t.csv"]


def test_a_column_of_nothing_is_refused(rng):
    x, sd = drawn(rng, 20, gaps=0.0)
    sd[:, 1] = np.inf
    message = run("fit", write("t.csv", x, sd), *FIT, *NOISY, code=1).stderr
    assert "at least one value in every column, got none in b; leave it out" in message
    assert "--columns a,c" in message
    x[:, 1] = np.nan
    assert "got none in b" in run("fit", write("u.csv", x), *FIT, code=1).stderr
    x[:, 1] = np.where(np.arange(20) < 10, np.nan, 2.0)
    message = run("fit", write("v.csv", x), *FIT, code=1).stderr
    assert "constant column" in message
    assert "b = 2" in message


# ------------------------------------------------------------------ score


@pytest.fixture
def noisy(rng):
    """Rows with gaps and errors, and the truth as a model that was fitted with errors."""
    x, sd = drawn(rng, 200)
    told = {
        "noise_columns": dict(zip(NAMES, ERRORS, strict=True)), "columns": list(NAMES),
        "outlier_threshold": -7.0, "outlier_quantile": 0.01,
    }  # fmt: skip
    mx.save(TRUTH, "m.safetensors", info=told)
    return x, sd


def test_scores_are_of_the_values_as_measured(noisy):
    x, sd = noisy
    rows, said = scored("m.safetensors", write("t.csv", x, sd))
    joint = dense(TRUTH, x, sd)
    expected = logsumexp(joint, axis=1)
    np.testing.assert_allclose(numbers(rows, "log_density"), expected, rtol=1e-9)
    resp = np.exp(joint - expected[:, None])
    np.testing.assert_allclose(numbers(rows, "resp_0", "resp_1"), resp, rtol=1e-8, atol=1e-12)
    assert "errors are those in e_a, e_b, e_c, as the model was fitted" in said
    missing = np.isnan(x)
    cells, holed = missing.sum(), missing.any(axis=1).sum()
    assert f"{cells} cells in {holed} of 200 rows are missing" in said
    exact = logsumexp(dense(TRUTH, x, 0 * sd), axis=1)
    assert np.abs(exact - expected).max() > 1  # the liar takes the values as exact
    for arguments in (["t.csv", "--noise-columns", "none"], [write("u.csv", x)]):
        rows, said = scored("m.safetensors", *arguments)
        np.testing.assert_allclose(numbers(rows, "log_density"), exact, rtol=1e-9)
        assert "taken as exact" in said
    assert "u.csv has not" in said
    half = write("v.csv", x, None, e_a=sd[:, 0])
    rows, said = scored("m.safetensors", half)
    expected = logsumexp(dense(TRUTH, x, sd * [1, 0, 0]), axis=1)
    np.testing.assert_allclose(numbers(rows, "log_density"), expected, rtol=1e-9)
    assert "v.csv has no errors of b, c (e_b, e_c): values there are taken as exact" in said
    rows, said = scored("m.safetensors", "t.csv", "--noise-columns", "b=e_a")
    expected = logsumexp(dense(TRUTH, x, sd[:, [0]] * [0, 1, 0]), axis=1)
    np.testing.assert_allclose(numbers(rows, "log_density"), expected, rtol=1e-9)


def test_a_row_of_nothing_scores_as_nothing(noisy):
    x, sd = noisy
    x[3] = np.nan
    rows, said = scored("m.safetensors", write("t.csv", x, sd))
    assert (rows[3]["log_density"], rows[3]["outlier"]) == ("0", "false")
    np.testing.assert_allclose(numbers(rows[3:4], "resp_0", "resp_1"), TRUTH.weights)
    assert "1 row had no value in any of the model's columns" in said


def tail_is_chi_square(found, x, sd, mean, cov):
    """Under one Gaussian the less likely rows lie outside an ellipsoid: u = P(χ²_o > δ)."""
    expected = np.empty(len(x))
    for i, row in enumerate(x):
        o = np.flatnonzero(~np.isnan(row))
        spread = cov[np.ix_(o, o)] + np.diag(sd[i, o] ** 2)
        gap = row[o] - mean[o]
        expected[i] = chi2(len(o)).sf(gap @ np.linalg.solve(spread, gap))
    error = np.abs(found - expected) / np.sqrt(expected * (1 - expected) + 1e-4)
    return bool((error < 5 / np.sqrt(200)).all() and np.median(error) < 1 / np.sqrt(200))


@pytest.mark.parametrize("few", [True, False])
def test_the_tail_of_a_gaussian_is_that_of_chi_square(rng, few):
    mean, cov = np.array([1.0, 2.0, 3.0]), np.eye(3) + 0.6
    one = mx.Mixture([1.0], mean[None], cov[None])
    sd = np.full((150, 3), 0.7) if few else rng.uniform(0.1, 1.5, (150, 3))
    x = one.sample(150, rng) + 1.3 * sd * rng.standard_normal((150, 3))
    x[np.arange(150), rng.integers(3, size=150)] = np.nan
    rows = Observations(x, noise=sd**2)
    assert tail_is_chi_square(tails.tail(one, rows).share, x, sd, mean, cov)
    # Liars: the errors forgotten, and whole rows' densities for those of all.
    forgets = tails.tail(one, Observations(x)).share
    assert not tail_is_chi_square(forgets, x, sd, mean, cov)
    whole = np.sort(one.log_density(one.sample(20_000, rng=1)))
    ranks = np.searchsorted(whole, rows.log_density(one)) / 20_000
    assert not tail_is_chi_square(ranks, x, sd, mean, cov)


def flags_alike(outlier, kinds, level=0.05):
    """Whether every kind of row is flagged about as often."""
    rates = [outlier[kind].mean() for kind in kinds]
    counts = [kind.sum() for kind in kinds]
    return all(
        abs(rate - level) < 5 * np.sqrt(level / n) for rate, n in zip(rates, counts, strict=True)
    )


def test_rows_with_gaps_are_flagged_as_often_as_whole_ones(rng, place):  # noqa: F811
    n = 4000
    whole = TRUTH.sample(n, rng)
    threshold = float(np.quantile(TRUTH.log_density(whole), 0.05))
    mx.save(TRUTH, "m.safetensors", info={"outlier_threshold": threshold})
    x = whole.copy()
    kind = np.arange(n) % 4
    x[kind == 1, 0] = np.nan
    x[kind == 2, :2] = np.nan
    x[kind == 3, 2] = np.nan
    rows, said = scored("m.safetensors", write("t.csv", x))
    kinds = [kind == i for i in range(4)]
    outlier = np.array([row["outlier"] == "true" for row in rows])
    assert flags_alike(outlier, kinds)
    assert "outliers are judged among rows with the same cells" in said
    assert not flags_alike(numbers(rows, "log_density") < threshold, kinds)  # one level for all
    exact = kind == 0
    np.testing.assert_array_equal(outlier[exact], (TRUTH.log_density(whole) < threshold)[exact])


def test_thresholds_of_measured_rows_flag_their_share(rng):
    x, sd = drawn(rng, 2000)
    rows = Observations(x, noise=sd**2)
    for q, level in thresholds(TRUTH, rows).items():
        if float(q) >= 0.01:
            found = tails.flags(TRUTH, rows, rows.log_density(TRUTH), level).mean()
            assert found == pytest.approx(float(q), rel=0.15, abs=0.002)


def test_a_little_noise_changes_little(rng):
    x = TRUTH.sample(1500, rng)
    threshold = float(np.quantile(TRUTH.log_density(x), 0.05))
    plain, tiny = Observations(x), Observations(x, noise=np.full(x.shape, 1e-12))
    one, two = (
        tails.flags(TRUTH, rows, rows.log_density(TRUTH), threshold) for rows in (plain, tiny)
    )
    assert (one != two).mean() < 0.005


# ------------------------------------------------------------------ predict, impute, report


def test_predict_and_impute_say_that_values_have_no_errors(noisy):
    data = write("t.csv", *noisy)
    for arguments in (
        ["predict", "m.safetensors", data, "-t", "b"],
        ["impute", "m.safetensors", data],
    ):
        result = run(*arguments)
        assert (
            "the model is of values without errors of measurement (e_a, e_b, e_c" in result.stderr
        )
        assert len(result.stdout.splitlines()) == 201


def words(path):
    text = Path(path).read_text(encoding="utf8")
    text = re.sub(r"<style>.*?</style>|<svg.*?</svg>", "", text, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


def test_the_report_of_rows_with_gaps_and_errors(rng):
    x, sd = drawn(rng, 150)
    x[[7, 9]] = np.nan
    run("fit", write("t.csv", x, sd), *FIT, *NOISY, "--report", "fitted.html")
    said = run("report", "t.safetensors", "t.csv")
    assert "5-fold held-out" in said.stdout
    assert Path("t.html").read_text() == Path("fitted.html").read_text()
    shown = words("t.html")
    missing = np.isnan(np.delete(x, [7, 9], axis=0))
    assert f"Missing cells {missing.sum()} of 444" in shown
    assert "Rows without any value, left out 2" in shown
    for name, error, count in zip(NAMES, ERRORS, missing.sum(axis=0), strict=True):
        assert re.search(rf"\b{name} {count} [\d.]+% {error.replace('_', '_ ?')} ", shown)
    whole = int((~missing.any(axis=1)).sum())
    assert f"nothing {whole} " in shown
    assert "The dashed line is their density under the model" in shown
    # Rows keep their numbers in the table, and the least likely come first.
    mix = read("t.safetensors")[0]
    kept = np.delete(np.arange(150), [7, 9])
    rows = Observations(x[kept], order=kept, noise=sd[kept] ** 2)
    found = tails.tail(mix, rows)
    worst = kept[np.lexsort([found.excess, found.share])[0]] + 1
    assert re.search(rf"Comp. Values {worst} −", shown)
    held = words("t.html")
    density = logsumexp(dense(mix, rows.x, np.sqrt(rows.noise)), axis=1).mean()
    assert f"{density:.4f}".replace("-", "−") in held


def test_new_rows_are_reported_as_measured(noisy):
    x, sd = noisy
    run("report", "m.safetensors", write("t.csv", x, sd))
    density = logsumexp(dense(TRUTH, x, sd), axis=1).mean()
    assert f"{density:.4f}".replace("-", "−") in words("t.html")
    said = run("report", "m.safetensors", write("u.csv", x))
    assert "taken as exact" in said.stderr
    assert "Errors’ part" not in words("u.html")
    exact = logsumexp(dense(TRUTH, x, 0 * sd), axis=1).mean()
    assert f"{exact:.4f}".replace("-", "−") in words("u.html")
    assert abs(exact - density) > 1e-3


def test_gaps_alone_and_neither(rng):
    x, _ = drawn(rng, 120, noise=False)
    run("fit", write("t.csv", x), *FIT, "--report", "t.html")
    shown = words("t.html")
    assert "Missing cells by column" in shown
    assert "Errors" not in shown
    run("fit", write("u.csv", TRUTH.sample(60, rng)), *FIT, "--report", "u.html")
    assert "issing" not in words("u.html")


def test_a_report_of_one_noisy_column(rng):
    x, sd = drawn(rng, 120, gaps=0.1)
    one = x[~np.isnan(x[:, 0])]
    options = ["--columns", "a", "--noise-columns", "e_a", "-k", "2", "--quiet"]
    run("fit", write("t.csv", one, sd[: len(one)]), *options, "--report", "t.html")
    assert "Errors of measurement" in words("t.html")
