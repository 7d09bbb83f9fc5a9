"""``mixtura report`` from outside, and the record that it reads."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

import mixtura
from mixtura.io import read
from tests.test_cli import QUICK, flat, run, table


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Every test runs in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def two(rng):
    """Two clear groups in two columns."""
    x = rng.normal(size=(100, 2))
    x[60:] += (10, 5)
    return {"a": x[:, 0], "b": x[:, 1]}


@pytest.fixture
def model(two):
    run("fit", table("two.csv", two), *QUICK, "--quiet")
    return "two.safetensors"


def words(path):
    """The page's text, its tags left out."""
    text = re.sub(
        r"<(style|svg).*?</\1>", " ", Path(path).read_text(encoding="utf8"), flags=re.DOTALL
    )
    return " ".join(re.sub(r"<[^>]*>", " ", text.replace("<wbr>", "")).split())


def check_of(path):
    """What the page says in its check of fit."""
    return words(path).partition("Check of fit A model")[2].partition("To read it")[0]


def test_a_report_on_the_rows_fitted_is_the_report_of_the_fit(two):
    run("fit", table("two.csv", two), *QUICK, "--report", "fitted.html", "--quiet")
    said = run("report", "two.safetensors", "two.csv").stdout.splitlines()
    assert said[0] == "report  two.html"
    assert said[1].startswith("check   -")
    assert "5-fold held-out rows" in said[1]
    assert len(said) == 2
    assert check_of("two.html")
    assert Path("two.html").read_text() == Path("fitted.html").read_text()


def test_new_rows_are_said_to_be_new(model, two):
    new = {name: column + 0.25 for name, column in two.items()}
    said = run("report", model, table("new.csv", {"b": new["b"], "a": new["a"]}), "-o", "r.html")
    assert "nats per row on these rows" in said.stdout
    assert said.stdout.startswith("report  r.html\n")
    shown = words("r.html")
    assert (
        "2 Gaussian components fitted to two.csv (100 rows), held against the 100 rows of new.csv "
        "in 2 columns." in shown
    )
    assert "These are not exactly the rows that the model was fitted to" in shown
    assert "of the model; 40.0% of these rows" in shown
    x = np.column_stack([new["a"], new["b"]])
    density = read(model)[0].log_density(x)
    assert f"{density.mean():.4f}".replace("-", "−") in shown
    worst = int(density.argmin()) + 1
    assert f"values most unusual first Row Log-density Comp. Values {worst} " in shown


def test_weights_of_the_fit_are_used_and_said(two, rng):
    weighed = {**two, "w": rng.uniform(0.5, 2.0, size=100), "v": np.ones(100)}
    run("fit", table("w.csv", weighed), *QUICK, "--weights", "w", "--columns", "a,b", "--quiet")
    said = run("report", "w.safetensors", "w.csv")
    assert "note: rows are weighted by w, as the model was fitted" in said.stderr
    assert "5-fold held-out" in said.stdout
    said = run("report", "w.safetensors", "w.csv", "--weights", "v")
    assert "note: rows are weighted by v; the model was fitted with w" in said.stderr
    assert "on these rows" in said.stdout  # other weights, other log-likelihood
    said = run("report", "w.safetensors", table("two.csv", two))
    assert "fitted with weights (w), which two.csv has not: all rows count alike" in said.stderr
    assert "rows count alike" in words("two.html")
    assert run("report", "w.safetensors", "w.csv", "--quiet").stderr == ""


def test_a_model_without_names_or_record(two):
    x = np.column_stack(list(two.values()))
    mixtura.save(mixtura.Mixture([1.0], [[3.0, 2.0]], [[30.0, 9.0]]), "bare.safetensors")
    np.save("x.npy", x)
    run("report", "bare.safetensors", "x.npy")
    assert "holds no record of the rows it was fitted to" in words("x.html")
    weighed = {**two, "w": np.ones(100)}
    run("report", "bare.safetensors", table("w.csv", weighed), "--weights", "w", "--quiet")
    message = run("report", "bare.safetensors", "w.csv", code=1).stderr
    assert "expected 2 numeric columns" in message


def test_a_single_row(model):
    run("report", model, table("one.csv", {"a": [0.0], "b": [1.0]}))
    assert "The least likely row, values" in words("one.html").replace("1 least", "least")


def test_a_model_from_before_traces_were_kept(model):
    mixture, info = read(model)
    del info["trace"]
    mixtura.save(mixture, "old.safetensors", info=info)
    run("report", "old.safetensors", "two.csv")
    assert "The fit of the model kept" not in words("two.html")
    run("report", model, "two.csv")
    assert "The fit of the model kept" in words("two.html")
    run("describe", "old.safetensors")


def test_the_record_keeps_the_trace_of_the_fit(two):
    from mixtura import fit
    from mixtura.sources import Rows

    run("fit", table("two.csv", two), "-k", "3", "--covariance", "full", "--quiet")
    trace = read("two.safetensors")[1]["trace"]
    rows = Rows(np.column_stack(list(two.values())))
    found = fit.search(rows, n_components=3, covariance_type="full", seed=0)
    assert trace["log_likelihood"] == pytest.approx(list(found.trace))
    assert trace["n_iter"] == list(range(1, len(found.trace) + 1))


def test_an_interrupted_fit_records_no_trace(two, monkeypatch):
    whole = mixtura.fit.search

    def interrupted(*arguments, callback, **options):
        def meddling(progress):
            callback(progress)
            if progress.n_components == 3:
                raise KeyboardInterrupt

        return whole(*arguments, callback=meddling, **options)

    monkeypatch.setattr("mixtura.fit.search", interrupted)
    run("fit", table("two.csv", two), "-k", "1..4", "--covariance", "diag", "--quiet", code=130)
    assert "trace" not in read("two.safetensors")[1]


# ------------------------------------------------------------------ what fails, and how

FAILURES = {
    "no model": (["no.safetensors", "two.csv"], 1, ["does not exist"]),
    "no data": (["two.safetensors", "no.csv"], 1, ["does not exist"]),
    "a column missing": (["two.safetensors", "other.csv"], 1, ["without 'b'", "rename"]),
    "the page is the data": (["two.safetensors", "two.csv", "-o", "data.html"], 1, ["the data"]),
    "the page is the model": (
        ["two.safetensors", "two.csv", "-o", "model.html"], 1, ["the model"]
    ),
    "the page is a table": (["two.safetensors", "two.csv", "-o", "new.csv"], 2, [".html"]),
    "no folder": (["two.safetensors", "two.csv", "-o", "no/r.html"], 1, ["mkdir"]),
    "weights are fitted": (["two.safetensors", "two.csv", "--weights", "a"], 2, ["not fitted"]),
    "no such weights": (["two.safetensors", "two.csv", "--weights", "q"], 1, ["'q'"]),
}  # fmt: skip


@pytest.mark.parametrize("case", FAILURES)
def test_failures_say_how_to_mend_them(model, two, case):
    table("other.csv", {"a": two["a"], "c": two["b"]})
    os.symlink("two.csv", "data.html")
    os.symlink("two.safetensors", "model.html")
    before = {name: Path(name).read_bytes() for name in os.listdir()}
    arguments, code, expected = FAILURES[case]
    message = flat(run("report", *arguments, code=code).stderr)
    for word in ("expected", "got", *expected):
        assert word in message
    assert {name: Path(name).read_bytes() for name in os.listdir()} == before


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_report_leaves_the_previous_one(model, monkeypatch, error):
    Path("r.html").write_text("precious")

    def half(path, *_, **__):
        Path(path).write_text("half of i")
        raise error

    monkeypatch.setattr("mixtura.report.render", half)
    run("report", model, "two.csv", "-o", "r.html", code=1 if isinstance(error, OSError) else 130)
    assert Path("r.html").read_text() == "precious"
    assert sorted(os.listdir()) == ["r.html", "two.csv", "two.safetensors"]


def test_the_summary_for_machines_holds_the_trace(two):
    found = json.loads(run("fit", table("two.csv", two), *QUICK, "--json", "--quiet").stdout)
    assert found["trace"]["n_iter"][0] == 1


@pytest.mark.slow
def test_large_tables_make_small_pages_soon(rng):
    import time

    x = rng.normal(size=(100_000, 10))
    x[60_000:] += 2.5
    np.save("large.npy", x)
    run("fit", "large.npy", "-k", "3", "--covariance", "full", "--quiet")
    mixture, info = read("large.safetensors")
    from mixtura.report import fit_check, render
    from mixtura.sources import Rows

    check = fit_check(mixture, Rows(x), info, fitted=False)
    started = time.perf_counter()
    page = render(None, mixture, Rows(x), info, check=check)
    assert time.perf_counter() - started < 30
    assert len(page.encode()) < 3e6
