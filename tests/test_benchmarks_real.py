"""The comparison with peers on public data: its judge, its starts, its tables."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal

pytest.importorskip("benchmarks", reason="the benchmarks are not part of an installed package")

from benchmarks.noise import problem, pygmmis_, steps
from benchmarks.real.__main__ import main, present, run
from benchmarks.real.cases import CASES, DATA, FOURTEEN, Case, Table, read, start
from benchmarks.real.fitters import PEERS
from benchmarks.real.report import from_json, markdown, to_json
from benchmarks.real.score import log_likelihood

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"
IRIS = Case("structures", "iris", 3, "EEE", ("scikit-learn",), 5, 50)


# ---- the judge -----------------------------------------------------------------------------------
def observed(rng):
    """Rows with weights, gaps and errors, and parameters to judge."""
    x = rng.normal(size=(30, 3))
    x[rng.random(x.shape) < 0.3] = np.nan
    x[np.isnan(x).all(axis=1), 0] = 0.5
    roots = rng.normal(size=(33, 3, 3))
    spread = roots @ roots.swapaxes(1, 2) + 0.1 * np.eye(3)
    table = Table(x, rng.uniform(0.5, 2, 30), spread[:30])
    return table, np.array([0.2, 0.3, 0.5]), rng.normal(size=(3, 3)), spread[30:]


def by_hand(table, weights, means, covariances, noise=1.0):
    """The same sum by SciPy's densities, row by row."""
    total = 0.0
    for row, weight, error in zip(*table, strict=True):
        at = np.flatnonzero(~np.isnan(row))
        parts = [
            w * multivariate_normal(m[at], (c + noise * error)[np.ix_(at, at)]).pdf(row[at])
            for w, m, c in zip(weights, means, covariances, strict=True)
        ]
        total += weight * np.log(np.sum(parts))
    return total


def test_the_judge_agrees_with_scipy():
    table, *parameters = observed(np.random.default_rng(0))
    assert_allclose(log_likelihood(table, *parameters), by_hand(table, *parameters), rtol=1e-12)


def test_a_judge_that_overlooks_something_is_rejected():
    table, *parameters = observed(np.random.default_rng(0))
    right = by_hand(table, *parameters)
    for liar in (
        table._replace(weights=None),
        table._replace(noise=None),
        table._replace(x=np.nan_to_num(table.x)),
    ):
        assert abs(log_likelihood(liar, *parameters) - right) > 1


# ---- cases and starts ----------------------------------------------------------------------------
def test_every_structure_meets_mclust_on_four_sets():
    met = {(c.data, c.structure) for c in CASES if c.group == "structures" and "mclust" in c.peers}
    assert met == {(d, s) for d in ("thyroid", "iris", "diabetes", "faithful") for s in FOURTEEN}
    assert {peer for case in CASES for peer in case.peers} == set(PEERS)
    assert {case.data for case in CASES} == {*DATA, "gaia"}


@pytest.mark.parametrize("data", [d for d in DATA if "digits" not in d and "simulated" not in d])
def test_a_start_has_the_moments_of_its_groups(data):
    table = read(data, {})
    begin = start(table, 2)
    assert begin.weights.sum() == pytest.approx(1)
    mass = np.ones(len(table.x)) if table.weights is None else table.weights
    for j in range(2):
        mine = begin.labels == j
        rows = np.ma.masked_invalid(table.x[mine])
        mean = np.ma.average(rows, axis=0, weights=np.tile(mass[mine, None], rows.shape[1]))
        assert_allclose(begin.means[j], mean)
        variance = np.ma.average(
            (rows - mean) ** 2,
            axis=0,
            weights=np.ma.array(np.tile(mass[mine, None], rows.shape[1])),
        )
        assert_allclose(np.diagonal(begin.covariances[j]), variance)


def test_stars_are_read_with_their_errors(tmp_path):
    path = tmp_path / "stars.csv"
    stars = ("Source,Plx,e_Plx,pmRA,e_pmRA,pmDE,e_pmDE", "1,2.4,0.1,-4,0.2,11,0.3")
    path.write_text("\n".join((*stars, "2,2.5,0.2,-5,0.2,12,0.1")))
    table = read("gaia", {"gaia": path})
    assert_allclose(table.x, [[2.4, -4, 11], [2.5, -5, 12]])
    assert_allclose(table.noise[0], np.diag([0.01, 0.04, 0.09]))


# ---- a run ---------------------------------------------------------------------------------------
def test_a_run_compares_equal_fits_and_its_tables_survive_json():
    outcomes, marks = run([IRIS], repeats=2, peers=["scikit-learn"], quiet=True)
    (outcome,) = outcomes
    apart = outcome.summary(outcome.measured[1])
    assert abs(apart["equal_difference"]) < 1e-8
    assert outcome.ours.converged >= outcome.ours.equal
    assert len(outcome.ours.seconds) == 2 and outcome.ours.whole_bytes >= outcome.ours.peak_bytes
    text = markdown(outcomes, marks)
    assert marks["versions"]["scikit-learn"] in text and marks["commit"] in text
    assert markdown(*from_json(json.loads(json.dumps(to_json(outcomes, marks))))) == text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 3 and len({line.count("|") for line in rows}) == 1


def test_an_absent_peer_is_told_how_to_be_had(capsys):
    outcomes, marks = run([replace(IRIS, peers=("mclust",))], peers=[], repeats=1)
    assert outcomes == [] and marks["absent"] == ["mclust"]
    assert PEERS["mclust"].install in capsys.readouterr().err
    assert f"mclust is absent: `{PEERS['mclust'].install}`" in markdown(outcomes, marks)


def test_a_case_without_its_file_is_left_out():
    stars = [case for case in CASES if case.data == "gaia"]
    outcomes, marks = run(stars, peers=["pygmmis"], repeats=1, quiet=True)
    assert outcomes == [] and "--gaia PATH" in marks["left_out"][0]


def test_a_run_out_of_time_names_what_it_leaves_out():
    outcomes, marks = run([IRIS], peers=["scikit-learn"], repeats=1, minutes=0, quiet=True)
    assert outcomes == [] and IRIS.name in marks["left_out"][0]


def test_an_unknown_group_is_named(capsys):
    with pytest.raises(SystemExit):
        main(["--groups", "structures,colours"])
    assert "got colours" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    "case",
    [
        replace(IRIS, structure="VEV", peers=("mclust",)),
        Case("missing cells", "airquality", 2, "VII", ("StepMix",), 5, 500),
        Case("missing cells", "iris, 20 % hidden", 3, "VVV", ("pygmmis",), 5, 500),
        Case("weights", "quakes, stations", 4, "VVI", ("mclust", "StepMix"), 5, 0),
    ],
    ids=lambda case: case.peers[0],
)
def test_every_peer_meets_us_where_the_problem_is_the_same(case):
    here = [peer for peer in case.peers if peer in present()]
    if not here:
        pytest.skip(PEERS[case.peers[0]].install)
    (outcome,), _ = run([case], repeats=1, peers=here, quiet=True)
    for peer in outcome.measured[1:]:
        apart = outcome.summary(peer)
        found = apart["converged_difference" if case.limit else "equal_difference"]
        assert not peer.failed and abs(found) < 1e-4


# ---- what is committed ---------------------------------------------------------------------------
def test_the_committed_table_is_of_the_committed_numbers():
    numbers = json.loads((RESULTS / "real.json").read_text(encoding="utf8"))
    assert markdown(*from_json(numbers)) == (RESULTS / "real.md").read_text(encoding="utf8")


# ---- pygmmis -------------------------------------------------------------------------------------
def test_pygmmis_takes_covariances_about_the_former_means():
    pytest.importorskip("pygmmis")
    p = problem(300, 2, 2, np.random.default_rng(0))
    for iterations in (1, 4):
        theirs = pygmmis_(p, iterations)
        for a, b in zip(steps(p, iterations, former=True), theirs, strict=True):
            assert_allclose(a, b, rtol=1e-9)
        assert np.abs(steps(p, iterations)[2] - theirs[2]).max() > 1e-3


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_em_as_written_is_ours():
    from benchmarks.noise import ours

    p = problem(300, 2, 2, np.random.default_rng(0))
    for a, b in zip(steps(p, 4), ours(p, 4), strict=True):
        assert_allclose(a, b, rtol=1e-9)
