"""The benchmarks' harness on problems so small that they take seconds."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("benchmarks", reason="the benchmarks are not part of an installed package")

from benchmarks import files, machine, passes, plots, readme, whole, work
from benchmarks.__main__ import RESULTS, borrowed, main, parsed, run
from benchmarks.judge import judge
from benchmarks.measure import (
    CORETYPE,
    ROOT,
    THREADS,
    Failure,
    Measurement,
    Worker,
    WorkerError,
    environment,
)
from benchmarks.peers import ENTRANTS, FLOOR, OURS, REFERENCE
from benchmarks.report import Result, markdown, ratios, to_json
from benchmarks.whole import Fit, Whole
from benchmarks.workloads import WORKLOADS, Workload, bootstrap, prepare, read_start

STAMP: dict[str, Any] = {
    "date": "2026-01-02 03:04 UTC",
    "commit": "0123456789ab",
    "cpu": "a processor",
    "cores": 2,
    "system": "Linux x86_64",
    "load_average": [0.1, 0.1, 0.1],
    "blas": ["openblas"],
    "python": "3.11",
    "versions": {"mixtura": "0"},
    CORETYPE: {"environment": None, "used": None},
}

TINY = Workload("tiny", 400, 4, 3, "full", 1e-3, 2, 400)
LOW = Workload("tiny-lowrank", 400, 9, 3, "lowrank", 1e-3, 2, 400, rank=2)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Result]:
    cache = tmp_path_factory.mktemp("cache")
    (result,) = run(
        [TINY], entrants=[OURS, REFERENCE], repeats=2, cache=cache, threads=1, quiet=True
    )
    yield result


def made_up(name: str, seconds: float, megabytes: float, turns: int = 2) -> Measurement:
    """A measurement of round numbers."""
    times = tuple(seconds * (1 + 0.1 * turn) for turn in range(turns))
    dtype = (0.1,) * turns
    return Measurement(name, times, times, -1.0, -1.0, int(megabytes * 1e6), (0.02,) * turns, dtype)


MADE_UP = Result(
    TINY,
    (
        made_up(OURS, 0.1, 20),
        made_up(f"{OURS} single", 0.05, 10),
        made_up(REFERENCE, 2.0, 500, turns=1),
        made_up("scikit-learn float32", 1.0, 300),
        replace(made_up(FLOOR, 0.02, 1), log_likelihood=None, judged=None),
    ),
    (Failure("pomegranate", "LinAlgError: not positive | definite"),),
    STAMP,
)


# ---- a run ---------------------------------------------------------------------------------------
def test_equal_starts_and_iterations_give_equal_log_likelihoods(
    report: Result,
) -> None:
    result = report
    ours, peer = result.of(OURS), result.of(REFERENCE)
    assert ours.log_likelihood == pytest.approx(peer.log_likelihood, abs=1e-8)
    assert ours.judged == pytest.approx(peer.judged, abs=1e-8)
    # The judge sees the parameters after the last M-step, so EM has climbed once more.
    assert ours.judged is not None and ours.log_likelihood is not None
    assert ours.judged >= ours.log_likelihood - 1e-12


def test_the_report_has_every_field(report: Result) -> None:
    result, marks = report, report.marks
    (entry,) = json.loads(json.dumps(to_json([result])))["results"]
    wanted = {"date", "commit", "cpu", "cores", "blas", "versions", "python", "repeats", "rates"}
    assert wanted | {CORETYPE, "load_average", "environment"} <= set(entry["marks"])
    assert {"mixtura", "numpy", "scipy", "scikit-learn", "numba"} <= set(entry["marks"]["versions"])
    assert len(entry["marks"]["rates"]) == 2
    assert {m["entrant"] for m in entry["measurements"]} == {OURS, REFERENCE}
    for measurement in entry["measurements"]:
        assert len(measurement["seconds"]) == len(measurement["cpu_seconds"]) == 2
        assert len(measurement["foreign"]) == 2
        assert measurement["peak_bytes"] >= 0
    (ratio,) = entry["ratios"]
    assert (ratio["ours"], ratio["peer"]) == (OURS, REFERENCE)
    text = markdown([result])
    assert marks["commit"] in text and marks["cpu"] in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 4
    assert len({line.count("|") for line in rows}) == 1


def test_a_low_rank_workload_runs_and_borrows_what_peers_did(tmp_path: Path) -> None:
    (low,) = run([LOW], entrants=[OURS, FLOOR], repeats=1, cache=tmp_path, threads=1, quiet=True)
    assert [m.entrant for m in low.measurements] == [OURS]
    assert [failure.entrant for failure in low.failures] == [FLOOR]
    dense = Result(replace(LOW, covariance_type="full", rank=0), MADE_UP.measurements)
    assert borrowed(TINY, [dense]) is None and borrowed(LOW, [MADE_UP]) is None
    found = borrowed(LOW, [dense])
    assert found is not None
    assert [m.entrant for m in found.measurements] == [REFERENCE, "scikit-learn float32"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "module"),
    [("pomegranate", "pomegranate"), ("torchgmm", "torchgmm"), (FLOOR, "faiss")],
)
@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_peers_begin_where_ours_does(
    name: str, module: str, covariance_type: str, tmp_path: Path
) -> None:
    pytest.importorskip(module)
    tiny = replace(TINY, covariance_type=covariance_type, reg_covar=0.0)
    (result,) = run([tiny], entrants=[OURS, name], repeats=1, cache=tmp_path, threads=1, quiet=True)
    assert result.failures == ()
    if name != FLOOR:
        assert result.of(name).judged == pytest.approx(result.of(OURS).judged, abs=1e-4)
        found = result.of(name).log_likelihood
        assert found == pytest.approx(result.of(OURS).log_likelihood, abs=1e-4)


def test_a_peer_that_fails_is_a_line_of_the_report(tmp_path: Path) -> None:
    plain = environment(None, 1)
    hidden = {**plain, "PYTHONPATH": f"{tmp_path}:{plain['PYTHONPATH']}"}
    (tmp_path / "faiss.py").write_text("raise ImportError('no such library')\n", encoding="utf8")
    data = prepare(TINY, tmp_path)
    with (
        Worker(TINY, data, FLOOR, hidden) as worker,
        pytest.raises(WorkerError, match=r"not installed.*pip install faiss-cpu"),
    ):
        worker.ask(do="memory", iterations=1)
    with (
        Worker(TINY, data, OURS, environment(None, 1)) as worker,
        pytest.raises(WorkerError, match="took more than 0 s"),
    ):
        worker.ask(0.0, do="memory", iterations=1)
    rows = [line for line in markdown([MADE_UP]).splitlines() if line.startswith("|")]
    assert "not positive \\| definite" in rows[-1]
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1


def test_threads_of_the_shell_do_not_reach_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*THREADS, CORETYPE):
        monkeypatch.setenv(name, "1")
    assert not {*THREADS, CORETYPE} & set(environment(None))
    assert environment("Haswell", 3)[CORETYPE] == "Haswell"
    assert environment(None, 3)["OMP_NUM_THREADS"] == "3"


def test_every_workload_and_entrant_is_registered() -> None:
    assert list(WORKLOADS) == ["a", "b", "c", "d", "e", "e-lowrank"]
    assert {OURS, REFERENCE, FLOOR} <= set(ENTRANTS)
    assert ENTRANTS["mixtura mixed"].whole and not ENTRANTS["mixtura mixed"].per_iteration


# ---- the machine ---------------------------------------------------------------------------------
def test_foreign_load_is_what_others_did() -> None:
    assert machine.foreign((10.0, 4), (18.0, 4), 2.0, 4.0) == pytest.approx(0.5)
    assert machine.foreign((10.0, 4), (12.0, 4), 2.0, 4.0) == 0.0  # ticks are coarse
    assert machine.foreign(None, None, 2.0, 4.0) is None
    span = machine.timed(lambda: np.ones(10).sum())
    assert span.seconds > 0 and (span.foreign is None or 0 <= span.foreign <= 1)


def test_products_have_a_rate() -> None:
    rates = machine.gemm_peak(size=64, repeats=2)
    assert set(rates) == {"float32", "float64"} and min(rates.values()) > 1e6


def test_nominal_work_is_two_products() -> None:
    assert work.nominal_flops(TINY) == 4 * 400 * 3 * 15
    assert work.nominal_flops(LOW) == 4 * 400 * 3 * (19 + 18)
    assert work.nominal_flops(LOW, "full") == 4 * 400 * 3 * 55
    assert work.nominal_flops(replace(TINY, covariance_type="diag")) == 4 * 400 * 3 * 9
    assert work.lloyd_flops(TINY) == 2 * 400 * 3 * 4


# ---- data and starts -----------------------------------------------------------------------------
@pytest.mark.parametrize("d", [3, 64, 784])
def test_rows_look_like_digits_and_repeat(d: int) -> None:
    x = bootstrap(60, d, np.random.default_rng(0))
    assert x.shape == (60, d) and np.isfinite(x).all()
    np.testing.assert_array_equal(x, bootstrap(60, d, np.random.default_rng(0)))


def test_a_start_is_a_mixture_and_is_kept(tmp_path: Path) -> None:
    made = prepare(TINY, tmp_path)
    start = read_start(made.start)
    assert start.weights.sum() == pytest.approx(1) and start.variance > 0
    assert start.means.shape == (3, 4)
    np.testing.assert_allclose(start.precisions("full")[1], np.eye(4) / start.variance)
    np.testing.assert_allclose(start.precisions("diag"), 1 / start.variance)
    x = np.load(made.rows)
    nearest = ((x[:, None] - start.means) ** 2).sum(axis=2).argmin(axis=1)
    np.testing.assert_array_equal(start.labels(x), nearest)
    written = made.rows.stat().st_mtime_ns
    assert prepare(TINY, tmp_path) == made and made.rows.stat().st_mtime_ns == written


@pytest.mark.parametrize("full", [True, False])
def test_the_judge_agrees_with_scipy(full: bool) -> None:
    from scipy.stats import multivariate_normal

    rng = np.random.default_rng(0)
    x, means, weights = rng.normal(size=(20, 3)), rng.normal(size=(2, 3)), np.array([0.3, 0.7])
    factor = rng.normal(size=(2, 3, 3))
    dense = factor @ factor.swapaxes(1, 2) + np.eye(3)
    if not full:
        dense *= np.eye(3)
    given = dense if full else np.diagonal(dense, axis1=1, axis2=2)
    density = sum(
        w * multivariate_normal(m, s).pdf(x) for w, m, s in zip(weights, means, dense, strict=True)
    )
    assert judge(x, weights, means, given) == pytest.approx(np.log(density).mean(), abs=1e-12)


# ---- whole fits and passes -----------------------------------------------------------------------
def test_whole_fits_run_to_each_end_and_are_judged_alike(tmp_path: Path) -> None:
    found = whole.whole(TINY, tmp_path / "cache", entrants=[OURS, REFERENCE], repeats=2, threads=1)
    own, peer = found.of(OURS), found.of(REFERENCE)
    assert own is not None and peer is not None
    assert len(own.seconds) == 2 and own.iterations and peer.iterations
    assert own.judged == pytest.approx(peer.judged, abs=1e-6)
    assert found.ratio(OURS) == pytest.approx(np.median(ratios(own, peer)))
    found = replace(found, marks=STAMP)
    files.write_whole(tmp_path, [found])
    assert files.read_whole(tmp_path / "whole.json") == [found]
    rows = [line for line in (tmp_path / "whole.md").read_text().splitlines() if line[0:1] == "|"]
    assert len({line.count("|") for line in rows}) == 1
    assert len(rows) == 2 + len(found.fits) + len(found.failures)


def test_passes_are_counted_to_the_end(tmp_path: Path) -> None:
    found = passes.passes(TINY, tmp_path / "cache", long=25, threads=1)
    assert found.long == 25 and found.plain is not None and 1 <= found.plain <= 25
    assert found.accelerated is not None and found.ahead > -passes.CLOSE
    found = replace(found, marks=STAMP)
    files.write_passes(tmp_path, [found])
    assert files.read_passes(tmp_path / "passes.json") == [found]
    assert "accelerate=True" in (tmp_path / "passes.md").read_text()


def test_every_pass_is_recorded_and_engines_are_left_as_they_were() -> None:
    from mixtura import GaussianMixture
    from mixtura.fit.engines import Dense

    plain = Dense.expect
    x = bootstrap(200, 3, np.random.default_rng(0))
    with passes.recorded(200) as seen, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = GaussianMixture(2, max_iter=5, tol=0.0, random_state=0).fit(x)
    assert Dense.expect is plain
    np.testing.assert_allclose(seen, list(enumerate(fit.trace_, 1)))
    objectives = [(1.0, -3.0), (3.1, -2.0), (4.1, -1.0005), (5.1, -1.0)]
    assert passes.count(objectives, -1.0) == 5  # what was begun is counted whole
    assert passes.count(objectives[:1], -1.0) is None


# ---- tables and pictures -------------------------------------------------------------------------


def test_ratios_pair_turns_and_hold_one_against_all() -> None:
    own, one = made_up(OURS, 1.0, 1, turns=3), made_up(REFERENCE, 10.0, 1, turns=1)
    assert ratios(own, made_up(REFERENCE, 10.0, 1, turns=3)) == [pytest.approx(10.0)] * 3
    assert sorted(ratios(own, one)) == pytest.approx([10 / 1.2, 10 / 1.1, 10.0])
    assert ratios(replace(own, seconds=(1.0, -0.1, 2.0)), one) == pytest.approx([10.0, 5.0])
    assert MADE_UP.ratio("torchgmm") is None


def test_results_are_written_and_read_again(tmp_path: Path) -> None:
    files.write_speed(tmp_path, [MADE_UP])
    assert files.read_speed(tmp_path / "speed.json") == [MADE_UP]
    assert "**19.09**" in (tmp_path / "speed.md").read_text(encoding="utf8")
    for name in ("speed.png", "memory.png"):
        assert (tmp_path / name).read_bytes()[:4] == b"\x89PNG"


def test_a_workload_measured_again_leaves_the_others(tmp_path: Path) -> None:
    a, d = (replace(MADE_UP, workload=WORKLOADS[name]) for name in "ad")
    later = {**STAMP, "commit": "ba9876543210"}
    files.write_speed(tmp_path, [a, d])
    files.write_speed(tmp_path, [again := replace(a, failures=(), marks=later)])
    assert files.read_speed(tmp_path / "speed.json") == [again, d]
    text = (tmp_path / "speed.md").read_text(encoding="utf8")
    assert f"\na: Measured on {STAMP['date']} at commit ba9876543210" in text
    assert f"\nd: Measured on {STAMP['date']} at commit 0123456789ab" in text
    count = passes.Passes(WORKLOADS["d"], 30, 10, 1.0, 0.0, 100, STAMP)
    files.write_passes(tmp_path, [count])
    files.write_passes(tmp_path, [other := replace(count, workload=WORKLOADS["b"])])
    assert files.read_passes(tmp_path / "passes.json") == [other, count]


def test_pictures_show_every_entrant_where_it_stands() -> None:
    figure = plots.speed([MADE_UP, replace(MADE_UP, workload=LOW)])
    (axes,) = figure.axes
    assert axes.get_xscale() == "log" and len(axes.get_yticklabels()) == 2
    shown = {
        round(float(line.get_xdata()[0]), 6) for line in axes.lines if line.get_marker() == "o"
    }
    assert shown == {19.090909}
    named = {text.get_text() for text in figure.legends[0].get_texts()}
    assert named == {m.entrant for m in MADE_UP.measurements}
    sizes = plots.memory([MADE_UP]).axes[0]
    shown = {float(line.get_xdata()[0]) for line in sizes.lines if line.get_marker() == "s"}
    assert shown == {500.0}


def test_readme_takes_its_table_from_the_numbers(tmp_path: Path) -> None:
    files.write_speed(tmp_path, [MADE_UP])
    fit = Fit(OURS, (1.0,), (1.0,), (0.0,), -1.0, 3, True, 0)
    ended = Whole(TINY, (fit, replace(fit, entrant=REFERENCE, seconds=(35.0,))), marks=STAMP)
    files.write_whole(tmp_path, [ended])
    lines = readme.table(tmp_path)
    ours = "| 400 × 4 | 3 full | 19× | 38× | – | "
    assert lines[2] == ours + "1.9× (scikit-learn float32) | 35× | 20 MB | 500 MB |"
    text = f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n"
    assert readme.between(text) == ["old"]
    new = readme.replaced(text, lines)
    assert readme.between(new) == lines and new.startswith("before") and new.endswith("after\n")
    assert readme.between("nothing") is None


def test_the_tables_in_readme_and_results_are_those_of_the_numbers() -> None:
    if not (RESULTS / "speed.json").exists():
        pytest.skip("no results of speed are kept")
    results = files.read_speed(RESULTS / "speed.json")
    kept = (RESULTS / "speed.md").read_text(encoding="utf8")
    assert markdown(results).strip() in kept
    shown = readme.between((ROOT / "README.md").read_text(encoding="utf8"))
    if shown is None:
        pytest.skip("README.md has no table of speed")
    assert shown == readme.table(RESULTS)


# ---- the command line ----------------------------------------------------------------------------
def test_an_unknown_workload_or_entrant_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "a,z"])
    assert "expected workloads among a,b,c,d,e,e-lowrank, got z" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--entrants", "mclust"])
    assert "expected entrants among mixtura" in capsys.readouterr().err


def test_results_mean_all_parts_unless_some_are_named() -> None:
    parts = ("speed", "whole", "passes")

    def wanted(*arguments: str) -> list[bool]:
        options = parsed(arguments)
        return [getattr(options, part) for part in parts]

    assert wanted() == [True, False, False]
    assert wanted("--results", "x") == [True, True, True]
    assert wanted("--results", "x", "--passes") == [False, False, True]
    assert wanted("--whole") == [False, True, False]
