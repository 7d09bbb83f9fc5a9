"""The command line at the edges: absurd cells, weights and models, damaged records, odd names."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pytest

import mixtura as mx
from mixtura.cli import voice
from mixtura.cli.reading import FACTS, usable
from mixtura.errors import NotPositiveDefiniteError
from mixtura.report.numbers import pair
from tests.test_cli import flat, run, table

MIX = mx.Mixture(
    [0.4, 0.6], [[0.0, 0.0], [1.0, 2.0]], [np.eye(2), [[2.0, 0.9], [0.9, 1.0]]], columns=["a", "b"]
)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield tmp_path


@pytest.fixture
def model():
    x = MIX.sample(120, rng=0)
    table("rows.csv", {"a": x[:, 0], "b": x[:, 1]})
    run("fit", "rows.csv", "-k", "2", "--covariance", "full", "-q", "-o", "m.safetensors")
    return "m.safetensors"


def rows(*lines, head="a,b", name="t.csv"):
    with open(name, "w", encoding="utf8") as file:
        file.write("\n".join([head, *lines]) + "\n")
    return name


# ---- absurd cells ------------------------------------------------------------------------------
@pytest.mark.parametrize("cell", ["1e154", "-1e155", "1.7e308"])
def test_rows_beyond_floats_are_outliers(model, cell):
    lines = run("score", model, rows("0.1,0.2", f"{cell},0.2", f"{cell},{cell}")).stdout.split()
    assert lines[1].endswith("false")
    for line in lines[2:]:
        values = line.split(",")
        assert values[-1] == "true"
        assert all(math.isfinite(float(value)) for value in values[:-1])
        assert float(values[-3]) + float(values[-2]) == pytest.approx(1)


@pytest.mark.parametrize("command", ["predict", "impute"])
def test_answers_beyond_floats_name_the_cell(model, command):
    options = ["-t", "b"] if command == "predict" else []
    failed = run(command, model, rows("0.1,", "1e155,"), *options, code=1)
    assert "a = 1e+155 in row 2" in flat(failed.stderr)
    assert failed.stdout == ""


def test_a_fit_names_the_absurd_cell(model):
    failed = run("fit", rows("1,2", "3,5", "4,1", "1e155,3"), "-k", "1..2", code=1)
    assert "got a = 1e+155" in flat(failed.stderr)


@pytest.mark.parametrize("cell", ["1e150", "1e155", "1e308"])
def test_reports_and_comparisons_survive_absurd_rows(model, cell):
    lines = [f"{x},{y}" for x, y in MIX.sample(20, rng=1)]
    data = rows(*lines, f"{cell},{cell}")
    assert "report" in run("report", model, data, "-o", "r.html").stdout
    found = json.loads(run("compare", model, model, "--data", data, "--json").stdout)
    assert found["rows"]["difference"] == 0
    assert found["rows"]["log_density_a"] < -1e290
    assert max(map(len, run("compare", model, model, "--data", data).stdout.split("\n"))) < 200


# ---- weights and units -------------------------------------------------------------------------
@pytest.mark.parametrize("weight", ["1e200", "1e-200", "1e300"])
def test_weights_are_relative_in_reports(model, weight):
    x = MIX.sample(40, rng=1)
    plain = rows(*(f"{a},{b}" for a, b in x), name="plain.csv")
    weighed = rows(*(f"{a},{b},{weight}" for a, b in x), head="a,b,w")
    said = run("report", model, weighed, "--weights", "w", "-o", "r.html").stdout
    assert said == run("report", model, plain, "-o", "r.html").stdout


def test_weights_that_leave_one_row_are_named():
    data = rows("3,70,1e300", "4,80,1e-300", head="a,b,w")
    message = flat(run("fit", data, "--weights", "w", "-k", "1", code=1).stderr)
    assert "at least 2 rows" in message
    assert "'w'" in message


def test_a_column_of_weights_that_is_not_there_is_no_note(model):
    message = run("report", model, "rows.csv", "--weights", "nope", code=1).stderr
    assert "note" not in message


@pytest.mark.parametrize("power", [100, 150, -150])
def test_models_in_absurd_units_are_compared(model, power):
    x = MIX.sample(120, rng=0) * 10.0**power
    table("far.csv", {"a": x[:, 0], "b": x[:, 1]})
    run("fit", "far.csv", "-k", "2", "--covariance", "full", "-q", "-o", "far.safetensors")
    for other in (model, "far.safetensors"):
        json.loads(run("compare", "far.safetensors", other, "--json").stdout)


def test_models_beyond_floats_are_refused():
    for name, means, covariance in (("m", 1e200, 1.0), ("s", 1.0, 1e-307)):
        mx.save(mx.Mixture([1.0], [[means]], [covariance]), f"{name}.safetensors")
        assert "squared" in flat(run("describe", f"{name}.safetensors", code=1).stderr)


def test_scales_too_far_apart_fail_one_candidate(rng):
    x = np.random.default_rng(1).normal(size=(60, 4))
    x[:30] += 4
    x *= [1e-9, 1, 1e9, 1]
    table("sc.csv", dict(zip("abcd", x.T, strict=True)))
    said = run("fit", "sc.csv", "--covariance", "VVI,VEV", "-k", "2..3", "-o", "d.safetensors")
    assert "failed" in said.stdout or "VEV" in said.stdout


def test_common_axes_of_spreads_lost_in_rounding_are_refused(rng):
    from mixtura.covariance.shape import common_axes

    refused = 0
    for _ in range(300):
        spread = 10.0 ** rng.uniform(-30, 30, (2, 4))
        try:
            volumes, shape = common_axes(spread, np.ones(2))
        except NotPositiveDefiniteError as error:
            refused += "rescale the columns" in str(error)
        else:
            assert (volumes > 0).all()
            assert (shape > 0).all()
    assert refused > 0


# ---- numbers that JSON has not -------------------------------------------------------------------
def test_json_has_null_for_what_is_no_number(capsys):
    voice.emit({"a": [math.inf, 1.5], "b": (math.nan, -math.inf), "c": {"d": 1}})
    assert json.loads(capsys.readouterr().out) == {
        "a": [None, 1.5], "b": [None, None], "c": {"d": 1}
    }  # fmt: skip


def test_a_level_that_rounds_to_one_is_refused(model):
    for command in (["condition", model, "-g", "a=1"], ["predict", model, "rows.csv", "-t", "a"]):
        run(*command, "--level", "0.9999999999999999", code=2)
        run(*command, "--level", "0.999999999999999")


# ---- records -------------------------------------------------------------------------------------
def test_the_record_of_a_fit_is_of_its_kinds(model):
    info = mx.io.read(model)[1]
    assert usable(info) == (info, [])
    assert len(FACTS.keys() & info.keys()) > 15


@pytest.mark.parametrize("value", ["x", None, -1, [], ["x"], {}, True, [{}], [[1]], 10**30])
def test_facts_that_are_not_of_their_kinds_are_ignored(model, value):
    mixture, info = mx.io.read(model)
    small = rows("0.1,0.2", "0.5,0.1", "0.2,0.9")
    for name in FACTS:
        mx.save(mixture, "x.safetensors", info={**info, name: value})
        for command in (
            ["describe", "x.safetensors"],
            ["describe", "x.safetensors", "--json"],
            ["score", "x.safetensors", small],
            ["condition", "x.safetensors", "-g", "a=0.2"],
        ):
            run(*command)
    everything = {**info, **dict.fromkeys(FACTS, value)}
    mx.save(mixture, "x.safetensors", info=everything)
    run("compare", "x.safetensors", model)
    said = run("report", "x.safetensors", small, "-o", "r.html")
    assert "ignored" in said.stderr


# ---- names ---------------------------------------------------------------------------------------
EVIL = "a\nb\x1b[31m\u202ec"


def test_names_do_not_reach_the_terminal_raw(model):
    mixture = mx.Mixture(MIX.weights, MIX.means, MIX.covariance, columns=[EVIL, "y" * 90])
    mx.save(mixture, "evil.safetensors", info={"data": EVIL, "n_rows": 3, "left_out": [[EVIL, ""]]})
    rows("1,2", head='"' + EVIL.replace("\x1b", "") + '",y')
    for command in (
        ["describe", "evil.safetensors"],
        ["condition", "evil.safetensors", "-g", "y" * 90 + "=1"],
        ["compare", "evil.safetensors", "evil.safetensors"],
        ["predict", "evil.safetensors", "t.csv", "-t", EVIL],
    ):
        result = run(*command, code=int(command[0] == "predict"))
        told = result.stdout + result.stderr
        assert "\x1b" not in told
        assert "\u202e" not in told
        assert "\nb" not in told
    said = run("condition", "evil.safetensors", "-g", f"{EVIL}=1").stdout
    assert "y" * 30 not in said


def test_pages_hold_names_of_any_script(rng):
    x = MIX.sample(60, rng=0)
    table("cjk.csv", {"温度": x[:, 0], "שלום": x[:, 1]})
    run("fit", "cjk.csv", "-k", "2", "-q", "-o", "c.safetensors", "--report", "c.html")
    with open("c.html", encoding="utf8") as file:
        assert "<bdi>שלום</bdi>" in file.read()


# ---- tables --------------------------------------------------------------------------------------
def test_blank_lines_of_a_single_column_are_told():
    mx.save(mx.Mixture([1.0], [[0.0]], [1.0], columns=["x"]), "one.safetensors")
    assert "blank lines" in run("impute", "one.safetensors", rows("1", "", "3", head="x")).stderr
    assert "blank" not in run("impute", "one.safetensors", rows("1", "3", "", head="x")).stderr
    assert run("impute", "one.safetensors", rows("1", "NA", head="x")).stdout.split()[2] == "0"


def test_bytes_are_written_in_hexadecimal(model):
    import pyarrow as pa
    from pyarrow import parquet

    cells = {"a": [0.1], "b": [0.2], "raw": pa.array([b"\xff\x00"])}
    parquet.write_table(pa.table(cells), "t.parquet")
    assert ",ff00," in run("score", model, "t.parquet").stdout


def test_models_without_names_fill_in_empty_columns():
    mx.save(mx.Mixture(MIX.weights, MIX.means, MIX.covariance), "nn.safetensors")
    out = run("impute", "nn.safetensors", rows("3,", "4,")).stdout.split()
    assert all(math.isfinite(float(line.split(",")[1])) for line in out[1:])


# ---- what is asked -------------------------------------------------------------------------------
def test_models_of_one_column_have_nothing_left():
    mx.save(mx.Mixture([1.0], [[0.0]], [1.0], columns=["x"]), "one.safetensors")
    rows("1", "2", head="x")
    for command in (["condition", "-g", "x=1"], ["predict", "t.csv", "-t", "x"]):
        message = flat(run(command[0], "one.safetensors", *command[1:], code=1).stderr)
        assert "one column only" in message


def test_too_many_draws_are_refused_at_once(model):
    options = ["--how", "sample", "--draws", "30000000"]
    message = flat(run("impute", model, rows("0.1,"), *options, code=1).stderr)
    assert "fewer" in message
    assert "draws" in message


@pytest.mark.parametrize(
    "command",
    [
        ["fit", "rows.csv", "-o", "d.txt"],
        ["fit", "rows.csv", "--report", "d.pdf"],
        ["report", "m.safetensors", "rows.csv", "-o", "d.csv"],
        ["condition", "m.safetensors", "-g", "a=1", "-o", "d.csv"],
    ],
)
def test_names_of_files_say_what_is_in_them(model, command):
    assert "ends in ." in flat(run(*command, code=2).stderr)


def test_means_without_digits_at_the_place_of_the_spread():
    assert pair(2.6e152, 5.0) == "2.600e152 ± 5"
    assert pair(123456789012.3, 5.2) == "123,456,789,012.3 ± 5.2"
