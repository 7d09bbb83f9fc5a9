"""Fits with many components, timed: the harness on problems that take seconds."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("benchmarks", reason="the benchmarks are not part of an installed package")

from benchmarks.measure import WorkerError, environment
from benchmarks.scale import report
from benchmarks.scale.__main__ import growth, images, parsed, timed
from benchmarks.scale.data import begin, digits, fashion
from benchmarks.scale.fits import Fit, Job, made, run
from tests.test_benchmarks import STAMP

JOB = Job("dense", "digits", 3_000, 6, 20, iterations=4, judged=True)


def test_all_entrants_begin_alike_and_reach_the_same(tmp_path: Path) -> None:
    dense, theirs, truncated = (
        run(replace(JOB, entrant=name, candidates=20), tmp_path)
        for name in ("dense", "scikit-learn", "truncated")
    )
    assert len(dense.held_out) == 5  # before each iteration, and at the end
    for other in (theirs, truncated):  # 20 candidates of 20 components: nothing is left out
        np.testing.assert_allclose(other.held_out[:5], dense.held_out, atol=2e-3)
        assert other.log_likelihood == pytest.approx(dense.log_likelihood, abs=1e-3)
        assert other.parameters == dense.parameters == 20 * 13 - 1
    assert dense.held_out[-1] > dense.held_out[0]
    assert dense.pairs == 4 * JOB.n * JOB.k
    assert theirs.pairs == 5 * JOB.n * JOB.k  # its labels take one more pass


def test_the_clock_adds_up_and_stands_still_while_models_are_judged(tmp_path: Path) -> None:
    fit = run(JOB, tmp_path)
    assert len(fit.seconds) == 4 and min(fit.seconds) > 0 and fit.start >= 0 and fit.end >= 0
    assert list(fit.clock) == sorted(fit.clock)
    assert fit.clock[0] == pytest.approx(fit.start, abs=0.05)
    assert fit.clock[-1] == pytest.approx(fit.whole, abs=0.05)
    assert fit.settled == np.median(fit.seconds[2:])


def test_a_model_is_judged_after_so_many_iterations(tmp_path: Path) -> None:
    few = replace(JOB, judged=False)
    fit, short = run(replace(few, after=2), tmp_path), run(replace(few, iterations=2), tmp_path)
    assert len(fit.held_out) == 2 and len(short.held_out) == 1
    assert fit.held_out[0] == pytest.approx(short.held_out[0], rel=1e-12)
    assert fit.held_out[0] != fit.held_out[1]
    one = replace(short, job=replace(short.job, iterations=2), held_out=(fit.held_out[0] + 1,))
    text = report.against(fit, one)
    assert f"have {fit.held_out[0]:.2f} nats and {fit.held_out[0] + 1:.2f} (" in text
    assert "after those iterations" not in report.against(replace(fit, job=few), one)


def test_what_is_judged_are_rows_held_out_of_the_fit(tmp_path: Path) -> None:
    table = digits(500, 6, tmp_path)
    assert table.rows.shape == (500, 6) and table.held_out.dtype == np.float32
    assert not np.isin(table.held_out[:, 0], table.rows[:, 0]).any()
    again = digits(500, 6, tmp_path)
    assert np.array_equal(again.rows, table.rows)
    first = begin(table.rows, 7)
    from scipy.spatial.distance import cdist

    squares = cdist(table.rows.astype(np.float64), first.means, "sqeuclidean")
    assert np.isclose(squares, 0, atol=1e-12).any(axis=0).all()  # each mean is a row
    near = squares.min(axis=1)[squares.min(axis=1) > 1e-9].mean() / 6
    assert 0.7 < first.variance / near < 1.4


def test_images_are_read_as_published_and_from_npz(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays = [rng.integers(256, size=(n, 784), dtype=np.uint8) for n in (30, 10)]
    for name, array in zip(("train", "t10k"), arrays, strict=True):
        with gzip.open(tmp_path / f"{name}-images-idx3-ubyte.gz", "wb") as file:
            file.write(bytes(16) + array.tobytes())
    np.savez(tmp_path / "both.npz", X_train=arrays[0], X_test=arrays[1])
    for path in (tmp_path, tmp_path / "both.npz"):
        table = fashion(path)
        for found, array in zip(table, arrays, strict=True):
            np.testing.assert_allclose(found, array / 255, rtol=1e-6)
    with pytest.raises(FileNotFoundError, match="--fashion"):
        fashion(tmp_path / "nowhere")


def test_a_fit_in_its_own_process_and_one_that_fails(tmp_path: Path) -> None:
    job = replace(JOB, entrant="truncated", candidates=5, iterations=3)
    fit = made(job, tmp_path, environment(None, 1))
    assert fit.job == job and len(fit.seconds) == 3
    assert "truncated EM: 5 of 20" in fit.notes[-1]
    with pytest.raises(WorkerError, match="n_samples"):
        made(replace(job, n=10), tmp_path, environment(None, 1))
    with pytest.raises(WorkerError, match="more than 0 s"):
        made(job, tmp_path, environment(None, 1), patience=0.01)


def test_scikit_learn_gets_no_more_rows_than_memory_allows() -> None:
    jobs = growth(10**9, 32, (10, 10_000), 8)
    rows = {job.k: job.n for job in jobs if job.entrant == "scikit-learn"}
    assert rows[10] > 900 * rows[10_000] and rows[10_000] < 10**8
    assert {job.k for job in jobs if job.entrant == "truncated"} == {10_000}
    assert {job.entrant for job in timed(1000, 8, 20, 10, 3)} == set(report.LOOKS)


def made_up(entrant: str, k: int, pairs: int, source: str = "digits") -> Fit:
    """A fit of round numbers."""
    job = Job(entrant, source, 1_000, 32, k, iterations=3, judged=True)
    clock, held = (1.0, 2.0, 4.0), (1.0, 2.0, k / 1_000)
    return Fit(job, 1.0, (9.0, 5.0, 2.0), 0.5, clock, held, 3.0, pairs, 10**6, 999, True, (), STAMP)


def test_pairs_have_an_exponent() -> None:
    fits = [made_up("truncated", k, int(7 * (1_000 * k) ** 0.5)) for k in (100, 1_000, 10_000)]
    assert report.exponent(fits, end=False) == pytest.approx(0.5, abs=1e-2)
    every = [made_up("dense", k, 30 * 1_000 * k) for k in (100, 1_000)]
    assert report.exponent(every, end=True) == pytest.approx(1.0)
    assert report.exponent(fits, end=True) > 0.9


def test_parts_are_kept_beside_each_other(tmp_path: Path) -> None:
    fits = [made_up(name, k, 1_000 * k) for k in (1_000, 10_000) for name in ("truncated", "dense")]
    for part in report.PARTS:
        report.write(tmp_path, part, fits)
        assert (tmp_path / f"scale-{part}.png").read_bytes()[:4] == b"\x89PNG"
    assert report.read(tmp_path) == dict.fromkeys(report.PARTS, fits)
    text = (tmp_path / "scale.md").read_text(encoding="utf8")
    assert "takes 1.00 times as long" in text and "1.000 and 10.000 nats" in text
    assert "an iteration is 1.0 times as fast as the dense engine's, of which 3 were made" in text
    whole = [replace(fit, job=replace(fit.job, iterations=None)) for fit in fits[:2]]
    assert "the whole fit is 1.0 times as fast" in report.against(*whole)
    assert text.count("Measured on") == 3


def test_parts_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert parsed([]).only == list(report.PARTS)
    with pytest.raises(SystemExit):
        parsed(["--only", "growth,nonsense"])
    assert "got nonsense" in capsys.readouterr().err


def test_images_are_fitted_by_both_engines_up_to_a_size(tmp_path: Path) -> None:
    np.savez(tmp_path / "i.npz", X_train=np.zeros((9, 4)), X_test=np.zeros((2, 4)))
    jobs = images(tmp_path / "i.npz", 9, (2, 3), 1, 2, dense=2)
    assert [(job.entrant, job.k, job.iterations, job.after) for job in jobs] == [
        ("truncated", 2, None, 0),
        ("dense", 2, None, 0),
        ("truncated", 3, None, 9),
        ("dense", 3, 9, 0),
    ]
    assert all(job.d == 4 for job in jobs)
