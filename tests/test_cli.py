"""The command line from outside: exit codes, what is said and where, and which files are left."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import pickle
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather, parquet
from threadpoolctl import threadpool_limits
from typer.testing import CliRunner

import mixtura
from mixtura.cli.app import app
from mixtura.io import read

FAITHFUL = Path(__file__).parent / "data" / "faithful.csv.gz"
IRIS = Path(__file__).parent / "data" / "iris.csv.gz"
#: A fit that takes no time.
QUICK = ("--components", "2", "--covariance", "diag")


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """Every test runs in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def run(*arguments, code=0):
    """Run a command in this process; its result, once the exit code is the expected one."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    shown = f"{result.output}\n{result.stderr}\n{result.exception!r}"
    assert result.exit_code == code, shown
    assert "Traceback" not in result.output + result.stderr
    return result


def flat(text):
    """Text without the frame and the line breaks that a usage error is shown with."""
    return " ".join(text.replace("│", " ").split())


def table(name, columns, delimiter=","):
    """Write a table of numbers; its path."""
    with open(name, "w", newline="", encoding="utf8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(columns)
        writer.writerows(
            zip(*(np.asarray(column).tolist() for column in columns.values()), strict=True)
        )
    return name


@pytest.fixture
def two(rng):
    """Two clear groups in two columns."""
    x = rng.normal(size=(100, 2))
    x[60:] += (10, 5)
    return {"a": x[:, 0], "b": x[:, 1]}


@pytest.fixture
def model(two):
    """A model fitted to the two groups."""
    run("fit", table("two.csv", two), *QUICK, "--quiet")
    return "two.safetensors"


# ------------------------------------------------------------------ fit


def test_fit_says_what_it_chose_and_writes_the_model(place):
    result = run("fit", FAITHFUL, "--components", "1..3", "--covariance", "full")
    assert sorted(os.listdir(place)) == ["faithful.safetensors"]
    said = result.stdout
    assert "272 rows, 2 columns" in said
    assert "2 components, structure full" in said
    assert "2,322.2*" in said
    assert "4.29 ± 0.41" in said
    assert "80.0 ± 6.0" in said
    assert "model   faithful.safetensors" in said
    for line in ("[1/3] 1 component, full: BIC 2,607.6", "[2/3] 2 components, full: BIC 2,322.2"):
        assert line in result.stderr
    mixture, info = read("faithful.safetensors")
    assert mixture.columns == ("eruptions", "waiting")
    assert (np.diff(mixture.weights) <= 0).all()
    assert info["data"] == "faithful.csv.gz"
    assert info["n_rows"] == 272
    assert info["covariance_type"] == "full"
    assert info["n_components"] == 2
    assert info["seed"] == 0
    assert info["mixtura"] == mixtura.__version__
    assert [trial["n_components"] for trial in info["trials"]] == [1, 2, 3]
    assert info["bic"] == min(trial["bic"] for trial in info["trials"])


def test_fit_chooses_by_itself(two):
    result = run("fit", table("two.csv", two), "--json", "--quiet")
    assert result.stderr == ""
    summary = json.loads(result.stdout)
    assert summary["n_components"] == 2
    assert summary["covariance_type"] == "spherical"
    assert {trial["covariance_type"] for trial in summary["trials"]} > {"full", "diag", "spherical"}


def test_json_is_all_there_is_on_standard_output(two):
    result = run("fit", table("two.csv", two), *QUICK, "--json")
    summary = json.loads(result.stdout)
    assert summary["model"] == "two.safetensors"
    assert summary["report"] is None
    first, second = summary["components"]
    assert first["weight"] == pytest.approx(0.6, abs=0.01)
    assert second["mean"]["a"] == pytest.approx(10, abs=0.5)
    assert second["sd"]["b"] == pytest.approx(1, abs=0.4)
    assert "[1/1] 2 components, diag" in result.stderr


def test_quiet_says_nothing(two):
    result = run("fit", table("two.csv", two), *QUICK, "--quiet")
    assert result.stdout == ""
    assert result.stderr == ""


def test_columns_left_out_are_named_with_the_reason():
    result = run("fit", IRIS, *QUICK)
    assert "left out class (text, such as 'setosa')" in flat(result.stderr)
    assert read("iris.safetensors")[1]["left_out"] == [["class", "text, such as 'setosa'"]]


def test_columns_and_output_are_obeyed():
    columns = "Petal.Width,Sepal.Length"
    run("fit", IRIS, *QUICK, "--columns", columns, "--output", "my model.safetensors")
    assert mixtura.load("my model.safetensors").columns == ("Petal.Width", "Sepal.Length")
    assert os.listdir() == ["my model.safetensors"]


def test_weights_stand_for_repeated_rows(two, rng):
    counts = rng.integers(0, 4, size=100)
    table("weighted.csv", {**two, "n": counts})
    table("repeated.csv", {name: np.repeat(column, counts) for name, column in two.items()})
    for data, options in (("weighted.csv", ["--weights", "n"]), ("repeated.csv", [])):
        run("fit", data, *QUICK, "--quiet", *options)
    weighted, told = read("weighted.safetensors")
    repeated, info = read("repeated.safetensors")
    assert weighted.columns == ("a", "b")
    assert told["weights_column"] == "n"
    assert told["weight_sum"] == counts.sum() == info["n_rows"]
    np.testing.assert_allclose(weighted.means, repeated.means, rtol=1e-6)
    assert told["bic"] == pytest.approx(info["bic"], rel=1e-8)


def test_the_same_seed_gives_the_same_model(two):
    table("two.csv", two)
    for name in ("one.safetensors", "other.safetensors"):
        run("fit", "two.csv", "--components", "3", "--seed", "5", "--output", name, "--quiet")
    one, other = mixtura.load("one.safetensors"), mixtura.load("other.safetensors")
    np.testing.assert_array_equal(one.means, other.means)


@pytest.mark.parametrize("typed", ["diagonal", "diag", "isotropic", "spherical", "lowrank"])
def test_names_of_structures(two, typed):
    columns = {**two, "c": two["a"] + np.sin(two["b"]), "d": np.cos(7 * two["b"])}
    run("fit", table("two.csv", columns), "-k", "1", "--covariance", typed, "--quiet")
    chosen = read("two.safetensors")[1]["covariance_type"]
    assert chosen == {"diagonal": "diag", "isotropic": "spherical"}.get(typed, typed)


@pytest.mark.parametrize("name", ["d.tsv", "d.csv.gz", "d.parquet", "d.feather", "d.npy"])
def test_formats_of_tables(two, name):
    frame = pa.table(two)
    if name == "d.tsv":
        table(name, two, "\t")
    elif name == "d.csv.gz":
        Path(name).write_bytes(gzip.compress(Path(table("t.csv", two)).read_bytes()))
    elif name == "d.npy":
        np.save(name, np.column_stack(list(two.values())))
    else:
        (parquet.write_table if name == "d.parquet" else feather.write_feather)(frame, name)
    run("fit", name, *QUICK, "--quiet")
    assert sorted(mixtura.load("d.safetensors").means[:, 0].round()) == [0, 10]


@pytest.mark.parametrize(
    "make",
    [
        lambda rng: 1e12 + rng.normal(size=(80, 2)),
        lambda rng: rng.normal(size=(80, 2)) * [1e-6, 1e6],
        lambda rng: rng.normal(size=(10, 500)),
        lambda rng: np.round(rng.normal(size=(200, 2))),
    ],
    ids=["large offset", "scales", "10 by 500", "ties"],
)
def test_extreme_but_valid_tables(rng, make):
    x = make(rng)
    np.save("x.npy", x)
    counts = "1" if x.shape[1] > 100 else "1..2"
    with threadpool_limits(1):  # on a busy machine, matrices of 500 are slower with more
        run("fit", "x.npy", "-k", counts, "--quiet", "--report", "x.html")
    mixture = mixtura.load("x.safetensors")
    # EM keeps the mean of the rows, and every structure their total variance.
    assert (np.abs(mixture.mean - x.mean(axis=0)) < 0.01 * x.std(axis=0)).all()
    assert np.trace(mixture.cov) == pytest.approx(x.var(axis=0).sum(), rel=0.05)
    assert "<svg" in Path("x.html").read_text(encoding="utf8")


def test_more_components_than_rows_in_a_range_are_not_tried(two):
    few = {name: column[:6] for name, column in two.items()}
    result = run("fit", table("few.csv", few), "-k", "1..20", "--covariance", "spherical")
    assert "6 rows allow at most 6 components" in result.stderr


# ------------------------------------------------------------------ score, sample, describe


def test_score_adds_what_the_model_says(two, model):
    data = {"note": np.arange(100), "b": two["b"], "a": two["a"]}
    table("new.csv", data)
    result = run("score", model, "new.csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    added = ["log_density", "component", "resp_0", "resp_1", "outlier"]
    assert list(rows[0]) == ["note", "b", "a", *added]
    x = np.column_stack([two["a"], two["b"]])
    mixture, info = read(model)
    numbers = {name: np.array([float(row[name]) for row in rows]) for name in added[:-1]}
    np.testing.assert_allclose(numbers["log_density"], mixture.log_density(x), rtol=1e-12)
    resp = mixture.responsibilities(x)
    np.testing.assert_allclose(numbers["resp_1"], resp[:, 1], rtol=1e-9, atol=1e-300)
    np.testing.assert_array_equal(numbers["component"], resp.argmax(axis=1))
    flags = np.array([row["outlier"] == "true" for row in rows])
    np.testing.assert_array_equal(flags, mixture.log_density(x) < info["outlier_threshold"])
    assert flags.sum() == 1  # 1% of 100
    assert [row["note"] for row in rows] == [str(i) for i in range(100)]


def test_score_in_batches_is_score_at_once(two, model, monkeypatch):
    from mixtura.cli import score

    whole = run("score", model, "two.csv").stdout
    monkeypatch.setattr(score, "BATCH", 7)
    parts = run("score", model, "two.csv").stdout
    first, second = ([*csv.reader(io.StringIO(text))] for text in (whole, parts))
    assert first[0] == second[0]
    a, b = (np.array([row[2:6] for row in rows[1:]], dtype=float) for rows in (first, second))
    np.testing.assert_allclose(a, b, rtol=1e-9)


@pytest.mark.parametrize(
    "name", ["s.csv", "s.csv.gz", "s.tsv", "s.parquet", "s.feather", "s.arrow"]
)
def test_score_writes_every_format(two, model, name):
    run("score", model, "two.csv", "--output", name)
    assert sorted(os.listdir()) == sorted([name, "two.csv", "two.safetensors"])
    if name.endswith("parquet"):
        back = parquet.read_table(name)
    elif name.endswith(("feather", "arrow")):
        back = feather.read_table(name)
    else:
        text = Path(name).read_bytes()
        text = gzip.decompress(text) if name.endswith("gz") else text
        rows = csv.DictReader(io.StringIO(text.decode()), delimiter="\t" if "tsv" in name else ",")
        back = {key: [float(row[key]) for row in rows] for key in ("a",)}
    np.testing.assert_array_equal(np.asarray(back["a"]), two["a"])
    if not isinstance(back, dict):
        assert str(back.schema.field("outlier").type) == "bool"
        assert str(back.schema.field("a").type) == "double"


def test_outlier_quantiles(two, model):
    def flagged(*options):
        rows = csv.DictReader(io.StringIO(run("score", model, "two.csv", *options).stdout))
        return sum(row["outlier"] == "true" for row in rows)

    assert flagged("--outlier-quantile", "0.1") == 10
    assert flagged("--outlier-quantile", "0.05") == 5
    assert 5 <= flagged("--outlier-quantile", "0.07") <= 10
    message = run("score", model, "two.csv", "--outlier-quantile", "0.9", code=1).stderr
    assert "0.001, 0.002, 0.005, 0.01" in message
    run("score", model, "two.csv", "--outlier-quantile", "1.5", code=2)


def test_a_model_without_quantiles_flags_no_outliers(two):
    mixtura.save(mixtura.Mixture([1.0], [[0.0, 0.0]], [1.0], columns=["a", "b"]), "m.safetensors")
    result = run("score", "m.safetensors", table("two.csv", two))
    assert result.stdout.splitlines()[0] == "a,b,log_density,component,resp_0"
    assert "no outlier column" in result.stderr
    run("score", "m.safetensors", "two.csv", "--outlier-quantile", "0.01", code=1)


def test_a_model_without_names_takes_columns_by_place(two):
    mixtura.save(mixtura.Mixture([1.0], [[0.0, 0.0]], [1.0]), "m.safetensors")
    run("score", "m.safetensors", table("two.csv", two))
    message = run("score", "m.safetensors", table("one.csv", {"a": two["a"]}), code=1).stderr
    assert "expected 2 numeric columns" in message


def test_score_refuses_a_table_without_the_models_columns(two, model):
    table("lack.csv", {"A": two["a"], "z": two["b"]})
    message = run("score", model, "lack.csv", "-o", "out.csv", code=1).stderr
    assert "(a, b)" in message
    assert "without 'a', 'b'" in message
    assert not Path("out.csv").exists()


def test_score_refuses_names_that_clash(two, model):
    table("scored.csv", {**two, "component": two["a"]})
    assert "--prefix" in run("score", model, "scored.csv", code=1).stderr
    header = run("score", model, "scored.csv", "--prefix", "new_").stdout.splitlines()[0]
    assert header.endswith(
        "component,new_log_density,new_component,new_resp_0,new_resp_1,new_outlier"
    )


def test_sample_draws_from_the_model(model):
    text = run("sample", model, "-n", "4000", "--seed", "3", "--labels").stdout
    assert text == run("sample", model, "-n", "4000", "--seed", "3", "--labels").stdout
    assert text != run("sample", model, "-n", "4000", "--seed", "4", "--labels").stdout
    rows = [*csv.DictReader(io.StringIO(text))]
    assert len(rows) == 4000
    second = np.array([[float(r["a"]), float(r["b"])] for r in rows if r["component"] == "1"])
    assert len(second) == pytest.approx(1600, abs=150)
    np.testing.assert_allclose(second.mean(axis=0), mixtura.load(model).means[1], atol=0.15)
    run("sample", model, "-n", "10", "--output", "new.parquet")
    assert parquet.read_table("new.parquet").column_names == ["a", "b"]
    run("sample", model, "-n", "0", code=2)


def test_describe(model):
    said = run("describe", model).stdout
    assert "fitted to two.csv (100 rows)" in said
    assert "2 components, structure diag" in said
    assert "outliers: log-density below" in said
    told = json.loads(run("describe", model, "--json").stdout)
    assert told["columns"] == ["a", "b"]
    assert told["info"]["seed"] == 0
    assert len(told["components"]) == 2
    mixtura.save(mixtura.load(model), "bare.safetensors")
    assert "2 components" in run("describe", "bare.safetensors").stdout


# ------------------------------------------------------------------ bad input


def numbers(seed=0, d=2, n=40):
    x = np.random.default_rng(seed).normal(size=(n, d))
    return {f"c{j}": x[:, j] for j in range(d)}


def bad(**columns):
    return lambda: table("data.csv", {**numbers(), **columns})


def content(text, name="data.csv"):
    return lambda: (
        Path(name).write_bytes(text if isinstance(text, bytes) else text.encode()) and name
    )


def marked(value):
    column = numbers()["c0"].copy()
    column[[3, 7]] = value
    return column


COPY, SUM = numbers()["c0"], numbers()["c0"] + numbers()["c1"]

BAD_DATA = {
    "missing file": (lambda: "nowhere.csv", [], ["does not exist"]),
    "empty file": (content(b"\n"), [], ["empty file"]),
    "header only": (content("a,b\n"), [], ["header alone"]),
    "ragged rows": (content("a,b\n1,2\n3\n"), [], ["2 cells", "got 1", "line 3"]),
    "binary rubbish": (content(bytes(range(256))), [], ["binary"]),
    "rubbish in Parquet": (content(b"PAR1 rubbish", "d.parquet"), [], ["Parquet", "damaged"]),
    "rubbish in NPY": (content(b"\x93NUMPY rubbish", "d.npy"), [], ["NPY", "damaged"]),
    "directory": (lambda: os.mkdir("folder") or "folder", [], ["directory"]),
    "no numeric column": (content("a,b\nx,y\nz,w\n"), [], ["column of numbers", "such as 'x'"]),
    "one row": (content("a,b\n1,2\n"), [], ["2 rows", "got 1"]),
    "fewer rows than components": (bad(), ["-k", "41"], ["40 rows for 41", "at most 40"]),
    "unknown column": (bad(), ["--columns", "c0,c9"], ["'c9'", "its columns are c0, c1"]),
    "text column": (content("a,b\n1,x\n2,y\n"), ["--columns", "b"], ["text, such as 'x'"]),
    "constant column": (bad(c2=np.ones(40)), [], ["constant", "c2 = 1", "--columns c0,c1"]),
    "duplicate columns": (bad(c2=COPY), [], ["'c2' repeats 'c0'", "--columns c0,c1"]),
    "exact collinearity": (bad(c2=SUM), [], ["follows from 'c0', 'c1'", "--columns c0,c1"]),
    "all rows equal": (content("a,b\n" + "1,2\n" * 9), [], ["9 equal rows"]),
    "infinities": (bad(c2=marked(np.inf)), [], ["infinite", "2 of 40", "'c2': 2"]),
    "infinite cells beside gaps": (
        bad(c1=marked(np.nan), c2=marked(np.inf)),
        [],
        ["or a missing one", "2 of 40", "'c2': 2"],
    ),
    "no cell left": (bad(c2=[""] * 40), ["--columns", "c0,c2"], ["got none in c2", "--columns c0"]),
    "repeated names": (content("a,a\n1,2\n3,4\n"), [], ["name of its own", "columns 1, 2"]),
    "negative weights": (bad(w=-COPY), ["--weights", "w"], ["0 or more", "negative"]),
    "zero weights": (bad(w=0 * COPY), ["--weights", "w"], ["only zeros"]),
    "text weights": (content("a,w\n1,x\n2,y\n"), ["--weights", "w"], ["weights", "text"]),
    "unknown weights": (bad(), ["--weights", "w"], ["'w'", "its columns are c0, c1"]),
    "rank too large": (bad(), ["--covariance", "lowrank", "--rank", "2"], ["rank", "--rank 1"]),
    "no such folder": (bad(), ["--output", "no/m.safetensors"], ["existing directory", "mkdir"]),
    "report in no folder": (bad(), ["--report", "no/r.html"], ["--report", "mkdir"]),
    "output is the data": (bad(), ["--output", "data.csv"], ["the data", "another name"]),
    "output is a directory": (bad(), ["--output", "."], ["directory"]),
    "report is the model": (bad(), ["--report", "data.safetensors"], ["the model"]),
}


@pytest.mark.parametrize("case", BAD_DATA)
def test_data_at_fault_is_exit_code_1(case):
    make, options, words = BAD_DATA[case]
    data = make()
    before = {name: Path(name).stat().st_mtime_ns for name in os.listdir()}
    result = run("fit", data, *options, code=1)
    assert result.stdout == ""
    assert result.stderr.startswith("error: expected ")
    for word in ["got", *words]:
        assert word in result.stderr
    assert {name: Path(name).stat().st_mtime_ns for name in os.listdir()} == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--components", "0"], ["at least 1 component", "got 0"]),
        (["--components", "abc"], ["got 'abc'", "2..12"]),
        (["--components", "-3"], ["got '-3'"]),
        (["--components", "5..2"], ["2..5"]),
        (["--components", "0..4"], ["1..4"]),
        (["--covariance", "fulll"], ["got 'fulll'", "did you mean 'full'"]),
        (["--rank", "0"], ["at least 1"]),
        (["--rank", "1", "--covariance", "full"], ["lowrank"]),
        (["--columns", ","], ["got none"]),
        (["--columns", "a,a"], ["a twice"]),
        (["--columns", '"a,b'], ["quotation mark"]),
        (["--columns", "a,w", "--weights", "w"], ["'w'"]),
        (["--seed", "-1"], ["--seed"]),
        (["--colums", "a"], ["No such option"]),
    ],
)
def test_usage_is_exit_code_2(two, options, words):
    result = run("fit", table("two.csv", two), *options, code=2)
    assert result.stdout == ""
    for word in words:
        assert word in flat(result.stderr)
    assert os.listdir() == ["two.csv"]


def test_usage_of_the_other_commands(two, model):
    run("sore", code=2)
    run("score", model, code=2)
    message = flat(run("score", model, "two.csv", "-o", "out.xyz", code=2).stderr)
    assert ".parquet" in message
    assert "got out.xyz" in message
    run("sample", model, "-n", "many", code=2)


def bad_models(good):
    """Model files at fault: content, and a word of the complaint."""
    length = struct.unpack("<Q", good[:8])[0]
    header = json.loads(good[8 : 8 + length])

    def with_header(change):
        head = json.loads(json.dumps(header))
        change(head)
        text = json.dumps(head).encode()
        return struct.pack("<Q", len(text)) + text + good[8 + length :]

    def newer(head):
        head["__metadata__"]["version"] = "999"

    def huge(head):
        name = next(key for key in head if key != "__metadata__")
        head[name]["shape"] = [10**15]
        head[name]["data_offsets"] = [0, 8 * 10**15]

    return {
        "truncated": (good[:-20], "truncated"),
        "cut in the header": (good[:40], "truncated"),
        "empty": (b"", "not a model"),
        "text": (b"a,b\n1,2\n" * 9, "not a model"),
        "pickle": (pickle.dumps({"weights": [1.0]}), "pickle"),
        "endless header": (struct.pack("<Q", 2**62) + b"{" * 50, ""),
        "newer": (with_header(newer), "upgrade"),
        "huge": (with_header(huge), "claims"),
    }


@pytest.mark.parametrize(
    "case",
    [
        "truncated", "cut in the header", "empty", "text", "pickle", "endless header", "newer",
        "huge",
    ],
)  # fmt: skip
def test_models_at_fault_are_exit_code_1(model, case):
    broken, word = bad_models(Path(model).read_bytes())[case]
    Path("bad.safetensors").write_bytes(broken)
    before = sorted(os.listdir())
    for command in (
        ["score", "bad.safetensors", "two.csv", "-o", "out.csv"],
        ["sample", "bad.safetensors", "-o", "out.csv"],
        ["describe", "bad.safetensors"],
    ):
        result = run(*command, code=1)
        assert result.stdout == ""
        assert result.stderr.startswith("error: ")
        assert "bad.safetensors" in result.stderr
        assert word in result.stderr
        assert sorted(os.listdir()) == before


def test_a_missing_model_is_exit_code_1(model):
    for command in (["score", "none.safetensors", "two.csv"], ["describe", "."]):
        assert "expected a model file" in run(*command, code=1).stderr


# ------------------------------------------------------------------ files


def test_a_file_that_cannot_be_written_is_known_before_the_fit(two, monkeypatch):
    if not Path("/proc/self").exists():
        pytest.skip("needs a folder in which nobody can create files: /proc")
    monkeypatch.setattr("mixtura.fit.search", lambda *_, **__: pytest.fail("the fit began"))
    message = run("fit", table("two.csv", two), "-o", "/proc/m.safetensors", code=1).stderr
    assert "expected to be able to write --output" in message


@pytest.mark.parametrize("victim", ["mixtura.save", "mixtura.report.render"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), MemoryError()])
def test_a_failed_run_damages_nothing(two, monkeypatch, victim, error):
    table("two.csv", two)
    for name in ("two.safetensors", "r.html"):
        Path(name).write_text("precious")

    def half(*arguments, **_):
        path = arguments[1] if victim == "mixtura.save" else arguments[0]
        Path(path).write_bytes(b"half of i")
        raise error

    monkeypatch.setattr(victim, half)
    result = run("fit", "two.csv", *QUICK, "--report", "r.html", code=1)
    assert "error: " in result.stderr
    assert sorted(os.listdir()) == ["r.html", "two.csv", "two.safetensors"]
    assert Path("r.html").read_text() == "precious"
    if victim == "mixtura.save":
        assert Path("two.safetensors").read_text() == "precious"


def test_a_failed_score_leaves_the_previous_output(two, model, monkeypatch):
    Path("out.csv").write_text("precious")
    monkeypatch.setattr("mixtura.cli.score.BATCH", 30)
    from mixtura.report.observations import Observations

    calls = []
    whole = Observations.log_joint

    def fails_later(self, *rest):
        calls.append(rest)
        if len(calls) > 2:
            raise OSError(5, "Input/output error")
        return whole(self, *rest)

    monkeypatch.setattr(Observations, "log_joint", fails_later)
    run("score", model, "two.csv", "-o", "out.csv", code=1)
    assert [part.stop - part.start for _, part in calls] == [30, 30, 30]
    assert Path("out.csv").read_text() == "precious"
    assert sorted(os.listdir()) == ["out.csv", "two.csv", "two.safetensors"]


def test_a_link_stays_a_link_and_a_mode_stays(two, place):
    os.mkdir("store")
    Path("store/m.safetensors").write_text("old")
    os.chmod("store/m.safetensors", 0o640)
    os.symlink("store/m.safetensors", "m.safetensors")
    run("fit", table("two.csv", two), *QUICK, "-o", "m.safetensors", "--quiet")
    assert Path("m.safetensors").is_symlink()
    assert Path("store/m.safetensors").stat().st_mode & 0o777 == 0o640
    assert mixtura.load("store/m.safetensors").k == 2
    assert os.listdir("store") == ["m.safetensors"]


# ------------------------------------------------------------------ Ctrl-C, pipes, help


def test_ctrl_c_before_anything_was_fitted(two, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("mixtura.fit.search", interrupted)
    result = run("fit", table("two.csv", two), code=130)
    assert "nothing was saved" in result.stderr
    assert os.listdir() == ["two.csv"]


def test_ctrl_c_keeps_the_finished_trial_of_the_lowest_bic(two, monkeypatch):
    whole = mixtura.fit.search

    def interrupted(*arguments, callback, **options):
        def meddling(progress):
            callback(progress)
            if progress.n_components == 4 and progress.finished is None:
                raise KeyboardInterrupt

        return whole(*arguments, callback=meddling, **options)

    monkeypatch.setattr("mixtura.fit.search", interrupted)
    options = ["-k", "1..6", "--covariance", "spherical", "--json", "--report", "r.html"]
    result = run("fit", table("two.csv", two), *options, code=130)
    assert "the best model so far (2 components" in result.stderr
    assert "the report was not written" in result.stderr
    summary = json.loads(result.stdout)
    assert summary["interrupted"] is True
    assert summary["report"] is None
    assert len(summary["trials"]) == 3
    mixture, info = read("two.safetensors")
    assert mixture.k == info["n_components"] == 2
    assert info["outlier_threshold"] < info["log_likelihood"]
    assert sorted(os.listdir()) == ["two.csv", "two.safetensors"]


def test_ctrl_c_while_the_report_is_drawn_does_not_lose_the_model(two, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("mixtura.report.render", interrupted)
    result = run("fit", table("two.csv", two), *QUICK, "--report", "r.html", code=130)
    assert "the model was saved to two.safetensors" in result.stderr
    assert sorted(os.listdir()) == ["two.csv", "two.safetensors"]


def started(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "mixtura", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def interrupt_at(process, word):
    """Send Ctrl-C when a line of progress holds the word; exit code and standard error."""
    seen = ""
    deadline = time.monotonic() + 60
    while word not in seen:
        line = process.stderr.readline()
        assert line, f"the fit ended before it said {word!r}: {seen}"
        assert time.monotonic() < deadline, seen
        seen += line
    process.send_signal(signal.SIGINT)
    _, rest = process.communicate(timeout=60)
    return process.returncode, seen + rest


def test_ctrl_c_in_a_running_search(rng):
    np.save("long.npy", rng.normal(size=(10_000, 8)))
    process = started("fit", "long.npy", "-k", "2..60", "--covariance", "full")
    code, said = interrupt_at(process, "BIC")
    assert code == 130
    assert "interrupted: the best model so far" in said
    assert "was saved to long.safetensors" in said
    assert "Traceback" not in said
    mixture, info = read("long.safetensors")
    assert info["interrupted"]
    assert mixture.d == 8
    assert sorted(os.listdir()) == ["long.npy", "long.safetensors"]


def test_ctrl_c_in_a_running_trial(rng):
    np.save("long.npy", rng.uniform(size=(15_000, 8)))
    process = started("fit", "long.npy", "-k", "40", "--covariance", "full")
    code, said = interrupt_at(process, "iteration")
    assert code == 130
    assert "not converged) was saved" in said
    assert "Traceback" not in said
    mixture, info = read("long.safetensors")
    assert mixture.k == 40
    assert info["bic"] is None
    assert info["converged"] is False
    assert np.isfinite(mixture.log_density(np.full((1, 8), 0.5))).all()


def test_a_reader_that_leaves_is_no_error(model):
    process = started("sample", model, "-n", "300000")
    assert process.stdout.readline() == "a,b\n"
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 0


def test_termination_leaves_no_temporary_file(model):
    process = started("sample", model, "-n", "100000000", "-o", "new.csv")
    deadline = time.monotonic() + 60
    while not any(name.startswith(".new") for name in os.listdir()):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.terminate()
    assert process.wait(timeout=60) == 143
    assert sorted(os.listdir()) == ["two.csv", "two.safetensors"]


def test_a_terminal_without_our_characters(model):
    done = subprocess.run(
        [sys.executable, "-m", "mixtura", "describe", model],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 0
    assert b"2 components" in done.stdout
    assert done.stderr == b""


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_without_the_extra_its_name_is_told(package):
    code = f"import sys; sys.modules[{package!r}] = None; from mixtura.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "pip install 'mixtura[cli]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_without_the_extra_no_fit_begins_that_could_not_be_reported(two, monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.setattr("mixtura.fit.search", lambda *_, **__: pytest.fail("the fit began"))
    message = run("fit", table("two.csv", two), "--report", "r.html", code=1).stderr
    assert "pip install 'mixtura[cli]'" in message


def test_help_and_version():
    assert run("--version").stdout == f"mixtura {mixtura.__version__}\n"
    said = run("--help").stdout
    for command in ("fit", "score", "sample", "describe"):
        assert command in said
        help_text = run(command, "--help").stdout
        assert f"mixtura {command} data" in help_text  # an example
        assert "[bold]" not in help_text
    said = flat(run("fit", "--help").stdout)
    for option in ("--components", "--covariance", "--columns", "--weights", "--seed", "--output"):
        assert option in said
    assert "default: all numeric columns" in said


def test_progress_on_a_terminal_and_in_a_log(two):
    from rich.console import Console

    from mixtura.cli.progress import Lines, Live
    from mixtura.fit import Progress, Trial

    trial = Trial(3, "full", 123.4, -1.5, 9, 7, True, 0.2)
    steps = [
        Progress(3, "full", 7, -1.5, 1, 4, 2.0, 80.0, None, lambda: None),
        Progress(3, "full", 7, -1.5, 1, 4, 2.0, None, trial, lambda: None),
    ]
    for display, words in (
        (Live, ["[2/4]", "3 components, full · log-lik -1.5000", "80 s left"]),
        (Lines, ["[2/4]", "3 components, full: BIC 123.4", "7 iterations"]),
    ):
        console = Console(file=io.StringIO(), force_terminal=display is Live, width=120)
        with display(console) as shown:
            for step in steps[: 1 if display is Live else 2]:
                shown.update(step)
        for word in words:
            assert word in console.file.getvalue()


# ---- a list of structures ------------------------------------------------------------------------
def test_a_structure_is_chosen_from_a_list(place):
    iris = Path(__file__).parent / "data" / "iris.csv.gz"
    structures = ("--covariance", "EEE,vev,lowrank", "--rank", "auto")
    done = run("fit", iris, *structures, "--components", "1..3", "--json", "--quiet")
    told = json.loads(done.stdout)
    assert {trial["covariance_type"] for trial in told["trials"]} == {"EEE", "VEV", "lowrank"}
    # mclust's choice for iris among its fourteen, and its BIC with the sign turned.
    assert (told["n_components"], told["covariance_type"]) == (2, "VEV")
    assert told["bic"] == pytest.approx(561.7285, abs=1e-3)


@pytest.mark.parametrize(
    ("structures", "message"),
    [("VEV,auto", "leave auto out"), ("VEV,VEX", "got 'VEX'"), ("VEV,", "got ''")],
)
def test_a_list_that_is_none_is_refused(two, structures, message):
    assert message in flat(run("fit", "two.csv", "--covariance", structures, code=2).stderr)
