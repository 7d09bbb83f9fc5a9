"""The report: it holds all it shows, says what is so, and escapes what users name."""

from __future__ import annotations

import itertools
import re
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import numpy as np
import pytest

import mixtura as mx
from mixtura.errors import MissingExtraError
from mixtura.report import FitCheck, render
from mixtura.report.layout import telling
from mixtura.report.numbers import number, pair, percent, seconds
from mixtura.sources import Rows


def page_of(mixture, rows=None, **info):
    """A page about a mixture and rows drawn from it, as rows that it was fitted to."""
    rows = Rows(x=mixture.sample(400, rng=0)) if rows is None else rows
    told = {
        "data": "data.csv",
        "n_rows": rows.n,
        "n_components": mixture.k,
        "covariance_type": "full",
        "bic": 1234.5,
        "log_likelihood": -2.5,
        "n_parameters": 11,
        "seed": 0,
        "trials": [],
        "created": "2026-01-02T03:04:05+00:00",
    }
    check = FitCheck(True, True, rows.n, rows.n, why="none was made here")
    return render(None, mixture, rows, {**told, **info}, check=check)


def trial(k, structure, bic, error=None, converged=True):
    return {
        "n_components": k, "covariance_type": structure, "bic": bic, "log_likelihood": -bic / 544,
        "n_parameters": 6 * k - 1, "n_iter": 12, "converged": converged, "seconds": 0.1,
        "error": error,
    }  # fmt: skip


def mixture_of(k, d, columns=None, seed=0):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(k, d, d)) / np.sqrt(d) + np.eye(d)
    weights = rng.uniform(1, 3, size=k)
    columns = columns or [f"v{j}" for j in range(d)]
    covariance = root @ root.transpose(0, 2, 1)
    return mx.Mixture(weights, 4 * rng.normal(size=(k, d)), covariance, columns=columns)


@pytest.fixture(scope="module")
def three():
    return mixture_of(3, 3)


@pytest.fixture(scope="module")
def page(three):
    trials = [trial(2, "full", 1300.0), trial(3, "full", 1234.5), trial(3, "tied", 1250.0)]
    return page_of(three, trials=trials)


class Outline(HTMLParser):
    """The page's elements, and whether every one that opens is closed."""

    void = frozenset({"meta", "br", "hr", "img", "input", "link", "wbr", "path", "use"})

    def __init__(self, text):
        super().__init__()
        self.open, self.elements = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), tuple(self.open)))
        if tag not in self.void:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), tuple(self.open)))

    def handle_endtag(self, tag):
        if tag not in self.void:
            assert self.open.pop() == tag

    def all(self, tag):
        return [(attrs, path) for name, attrs, path in self.elements if name == tag]


def figures(text):
    return [ET.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)]


def strays(text):
    """What would make a browser ask for something that the page does not hold."""
    found = re.findall(
        r"https?:|//[a-z]|@import|javascript:|<(?:script|link|img|iframe|object)", text
    )
    found += [url for url in re.findall(r"url\(([^)]*)\)", text) if not url.startswith("#")]
    found += [at for at in re.findall(r'(?:src|href)="([^"]*)"', text) if not at.startswith("#")]
    return found


# ------------------------------------------------------------------ the page as a document


def test_the_page_asks_nothing_of_the_network(page):
    assert strays(page) == []


@pytest.mark.parametrize(
    "addition",
    [
        '<script src="x.js">',
        "<style>@import 'x.css'</style>",
        '<img src="a.png">',
        '<link rel="stylesheet" href="s.css">',
        "<p style='background:url(http://x/y.png)'>",
    ],
)
def test_a_page_that_asks_is_found_out(page, addition):
    assert strays(page.replace("</main>", addition + "</main>")) != []


def test_the_page_is_well_formed(page):
    outline = Outline(page)
    assert outline.open == []
    assert page.startswith("<!doctype html>")
    assert outline.all("html")[0][0]["lang"] == "en"
    ids = re.findall(r'\bid="([^"]*)"', page)
    assert len(ids) == len(set(ids))
    for reference in re.findall(r'(?:href="|url\()#([^")]*)', page):
        assert reference in ids
    for labelled in re.findall(r'aria-labelledby="([^"]*)"', page):
        assert labelled in ids


def test_headings_tables_and_figures_are_named(page):
    outline = Outline(page)
    levels = [int(tag[1]) for tag, *_ in outline.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    # Three cards, confused components, least likely rows, fits; and as many figures.
    assert 5 <= len(outline.all("table")) == len(outline.all("caption")) <= 6
    assert len(outline.all("figure")) == len(outline.all("figcaption")) == 6
    assert len(outline.all("svg")) == 6
    for attrs, _ in outline.all("svg"):
        assert attrs["role"] == "img"
        assert len(attrs["aria-label"]) > 20
    for attrs, path in outline.all("th"):
        assert attrs["scope"] in ("row", "col"), path


def test_light_and_dark_are_both_told(page):
    light, dark = page.split("prefers-color-scheme: dark")
    names = set(re.findall(r"(--[a-z0-9]+):", light))
    assert {f"--c{i}" for i in range(10)} <= names
    fonts = {"--text", "--display", "--mono"}
    assert set(re.findall(r"(--[a-z0-9]+):", dark.split("}\n}")[0])) == names - fonts
    used = set(re.findall(r"var\((--[a-z0-9]+)\)", page))
    assert used - {"--own"} <= names
    # Figures follow the theme: they hold no colour of their own.
    for svg in re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL):
        assert not re.search(r"#[0-9a-f]{6}\b", svg)


def test_names_are_escaped_everywhere():
    evil = ["<script>alert(1)</script>", 'a"b&c', "$x_{1}$ <!-- -->", "x^$ \\frac{1}{0}"]
    mixture = mixture_of(2, 4, evil)
    text = page_of(
        mixture,
        data="<img src=x onerror=alert(1)>.csv",
        model="</code><script>alert(2)</script>.safetensors",
        left_out=[["<b>bold</b>", "text, such as '<i>'"]],
        notes=["<u>note</u>"],
        weights_column="<w>",
        weight_sum=3.0,
        trials=[trial(1, "full", 10.0, error="<s>error</s>"), trial(2, "full", 9.0)],
    )
    outline = Outline(text)
    assert outline.open == []
    assert strays(text.replace("&lt;", "")) == []
    tags = {tag for tag, *_ in outline.elements}
    assert tags.isdisjoint({"script", "img", "b", "u", "s", "w"})
    assert "<!--" not in text
    for name in evil:
        shown = re.sub(r"<wbr>", "", text)
        assert name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")[:6] in shown
    drawn = ["".join(svg.itertext()) for svg in figures(text)]
    assert any("<script>alert(1)</script>" in words for words in drawn)
    assert any("$x_{1}$ <!-- -->" in words for words in drawn)


# ------------------------------------------------------------------ what it says


def test_facts_and_components(three, page):
    words = re.sub(r"<[^>]*>", "", page.replace("<wbr>", ""))
    assert (
        "3 Gaussian components describe 400 rows in 3 columns; chosen by BIC among 3 fits." in words
    )
    sd = np.sqrt(three.covariance.diagonal())
    for k in range(3):
        assert f"Component {k}" in words
        assert percent(float(three.weights[k])) in words
        for j in range(3):
            assert pair(three.means[k, j], sd[k, j], raised=True).replace("-", "−") in words


def test_the_strongest_correlation_is_the_strongest(three, page):
    said = re.findall(
        r"Strongest correlation: (\w+) and (\w+), .*?</i> = (\S+)</span>; "
        r"one unit more of (\w+) goes with (\S+) in",
        page,
    )
    assert len(said) == 3
    for k, (first, second, r, same, slope) in enumerate(said):
        cov = three.covariance.dense()[k]
        sd = np.sqrt(np.diag(cov))
        correlation = cov / np.outer(sd, sd)
        i, j = three.columns.index(first), three.columns.index(second)
        assert abs(correlation[i, j]) == np.abs(correlation - np.eye(3)).max()
        assert float(r.replace("−", "-")) == pytest.approx(correlation[i, j], abs=0.006)
        assert same == first
        slope = float(slope.replace("−", "-").replace(",", ""))
        assert slope == pytest.approx(cov[i, j] / cov[i, i], rel=0.01)


def test_structures_without_correlations_claim_none():
    mixture = mx.Mixture([1.0, 2.0], [[0.0, 0.0], [5.0, 5.0]], np.ones((2, 2)))
    assert "Strongest correlation" not in page_of(mixture)


def test_the_bic_table_is_sorted_and_marks_the_model_kept(three):
    trials = [
        trial(1, "full", 1400.0),
        trial(3, "full", 1234.5),
        trial(4, "full", -5e6, error="component 1 shrank"),
        trial(2, "full", 1300.0, converged=False),
        trial(2, "tied", float("nan"), error="no start"),
    ]
    text = page_of(three, trials=trials)
    rows = re.findall(r"<tr[^>]*>\s*<td class=\"num\">(\d+)</td>(.*?)</tr>", text, flags=re.DOTALL)
    assert [int(k) for k, _ in rows] == [3, 2, 1, 4, 2]
    assert ["kept" in row for _, row in rows] == [True, False, False, False, False]
    assert "+65.5" in rows[1][1]
    assert "not converged" in rows[1][1]
    assert "component 1 shrank" in rows[3][1]
    assert "5,000,000" not in text
    assert text.count('class="chosen"') == 1


def test_one_fit_has_no_curve(three):
    for text in (page_of(three, trials=[trial(3, "full", 1234.5)]), page_of(three)):
        assert not [svg for svg in figures(text) if "BIC" in svg.attrib["aria-label"]]


def test_the_trace_is_drawn_where_it_rose(three):
    def kept(*values):
        return {"n_iter": list(range(1, len(values) + 1)), "log_likelihood": list(values)}

    rising = page_of(three, trace=kept(-4.0, -3.0, -2.5))
    assert "log-likelihood per row at each of its 3 iterations, from −4.0000 to −2.5000" in rising
    assert any("3 iterations" in svg.attrib["aria-label"] for svg in figures(rising))
    flat = page_of(three, trace=kept(-4.0, -4.0, -3.9999999))
    assert "stood at −4.0000 nats per row from the first of its 3 iterations on" in flat
    assert "How it was fitted" in flat
    for text in (flat, page_of(three), page_of(three, trace=kept(-4.0, -3.0))):
        assert not any("iterations" in svg.attrib["aria-label"] for svg in figures(text))


def test_of_many_components_and_columns_a_page_shows_some(monkeypatch):
    monkeypatch.setattr("mixtura.report.cards.MOST_CARDS", 5)
    monkeypatch.setattr("mixtura.report.cards.LINES", 50)
    means = 9 * np.random.default_rng(0).normal(size=(7, 30))
    weights = [1.0, 3.0, 1.0, 3.0, 3.0, 3.0, 3.0]
    text = page_of(mx.Mixture(weights, means, np.ones((7, 30))))
    assert re.findall(r'id="component-(\d+)"', text) == ["1", "3", "4", "5", "6"]
    assert "the 5 of 7 components" in text
    assert text.count("<summary>10 more columns") == 5
    assert text.count("10 further columns: mixtura describe --json lists all.") == 5


def test_left_out_columns_and_notes_are_told(three):
    text = page_of(three, left_out=[["id", "an identifier"]], notes=["decimal commas"])
    assert "Columns left out: id (an identifier)." in text
    assert "decimal commas" in text


def test_an_interrupted_fit_is_said_to_be_one(three):
    text = page_of(three, interrupted=True, bic=None, n_parameters=None)
    assert "The fit was interrupted" in text
    assert "None" not in text


def test_a_bare_model_can_be_reported(three):
    text = render(None, three, Rows(x=three.sample(50, rng=0)), {})
    assert Outline(text).open == []
    assert "None" not in text


def test_the_page_is_written_where_asked(three, tmp_path):
    rows = Rows(x=three.sample(50, rng=0))
    text = render(tmp_path / "r.html", three, rows, {})
    assert (tmp_path / "r.html").read_text(encoding="utf8") == text


# ------------------------------------------------------------------ figures


def panels(text):
    """All words in the scatter matrix."""
    scatter = next(svg for svg in figures(text) if "Scatter" in svg.attrib["aria-label"])
    return "".join(scatter.itertext())


def test_at_most_six_columns_are_drawn_and_that_is_said():
    mixture = mixture_of(3, 9)
    text = page_of(mixture)
    shown = [mixture.columns[j] for j in telling(mixture, 6)]
    assert f"Scatter plots of {', '.join(shown)} with the 3 components" in text
    assert "The 6 of 9 columns on which the components differ most." in text
    assert len(shown) == 6
    drawn = panels(text)
    assert [name in drawn for name in mixture.columns] == [n in shown for n in mixture.columns]


def test_columns_that_tell_components_apart_are_preferred():
    means = np.zeros((2, 8))
    means[1, [2, 5]] = 10.0
    assert telling(mx.Mixture([1, 1], means, np.ones((2, 8))), 2) == [2, 5]
    covariance = np.eye(8)
    covariance[2, 5] = covariance[5, 2] = 0.999  # 5 repeats 2: something else is worth more
    means[1, 7] = 1.0
    assert telling(mx.Mixture([1, 1], means, np.stack([covariance] * 2)), 2) == [2, 7]


def dots(text):
    """Rows drawn: lines of no length, all in paths with round ends."""
    paths = re.findall(r'<path d="([^"]*)"[^>]*stroke-linecap: round', text)
    return sum(len(re.findall(r"M\S+ \S+h0", path)) for path in paths)


def test_at_most_three_thousand_rows_are_drawn():
    mixture = mixture_of(2, 2)
    few = page_of(mixture, Rows(x=mixture.sample(500, rng=1)))
    assert 480 < dots(few) <= 500
    assert "All 500 rows" in few
    many = page_of(mixture, Rows(x=mixture.sample(20_000, rng=1)))
    assert 2900 < dots(many) <= 3000
    assert "A random 3,000 of 20,000 rows" in many


def test_rows_of_no_weight_are_not_drawn():
    mixture = mixture_of(2, 2)
    x = mixture.sample(500, rng=1)
    weight = np.zeros(500)
    weight[:200] = 2.0
    text = page_of(mixture, Rows(x=x, weight=weight))
    assert dots(text) <= 200
    assert "All 200 rows" in text


def test_ellipses_hold_what_they_claim(monkeypatch):
    from matplotlib.patches import Ellipse

    from mixtura.report import svg

    seen = []
    inline = svg.inline
    monkeypatch.setattr(svg, "inline", lambda fig, *rest: seen.append(fig) or inline(fig, *rest))
    mixture = mx.Mixture([1.0], [[3.0, -2e6]], [[[4.0, 3e6], [3e6, 9e12]]])
    page_of(mixture)
    axes = next(ax for ax in seen[0].axes if any(isinstance(p, Ellipse) for p in ax.patches))
    inner, outer = (p for p in axes.patches if isinstance(p, Ellipse))
    x = mixture.sample(20_000, rng=2)
    at = axes.transAxes.inverted().transform(axes.transData.transform(x))
    for ellipse, share in ((inner, 0.5), (outer, 0.9)):
        turn = np.radians(ellipse.angle)
        centred = (at - ellipse.center) @ np.array(
            [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
        )
        reach = (2 * centred / [ellipse.width, ellipse.height]) ** 2
        assert (reach.sum(axis=1) < 1).mean() == pytest.approx(share, abs=0.012)


@pytest.mark.parametrize(("k", "d"), [(1, 1), (4, 1), (1, 2), (12, 2), (2, 6), (1, 40), (14, 3)])
def test_every_shape_of_mixture_is_drawn(k, d):
    text = page_of(mixture_of(k, d))
    assert Outline(text).open == []
    assert strays(text) == []
    drawn = set(re.findall(r"var\(--c(\d)\)", next(iter(re.findall(r"<svg.*?</svg>", text, re.S)))))
    assert drawn == {str(i) for i in range(min(k, 10))}


def test_extreme_scales_are_drawn_with_their_offsets():
    mixture = mx.Mixture([1.0, 1.0], 1e12 + np.array([[0.0, 0.0], [9.0, 5.0]]), np.ones((2, 2)))
    text = page_of(mixture)
    assert "1,000,000,000,009.0 ± 1.0" in text
    assert "1e12" in panels(text).replace("+", "")
    mixture = mx.Mixture([1.0], [[2e-7, 3e9]], [[1e-16, 1e16]], columns=["small", "large"])
    text = page_of(mixture)
    assert "(2.00 ± 0.10)×10⁻⁷" in text
    assert "(3.00 ± 0.10)×10⁹" in text


def test_far_rows_do_not_squeeze_the_others():
    mixture = mixture_of(2, 2)
    x = mixture.sample(400, rng=1)
    x[7] = 1e6
    assert "One row far from the others lies outside the frame." in page_of(mixture, Rows(x=x))


def test_drawing_leaves_matplotlib_as_it_was(three):
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    loaded = "matplotlib.pyplot" in sys.modules
    page_of(three)
    assert dict(mpl.rcParams) == before
    assert ("matplotlib.pyplot" in sys.modules) == loaded


def test_the_page_is_the_same_every_time(three, page):
    trials = [trial(2, "full", 1300.0), trial(3, "full", 1234.5), trial(3, "tied", 1250.0)]
    assert page_of(three, trials=trials) == page


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_without_the_extra_its_name_is_told(three, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'mixtura\[cli\]'"):
        page_of(three)


# ------------------------------------------------------------------ numbers


@pytest.mark.parametrize(
    ("mean", "sd", "text"),
    [
        (2.0362, 0.2662, "2.04 ± 0.27"),
        (79.968, 6.0, "80.0 ± 6.0"),
        (0.5, 0.0996, "0.50 ± 0.10"),
        (-0.001, 1.0, "0.0 ± 1.0"),
        (1553.4, 370.2, "1,553 ± 370"),
        (1e12 + 1.31, 1.04, "1,000,000,000,001.3 ± 1.0"),
        (1.2e12, 3e11, "(1.20 ± 0.30)e12"),
        (-3.7e-7, 8.9e-7, "(-3.7 ± 8.9)e-7"),
        (0.0, 961286.0, "0 ± 961,286"),
        (5.0, 0.0, "5 ± 0"),
    ],
)
def test_means_with_their_spread(mean, sd, text):
    assert pair(mean, sd) == text


def test_other_numbers():
    assert [number(x) for x in (1234.0, 0.0123456, 1.2346e12, 0.0, None, float("nan"))] == [
        "1,234", "0.01235", "1.235e12", "0", "–", "–",
    ]  # fmt: skip
    assert number(1.3e-11, 3, raised=True) == "1.30×10⁻¹¹"
    assert [percent(x) for x in (0.356, 1.0, 0.0123, 0.00005, 1e-120)] == [
        "35.6%",
        "100.0%",
        "1.2%",
        "0.005%",
        "<0.001%",
    ]
    assert [seconds(t) for t in (0.44, 12.3, 200, 7500)] == [
        "0.4 s",
        "12 s",
        "3 min 20 s",
        "2 h 5 min",
    ]
