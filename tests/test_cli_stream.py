"""The command line on tables that are not held: unasked, with a bar of rows, and part by part."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose
from pyarrow import csv as arrow_csv
from pyarrow import feather, parquet
from threadpoolctl import threadpool_limits
from typer.testing import CliRunner

import mixtura as mx
from mixtura.cli.app import app
from mixtura.io import read

N = 120_000


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Every test runs in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture(autouse=True)
def one_thread():
    """Budgets hold a batch for every thread: the same number of them on any machine."""
    with threadpool_limits(1, user_api="blas"):
        yield


@pytest.fixture
def crowded(monkeypatch):
    """A machine on which 60 MB are free, of which a table may take a hundredth."""
    monkeypatch.setattr("mixtura.cli.streaming.free_memory", lambda: 60_000_000)
    monkeypatch.setattr("mixtura.cli.streaming.SHARE", 0.01)


def run(*arguments, code=0):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    shown = f"{result.output}\n{result.stderr}\n{result.exception!r}"
    assert result.exit_code == code, shown
    assert "Traceback" not in result.output + result.stderr
    return result


def rows(n=N, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    return 6.0 * labels[:, None] + rng.normal(size=(n, 3)), labels


def write(name, n=N, text=True, **more):
    """A table with an identifier, text, weights and three columns to fit."""
    x, labels = rows(n)
    columns = {"id": np.arange(n), "a": x[:, 0], "b": x[:, 1], "c": x[:, 2]}
    columns["w"] = np.random.default_rng(1).uniform(0.5, 2.0, n)
    if text:
        columns["t"] = np.array(["u", 'v, "q"'])[labels]
    table = pa.table({**columns, **more})
    writers = {"csv": arrow_csv.write_csv, "parquet": parquet.write_table}
    writers.get(name.rsplit(".", 1)[1], feather.write_feather)(table, name)
    return name


def streams(fit):
    """Law: what is fitted to a stream is what is fitted to the table, and it is said."""
    whole = fit("whole.safetensors", ())
    result = fit("parts.safetensors", ("--memory", "30MB"))
    assert "read pass by pass" not in whole.stderr
    assert "120,000 rows are read pass by pass" in result.stderr, result.stderr
    a, info = read("parts.safetensors")
    b, other = read("whole.safetensors")
    assert info["n_rows"] == N and a.columns == b.columns
    assert_allclose(info["weight_sum"], other["weight_sum"])
    assert_allclose(np.sort(a.means, axis=0), np.sort(b.means, axis=0), rtol=1e-3, atol=1e-3)
    assert_allclose(info["log_likelihood"], other["log_likelihood"], rtol=1e-5)
    assert_allclose(info["bic"], other["bic"], rtol=1e-5)
    assert_allclose(info["outlier_threshold"], other["outlier_threshold"], rtol=0.02)


@pytest.mark.parametrize("weights", [(), ("--weights", "w")])
@pytest.mark.parametrize("kind", ["csv", "parquet", "feather"])
def test_large_tables_are_fitted_pass_by_pass(kind, weights):
    name = write(f"t.{kind}")

    def fit(model, how):
        return run("fit", name, "-k", 2, "--covariance", "full", "--columns", "a,b,c",
                   "-o", model, *weights, *how)  # fmt: skip

    streams(fit)


def test_a_fit_to_the_first_rows_is_rejected():
    name = write("t.parquet")
    x, _ = rows()

    def fit(model, how):
        some = name
        if how:
            some = "some.parquet"
            part = np.sort(x[:5000], axis=0)
            columns = dict(zip("abc", part.T, strict=True))
            parquet.write_table(pa.table({**columns, "w": np.ones(5000)}), some)
        return run("fit", some, "-k", 2, "--covariance", "full", "--columns", "a,b,c", "-o", model)

    with pytest.raises(AssertionError):
        streams(fit)


def test_a_table_is_streamed_unasked_where_memory_is_short(crowded):
    for name in (write("t.csv"), write("t.parquet")):
        result = run("fit", name, "-k", 2, "--covariance", "diag", "-o", "m.safetensors")
        assert "read pass by pass" in result.stderr and "within 30 MB" in result.stderr
        assert "t.csv: 120,000 rows" in result.stdout or "t.parquet: 120,000" in result.stdout
        assert "left out id" in result.stderr and "t (text" in result.stderr
    assert "spilled to a temporary file" in run("fit", "t.csv", "-k", 1).stderr
    assert not [one for one in os.listdir() if one.startswith(".")]


def test_small_tables_are_held(crowded):
    assert "pass" not in run("fit", write("t.csv", 500), "-k", 2).stderr


def test_a_bar_of_rows_is_shown(crowded, monkeypatch):
    monkeypatch.setattr("mixtura.cli.progress.Lines.every", 0.0)
    result = run("fit", write("t.parquet", text=False), "-k", 2, "--covariance", "diag")
    assert "read 120,000 of 120,000 rows" in result.stderr
    quiet = run("fit", "t.parquet", "-k", 2, "--covariance", "diag", "-q")
    assert not quiet.stderr and not quiet.stdout


def test_the_bar_is_drawn_on_terminals():
    import io

    from rich.console import Console

    from mixtura.cli.progress import Live

    out = io.StringIO()
    with Live(Console(file=out, force_terminal=True, width=100)) as display:
        display.rows(30, 120)
        display.rows(60, 120)
        display.progress.refresh()
    assert "━━━ 60 of 120" not in out.getvalue() and "╌ 60 of 120 rows" in out.getvalue()


def test_gaps_are_streamed_and_errors_held(crowded):
    gaps = np.arange(N, dtype=float)
    gaps[77_777] = np.nan
    name = write("t.parquet", text=False, g=gaps + np.random.default_rng(0).normal(size=N))
    result = run("fit", name, "-k", 1, "--covariance", "diag", "--columns", "a,g")
    assert "read pass by pass" in result.stderr
    assert "missing: 1 of 240,000 cells (<0.001%), in 1 row (g 1)" in result.stdout
    result = run("fit", name, "-k", 1, "--covariance", "diag", "--columns", "g")
    assert "the table is read as a whole" in result.stderr
    assert "left out: 1 row without" in result.stdout
    message = run("fit", name, "-k", 1, "--columns", "g", "--memory", "30MB", code=1).stderr
    assert "in row 77,778" in message
    result = run("fit", name, "-k", 1, "--columns", "a,b", "--noise-columns", "w")
    assert "read as a whole" in result.stderr
    more = ("--noise-columns", "w", "--memory", "30MB")
    assert "--noise-columns" in run("fit", name, "-k", 1, "--columns", "a", *more, code=1).stderr


def test_budgets_that_do_not_do_are_refused():
    name = write("t.parquet")
    message = run("fit", name, "-k", 2, "--memory", "1MB", code=1).stderr
    assert "the least that works" in message
    assert "'500MB'" in " ".join(run("fit", name, "--memory", "lots", code=2).stderr.split())
    assert not [one for one in os.listdir() if one.endswith("safetensors")]


def test_pipes_are_refused_where_memory_is_asked_for(place):
    os.mkfifo("pipe")
    assert "only once" in run("fit", "pipe", "-k", 1, "--memory", "30MB", code=1).stderr


def test_constant_and_copied_columns_are_refused_in_streams():
    x, _ = rows()
    for more, said in (({"k": np.ones(N)}, "constant"), ({"k": x[:, 0]}, "repeats")):
        name = write("t.parquet", text=False, **more)
        columns = ("--columns", "a,b,k", "--memory", "30MB")
        assert said in run("fit", name, "-k", 2, *columns, code=1).stderr
    rare = np.zeros(N)
    rare[5] = 1.0  # constant but for a row that no sample holds
    name = write("t.parquet", text=False, k=rare)
    run("fit", name, "-k", 1, "--columns", "a,k", "--memory", "30MB", "--covariance", "diag")


def test_the_report_is_of_the_sample():
    name = write("t.parquet", text=False)
    run("fit", name, "-k", 2, "--covariance", "diag", "--columns", "a,b", "--memory", "20MB",
        "--report", "r.html", "-o", "m.safetensors")  # fmt: skip
    assert "a sample of" in Path("r.html").read_text(encoding="utf8")


def test_json_says_how_many_rows():
    name = write("t.parquet", text=False)
    result = run("fit", name, "-k", 1, "--memory", "30MB", "--json", "--quiet")
    assert json.loads(result.stdout)["n_rows"] == N


# ---- score ---------------------------------------------------------------------------------------
@pytest.fixture
def model():
    run("fit", write("few.csv", 2000), "-k", 2, "--covariance", "full", "--columns", "a,b,c",
        "-o", "m.safetensors", "-q")  # fmt: skip
    return "m.safetensors"


def parts_are_the_whole(score, name, out, monkeypatch):
    """Law: a table in parts is scored as at once, to the byte."""
    whole = score(name, out)
    monkeypatch.setattr("mixtura.cli.score.LARGE", 1000)
    monkeypatch.setattr("mixtura.cli.score.ROWS", 7000)
    monkeypatch.setattr("mixtura.cli.score.TEXT", 1 << 18)
    assert score(name, out) == whole


def table_of(path):
    if path.endswith(("csv", "tsv")):
        with open(path, newline="", encoding="utf8") as file:
            return list(csv.reader(file, delimiter="\t" if path.endswith("tsv") else ","))
    found = parquet.read_table(path) if path.endswith("parquet") else feather.read_table(path)
    return found.to_pydict() | {"types": [str(kind) for kind in found.schema.types]}


@pytest.mark.parametrize("out", ["o.csv", "o.tsv", "o.parquet", "o.feather"])
@pytest.mark.parametrize("name", ["t.csv", "t.parquet", "t.feather", "t.npy"])
def test_scores_in_parts_are_those_of_the_whole(name, out, model, monkeypatch):
    if name == "t.npy":
        np.save(name, rows(20_000)[0].astype([("a", float)]).view(float))
        mixture = read(model)[0]
        mx.save(mx.Mixture(mixture.weights, mixture.means, mixture.covariance), "m.safetensors")
    else:
        write(name, 20_000)

    def score(name, out):
        run("score", model, name, "-o", out)
        return table_of(out)

    parts_are_the_whole(score, name, out, monkeypatch)


def test_scores_that_lose_a_part_are_rejected(model, monkeypatch):
    write("t.csv", 20_000)

    def score(name, out):
        run("score", model, name, "-o", out)
        found = table_of(out)
        from mixtura.cli import score as command

        return found if command.LARGE > 1000 else found[:-100]

    with pytest.raises(AssertionError):
        parts_are_the_whole(score, "t.csv", "o.csv", monkeypatch)


def test_kinds_of_columns_suit_all_parts(model, monkeypatch):
    n = 20_000
    late = [str(i) for i in range(n)]
    late[-1] = "0.5"
    words = ["7"] * (n - 1) + ["seven"]
    empty = [""] * (n - 1) + ["3"]
    write("t.csv", n, late=pa.array(late), words=pa.array(words), empty=pa.array(empty))
    monkeypatch.setattr("mixtura.cli.score.LARGE", 1000)
    monkeypatch.setattr("mixtura.cli.score.ROWS", 7000)
    monkeypatch.setattr("mixtura.cli.score.TEXT", 1 << 18)
    run("score", model, "t.csv", "-o", "o.parquet")
    found = parquet.read_table("o.parquet")
    kinds = {name: str(found.schema.field(name).type) for name in ("late", "words", "empty", "id")}
    assert kinds == {"late": "double", "words": "string", "empty": "int64", "id": "int64"}
    assert found["words"].to_pylist()[-1] == "seven" and found["late"].to_pylist()[-1] == 0.5


def test_a_score_that_fails_late_leaves_nothing(model, monkeypatch):
    write("t.csv", 20_000)
    with open("t.csv", "a", encoding="utf8") as file:
        file.write("1,oops,2,3,4,u\n")
    monkeypatch.setattr("mixtura.cli.score.LARGE", 1000)
    monkeypatch.setattr("mixtura.cli.score.ROWS", 7000)
    monkeypatch.setattr("mixtura.cli.score.TEXT", 1 << 18)
    before = sorted(os.listdir())
    message = run("score", model, "t.csv", "-o", "o.csv", code=1).stderr
    assert "'a'" in message and "oops" in message
    assert sorted(os.listdir()) == before
