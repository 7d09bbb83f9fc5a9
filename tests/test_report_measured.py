"""The report of rows with gaps and errors: densities, transforms, least likely rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import mixtura as mx
from mixtura.plot.histogram import add_histogram
from mixtura.plot.palette import palette_of
from mixtura.report import fit_check, measuring, pit, verdict
from mixtura.report.numbers import percent
from mixtura.report.observations import Observations
from mixtura.report.reading import read_rows
from mixtura.report.tail import tail
from mixtura.report.unlikely import log_tails, unlikely
from mixtura.sources import Rows

figure = pytest.importorskip("matplotlib.figure")
TRUTH = mx.Mixture(
    [0.6, 0.4], [[0.0, 0.0], [5.0, -3.0]], [[[1.0, 0.5], [0.5, 1.0]], [[0.5, 0.0], [0.0, 2.0]]]
)


def drawn(rng, n, gaps=0.2, spread=(0.2, 2.0)):
    sd = rng.uniform(*spread, (n, 2))
    x = TRUTH.sample(n, rng) + sd * rng.standard_normal((n, 2))
    x[rng.random((n, 2)) < gaps, ...] = np.nan
    x[np.isnan(x).all(axis=1)] = 0.5
    return Observations(x, noise=sd**2)


# ------------------------------------------------------------------ densities


def line_as_measured(x, noise, weight):
    ax = figure.Figure().add_subplot()
    part = TRUTH.marginal([0])
    add_histogram(ax, part, x, weight, (-6.0, 10.0), palette_of(None), noise=noise)
    (line,) = [line for line in ax.lines if line.get_label() == "density as measured"]
    bars = ax.patches[0].get_data()
    return *line.get_data(), float(bars.values @ np.diff(bars.edges))


def averages_the_noise(points, values, noise, weight, tolerance):
    """Whether the line is the density with each row's error, averaged over the rows."""
    means, variance = TRUTH.means[:, 0], TRUTH.covariance.diagonal()[:, 0]
    sd = np.sqrt(variance + noise[:, None])
    each = stats.norm.pdf(points[:, None, None], means, sd) @ TRUTH.weights
    expected = each @ weight / weight.sum()
    return np.abs(values - expected).max() < tolerance * expected.max()


@pytest.mark.parametrize(("n", "tolerance"), [(300, 1e-12), (3000, 5e-3)])
def test_the_density_as_measured_averages_the_rows_errors(rng, n, tolerance):
    noise, weight = rng.uniform(0.1, 3.0, n) ** 3, rng.uniform(0.5, 2.0, n)
    x = TRUTH.sample(n, rng)[:, 0] + np.sqrt(noise) * rng.standard_normal(n)
    x[::7] = np.nan
    seen = ~np.isnan(x)
    points, values, _ = line_as_measured(x, noise, weight)
    assert averages_the_noise(points, values, noise[seen], weight[seen], tolerance)
    blurred = np.exp(TRUTH.marginal([0]).blur(noise.mean()).log_density(points[:, None]))
    assert not averages_the_noise(points, blurred, noise[seen], weight[seen], tolerance)


def test_bars_count_the_cells_that_are_seen(rng):
    x = TRUTH.sample(200, rng)[:, 0]
    x[::2] = np.nan
    *_, area = line_as_measured(x, np.ones(200), np.ones(200))
    assert area == pytest.approx(1.0)


# ------------------------------------------------------------------ transforms


def pass_as_uniform(rows, mixture=TRUTH):
    values = pit.transform(mixture, rows, [0, 1])
    numbers = pit.effective(values)
    limits = [pit.chance(number, 3, level=1e-3) for number in numbers]
    return bool((pit.departure(values) < limits).all())


def test_transforms_of_measured_rows_are_uniform(rng):
    rows = drawn(rng, 1500)
    assert pass_as_uniform(rows)
    assert pass_as_uniform(Observations(rows.x, noise=np.where(rows.missing, 9.0, rows.noise)))
    assert not pass_as_uniform(Observations(rows.x))  # errors forgotten
    assert not pass_as_uniform(Observations(rows.x, noise=rows.noise / 4))  # too small


def test_missing_cells_have_no_transform(rng):
    rows = drawn(rng, 300)
    values = pit.transform(TRUTH, rows, [1, 0])
    np.testing.assert_array_equal(np.isnan(values[:, :2]), rows.missing[:, [1, 0]])
    assert not np.isnan(values[:, 2]).any()
    assert pit.effective(values)[0] == (~rows.missing[:, 1]).sum()
    seen = values[~np.isnan(values[:, 0]), :1]
    assert pit.departure(values)[0] == pytest.approx(pit.departure(seen)[0])


def test_a_column_is_judged_by_its_own_number_of_values(rng):
    values = rng.uniform(size=(1000, 2))
    values[:, 0] = np.clip(values[:, 0] * 0.9, 0, 1)
    values[100:, 1] = np.nan
    check = fit_check(TRUTH, Rows(TRUTH.sample(50, rng)), {}, fitted=False)
    said, _ = verdict.reading_of_transforms(
        type(check)(False, True, 1000, 1000, columns=(0, 1), values=values), ("a", "b")
    )
    limit = pit.chance(1000, 2)
    assert pit.departure(values)[0] < pit.chance(100, 2)  # by the band alone it would pass
    assert f"a ({percent(pit.departure(values)[0])}, chance {percent(limit)})" in said
    assert "b (" not in said
    assert "the column with the fewest" in said


# ------------------------------------------------------------------ rows


def test_readings_and_checks_are_of_what_was_measured(rng):
    rows = drawn(rng, 200)
    seen = read_rows(TRUTH, rows)
    expected, resp = np.empty(200), np.empty((200, 2))
    for i, x in enumerate(rows.x):
        o = np.flatnonzero(~np.isnan(x))
        law = TRUTH.marginal(list(o)).blur(rows.noise[i, o])
        expected[i], resp[i] = law.log_density(x[None, o])[0], law.responsibilities(x[None, o])[0]
    np.testing.assert_allclose(seen.log_density, expected, rtol=1e-9)
    np.testing.assert_array_equal(seen.component, resp.argmax(axis=1))
    np.testing.assert_allclose(seen.certainty, resp.max(axis=1), rtol=1e-9)
    check = fit_check(TRUTH, rows, {}, reading=seen, fitted=False)
    assert check.model == pytest.approx(expected.mean())
    one = mx.Mixture([1.0], TRUTH.mean[None], TRUTH.cov[None])
    assert check.gaussian == pytest.approx(read_rows(one, rows).log_density.mean())


def test_held_out_rows_are_refitted_with_their_errors(rng):
    rows = drawn(rng, 300, gaps=0.1)
    info = {"covariance_type": "full", "n_parameters": 11}
    check = fit_check(TRUTH, rows, info, fitted=True)
    mine = rows.log_density(TRUTH).mean()
    assert check.model == pytest.approx(mine, abs=0.08)
    exact = fit_check(TRUTH, Observations(rows.x), info, fitted=True)
    assert exact.model != pytest.approx(check.model, rel=1e-3)  # the liar takes x as exact


def orders_by_what_is_unlikely(found, x, sd):
    """Whether the first row is the one farthest out for what was seen of it."""
    score = np.array([stats.chi2((~np.isnan(r)).sum()).logsf(np.nansum(r**2 / (1 + s**2)))
                      for r, s in zip(x, sd, strict=True)])  # fmt: skip
    return found[0].row - 1 == int(score.argmin())


def test_the_least_likely_rows_are_those_among_rows_measured_alike(rng):
    one = mx.Mixture([1.0], np.zeros((1, 4)), [np.eye(4)])
    x, sd = rng.normal(size=(60, 4)), np.zeros((60, 4))
    x[:30, 1:] = np.nan
    sd[30:] = 3.0
    x[30:] *= np.sqrt(10)
    x[4, 0] = 4.5
    rows = Observations(x, noise=sd**2)
    seen = read_rows(one, rows)
    found = unlikely(one, rows, seen, tail(one, rows, seen.log_density))
    assert orders_by_what_is_unlikely(found, x, sd)
    assert not orders_by_what_is_unlikely(unlikely(one, rows, seen), x, sd)  # by density
    assert [j for j, *_ in found[0].cells] == [0]
    expected = 2 * stats.norm.sf(4.5)
    assert np.exp(found[0].cells[0][2]) == pytest.approx(expected, rel=1e-9)
    noisy = log_tails(one, x[30:31], sd[30:31] ** 2)
    np.testing.assert_allclose(np.exp(noisy), 2 * stats.norm.sf(np.abs(x[30:31]) / np.sqrt(10)))


def test_what_was_missing_and_how_exact_the_rest_was(rng):
    rows = drawn(rng, 400, spread=(0.5, 0.5))
    told = measuring.told(TRUTH, rows, ("a", "b"))
    counts = rows.missing.sum(axis=0)
    assert {str(line["name"]): line["missing"] for line in told["lines"]} == {
        "a": str(counts[0]), "b": str(counts[1]),
    }  # fmt: skip
    variance = np.diag(TRUTH.cov)
    for line in told["lines"]:
        part = 0.25 / (0.25 + variance["ab".index(str(line["name"]))])
        assert (line["typical"], line["range"]) == ("0.5", "0.5")
        assert line["part"] == measuring.percent(part)
    found = {tuple(pattern.tolist()): count for pattern, count in measuring.patterns(rows.missing)}
    both = rows.missing @ [1, 2]
    assert found == {
        columns: int((both == code).sum()) for columns, code in (((), 0), ((0,), 1), ((1,), 2))
    }
    assert measuring.told(TRUTH, Observations(TRUTH.sample(9, rng)), ("a", "b")) is None
