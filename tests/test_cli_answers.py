"""``mixtura condition``, ``predict``, ``impute`` and ``compare`` from outside.

Oracles are dense formulas written out row by row, gmr's conditionals, quadrature and closed forms.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import chi2, multivariate_normal, norm

import mixtura as mx
from mixtura.io import read
from tests.test_cli import flat, run, table

MIX = mx.Mixture(
    [0.5, 0.3, 0.2],
    [[0.0, 10.0, -3.0], [4.0, 14.0, 2.0], [-5.0, 12.0, 0.5]],
    [
        [[1.0, 0.6, -0.3], [0.6, 2.0, 0.5], [-0.3, 0.5, 1.5]],
        [[2.0, -0.9, 0.2], [-0.9, 1.0, 0.1], [0.2, 0.1, 0.7]],
        [[0.5, 0.0, 0.4], [0.0, 3.0, -1.0], [0.4, -1.0, 2.0]],
    ],
    columns=["a", "b", "c"],
)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Every test runs in an empty folder that holds the model m.safetensors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    mx.save(MIX, "m.safetensors", info={"outlier_quantile": 0.01})
    return tmp_path


def rows_of(text):
    return [*csv.DictReader(io.StringIO(text))]


def column(rows, name):
    return np.array([float(row[name]) for row in rows])


def dense(mix, row, targets):
    """Weights, means (k, m) and covariances of the targets given the row's other known cells."""
    known = [j for j in range(mix.d) if j not in targets and not np.isnan(row[j])]
    weights, means, covs = [], [], []
    for w, mu, sigma in zip(mix.weights, mix.means, mix.covariance.dense(), strict=True):
        s_tt = sigma[np.ix_(targets, targets)]
        if known:
            s_tk, s_kk = sigma[np.ix_(targets, known)], sigma[np.ix_(known, known)]
            gain = s_tk @ np.linalg.inv(s_kk)
            weights.append(w * multivariate_normal(mu[known], s_kk).pdf(row[known]))
            means.append(mu[targets] + gain @ (row[known] - mu[known]))
            covs.append(s_tt - gain @ s_tk.T)
        else:
            weights.append(w)
            means.append(mu[targets])
            covs.append(s_tt)
    weights = np.array(weights) / np.sum(weights)
    return weights, np.array(means), np.array(covs)


def dense_moments(mix, row, targets):
    w, m, c = dense(mix, row, targets)
    mean = w @ m
    var = w @ (np.diagonal(c, axis1=1, axis2=2) + (m - mean) ** 2)
    return mean, np.sqrt(var)


def dense_quantile(mix, row, target, q):
    w, m, c = dense(mix, row, [target])
    m, sd = m[:, 0], np.sqrt(c[:, 0, 0])
    return brentq(lambda x: w @ norm.cdf(x, m, sd) - q, m.min() - 40, m.max() + 40, xtol=1e-13)


def with_holes(rng, n=60):
    """Rows of the model, some cells of which are missing; the first row has none left."""
    x = MIX.sample(n, rng)
    x[rng.random(x.shape) < 0.3] = np.nan
    x[0] = np.nan
    x[1] = [1.0, np.nan, -2.5]
    return x


def write(name, x, names=("a", "b", "c")):
    cells = [["" if np.isnan(v) else repr(float(v)) for v in column] for column in x.T]
    return table(name, dict(zip(names, cells, strict=True)))


# ------------------------------------------------------------------ condition


@pytest.mark.parametrize("key", ["faithful|given[0]", "faithful|given[1]", "diabetes|given[0]"])
def test_condition_is_gmr_s(key, mclust_reference, conditional_reference):
    entry, expected = mclust_reference[key.partition("|")[0]], conditional_reference[key]
    fitted = entry["models"]["VVV"]["parameters"]
    sigma = np.array(fitted["sigma"])
    joint = mx.Mixture(fitted["pro"], fitted["mean"], sigma, columns=entry["columns"])
    mx.save(joint, "joint.safetensors")
    (given,) = expected["given_columns_0based"]
    for at in expected["at"]:
        asked = f"{joint.columns[given]}={at['x'][0]!r}"
        told = json.loads(run("condition", "joint.safetensors", "-g", asked, "--json").stdout)
        law = [*told["law"].values()]
        weights = [one["weight"] for one in told["components"]]
        np.testing.assert_allclose(weights, at["weights"], rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose([one["mean"] for one in law], at["mixture_mean"], rtol=1e-9)
        variances = np.diag(at["mixture_covariance"])
        np.testing.assert_allclose([one["sd"] ** 2 for one in law], variances, rtol=1e-8)
        assert np.abs(weights - joint.weights).max() > 1e-3  # the liar leaves the weights alone


def test_condition_tells_quantiles_and_writes_a_model(place):
    options = ["--given", "b=12.5", "--level", "0.8", "-o", "rest.safetensors", "--json"]
    told = json.loads(run("condition", "m.safetensors", *options).stdout)
    row = np.array([np.nan, 12.5, np.nan])
    for j, name in ((0, "a"), (2, "c")):
        law = told["law"][name]
        for key, q in (("low", 0.1), ("median", 0.5), ("high", 0.9)):
            assert law[key] == pytest.approx(dense_quantile(MIX, row, j, q), rel=1e-9)
    rest, info = read("rest.safetensors")
    w, m, c = dense(MIX, row, [0, 2])
    assert rest.columns == ("a", "c")
    np.testing.assert_allclose(rest.weights, w, rtol=1e-10)
    np.testing.assert_allclose(rest.means, m, rtol=1e-10)
    np.testing.assert_allclose(rest.covariance.dense(), c, rtol=1e-9, atol=1e-12)
    assert info["conditioned_on"] == {"b": 12.5}
    assert info["model"] == "m.safetensors"
    # One condition after the other is both at once.
    run("condition", "rest.safetensors", "-g", "c=1", "-o", "last.safetensors")
    last, info = read("last.safetensors")
    assert info["conditioned_on"] == {"b": 12.5, "c": 1.0}
    both = json.loads(
        run("condition", "m.safetensors", *["-g", "c=1", "-g", "b=12.5", "--json"]).stdout
    )
    np.testing.assert_allclose(last.mean, both["law"]["a"]["mean"], rtol=1e-10)
    assert sorted(os.listdir()) == [f"{name}.safetensors" for name in ("last", "m", "rest")]
    assert "3 components, structure full" in run("describe", "rest.safetensors").stdout


def test_condition_reads_well():
    result = run("condition", "m.safetensors", "-g", "a=0.5")
    said = result.stdout
    assert "m.safetensors: b, c given a = 0.5" in said
    assert "3 components, structure full" in said
    mean, sd = dense_moments(MIX, np.array([0.5, np.nan, np.nan]), [1, 2])
    assert f"{mean[0]:.1f} ± {sd[0]:.1f}" in said
    assert re.search(r"mean ± sd +5% +median +95%", said)
    assert result.stderr == ""


@pytest.mark.parametrize("shift", [0.5, 2.0, 2.5, 2.7, 4.0])
def test_a_condition_is_as_rare_as_chi_squared_says(shift):
    sigma = np.array([[4.0, 1.0, 0.2], [1.0, 2.0, 0.1], [0.2, 0.1, 1.0]])
    one = mx.Mixture([1.0], [[1.0, -2.0, 0.0]], sigma[None], columns=["a", "b", "c"])
    mx.save(one, "one.safetensors")
    values = (one.means[0, :2] + shift * np.linalg.cholesky(sigma[:2, :2])[:, 0]).tolist()
    asked = [text for n, v in zip("ab", values, strict=True) for text in ("-g", f"{n}={v!r}")]
    result = run("condition", "one.safetensors", *asked, "--json")
    told = json.loads(result.stdout)
    exact = chi2.sf(shift**2, 2)
    error = 4 * np.sqrt(exact * (1 - exact) / 20_000)
    assert told["share_less_likely"] == pytest.approx(exact, abs=error + 5e-5)
    assert abs(told["share_less_likely"] - chi2.sf(shift**2, 3)) > error  # the liar counts c too
    assert ("are unlikely" in result.stderr) == (exact < 0.01) == (shift > 3.03)
    if shift > 3.03:
        assert f"{shift:g} standard deviations away" in result.stderr


def test_values_at_which_every_component_underflows():
    told = json.loads(run("condition", "m.safetensors", "-g", "a=-1e5", "--json").stdout)
    row = np.array([-1e5, np.nan, np.nan])
    logs = [
        np.log(w) + norm.logpdf(-1e5, mu[0], np.sqrt(s[0, 0]))
        for w, mu, s in zip(MIX.weights, MIX.means, MIX.covariance.dense(), strict=True)
    ]
    best = int(np.argmax(logs))  # the others are less likely by a factor that no float holds
    assert sorted(logs)[-2] < logs[best] - 1e6
    mu, s = MIX.means[best], MIX.covariance.dense()[best]
    mean = mu[1:] + s[1:, 0] / s[0, 0] * (row[0] - mu[0])
    assert [one["mean"] for one in told["law"].values()] == pytest.approx(list(mean), rel=1e-9)
    assert told["log_density"] == pytest.approx(logs[best], rel=1e-12)


def test_names_with_equals_signs_and_models_without_names():
    named = mx.Mixture([1.0], [[0.0, 1.0]], [1.0], columns=["x=1", "y"])
    mx.save(named, "named.safetensors")
    told = json.loads(run("condition", "named.safetensors", "-g", "x=1=-2e-1", "--json").stdout)
    assert told["given"] == {"x=1": -0.2}
    mx.save(mx.Mixture(MIX.weights, MIX.means, MIX.covariance), "bare.safetensors")
    expected = json.loads(run("condition", "m.safetensors", "-g", "a=1", "--json").stdout)
    for typed in ("x0=1", "0=1"):
        told = json.loads(run("condition", "bare.safetensors", "-g", typed, "--json").stdout)
        assert told["columns"] == ["x1", "x2"]
        assert [*told["law"].values()] == [*expected["law"].values()]
    message = run("condition", "bare.safetensors", "-g", "x3=1", code=1).stderr
    assert "expected x0 … x2 after --given" in message


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["a"], 2, ["height=1.8", "got 'a'"]),
        (["=1"], 2, ["got '=1'"]),
        (["a=big"], 2, ["a number after a=", "got 'big'"]),
        (["a=1,5"], 2, ["got '1,5'"]),
        (["a=nan"], 2, ["got 'nan'", "leave --given out"]),
        (["a="], 2, ["got ''"]),
        (["a=inf"], 2, ["finite", "'inf'"]),
        (["a=1e999"], 2, ["finite", "'1e999'"]),
        (["a=1", "a=2"], 2, ["a twice"]),
        ([], 2, ["--given"]),
        (["aa=1"], 1, ["'aa'", "did you mean 'a'?"]),
        (["zzzz=1"], 1, ["'zzzz'", "its columns are a, b, c"]),
        (["a=1", "b=2", "c=3"], 1, ["at most 2", "got all 3", "mixtura score"]),
        (["a=1e200"], 1, ["a = 1e+200", "check"]),
    ],
)
def test_bad_conditions(options, code, words):
    asked = [text for option in options for text in ("--given", option)] or ["--json"]
    result = run("condition", "m.safetensors", *asked, "-o", "rest.safetensors", code=code)
    assert result.stdout == ""
    for word in words:
        assert word in flat(result.stderr)
    assert os.listdir() == ["m.safetensors"]


def test_condition_refuses_other_names_of_files():
    message = run("condition", "m.safetensors", "-g", "a=1", "-o", "rest.csv", code=2).stderr
    assert ".safetensors" in flat(message)
    message = run("condition", "m.safetensors", "-g", "a=1", "-o", "m.safetensors", code=1).stderr
    assert "which is the model" in message


# ------------------------------------------------------------------ predict


@pytest.mark.parametrize("targets", [[1], [2, 0]])
def test_predictions_are_the_dense_formulas(rng, targets):
    x = with_holes(rng)
    names = [MIX.columns[j] for j in targets]
    asked = [text for name in names for text in ("-t", name)]
    result = run("predict", "m.safetensors", write("x.csv", x), *asked, "--level", "0.7")
    rows = rows_of(result.stdout)
    assert len(rows) == len(x)
    means, sds = zip(*(dense_moments(MIX, row, targets) for row in x), strict=True)
    for i, (j, name) in enumerate(zip(targets, names, strict=True)):
        predicted, sd = column(rows, f"predicted_{name}"), column(rows, f"{name}_sd")
        np.testing.assert_allclose(predicted, np.array(means)[:, i], rtol=1e-9)
        np.testing.assert_allclose(sd, np.array(sds)[:, i], rtol=1e-9)
        for end, q in (("low", 0.15), ("high", 0.85)):
            others = [t for t in targets if t != j]
            hidden = x.copy()
            hidden[:, others] = np.nan
            exact = [dense_quantile(MIX, row, j, q) for row in hidden]
            np.testing.assert_allclose(column(rows, f"{name}_{end}"), exact, rtol=1e-7)
    given = [j for j in range(3) if j not in targets]
    missing = np.isnan(x[:, given])
    assert f"{missing.any(axis=1).sum()} of {len(x)} rows have missing cells" in result.stderr
    assert f"{missing.all(axis=1).sum()} have nothing to predict from" in result.stderr


def test_the_score_is_what_the_output_says(rng):
    x = with_holes(rng, 200)
    result = run("predict", "m.safetensors", write("x.csv", x), "-t", "b")
    rows = rows_of(result.stdout)
    known = ~np.isnan(x[:, 1])
    y = x[known, 1]
    fit, low, high = (column(rows, name)[known] for name in ("predicted_b", "b_low", "b_high"))
    rmse = np.sqrt(np.mean((y - fit) ** 2))
    inside = np.mean((low <= y) & (y <= high))
    logs = []
    for row in x[known]:
        w, m, c = dense(MIX, row, [1])
        logs.append(np.log(w @ norm.pdf(row[1], m[:, 0], np.sqrt(c[:, 0, 0]))))
    told = re.search(
        r"b: RMSE (\S+) over (\d+) rows, R² (\S+), (\S+)% within the 90% interval, "
        r"mean log predictive density (\S+) nats",
        result.stderr,
    )
    assert told is not None, result.stderr
    got = [float(value) for value in told.groups()]
    r2 = 1 - np.sum((y - fit) ** 2) / np.sum((y - y.mean()) ** 2)
    expected = [rmse, known.sum(), r2, 100 * inside, np.mean(logs)]
    np.testing.assert_allclose(got, expected, rtol=2e-3)


def test_a_score_on_the_rows_of_the_fit_says_so(rng):
    write("x.csv", MIX.sample(20, rng))
    mx.save(MIX, "m.safetensors", info={"data": "x.csv", "n_rows": 20})
    said = "the model was fitted to these rows"
    assert said in run("predict", "m.safetensors", "x.csv", "-t", "b").stderr
    write("x.csv", MIX.sample(21, rng))
    assert said not in run("predict", "m.safetensors", "x.csv", "-t", "b").stderr


def test_intervals_hold_their_level_of_draws(rng):
    """The interval of a law with two humps; the liar takes mean ± z sd of it."""
    bimodal = mx.Mixture(
        [0.7, 0.3],
        [[0.0, -5.0], [0.0, 5.0]],
        [[[1.0, 0.5], [0.5, 1.0]], [[1.0, -0.5], [-0.5, 1.0]]],
        columns=["x", "y"],
    )
    mx.save(bimodal, "two.safetensors")
    draws = bimodal.sample(20_000, rng)
    run(
        *("predict", "two.safetensors", write("d.csv", draws, ("x", "y")), "-t", "y"),
        *("--level", "0.8", "-o", "p.parquet"),
    )
    found = parquet.read_table("p.parquet").to_pandas()
    y = draws[:, 1]

    def holds(low, high):
        share = np.mean((low <= y) & (y <= high))
        return abs(share - 0.8) < 4 * np.sqrt(0.8 * 0.2 / len(y))

    assert holds(found["y_low"], found["y_high"])
    z = norm.ppf(0.9)
    assert not holds(
        found["predicted_y"] - z * found["y_sd"], found["predicted_y"] + z * found["y_sd"]
    )


def test_predictions_without_a_column_integrate_it_out(rng):
    x = MIX.sample(30, rng)
    table("x.csv", {"b": x[:, 1], "note": ["n"] * 30})
    result = run("predict", "m.safetensors", "x.csv", "--target", "a", "--prefix", "new_")
    assert "x.csv has no c: predicted without" in result.stderr
    assert "RMSE" not in result.stderr
    rows = rows_of(result.stdout)
    assert [*rows[0]] == ["b", "note", "new_predicted_a", "new_a_low", "new_a_high", "new_a_sd"]
    x[:, 2] = np.nan
    exact = [dense_moments(MIX, row, [0])[0][0] for row in x]
    np.testing.assert_allclose(column(rows, "new_predicted_a"), exact, rtol=1e-9)


def test_median_and_mode(rng):
    x = with_holes(rng, 40)
    write("x.csv", x)
    middle = column(
        rows_of(run("predict", "m.safetensors", "x.csv", "-t", "c", "--how", "median").stdout),
        "predicted_c",
    )
    exact = [dense_quantile(MIX, row, 2, 0.5) for row in x]
    np.testing.assert_allclose(middle, exact, rtol=1e-7, atol=1e-9)
    top = column(
        rows_of(run("predict", "m.safetensors", "x.csv", "-t", "c", "--how", "mode").stdout),
        "predicted_c",
    )
    means = [dense_moments(MIX, row, [2])[0][0] for row in x]
    lower = 0
    for row, found, mean in zip(x, top, means, strict=True):
        w, m, c = dense(MIX, row, [2])

        def height(y, w=w, m=m, c=c):
            return norm.pdf(np.reshape(y, (-1, 1)), m[:, 0], np.sqrt(c[:, 0, 0])) @ w

        # A maximum, and no component's mean is higher; the liar is the mean.
        assert (height(found) >= height([found - 1e-3, found + 1e-3])).all()
        assert (height(found) >= height(m[:, 0]) * (1 - 1e-12)).all()
        lower += height(mean) < height(found) - 1e-4
    assert lower > 10


def test_predict_for_models_without_names(rng):
    x = MIX.sample(20, rng)
    mx.save(mx.Mixture(MIX.weights, MIX.means, MIX.covariance), "bare.safetensors")
    expected = column(
        rows_of(run("predict", "m.safetensors", write("x.csv", x), "-t", "b").stdout), "predicted_b"
    )
    write("other.csv", x, ("u", "v", "w"))
    write("less.csv", x[:, [0, 2]], ("u", "w"))
    for data in ("other.csv", "less.csv"):
        rows = rows_of(run("predict", "bare.safetensors", data, "-t", "x1").stdout)
        np.testing.assert_allclose(column(rows, "predicted_x1"), expected, rtol=1e-12)
    write("one.csv", x[:, [0]], ("u",))
    message = run("predict", "bare.safetensors", "one.csv", "-t", "1", code=1).stderr
    assert "expected 3 numeric columns" in message
    assert "or 2 without the targets" in message


@pytest.mark.parametrize(
    ("columns", "options", "code", "words"),
    [
        ("abc", ["-t", "zz"], 1, ["'zz'", "its columns are a, b, c"]),
        ("abc", ["-t", "a", "-t", "a"], 2, ["every target once"]),
        ("abc", ["-t", "a", "-t", "b", "-t", "c"], 1, ["at most 2 targets", "describe"]),
        ("abc", [], 2, ["--target"]),
        ("abc", ["-t", "a", "--level", "90"], 2, ["between 0 and 1", "got 90"]),
        ("abc", ["-t", "a", "--how", "meen"], 2, ["did you mean 'mean'"]),
        ("auv", ["-t", "a"], 1, ["predict from (b, c)", "the table has a, u, v"]),
        ("text", ["-t", "a"], 1, ["numbers in column 'b'", "such as 'x'"]),
        ("inf", ["-t", "a"], 1, ["infinite", "empty those cells"]),
        ("clash", ["-t", "a"], 1, ["got a_sd", "--prefix new_"]),
    ],
)
def test_bad_predictions(columns, options, code, words):
    made = {
        "text": {"b": ["x", "y"], "c": [1, 2]},
        "inf": {"b": ["inf", "1"], "c": [1, 2]},
        "clash": {"b": [1, 2], "a_sd": [1, 2]},
    }.get(columns) or {name: [1, 2] for name in columns}
    table("x.csv", made)
    result = run("predict", "m.safetensors", "x.csv", *options, "-o", "out.csv", code=code)
    assert result.stdout == ""
    for word in words:
        assert word in flat(result.stderr)
    assert sorted(os.listdir()) == ["m.safetensors", "x.csv"]


# ------------------------------------------------------------------ impute


def test_cells_are_filled_in_by_the_dense_formulas(rng):
    x = with_holes(rng)
    result = run("impute", "m.safetensors", write("x.csv", x), "--flag")
    rows = rows_of(result.stdout)
    full = np.column_stack([column(rows, name) for name in "abc"])
    missing = np.isnan(x)
    np.testing.assert_array_equal(full[~missing], x[~missing])
    for row, holes, got in zip(x, missing, full, strict=True):
        if holes.any():
            mean, _ = dense_moments(MIX, row, [*np.flatnonzero(holes)])
            np.testing.assert_allclose(got[holes], mean, rtol=1e-9)
    assert [row["imputed"] == "true" for row in rows] == missing.any(axis=1).tolist()
    counts = missing.sum(axis=0)
    said = f"filled in {missing.sum()} cells in {missing.any(axis=1).sum()} of 60 rows"
    assert said in result.stderr
    assert f"(a {counts[0]}, b {counts[1]}, c {counts[2]})" in result.stderr
    assert f"{missing.all(axis=1).sum()} row" in result.stderr
    assert "came from the model alone" in result.stderr


def test_cells_that_were_there_stay_as_they_are_written():
    lines = ["c,id,note,a,b", '-3.00,007,"x, y",NA,1.0e1', "2,008,?,4.50,?", " 0.5 ,009,NA,-5,12"]
    Path("x.csv").write_text("\n".join(lines) + "\n")
    out = run("impute", "m.safetensors", "x.csv").stdout.splitlines()
    assert re.fullmatch(r'-3\.00,007,"x, y",-?\d+\.\d+,1\.0e1', out[1])
    assert re.fullmatch(r"2,008,\?,4\.50,\d+\.\d+", out[2])
    assert [out[0], out[3]] == [lines[0], lines[3]]


def test_a_table_without_holes_is_written_as_it_is(rng):
    x = MIX.sample(20, rng)
    text = Path(write("x.csv", x)).read_text()
    result = run("impute", "m.safetensors", "x.csv", "-o", "y.csv")
    assert Path("y.csv").read_text().splitlines() == text.splitlines()
    assert "no cell of the model's columns is missing" in result.stderr


def test_draws_keep_correlation_and_spread(rng):
    """Cells drawn together keep their correlation; the liar draws each by itself."""
    sigma = np.array([[1.0, 0.3, 0.3], [0.3, 1.0, 0.9], [0.3, 0.9, 1.0]])
    law = mx.Mixture(
        [0.5, 0.5], [[0.0, -2.0, 2.0], [0.0, 2.0, -2.0]], np.stack([sigma, sigma]), columns="abc"
    )
    mx.save(law, "law.safetensors")
    holes = np.full((4, 3), np.nan)
    holes[:, 0] = 0.7
    write("x.csv", holes)
    options = ["--how", "sample", "--draws", "2500", "--seed", "3"]
    run("impute", "law.safetensors", "x.csv", *options, "-o", "d.parquet")
    found = parquet.read_table("d.parquet").to_pandas()
    assert found["draw"].tolist() == [*range(1, 2501)] * 4
    assert (found["a"] == 0.7).all()
    w, m, c = dense(law, holes[0], [1, 2])
    cov = np.einsum("k,kij->ij", w, c) + np.cov(m.T, aweights=w, ddof=0)

    def keeps(b, c):
        n, rho = len(b), cov[0, 1] / np.sqrt(cov[0, 0] * cov[1, 1])
        error = 4 * (1 - rho**2) / np.sqrt(n)
        spread = abs(np.var(b) / cov[0, 0] - 1) < 4 * np.sqrt(2 / n)
        return spread and abs(np.corrcoef(b, c)[0, 1] - rho) < error

    assert keeps(found["b"], found["c"])
    assert not keeps(found["b"], rng.permutation(found["c"]))
    assert not keeps(np.full(len(found), w @ m[:, 0]) + 1e-9 * found["b"], found["c"])


def test_one_seed_one_answer(rng):
    write("x.csv", with_holes(rng))
    first, same, other = (
        run("impute", "m.safetensors", "x.csv", "--how", "sample", "--seed", seed).stdout
        for seed in (1, 1, 2)
    )
    assert first == same != other
    assert "draw" not in first.splitlines()[0]


def test_types_of_columns_when_cells_are_filled_in():
    whole = pa.table(
        {
            "a": pa.array([1, None, 3], pa.int64()),
            "b": pa.array([10.5, 11.0, None], pa.float32()),
            "c": pa.array([None, None, None], pa.null()),
            "id": pa.array([1, 2, 3]),
        }
    )
    parquet.write_table(whole, "x.parquet")
    run("impute", "m.safetensors", "x.parquet", "-o", "y.parquet")
    back = parquet.read_table("y.parquet")
    assert [str(kind) for kind in back.schema.types] == ["double", "float", "double", "int64"]
    assert [back["a"][0].as_py(), back["b"][0].as_py()] == [1.0, 10.5]
    assert not back.to_pandas().isna().any().any()
    lines = run("impute", "m.safetensors", "x.parquet").stdout.splitlines()
    assert lines[1].startswith("1,10.5,")  # in text a whole number stays one


def test_batches_change_nothing(rng, monkeypatch):
    write("x.csv", with_holes(rng))
    commands = [
        ["impute", "m.safetensors", "x.csv"],
        ["predict", "m.safetensors", "x.csv", "-t", "a"],
    ]
    whole = [run(*command) for command in commands]
    monkeypatch.setattr("mixtura.cli.tableout.BATCH", 7)
    for command, before in zip(commands, whole, strict=True):
        after = run(*command)
        assert after.stderr == before.stderr
        a, b = (rows_of(result.stdout) for result in (before, after))
        assert len(a) == len(b) == 60
        for name in [*a[0]][-4:]:
            pairs = [(r[name], s[name]) for r, s in zip(a, b, strict=True) if r[name]]
            left, right = np.array(pairs, dtype=float).T
            np.testing.assert_allclose(left, right, rtol=1e-9)


@pytest.mark.parametrize(
    ("columns", "options", "code", "words"),
    [
        ({"a": [1, "inf"], "b": [1, 2], "c": ["", 1]}, [], 1, ["infinite", "empty those cells"]),
        ({"a": [1, 2], "b": [1, 2]}, [], 1, ["without 'c'", "add it or rename"]),
        ({"a": [1, 2], "b": [1, 2], "C": [1, 2]}, [], 1, ["did you mean 'C'?"]),
        ({"a": [1, "x"], "b": [1, 2], "c": [1, 2]}, [], 1, ["numbers in column 'a'"]),
        ({"a": [1, ""], "b": [1, 2], "c": [1, 2]}, ["--draws", "5"], 2, ["--how sample"]),
        ({"a": [1, ""], "b": [1, 2], "c": [1, 2]}, ["--draws", "0"], 2, ["--draws"]),
        ({"a": [1, ""], "b": [1, 2], "c": [1, 2]}, ["--how", "x"], 2, ["mean, median, mode"]),
        ({"a": [1, ""], "b": [1, 2], "c": [1, 2], "imputed": [0, 0]}, ["--flag"], 1, ["imputed"]),
    ],
)
def test_bad_imputations(columns, options, code, words):
    table("x.csv", columns)
    result = run("impute", "m.safetensors", "x.csv", *options, "-o", "out.csv", code=code)
    assert result.stdout == ""
    for word in words:
        assert word in flat(result.stderr)
    assert sorted(os.listdir()) == ["m.safetensors", "x.csv"]


@pytest.mark.parametrize("command", [["impute"], ["predict", "-t", "a"]])
def test_a_failure_half_way_leaves_what_was_there(rng, monkeypatch, command):
    write("x.csv", with_holes(rng))
    Path("out.csv").write_text("precious")
    monkeypatch.setattr("mixtura.cli.tableout.BATCH", 20)
    from mixtura.cli import columnsout

    calls = []
    whole = columnsout.with_columns

    def fails_later(*arguments):
        calls.append(1)
        if len(calls) > 2:
            raise OSError(28, "No space left on device")
        return whole(*arguments)

    monkeypatch.setattr(columnsout, "with_columns", fails_later)
    name, *options = command
    result = run(name, "m.safetensors", "x.csv", *options, "-o", "out.csv", code=1)
    assert "No space left" in result.stderr
    assert "filled" not in result.stderr
    assert len(calls) == 3
    assert Path("out.csv").read_text() == "precious"
    assert sorted(os.listdir()) == ["m.safetensors", "out.csv", "x.csv"]


# ------------------------------------------------------------------ compare


def other(rng=None):
    """The model a little moved, its components and columns in another order."""
    moved = mx.Mixture(MIX.weights, MIX.means + 0.2, MIX.covariance, columns=MIX.columns)
    return moved.relabel([2, 0, 1]).marginal(["c", "a", "b"])


def compared(*options):
    return json.loads(run("compare", "m.safetensors", "n.safetensors", *options, "--json").stdout)


def test_a_model_is_itself_in_any_order():
    mx.save(MIX.relabel([1, 2, 0]).marginal(["b", "c", "a"]), "n.safetensors")
    said = run("compare", "m.safetensors", "n.safetensors").stdout
    assert said.startswith("The two models are the same, up to the order of their components.")
    told = compared()
    assert told["told_apart"] == {"probability": 0.5, "se": 0.0, "same": True}
    assert told["in_units"]["wasserstein"] == told["in_pooled_sd"]["l2"] == 0.0
    assert [(one["a"], one["b"]) for one in told["components"]["matched"]] == [
        (0, 2), (1, 0), (2, 1),
    ]  # fmt: skip


def test_how_well_rows_are_told_apart_is_what_quadrature_says():
    a = mx.Mixture([1.0], [[0.0]], [1.0], columns=["a"])
    b = mx.Mixture([0.6, 0.4], [[0.0], [3.0]], [9.0, 0.25], columns=["a"])
    mx.save(a, "m.safetensors")
    mx.save(b, "n.safetensors")
    told = compared("--seed", "5")

    def density(mix, x):
        sd = np.sqrt(mix.covariance.diagonal()[:, 0])
        return float(mix.weights @ norm.pdf(x, mix.means[:, 0], sd))

    gap = quad(lambda x: abs(density(a, x) - density(b, x)), -25, 25, limit=500, points=[0, 3])[0]
    exact, found = 0.5 + 0.25 * gap, told["told_apart"]
    assert found["probability"] == pytest.approx(exact, abs=4 * found["se"])
    x = np.random.default_rng(1).normal(size=20_000)  # the liar asks for rows of a alone
    assert abs(np.mean(a.log_density(x[:, None]) > b.log_density(x[:, None])) - exact) > 0.05
    kl = quad(lambda x: density(a, x) * np.log(density(a, x) / density(b, x)), -12, 12, limit=500)[
        0
    ]
    one = told["kl"]["a_b"]
    assert one["estimate"] == pytest.approx(kl, abs=4 * one["se"])
    assert one["lower"] <= kl <= one["upper"]
    assert told["kl"]["b_a"]["estimate"] != one["estimate"]


def test_units_change_the_distances_in_units_alone():
    moved = other().marginal(MIX.columns)
    mx.save(moved, "n.safetensors")
    before = compared()
    stretch = np.diag([1000.0, 1.0, 0.01])
    mx.save(MIX.affine(stretch), "m.safetensors")
    mx.save(moved.affine(stretch), "n.safetensors")
    after = compared()
    for key in ("wasserstein", "l2"):
        assert after["in_pooled_sd"][key] == pytest.approx(before["in_pooled_sd"][key], rel=1e-6)
        assert after["in_units"][key] != pytest.approx(before["in_units"][key], rel=0.5)
    assert before["in_units"]["wasserstein"] == pytest.approx(0.2 * np.sqrt(3), rel=1e-6)
    variances = (np.diag(MIX.cov) + np.diag(moved.cov)) / 2
    shift = before["components"]["matched"][0]["shift"]
    np.testing.assert_allclose([*before["pooled_sd"].values()], np.sqrt(variances), rtol=1e-12)
    np.testing.assert_allclose([*shift.values()], 0.2 / np.sqrt(variances), rtol=1e-9)


def test_parameters_are_those_of_the_structure_fitted():
    mx.save(MIX, "n.safetensors", {"covariance_type": "VEV", "n_parameters": 17})
    told = compared()
    assert (told["b"]["structure"], told["b"]["n_parameters"]) == ("VEV", 17)
    held = MIX.covariance.n_parameters() + MIX.k - 1 + MIX.k * MIX.d
    assert told["a"]["n_parameters"] == held != 17
    # Without the number, the matrices held say nothing of a structure that they are wider than.
    mx.save(MIX, "n.safetensors", {"covariance_type": "VEV"})
    assert compared()["b"]["n_parameters"] is None
    said = run("compare", "m.safetensors", "n.safetensors").stdout
    assert re.search(rf"free parameters +{held} +–", said)


def test_compare_on_rows(rng):
    n = other()
    mx.save(n, "n.safetensors")
    x = MIX.sample(300, rng)
    write("x.csv", x)
    told = compared("--data", "x.csv")["rows"]
    a, b = MIX.log_density(x), n.log_density(x[:, [2, 0, 1]])
    assert told["log_density_a"] == pytest.approx(a.mean(), rel=1e-12)
    assert told["log_density_b"] == pytest.approx(b.mean(), rel=1e-12)
    assert told["difference"] == pytest.approx((b - a).mean(), rel=1e-9)
    assert told["se"] == pytest.approx((b - a).std(ddof=1) / np.sqrt(300), rel=1e-9)
    left = MIX.responsibilities(x).argmax(axis=1)
    right = n.responsibilities(x[:, [2, 0, 1]]).argmax(axis=1)
    moved = int((np.array([1, 2, 0])[left] != right).sum())
    assert told["moved"] == moved < 30
    assert (left != right).mean() > 0.9  # the liar compares numbers instead of partners
    said = run("compare", "m.safetensors", "n.safetensors", "--data", "x.csv").stdout
    assert "x.csv, 300 rows" in said
    assert f"  {moved} row{'s' * (moved != 1)} (" in said


def test_components_without_a_partner(rng):
    mx.save(MIX.reduce(2), "n.safetensors")
    told = compared()
    assert len(told["components"]["matched"]) == 2
    (alone,) = told["components"]["only_a"]
    assert alone["weight"] == pytest.approx(MIX.weights[alone["a"]])
    said = run("compare", "m.safetensors", "n.safetensors").stdout
    assert re.search(rf"\n +{alone['a']} +–", said)
    assert said.startswith("The two models ")
    assert "3" in said


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        (["a", "b", "z"], ["c only in m.safetensors", "z only in n.safetensors"]),
        (["a", "b", "cc"], ["did you mean 'cc'?"]),
        (["a", "b"], ["c only in m.safetensors"]),
        (None, ["got 3 in m.safetensors and 1 in n.safetensors"]),
    ],
)
def test_models_that_cannot_be_compared(columns, words):
    d = 1 if columns is None else len(columns)
    mx.save(mx.Mixture([1.0], np.zeros((1, d)), [1.0], columns=columns), "n.safetensors")
    result = run("compare", "m.safetensors", "n.safetensors", code=1)
    assert result.stdout == ""
    for word in words:
        assert word in result.stderr


def test_compare_with_data_at_fault():
    mx.save(other(), "n.safetensors")
    table("x.csv", {"a": [1, 2], "b": [1, 2]})
    both = ["compare", "m.safetensors", "n.safetensors"]
    assert "without 'c'" in run(*both, "--data", "x.csv", code=1).stderr
    assert "does not exist" in run(*both, "--data", "no.csv", code=1).stderr
    assert "expected a model file" in run("compare", "m.safetensors", "no", code=1).stderr


# ------------------------------------------------------------------ help, and standard output


@pytest.mark.parametrize("command", ["condition", "predict", "impute", "compare"])
def test_help_of_the_new_commands(command):
    assert command in run("--help").stdout
    said = run(command, "--help").stdout
    assert f"mixtura {command} data" in said
    assert "[bold]" not in said


COMMANDS = {
    "sample": ["sample", "m.safetensors"],
    "describe": ["describe", "m.safetensors"],
    "condition": ["condition", "m.safetensors", "-g", "a=1"],
    "predict": ["predict", "m.safetensors", "x.csv", "-t", "a"],
    "impute": ["impute", "m.safetensors", "x.csv"],
    "compare": ["compare", "m.safetensors", "m.safetensors"],
    "score": ["score", "m.safetensors", "x.csv"],
    "help": ["--help"],
    "version": ["--version"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_closed_standard_output_is_one_line_of_error(command, monkeypatch, capsys):
    from mixtura.cli.app import run as whole

    table("x.csv", {"a": [1, 2], "b": [10, 11], "c": [0, 1]})
    monkeypatch.setattr(sys, "argv", ["mixtura", *COMMANDS[command]])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(sys, "stdout", None)  # what Python makes of >&-
    assert whole() == 1
    said = capsys.readouterr().err.splitlines()
    assert [line.startswith("error: ") for line in said].count(True) == 1
    assert said[-1].startswith("error: expected an open standard output, got a closed one")


@pytest.mark.slow
def test_a_standard_output_that_is_closed_or_full():
    command = f"{sys.executable} -m mixtura"
    for line, word in (
        ("sample m.safetensors >&-", "expected an open standard output"),
        ("describe m.safetensors > /dev/full", "No space left on device"),
        ("sample m.safetensors > /dev/full", "No space left on device"),
        ("--help > /dev/full", "No space left on device"),
    ):
        if "/dev/full" in line and not Path("/dev/full").exists():
            continue
        done = subprocess.run(
            ["sh", "-c", f"{command} {line}"], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 1, done.stderr
        assert word in done.stderr
        assert len(done.stderr.splitlines()) == 1
    done = subprocess.run(
        ["sh", "-c", f"{command} sample m.safetensors -o s.csv >&-"], capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(Path("s.csv").read_text().splitlines()) == 1001
