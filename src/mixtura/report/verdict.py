"""The check of fit in words: for the page in sentences, for the terminal in one line.

A gain of g nats per row means that a row is, on (geometric) average, e^g times as likely.
"""

from __future__ import annotations

import math

import numpy as np

from mixtura.report import pit
from mixtura.report.crossvalidate import FOLDS
from mixtura.report.fitcheck import FitCheck
from mixtura.report.numbers import number, pair, percent
from mixtura.report.wording import listed, minus, plural

__all__ = ["brief", "facts", "how", "reading_of_transforms", "verdict", "whose"]

#: Gains beyond so many nats are not turned into a factor that nobody can picture.
MOST_NATS = 30.0


def facts(check: FitCheck, training: float | None) -> list[tuple[str, str]]:
    """Terms and values; ``training`` is the log-likelihood per row among the rows fitted."""
    if check.model is None:
        return []
    term = "Log-likelihood per held-out row" if check.fitted else "Log-likelihood per row here"
    found = [(term, nats(check.model))]
    if check.gaussian is not None and check.gain is not None:
        found.append(("The same under one Gaussian", nats(check.gaussian)))
        found.append(("Difference ± standard error", _gain(check) + " nats"))
    if training is not None:
        found.append(("Log-likelihood per fitted row", nats(training)))
    return found


def how(check: FitCheck) -> str:
    """What was held against what, in a sentence or two."""
    drawn = f", of {plural(check.used, 'row')} drawn at random" if check.used < check.n else ""
    if check.fitted and not check.why:
        against = (
            " One Gaussian with a covariance of its own went the same way."
            if check.gaussian is not None
            else ""
        )
        return (
            "A model looks better than it is on the rows it was fitted to. So its structure and "
            "number of components were fitted again, from scratch, to four fifths of the rows, and "
            f"tried on the fifth left out; {FOLDS} times, until every row had been left "
            f"out once{drawn}.{against}"
        )
    if check.fitted:
        return (
            "The rows are those that the model was fitted to, so they must be held out from a "
            f"refit to be a check. There is no such number here: {check.why}."
        )
    if not check.recorded:
        said = (
            "The model holds no record of the rows it was fitted to. If these are among them, the "
            "numbers flatter it."
        )
    else:
        said = (
            "These are not exactly the rows that the model was fitted to (they may be part of "
            "them), so it is tried as it is."
        )
    if check.gaussian is not None:
        said += " One Gaussian stands beside it, with the model’s own mean and covariance."
    return said + (f" No Gaussian stands beside it: {check.why}." if check.why else "")


def verdict(check: FitCheck) -> str:
    """What the numbers mean; empty where there is none."""
    if check.model is None:
        return ""
    if check.gain is None:
        same = "" if check.why else "The model is one Gaussian itself: there is none to beat."
        return same
    rows = "row that the fit has not seen" if check.fitted else "row"
    if check.se is None or abs(check.gain) <= 2 * check.se:
        sure = "" if check.se is None else f", no more than chance (2 × {number(check.se, 2)}),"
        return (
            f"The difference of {minus(number(check.gain, 2))} nats per row{sure} does not tell "
            "the mixture from one Gaussian."
        )
    times = _times(abs(check.gain))
    if check.gain > 0:
        return f"A {rows} is on average {times} as likely under the mixture as under one Gaussian."
    return (
        f"A {rows} is on average {times} as likely under one Gaussian as under the mixture: "
        + ("fewer components, or a simpler structure, would describe new rows better."
           if check.fitted else "here one Gaussian describes the rows better.")
    )  # fmt: skip


def brief(check: FitCheck) -> str:
    """One line for the terminal."""
    if check.model is None:
        return f"no held-out number: {check.why}"
    where = f"{FOLDS}-fold held-out" if check.fitted else "these"
    said = f"{_fixed(check.model)} nats per row on {where} rows"
    if check.gain is None or check.gaussian is None:
        return said + (f"; {check.why}" if check.why else "; the model is one Gaussian")
    se = "" if check.se is None else f" ± {number(check.se, 2)}"
    ahead = "ahead" if check.gain >= 0 else "behind"
    if check.se is None:
        means = ""
    elif abs(check.gain) <= 2 * check.se:
        means = ", no more than chance"
    else:
        way = "" if check.gain > 0 else "un"
        means = f" (a row is {_times(abs(check.gain))} as {way}likely)"
    by = f"{ahead} by {number(abs(check.gain), 2)}{se}{means}"
    return f"{said}, one Gaussian {_fixed(check.gaussian)}: {by}"


def reading_of_transforms(check: FitCheck, names: tuple[str, ...]) -> tuple[str, list[str]]:
    """How to read the figure, and the names of its columns."""
    assert check.values is not None
    labels = [names[j] for j in check.columns]
    if check.values.shape[1] > len(labels):
        labels.append("whole row")
    away = pit.departure(check.values, check.weight)
    numbers = pit.effective(check.values, check.weight)
    limits = [pit.chance(float(number), len(labels)) for number in numbers]
    limit = max(limits)
    far = [i for i in np.argsort(-away, kind="stable") if away[i] > limits[i]]
    worst = int(np.argmax(away))
    if far and limit > min(limits):
        told = listed(
            [f"{labels[i]} ({percent(float(away[i]))}, chance {percent(limits[i])})" for i in far]
        )
        said = (
            f"More than chance: {told}; the percentage is the line’s largest distance from zero, "
            "and beside it stands what chance explains of it in so many values."
        )
    elif far:
        told = listed([f"{labels[i]} ({percent(float(away[i]))})" for i in far])
        said = (
            f"Outside the band: {told}; the percentage is the line’s largest distance from zero, "
            f"of which chance explains {percent(limit)}."
        )
    else:
        what = "The line stays inside: its" if len(labels) == 1 else "All lines stay inside: the"
        whose = "" if len(labels) == 1 else f", of {labels[worst]},"
        said = (
            f"{what} largest distance from zero{whose} is {percent(float(away[worst]))}, and "
            f"chance explains up to {percent(limit)}."
        )
    if limit > min(limits):
        said += (
            " As cells are missing, columns differ in their number of values; the band is that of "
            "the column with the fewest. Where other columns decide whether a cell is seen, its "
            "column’s line may leave the band of a model that is right."
        )
    if check.tied:
        said += (
            f" Many rows share their value of {listed([names[j] for j in check.tied])}, as where "
            "numbers are rounded: rows that share a value are spread at random over the interval "
            "that reaches half way to the values next to it, on either side."
        )
    return said, labels


def whose(check: FitCheck) -> str:
    """Which rows the transforms are of."""
    if not check.unseen:
        return "rows that the model was fitted to, which flatters it"
    if check.fitted:
        return "held-out rows, each under the refit that has not seen it"
    return "the rows of this page under the model as it is"


def nats(value: float) -> str:
    """``−4.2031 nats``."""
    return minus(f"{_fixed(value)} nats")


def _fixed(value: float) -> str:
    return f"{value:,.4f}" if abs(value) < 1e6 else f"{value:.6g}"


def _gain(check: FitCheck) -> str:
    assert check.gain is not None
    if check.se is None:
        return minus(f"{check.gain:+.4g}")
    sign = "+" if check.gain > 0 else ""
    return sign + minus(pair(check.gain, check.se, raised=True))


def _times(gain: float) -> str:
    """``e^0.78 ≈ 2.2 times``: both are rounded."""
    power = (
        f"{gain:,.0f}" if gain >= 10 else np.format_float_positional(float(f"{gain:.2g}"), trim="-")
    )
    if gain > MOST_NATS:
        return f"e^{power} times"
    factor = math.exp(gain)
    digits = 2 if factor >= 1.5 else 3 if factor >= 1.05 else 2 - math.floor(math.log10(gain))
    return f"e^{power} ≈ {number(factor, digits, raised=True)} times"
