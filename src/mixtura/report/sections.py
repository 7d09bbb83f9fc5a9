"""What the page's sections say, as the template takes it: texts, numbers in words, and figures."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from mixtura.report import figures, verdict
from mixtura.report.cards import breakable
from mixtura.report.certainty import LEVELS, certainty
from mixtura.report.fitcheck import FitCheck
from mixtura.report.layout import telling
from mixtura.report.numbers import number, percent
from mixtura.report.observations import Observations
from mixtura.report.reading import Reading
from mixtura.report.svg import N_COLOURS
from mixtura.report.tail import Tail, flags
from mixtura.report.unlikely import unlikely
from mixtura.report.wording import fixed, minus, plural

__all__ = ["certain", "checked", "densities", "flagged", "least_likely", "trace"]

#: Columns whose densities are drawn one by one, and lines of components in them altogether.
DENSITIES, LINES = 12, 240
#: Power of ten below which tails are not told apart.
FAINTEST = -99_999


def densities(mixture: Any, rows: Observations, names: tuple[str, ...]) -> dict[str, Any] | None:
    """A figure per column; none for one exact column, which the figure of the rows shows."""
    noisy = rows.noise is not None
    if mixture.d < 2 and not noisy:
        return None
    columns = telling(mixture, max(2, min(DENSITIES, LINES // mixture.k)))
    some = ""
    if len(columns) < mixture.d and mixture.k > 1:
        most = "on which the components differ most"
        some = f" in the {len(columns)} of {mixture.d:,} columns {most}"
    elif len(columns) < mixture.d:
        some = f" in the first {len(columns)} of {mixture.d:,} columns"
    drawn = figures.densities(mixture, rows, names, columns)
    return {"figures": drawn, "some": some, "noisy": noisy}


def trace(info: dict[str, Any]) -> dict[str, Any] | None:
    """The log-likelihood by iteration; None where the record has none to speak of.

    The figure is left out where nothing was gained that its numbers could show.
    """
    kept = info.get("trace")
    if not kept or len(kept["n_iter"]) < 3:
        return None
    first, last = (minus(f"{kept['log_likelihood'][i]:.4f}") for i in (0, -1))
    return {
        "svg": figures.trace_figure(kept) if first != last else None,
        "iterations": f"{kept['n_iter'][-1]:,}",
        "first": first,
        "last": last,
    }


def certain(mixture: Any, rows: Observations, reading: Reading) -> dict[str, Any]:
    found = certainty(reading)
    return {
        "levels": [(f"{100 * level:g}%", percent(found.above[level])) for level in LEVELS],
        "wrong": percent(found.wrong),
        "pairs": [
            {
                "first": a,
                "second": b,
                "colours": (a % N_COLOURS, b % N_COLOURS),
                "share": percent(share),
                "part": percent(share / found.wrong),
            }
            for a, b, share in found.pairs
        ],
        "svg": figures.certainty_figure(mixture, rows, reading),
    }


def least_likely(
    mixture: Any,
    rows: Observations,
    reading: Reading,
    names: tuple[str, ...],
    tail: Tail | None = None,
) -> list[dict[str, Any]]:
    return [
        {
            "row": f"{row.row:,}",
            "log_density": minus(fixed(row.log_density, 2)),
            "share": "" if row.share is None else _estimated(row.share),
            "component": row.component,
            "colour": row.component % N_COLOURS,
            "cells": [
                (breakable(names[j]), minus(number(value, 5, raised=True)), _tail(tail))
                for j, value, tail in row.cells
            ],
        }
        for row in unlikely(mixture, rows, reading, tail)
    ]


def _estimated(share: float) -> str:
    """A share that was counted among draws: some twenty thousand of them, at the best."""
    return percent(share) if share >= 1e-4 else "<0.01%"


def _tail(log_tail: float) -> str:
    """``0.3%``, or ``10⁻⁴⁰`` where zeros would have to be counted."""
    if log_tail >= math.log(1e-4):
        return percent(math.exp(log_tail))
    raised = str(round(max(log_tail / math.log(10), FAINTEST))).translate(
        str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
    )
    return f"10{raised}" if log_tail / math.log(10) > FAINTEST else f"<10{raised}"


def flagged(
    mixture: Any,
    rows: Observations,
    info: dict[str, Any],
    reading: Reading,
    tail: Tail | None = None,
) -> dict[str, str] | None:
    """How many rows the model would flag as outliers; None where it has no level."""
    level = info.get("outlier_threshold")
    if level is None:
        return None
    share = None if tail is None else tail.share
    below = flags(mixture, rows, reading.log_density, float(level), share)
    live = reading.weight > 0
    return {
        "level": minus(f"{level:.4f}"),
        "rows": f"{int((below & live).sum()):,}",
        "of": plural(int(live.sum()), "row"),
        "expected": percent(float(info.get("outlier_quantile", 0.01))),
    }


def _raised(text: str) -> Any:
    """``e^0.78`` with its exponent raised, the rest escaped."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"\be\^([\d.,]*\d)", r"e<sup>\1</sup>", str(escape(text))))


def checked(check: FitCheck, info: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    training = info.get("log_likelihood") if check.model is not None else None
    told: dict[str, Any] = {
        "how": verdict.how(check),
        "facts": verdict.facts(check, training),
        "verdict": _raised(verdict.verdict(check)),
        "whose": verdict.whose(check),
        "svg": None,
    }
    if check.values is not None and len(check.values):
        said, labels = verdict.reading_of_transforms(check, names)
        told["svg"] = figures.pit_figure(np.asarray(check.values), labels, check.weight)
        told["said"] = said
        told["n"] = len(labels)
        told["whole"] = check.values.shape[1] > len(check.columns)
    return told
