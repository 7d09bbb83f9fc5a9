"""Figures show the numbers they claim to show, on the Axes they are given, and touch nothing else.

Laws take a function that draws; each is also run on a liar, which draws something slightly else.
"""

from __future__ import annotations

import importlib
import io
import itertools
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, StepPatch
from numpy.testing import assert_allclose
from scipy.integrate import trapezoid
from scipy.stats import kstest, norm

import mixtura as mx
from mixtura import plot
from mixtura.errors import InputError, MissingExtraError
from mixtura.report import figures
from mixtura.sources import Rows

TWO = mx.Mixture(
    [0.35, 0.65],
    [[2.0, 55.0], [4.3, 80.0]],
    [[[0.07, 0.44], [0.44, 34.0]], [[0.17, 0.94], [0.94, 36.0]]],
    columns=["eruption", "wait"],
)
#: A component much narrower than a bar, and one of little weight far out.
LINE = mx.Mixture([0.5, 0.3, 0.2], [[0.0], [2.0], [9.0]], [1.0, 1e-4, 4.0])
TRIALS = [
    {"n_components": 2, "covariance_type": "full", "bic": 90.0, "error": None},
    {"n_components": 1, "covariance_type": "full", "bic": 120.0, "error": None},
    {"n_components": 1, "covariance_type": "tied", "bic": 110.0, "error": None},
    {"n_components": 3, "covariance_type": "full", "bic": -900.0, "error": "shrank"},
    {"n_components": 3, "covariance_type": "tied", "bic": None, "error": "no start"},
]
X = TWO.sample(300, rng=0)


def blank():
    """Axes of a figure that pyplot does not know."""
    return Figure().add_subplot()


def weights_for(n):
    """Row weights that differ by two orders of magnitude."""
    return np.random.default_rng(5).exponential(size=n) ** 2 + 0.01


def rejects(law, liar, *args):
    """The law does not hold of the liar."""
    with pytest.raises(AssertionError):
        law(liar, *args)


# ---- ellipses ----------------------------------------------------------------------------------
def ellipses_hold_their_shares(draw, mix):
    ax = blank()
    draw(mix, (1, 0), shares=(0.5, 0.9), ax=ax)
    low, high = ax.get_xlim()
    ax.set_xlim(low - (high - low) / 3, high)  # whatever happens to the limits later
    drawn = [patch for patch in ax.patches if isinstance(patch, Ellipse)]
    assert len(drawn) == 2 * mix.k
    for k in range(mix.k):
        one = mx.Mixture([1.0], mix.means[k : k + 1], mix.covariance.dense()[k : k + 1])
        at = ax.transData.transform(one.sample(20_000, rng=k)[:, [1, 0]])
        for patch, share in zip(drawn[2 * k : 2 * k + 2], (0.5, 0.9), strict=True):
            outline = patch.get_transform().transform_path(patch.get_path())
            assert outline.contains_points(at).mean() == pytest.approx(share, abs=0.012)


SCALES = mx.Mixture([1.0], [[2e-7, 3e9]], [[[1e-16, 0.6], [0.6, 1e16]]])


@pytest.mark.parametrize("mix", [TWO, SCALES], ids=["two", "scales"])
def test_ellipses_hold_their_shares(mix):
    ellipses_hold_their_shares(plot.ellipses, mix)
    # Shares of one dimension, and columns the other way round.
    rejects(
        ellipses_hold_their_shares,
        lambda m, c, shares, ax: plot.ellipses(m, c, shares=np.array(shares) ** 1.2, ax=ax),
        mix,
    )
    rejects(
        ellipses_hold_their_shares,
        lambda m, c, shares, ax: plot.ellipses(m, c[::-1], shares=shares, ax=ax),
        mix,
    )


# ---- rows --------------------------------------------------------------------------------------
def dots_are_the_rows(draw):
    weight = weights_for(len(X))
    weight[:50] = 0.0
    ax = blank()
    draw(TWO, X, ("wait", "eruption"), weights=weight, ax=ax)
    best = TWO.responsibilities(X).argmax(axis=1)
    seen = {}
    for line in ax.lines:
        if line.get_markeredgewidth() == 0:
            for x, y in line.get_xydata():
                seen[y, x] = (line.get_color(), line.get_markersize())
    assert set(seen) == {tuple(row) for row in X[50:]}
    usual = np.median(weight[50:])
    for row, k, w in zip(X[50:], best[50:], weight[50:], strict=True):
        colour, size = seen[tuple(row)]
        assert colour == plot.LIGHT.components[k]
        assert 2**-0.51 < (size / 3.5) ** 2 / np.clip(w / usual, 0.25, 4) < 2**0.51


def test_dots_are_the_rows():
    dots_are_the_rows(plot.scatter)
    rejects(dots_are_the_rows, lambda m, x, c, weights, ax: plot.scatter(m, x, c, ax=ax))
    rejects(
        dots_are_the_rows,
        lambda m, x, c, weights, ax: plot.scatter(m.relabel([1, 0]), x, c, weights=weights, ax=ax),
    )


def test_many_rows_are_thinned_and_numbers_stand_at_the_means():
    ax = plot.scatter(TWO, TWO.sample(5000, rng=1), most=800, ax=blank())
    dots = [line for line in ax.lines if line.get_markeredgewidth() == 0]
    assert sum(len(line.get_xdata()) for line in dots) == 800
    assert [text.get_text() for text in ax.texts] == ["0", "1"]
    assert_allclose([text.get_position() for text in ax.texts], TWO.means)


# ---- histogram ---------------------------------------------------------------------------------
def bars_and_lines_are_densities(draw):
    x = LINE.sample(400, rng=3)
    weight = weights_for(len(x))
    ax = blank()
    draw(LINE, x, 0, weights=weight, ax=ax)
    (bars,) = (patch for patch in ax.patches if isinstance(patch, StepPatch))
    height, edges, _ = bars.get_data()
    assert height @ np.diff(edges) == pytest.approx(1, abs=1e-12)
    assert_allclose(height, np.histogram(x, edges, density=True, weights=weight[:, None])[0])
    lines = {line.get_label(): line.get_xydata().T for line in ax.lines}
    points, density = lines.pop("density")
    sd = np.sqrt(LINE.covariance.diagonal()[:, 0])
    each = LINE.weights[:, None] * norm.pdf(points, LINE.means, sd[:, None])
    assert_allclose(each.sum(axis=0), density)
    for k in range(3):  # lines are left out where they would lie on the axis
        at, drawn = lines[f"component {k}"]
        assert_allclose(drawn, LINE.weights[k] * norm.pdf(at, LINE.means[k], sd[k]), rtol=1e-9)
        left_out = ~np.isin(points, at)
        assert (each[k][left_out] <= 1e-4 * ax.get_ylim()[1]).all()
        assert set(at) <= set(points) and len(at)
    assert_allclose(density, np.exp(LINE.log_density(points[:, None])), rtol=1e-9)
    law = norm(LINE.means[:, 0], np.sqrt([1.0, 1e-4, 4.0]))
    inside = LINE.weights * (law.cdf(points[-1]) - law.cdf(points[0]))
    assert_allclose(trapezoid(each, points), inside, rtol=2e-3)


def test_bars_and_lines_are_densities(monkeypatch):
    bars_and_lines_are_densities(plot.histogram)
    rejects(
        bars_and_lines_are_densities,
        lambda m, x, c, weights, ax: plot.histogram(m, x, c, ax=ax),
    )
    rejects(
        bars_and_lines_are_densities,
        lambda m, x, c, weights, ax: plot.histogram(
            mx.Mixture(np.ones(3), m.means, m.covariance), x, c, weights=weights, ax=ax
        ),
    )
    # Points at even distances miss the narrow component.
    module = importlib.import_module("mixtura.plot.histogram")
    monkeypatch.setattr(module, "grid", lambda low, high, *rest: np.linspace(low, high, 240))
    rejects(bars_and_lines_are_densities, plot.histogram)


def test_a_turned_histogram_is_the_same_figure():
    upright, turned = blank(), blank()
    plot.histogram(TWO, X, "wait", ax=upright)
    plot.histogram(TWO, X, "wait", turned=True, ax=turned)
    for a, b in zip(upright.lines, turned.lines, strict=True):
        assert_allclose(a.get_xydata(), b.get_xydata()[:, ::-1])
    assert upright.get_xlim() == turned.get_ylim()
    assert upright.get_xlabel() == turned.get_ylabel() == "wait"


# ---- scatter matrix ----------------------------------------------------------------------------
@pytest.mark.parametrize(("d", "panels"), [(1, 1), (2, 3), (3, 6), (9, 21)])
def test_the_matrix_has_a_panel_for_each_pair(d, panels):
    rng = np.random.default_rng(d)
    mix = mx.Mixture([1, 1], 3 * rng.normal(size=(2, d)), np.ones((2, d)))
    fig = Figure(figsize=(8, 8))
    assert plot.scatter_matrix(mix, mix.sample(100, rng=0), fig=fig) is fig
    assert len(fig.axes) == panels


def test_the_matrix_shows_the_columns_asked_for():
    mix = mx.Mixture([1, 1], np.eye(2, 4), np.ones((2, 4)), columns=list("abcd"))
    half = Figure(figsize=(12, 6)).subfigures(1, 2)[0]
    plot.scatter_matrix(mix, mix.sample(100, rng=0), ["d", "a", "b"], fig=half)
    named = [ax.get_xlabel() for ax in half.axes if ax.get_xlabel()]
    assert named == ["d", "a", "b"]
    assert [ax.get_ylabel() for ax in half.axes if ax.get_ylabel()] == ["a", "b"]


# ---- density -----------------------------------------------------------------------------------
def regions_hold_their_shares(draw):
    ax = blank()
    draw(TWO, ("wait", "eruption"), levels=(0.5, 0.95), ax=ax)
    lines = next(c for c in ax.collections if isinstance(c, ContourSet) and not c.filled)
    part = TWO.marginal(["wait", "eruption"])
    height = part.log_density(part.sample(60_000, rng=99))
    for level, path, share in zip(lines.levels, lines.get_paths(), (0.95, 0.5), strict=True):
        assert (height >= level).mean() == pytest.approx(share, abs=0.008)
        assert_allclose(part.log_density(path.vertices), level, atol=0.02)


def test_regions_hold_their_shares():
    regions_hold_their_shares(plot.density)
    rejects(
        regions_hold_their_shares,
        lambda m, c, levels, ax: plot.density(m, c, levels=(0.48, 0.94), ax=ax),
    )


def arrows_ascend(draw):
    ax = blank()
    draw(TWO, ax=ax, score=True)
    (arrows,) = (c for c in ax.collections if hasattr(c, "U"))
    start, step = arrows.get_offsets(), np.stack([arrows.U, arrows.V], axis=1)
    gain = TWO.log_density(start + 1e-4 * step) - TWO.log_density(start)
    assert (gain > 0).all()
    # Steepest where columns are measured in standard deviations: no turn of the arrow does better.
    sd = np.sqrt(np.diag(TWO.cov))
    for turn in (-0.1, 0.1):
        matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        turned = (step / sd) @ matrix * sd
        assert (TWO.log_density(start + 1e-4 * turned) - TWO.log_density(start) < gain).all()


def test_arrows_ascend():
    arrows_ascend(plot.density)

    def raw(mix, ax, score):
        points = mix.sample(50, rng=0)
        ax.quiver(*points.T, *mix.grad_log_density(points).T)

    rejects(arrows_ascend, raw)


# ---- BIC ---------------------------------------------------------------------------------------
def bic_lines_are_the_table(draw):
    ax = blank()
    draw(TRIALS, ax=ax)
    lines = {line.get_label(): line.get_xydata().tolist() for line in ax.lines}
    assert lines.pop("full") == [[1, 120], [2, 90]]
    assert lines.pop("tied") == [[1, 110]]
    (ring,) = lines.values()
    assert ring == [[2, 90]]
    assert {text.get_text() for text in ax.texts} == {"full", "tied"}


def test_bic_lines_are_the_table():
    bic_lines_are_the_table(plot.bic)
    rejects(
        bic_lines_are_the_table,
        lambda trials, ax: plot.bic([{**trial, "error": None} for trial in trials], ax=ax),
    )


def spread_out(*ends):
    """Trials of two structures near the best and one far from it."""
    return [
        {"n_components": k, "covariance_type": name, "bic": value + k, "error": None}
        for name, value in zip(("tied", "full", "diag"), ends, strict=True)
        for k in (1, 2, 3)
    ]


def test_the_axis_of_bic_ends_where_the_best_can_be_told_apart():
    trials = spread_out(100.0, 110.0, 5000.0)
    ax = plot.bic(trials, ax=blank())
    best, middle = 101.0, 112.0
    assert best < ax.get_ylim()[1] < best + 4.5 * (middle - best)
    texts = {text.get_text(): text.get_position()[1] for text in ax.texts}
    assert set(texts) == {"tied", "full", "diag ↑"}
    low, high = ax.get_ylim()
    for name, end in (("tied", 103), ("full", 113)):
        assert texts[name] == pytest.approx((end - low) / (high - low), abs=1e-9)
    assert plot.bic(trials, full=True, ax=blank()).get_ylim()[1] > 5000
    assert plot.bic(trials[:7], ax=blank()).get_ylim()[1] > 5000
    # A line that leaves the top is named where it does so; the model kept is always in view.
    leaving = [dict(trial) for trial in trials]
    for trial, value in zip(leaving[6:], (112.0, 5000.0, 6000.0), strict=True):
        trial["bic"] = value
    ax = plot.bic(leaving, ax=blank())
    (label,) = (text for text in ax.texts if text.get_text() == "diag")
    assert label.get_position()[1] == pytest.approx(1.0)
    assert label.get_position()[0] < 0.2
    assert plot.bic(trials, chosen=(2, "diag"), ax=blank()).get_ylim()[1] > 5002


def test_a_search_is_drawn_in_each_of_its_forms():
    gm = mx.GaussianMixture([1, 2], covariance_type=["full", "tied"], random_state=0).fit(X)
    drawn = []
    for tried in (gm, gm.search_, gm.search_.trials):
        ax = plot.bic(tried, ax=blank())
        drawn.append([line.get_xydata().tolist() for line in ax.lines])
    assert drawn[0] == drawn[1] == drawn[2]
    best = gm.search_.best
    assert drawn[0][-1] == [[best.n_components, best.bic]]
    ringed = plot.bic(gm, chosen=(1, "full"), ax=blank()).lines[-1].get_xydata()
    assert ringed[0, 0] == 1


# ---- trace -------------------------------------------------------------------------------------
TRACE = -4.0 - 1.5 * 0.8 ** np.arange(60) - np.where(np.arange(60) == 0, 3.0, 0.0)


def both_ends_can_be_read(draw):
    ax = blank()
    draw(TRACE, ax=ax)
    assert_allclose(ax.lines[0].get_ydata(), TRACE, rtol=0)
    assert_allclose(ax.lines[0].get_xdata(), np.arange(1, 61))
    height = ax.transAxes.inverted().transform(ax.transData.transform(ax.lines[0].get_xydata()))
    step = np.diff(height[:, 1])
    assert (height > 0).all() and (height < 1).all()
    assert (step > 0).all()
    assert step[0] > 0.04
    assert step[30:].sum() > 0.3


def test_the_first_jump_and_the_late_approach_can_be_read():
    both_ends_can_be_read(plot.trace)
    rejects(both_ends_can_be_read, lambda t, ax: ax.plot(np.arange(1, 61), t))
    rejects(both_ends_can_be_read, lambda t, ax: plot.trace(t[1:], ax=ax))


def test_a_tick_tells_the_gap():
    ax = plot.trace(TRACE, ax=blank())
    ticks = dict(zip([t.get_text() for t in ax.get_yticklabels()], ax.get_yticks(), strict=True))
    assert ticks.pop("best") == TRACE.max()
    assert len(ticks) >= 4
    raised = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
    for said, at in ticks.items():
        plain = re.sub("10([⁻⁰-⁹¹²³]+)", lambda found: "1e" + found[1].translate(raised), said)
        assert TRACE.max() - at == pytest.approx(float(plain))


def test_traces_of_every_kind():
    gm = mx.GaussianMixture(2, random_state=0).fit(X)
    assert_allclose(plot.trace(gm, ax=blank()).lines[0].get_ydata(), gm.trace_)
    for short in ([-3.0], [-3.0, -3.0], [-3.0, -2.0], [-2.0, -3.0], [0.0, 1e-13]):
        ax = plot.trace(np.array(short), ax=blank())
        ax.figure.draw_without_rendering()
    ax = plot.trace([-3.0, -2.0, -1.9], iterations=[1, 10, 40], ax=blank())
    assert ax.lines[0].get_xdata().tolist() == [1, 10, 40]


# ---- certainty ---------------------------------------------------------------------------------
BLUNT = mx.Mixture([0.5, 0.3, 0.2], [[0.0], [2.0], [3.0]], [1.0, 1.0, 1.0])


def bars_divide_the_rows(draw):
    x = BLUNT.sample(500, rng=4)
    weight = weights_for(500)
    ax = blank()
    draw(BLUNT, x, weights=weight, ax=ax)
    resp = BLUNT.responsibilities(x)
    best, top = resp.argmax(axis=1), resp.max(axis=1)
    bars = {(round(b.get_y() + b.get_height() / 2), b.get_alpha()): b for b in ax.patches}
    for place, mine in [*((k, best == k) for k in range(3)), (3, best >= 0)]:
        total = weight[mine].sum()
        reached = 0.0
        for alpha, high, low in [
            (1.0, 2.0, 0.99), (0.55, 0.99, 0.95), (0.36, 0.95, 0.8), (0.22, 0.8, 0.5),
            (0.1, 0.5, -1),
        ]:  # fmt: skip
            share = weight[mine & (top > low) & (top <= high)].sum() / total
            bar = bars.get((place, alpha))
            assert (bar.get_width() if bar else 0.0) == pytest.approx(share, abs=1e-12)
            if bar:
                assert bar.get_x() == pytest.approx(reached)
                reached += bar.get_width()
        assert reached == pytest.approx(1)


def test_bars_divide_the_rows():
    bars_divide_the_rows(plot.certainty)
    rejects(bars_divide_the_rows, lambda m, x, weights, ax: plot.certainty(m, x, ax=ax))


def test_a_component_without_rows_is_said_to_have_none():
    mix = mx.Mixture([0.6, 0.4, 0.0], [[0.0], [4.0], [9.0]], [1.0, 1.0, 1.0])
    ax = plot.certainty(mix, mix.sample(50, rng=0), ax=blank())
    assert "no row is most likely here" in [text.get_text() for text in ax.texts]


# ---- probability integral transforms -----------------------------------------------------------
def reach_and_band(draw, u, **options):
    """How far each line goes from zero, and the half-width of the band."""
    ax = blank()
    draw(u, ax=ax, **options)
    band = np.abs(ax.collections[0].get_paths()[0].vertices[:, 1]).max()
    lines = [line for line in ax.lines if line.get_label() != "uniform"]
    lines.sort(key=lambda line: int(line.get_label()[1:]))
    return np.array([np.abs(line.get_ydata()).max() for line in lines]), band


def lines_reach_kolmogorovs_distance(draw):
    for n in (7, 3000):
        u = np.random.default_rng(n).beta(1.0, 1.1, size=n)
        u[: n // 3] = np.round(u[: n // 3], 1)  # ties
        (reach,), _ = reach_and_band(draw, u)
        assert reach == pytest.approx(kstest(u, "uniform").statistic, abs=1e-12)


def test_lines_reach_kolmogorovs_distance():
    lines_reach_kolmogorovs_distance(plot.pit)
    rejects(lines_reach_kolmogorovs_distance, lambda u, ax: plot.pit(u[1:], ax=ax))


def right_models_stay_inside(draw, n, weights):
    u = np.random.default_rng(0).uniform(size=(n, 500))
    reach, band = reach_and_band(draw, u, weights=weights)
    assert (reach <= band).mean() == pytest.approx(0.95, abs=0.029)  # three standard errors


def test_right_models_stay_inside(monkeypatch):
    right_models_stay_inside(plot.pit, 25, None)
    rejects(right_models_stay_inside, lambda u, **o: plot.pit(u, level=0.9, **o), 25, None)
    weight = weights_for(150)
    right_models_stay_inside(plot.pit, 150, weight)
    # Weighted rows tell less than as many equal ones.
    module = importlib.import_module("mixtura.plot.pit")
    half_width = module._half_width
    monkeypatch.setattr(module, "_half_width", lambda w, level: half_width(np.ones(len(w)), level))
    rejects(right_models_stay_inside, plot.pit, 150, weight)


def five_columns_stay_inside_together(draw):
    u = np.random.default_rng(1).uniform(size=(40, 5 * 160))
    reach, _ = reach_and_band(plot.pit, u)
    _, band = reach_and_band(draw, u[:, :5])
    together = (reach <= band).reshape(160, 5).all(axis=1)
    assert together.mean() == pytest.approx(0.95, abs=0.051)


def test_five_columns_stay_inside_together():
    five_columns_stay_inside_together(lambda u, ax: plot.pit(u, jointly=True, ax=ax))
    rejects(five_columns_stay_inside_together, plot.pit)


# ---- regression --------------------------------------------------------------------------------
def bands_hold_their_shares(draw, law):
    x = np.linspace(1.6, 5.0, 6)
    ax = blank()
    draw(law, x, levels=(0.5, 0.9), centre="median", ax=ax)
    draws = law.sample(x[:, None], 20_000, rng=0)[:, :, 0]
    bands = {band.get_label(): band.get_paths()[0].vertices for band in ax.collections}
    for name, share in (("50%", 0.5), ("90%", 0.9)):
        for at, drawn in zip(x, draws, strict=True):
            ends = bands[name][bands[name][:, 0] == at][:, 1]
            inside = (drawn > ends.min()) & (drawn < ends.max())
            assert inside.mean() == pytest.approx(share, abs=0.014)
    below = (draws < ax.lines[0].get_ydata()[:, None]).mean(axis=1)
    assert_allclose(below, 0.5, atol=0.014)


def test_bands_hold_their_shares():
    law = TWO.conditional(["eruption"])
    bands_hold_their_shares(plot.band, law)

    def liar(law, x, levels, **options):
        plot.band(law, x, levels=levels, **{**options, "centre": "mean"})

    rejects(bands_hold_their_shares, liar, law)

    def narrow(law, x, levels, **options):
        ax = plot.band(law, x, levels=(0.5, 0.87), **options)
        ax.collections[0].set_label("90%")

    rejects(bands_hold_their_shares, narrow, law)


def test_a_regressor_is_drawn_as_it_predicts():
    model = mx.MixtureRegressor(2, random_state=0).fit(X[:, :1], np.c_[X[:, 1], -X[:, 1]])
    x = np.linspace(1.5, 5, 9)
    ax = plot.band(model, x[::-1], output=1, ax=blank())
    assert_allclose(ax.lines[0].get_ydata(), model.predict(x[:, None])[:, 1])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x", "y1")
    named = plot.band(TWO.conditional(["wait"]), x, output="eruption", ax=blank())
    assert (named.get_xlabel(), named.get_ylabel()) == ("wait", "eruption")


# ---- Axes, figures, settings -------------------------------------------------------------------
EVERY = {
    "band": lambda **o: plot.band(TWO.conditional([0]), [1.0, 2.0, 3.0], **o),
    "bic": lambda **o: plot.bic(TRIALS, **o),
    "certainty": lambda **o: plot.certainty(TWO, X, **o),
    "density": lambda **o: plot.density(TWO, **o),
    "ellipses": lambda **o: plot.ellipses(TWO, **o),
    "histogram": lambda **o: plot.histogram(TWO, X, **o),
    "pit": lambda **o: plot.pit(np.linspace(0.01, 0.99, 50), **o),
    "scatter": lambda **o: plot.scatter(TWO, X, **o),
    "trace": lambda **o: plot.trace(TRACE, **o),
}


def only_the_axes_given_change(draw):
    _, (ax, other) = plt.subplots(1, 2)
    try:
        plt.sca(other)
        figures_before, settings = plt.get_fignums(), dict(mpl.rcParams)
        empty = len(ax.get_children())
        assert draw(ax=ax) is ax
        assert len(ax.get_children()) > empty
        assert len(other.get_children()) == empty
        assert plt.get_fignums() == figures_before
        assert plt.gca() is other
        assert dict(mpl.rcParams) == settings
        ax.figure.draw_without_rendering()
    finally:
        plt.close("all")


def new_axes(**options):
    return plt.subplots()[1]


def restyled(ax):
    plt.rcParams["font.size"] = 11.0
    return plot.ellipses(TWO, ax=ax)


@pytest.mark.parametrize("name", EVERY)
def test_only_the_axes_given_change(name):
    only_the_axes_given_change(EVERY[name])


@pytest.mark.parametrize("liar", [new_axes, restyled])
def test_other_axes_and_settings_are_found_out(liar):
    with mpl.rc_context():
        rejects(only_the_axes_given_change, liar)


@pytest.mark.parametrize("name", EVERY)
def test_without_axes_a_figure_with_one_is_made(name):
    try:
        ax = EVERY[name]()
        assert [plt.figure(number) for number in plt.get_fignums()] == [ax.figure]
        assert ax.figure.axes == [ax]
    finally:
        plt.close("all")


@pytest.mark.parametrize("name", EVERY)
def test_colours_come_from_the_palette(name):
    names = ("ink", "muted", "grid", "surface", "accent")
    own = plot.Palette(*(f"#0{i}0{i}0{i}" for i in range(1, 6)), components=("#0a0000", "#0a0001"))
    allowed = {getattr(own, name) for name in names} | set(own.components)
    ax = EVERY[name](ax=blank(), palette=own)
    text = io.StringIO()
    ax.figure.savefig(text, format="svg", transparent=True)
    style = re.sub(r"<defs>\s*<style.*?</defs>", "", text.getvalue(), flags=re.DOTALL)
    assert set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", style)) <= allowed


def test_importing_the_package_does_not_import_matplotlib():
    code = (
        "import sys, mixtura; mixtura.plot.scatter; print('matplotlib' in sys.modules);"
        "mixtura.plot.trace([1.0, 2.0]); print('matplotlib' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["False", "True"], done.stderr


@pytest.mark.parametrize("name", [*EVERY, "scatter_matrix"])
def test_without_matplotlib_the_extra_is_named(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    draw = EVERY.get(name, lambda: plot.scatter_matrix(TWO, X))
    with pytest.raises(MissingExtraError, match=r"pip install 'mixtura\[cli\]'"):
        draw()


# ---- bad input ---------------------------------------------------------------------------------
GAPPY = np.where(np.arange(600).reshape(300, 2) == 7, np.nan, X)


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (lambda: plot.ellipses(TWO, ("wait", "eruptoin")), "did you mean 'eruption'"),
        (lambda: plot.ellipses(TWO, (0, 2)), "columns from 0 to 1"),
        (lambda: plot.ellipses(TWO, [0]), "expected two columns in ellipses, got 1; histogram"),
        (lambda: plot.scatter(LINE, [[1.0]]), "at least two columns in scatter, got one of 1"),
        (lambda: plot.density(TWO, (0, 1, 0)), "distinct columns"),
        (lambda: plot.histogram(TWO, X, [0, 1]), "expected one column in histogram, got 2"),
        (lambda: plot.histogram(TWO, X, bins=0), "bins as a whole number"),
        (lambda: plot.scatter(TWO, X, most=0), "most as a whole number of at least 1, got 0"),
        (lambda: plot.histogram(TWO, X, limits=(3, 1)), r"limits as \(low, high\)"),
        (lambda: plot.scatter(TWO, GAPPY), "NaN or infinity in 1 row; drop"),
        (lambda: plot.scatter(TWO, X[:, :1]), r"X of shape \(n, 2\) \(eruption, wait\)"),
        (lambda: plot.scatter(TWO, X[:0]), "at least one row in X"),
        (lambda: plot.scatter(TWO, X, weights=np.ones(3)), r"expected weights of shape \(300,\)"),
        (lambda: plot.scatter(mx.GaussianMixture(2), X), "got GaussianMixture; call fit"),
        (lambda: plot.scatter(None, X), "expected a Mixture or a fitted estimator, got NoneType"),
        (lambda: plot.scatter(TWO, X, ax=plt), "expected ax as one matplotlib Axes, got module"),
        (lambda: plot.scatter(TWO, X, ax=np.array([blank()])), r"pass one of them, such as ax\[0"),
        (lambda: plot.scatter(TWO, X, ax=blank(), palette="dark"), "a mixtura.plot.Palette"),
        (lambda: plot.scatter_matrix(TWO, X, []), "at least one column"),
        (lambda: plot.scatter_matrix(TWO, X, fig=blank()), "fig as a matplotlib Figure, got Axes"),
        (lambda: plot.ellipses(TWO, shares=1.0), "shares between 0 and 1"),
        (lambda: plot.ellipses(TWO, shares=()), "shares between 0 and 1"),
        (lambda: plot.bic([]), "nothing was tried"),
        (lambda: plot.bic([TRIALS[3]]), "nothing could be fitted"),
        (lambda: plot.bic(mx.GaussianMixture(2).fit(X)), "fitted as one; set n_components"),
        (lambda: plot.bic(mx.GaussianMixture("auto")), "before a fit"),
        (lambda: plot.bic(3), "a list of dicts"),
        (lambda: plot.bic("full"), "a list of dicts"),
        (lambda: plot.trace([]), "at least one log-likelihood"),
        (lambda: plot.trace([1.0, np.nan]), "got nan in place 1"),
        (lambda: plot.trace(mx.GaussianMixture(2)), r"got GaussianMixture; call fit\(\)"),
        (lambda: plot.trace([1.0, 2.0], iterations=[2, 1]), "ascending whole numbers"),
        (lambda: plot.certainty(TWO.marginal([0]).reduce(1), X[:, :1]), "at least two components"),
        (lambda: plot.pit([0.5, 1.5]), "values between 0 and 1"),
        (lambda: plot.pit([0.5, np.nan]), "values between 0 and 1"),
        (lambda: plot.pit(np.zeros((0, 2))), "shape"),
        (lambda: plot.pit([0.5], names=["a", "b"]), "expected 1 names"),
        (lambda: plot.band(TWO, [1, 2]), "expected a Conditional or a fitted MixtureRegressor"),
        (lambda: plot.band(mx.MixtureRegressor(2), [1, 2]), r"call fit\(\) first"),
        (lambda: plot.band(TWO.conditional([0]), [1.0]), "at least two points"),
        (lambda: plot.band(TWO.conditional([0]), [1.0, np.nan]), "finite numbers as x"),
        (lambda: plot.band(TWO.conditional([0]), [1, 2], output="speed"), "among wait"),
        (lambda: plot.band(TWO.conditional([0]), [1, 2], centre="mode"), "'mean' or 'median'"),
    ],
)
def test_bad_input_is_told_and_draws_nothing(draw, said):
    before = plt.get_fignums()
    with pytest.raises(InputError, match=said):
        draw()
    assert plt.get_fignums() == before


def test_a_law_given_two_columns_is_told_how_to_fix_one():
    mix = mx.Mixture([1.0], [[0.0, 0.0, 0.0]], [1.0])
    with pytest.raises(InputError, match="given one column, got 2; fix the others first"):
        plot.band(mix.conditional([0, 1]), [1.0, 2.0])


def test_tensors_and_frames_are_drawn_like_arrays():
    torch = pytest.importorskip("torch")
    pandas = pytest.importorskip("pandas")
    arrays = plot.scatter(TWO, X, ax=blank())
    tensors = plot.scatter(TWO.to("torch"), torch.tensor(X), ax=blank())
    frame = pandas.DataFrame(X[:, ::-1], columns=["wait", "eruption"])
    for other in (tensors, plot.scatter(TWO, frame, ax=blank())):
        for a, b in zip(arrays.lines, other.lines, strict=True):
            assert_allclose(a.get_xydata(), b.get_xydata())


# ---- colours -----------------------------------------------------------------------------------
def linear(colour):
    """Linear light of an sRGB colour."""
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(light):
    """CIE L*a*b* of linear light, for a white of D65."""
    matrix = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.array(matrix) @ np.clip(light, 0, 1) / [0.9505, 1.0, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


#: What red- and green-blind eyes see of linear light (Machado, Oliveira & Fernandes 2009).
BLIND = {
    "none": np.eye(3),
    "red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998]],
    "green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
              [-0.011820, 0.042940, 0.968881]],
}  # fmt: skip


def components_can_be_told_apart(palette):
    for matrix in BLIND.values():
        seen = [lab(np.array(matrix) @ linear(colour)) for colour in palette.components]
        for (i, a), (j, b) in itertools.combinations(enumerate(seen), 2):
            assert np.linalg.norm(a - b) > (20 if j < 6 else 12), (i, j)
    for colour in palette.components:
        luminance = [0.2126, 0.7152, 0.0722] @ linear(colour)
        assert 1.05 / (luminance + 0.05) > 3, colour


def test_components_can_be_told_apart():
    components_can_be_told_apart(plot.LIGHT)
    red_and_green = replace(
        plot.LIGHT, components=("#b5482a", "#6f7a24", *plot.LIGHT.components[2:])
    )
    with pytest.raises(AssertionError):
        components_can_be_told_apart(red_and_green)
    with pytest.raises(AssertionError):
        components_can_be_told_apart(replace(plot.LIGHT, components=("#ffe34d",)))


# ---- the report's figures ----------------------------------------------------------------------
def test_the_reports_figures_hold_no_colour_and_no_id_twice():
    rows = Rows(x=X, weight=weights_for(len(X)))
    drawn = [
        figures.trace_figure(TRACE.tolist()),
        *(one["svg"] for one in figures.densities(TWO, rows, ("a <b>", "wait"), [1, 0])),
        figures.certainty_figure(TWO, rows),
        figures.pit_figure(np.random.default_rng(0).uniform(size=(90, 2)), ["a", "b"]),
        figures.bic_curve(TRIALS, (2, "full")),
        figures.scatter_matrix(TWO, rows, ("a", "b"))["svg"],
    ]
    ids = []
    for text in drawn:
        element = ET.fromstring(text)
        assert element.attrib["role"] == "img"
        assert len(element.attrib["aria-label"]) > 20
        assert not re.search(r"#[0-9a-f]{6}\b", text)
        ids += re.findall(r'\bid="([^"]*)"', text)
        for reference in re.findall(r'(?:href="|url\()#([^")]*)', text):
            assert reference in ids
    assert len(ids) == len(set(ids))
    assert any('id="bic-label-full"' in text for text in drawn)


def test_the_report_leaves_out_what_says_nothing():
    one = TWO.reduce(1)
    assert figures.certainty_figure(one, Rows(x=X)) is None
    assert figures.trace_figure([-3.0, -2.0]) is None
    assert figures.trace_figure([-3.0, -3.0, -3.0]) is None
    thinned = {"n_iter": [1, 5, 30], "log_likelihood": [-4.0, -3.0, -2.9]}
    assert "over 30 iterations" in figures.trace_figure(thinned)
    assert figures.bic_curve(TRIALS[:1], (2, "full")) is None


@pytest.mark.parametrize("d", [3, 4, 5, 6])
def test_long_names_do_not_meet_their_neighbours(d):
    names = ["W" * 3 + "n" * 25 + str(j) for j in range(d)]
    mix = mx.Mixture([1.0], [np.zeros(d)], [1.0], columns=names)
    fig = mx.plot.scatter_matrix(mix, mix.sample(30, rng=0))
    fig.canvas.draw()
    boxes = [ax.xaxis.label.get_window_extent() for ax in fig.axes if ax.xaxis.label.get_text()]
    assert len(boxes) == d
    for left, right in itertools.pairwise(sorted(boxes, key=lambda box: box.x0)):
        assert left.x1 < right.x0
