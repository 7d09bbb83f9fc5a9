"""What each component's card says: weight, means and spreads, strongest correlation, what sets
it apart."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from mixtura.report.apart import sentence
from mixtura.report.layout import separation, telling
from mixtura.report.numbers import number, pair, percent
from mixtura.report.reading import Reading
from mixtura.report.svg import N_COLOURS
from mixtura.report.wording import minus

__all__ = ["MOST_CARDS", "breakable", "cards"]

#: Columns that a card shows at once; the rest unfold, as far as a page of so many lines allows.
CARD_COLUMNS, LINES = 10, 4000
#: Cards on a page: of more components, those of greatest weight.
MOST_CARDS = 100
#: Columns searched for a component's strongest correlation.
CORRELATED_COLUMNS = 300


def breakable(name: str) -> Any:
    """The name, escaped, with places for line breaks: after ``_ . - /``, or every so often."""
    from markupsafe import Markup, escape

    parts = re.split(r"(?<=[_./-])(?=[^\W_])", name)
    short = [part[at : at + 16] for part in parts for at in range(0, max(len(part), 1), 16)]
    return Markup("<wbr>").join(escape(part) for part in short)


def cards(
    mixture: Any, names: tuple[str, ...], rows: Any, reading: Reading, fitted: bool
) -> list[dict[str, Any]]:
    """The cards, in the components' order.

    Parameters
    ----------
    mixture : Mixture
    names : tuple of str
        Of the d columns.
    rows : Rows
    reading : Reading
    fitted : bool
        Whether these are the rows fitted; the shares of others are told beside the weights.
    """
    order = np.argsort(-separation(mixture), kind="stable")
    shown = telling(mixture, CARD_COLUMNS)
    rest = [j for j in range(mixture.d) if j not in set(shown)]
    sd = np.sqrt(mixture.covariance.diagonal())
    low = (mixture.means - 2 * sd).min(axis=0)
    high = (mixture.means + 2 * sd).max(axis=0)
    ties = _correlations(mixture, [int(j) for j in order[:CORRELATED_COLUMNS]])
    heaviest = np.argsort(-np.asarray(mixture.weights), kind="stable")[:MOST_CARDS]
    unfold = rest[: LINES // min(mixture.k, MOST_CARDS)]
    total = rows.total_weight

    def line(k: int, j: int) -> dict[str, Any]:
        width = (high[j] - low[j]) or 1.0
        return {
            "name": breakable(names[j]),
            "value": minus(pair(mixture.means[k, j], sd[k, j], raised=True)),
            "at": round(100 * float((mixture.means[k, j] - low[j]) / width), 1),
            "from": round(100 * float((mixture.means[k, j] - sd[k, j] - low[j]) / width), 1),
            "wide": round(100 * float(2 * sd[k, j] / width), 1),
        }

    made = []
    for k in sorted(int(k) for k in heaviest):
        weight = float(mixture.weights[k])
        about = f"about {weight * total:,.0f}" if weight * total >= 0.5 else "less than one"
        made.append(
            {
                "number": k,
                "colour": k % N_COLOURS,
                "weight": percent(weight),
                "share": round(100 * weight, 2),
                "rows": about if fitted and rows.weight is None else "",
                "here": "" if fitted else percent(float(reading.share[k])),
                "apart": sentence(mixture, k, names),
                "lines": [line(k, j) for j in shown],
                "rest": [line(k, j) for j in unfold],
                "unsaid": len(rest) - len(unfold),
                "correlation": _tie(ties[k], names) if ties else None,
            }
        )
    return made


def _correlations(mixture: Any, among: list[int]) -> list[Any]:
    """For each component (r, slope, from, to) of the strongest correlation, or None."""
    if mixture.d < 2:
        return []
    part = mixture if len(among) == mixture.d else mixture.marginal(among)
    columns = list(range(mixture.d)) if len(among) == mixture.d else among
    found: list[Any] = []
    for k in range(mixture.k):
        cov = np.asarray(part.covariance.take([k]).dense()[0])
        sd = np.sqrt(np.diag(cov))
        r = cov / np.outer(sd, sd)
        np.fill_diagonal(r, 0.0)
        i, j = sorted(np.unravel_index(np.abs(r).argmax(), r.shape))
        if abs(r[i, j]) < 1e-12:
            found.append(None)
        else:
            slope = float(cov[i, j] / cov[i, i])
            found.append((float(r[i, j]), slope, columns[i], columns[j]))
    return found


def _tie(tie: Any, names: tuple[str, ...]) -> dict[str, str] | None:
    """A correlation in words and in the user's units."""
    if tie is None:
        return None
    r, slope, i, j = tie
    return {
        "first": names[i],
        "second": names[j],
        "r": minus(f"{r:+.2f}"),
        "change": ("+" if slope > 0 else "−") + number(abs(slope), 3, raised=True),
    }
