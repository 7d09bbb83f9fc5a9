"""The benchmarks' harness on a problem so small that it takes seconds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("benchmarks", reason="the benchmarks are not part of an installed package")

from benchmarks.__main__ import main, run
from benchmarks.measure import judge
from benchmarks.peers import ENTRANTS, OURS
from benchmarks.report import Result, markdown, to_json
from benchmarks.workloads import WORKLOADS, Workload, bootstrap, prepare, read_start

TINY = Workload("tiny", 400, 4, 3, "full", 1e-3, 2, 400)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Result, dict[str, Any]]]:
    cache = tmp_path_factory.mktemp("cache")
    results, marks = run(
        [TINY], entrants=[OURS, "scikit-learn"], repeats=2, cache=cache, quiet=True
    )
    yield results[0], marks


def test_equal_starts_and_iterations_give_equal_log_likelihoods(
    report: tuple[Result, dict[str, Any]],
) -> None:
    result, _ = report
    ours, peer = result.of(OURS), result.of("scikit-learn")
    assert ours.log_likelihood == pytest.approx(peer.log_likelihood, abs=1e-8)
    assert ours.judged == pytest.approx(peer.judged, abs=1e-8)
    # The judge sees the parameters after the last M-step, so EM has climbed once more.
    assert ours.judged >= ours.log_likelihood - 1e-12


def test_the_report_has_every_field(report: tuple[Result, dict[str, Any]]) -> None:
    result, marks = report
    out = json.loads(json.dumps(to_json([result], marks)))
    wanted = {"date", "commit", "cpu", "cores", "blas", "versions", "python", "repeats"}
    assert wanted | {"OPENBLAS_CORETYPE", "load_average"} <= set(out["stamp"])
    assert set(out["stamp"]["versions"]) == {"mixtura", "numpy", "scipy", "scikit-learn", "numba"}
    (entry,) = out["results"]
    assert {m["entrant"] for m in entry["measurements"]} == {OURS, "scikit-learn"}
    for measurement in entry["measurements"]:
        assert len(measurement["seconds"]) == len(measurement["cpu_seconds"]) == 2
        assert measurement["peak_bytes"] >= 0
    (ratio,) = entry["ratios"]
    assert (ratio["ours"], ratio["peer"]) == (OURS, "scikit-learn")
    text = markdown([result], marks)
    assert marks["commit"] in text and marks["cpu"] in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 4
    assert len({line.count("|") for line in rows}) == 1


def test_the_five_workloads_and_every_entrant_are_registered() -> None:
    assert list(WORKLOADS) == ["a", "b", "c", "d", "e"]
    assert OURS in ENTRANTS and "scikit-learn" in ENTRANTS


@pytest.mark.parametrize("d", [3, 64, 784])
def test_rows_look_like_digits_and_repeat(d: int) -> None:
    x = bootstrap(60, d, np.random.default_rng(0))
    assert x.shape == (60, d) and np.isfinite(x).all()
    np.testing.assert_array_equal(x, bootstrap(60, d, np.random.default_rng(0)))


def test_a_start_is_a_mixture_and_is_kept(tmp_path: Path) -> None:
    files = prepare(TINY, tmp_path)
    start = read_start(files.start)
    assert start.weights.sum() == pytest.approx(1) and start.variance > 0
    assert start.means.shape == (3, 4)
    np.testing.assert_allclose(start.precisions("full")[1], np.eye(4) / start.variance)
    np.testing.assert_allclose(start.precisions("diag"), 1 / start.variance)
    written = files.rows.stat().st_mtime_ns
    assert prepare(TINY, tmp_path) == files and files.rows.stat().st_mtime_ns == written


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


def test_an_unknown_workload_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--workloads", "a,z"])
    assert "expected workloads among a,b,c,d,e, got z" in capsys.readouterr().err
