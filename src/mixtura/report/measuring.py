"""What was missing from a table and how exact it was: by column, and the commonest patterns.

A column's errors are told by their median, by the range of the middle 90%, and by the part of the
variance of what is measured that they make up, s̄ / (s̄ + σ²), σ² the variance without errors.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mixtura.report.cards import breakable
from mixtura.report.numbers import number, percent
from mixtura.report.observations import Observations
from mixtura.report.wording import plural

__all__ = ["patterns", "told"]

#: Lines of either table at most, and columns named in one pattern.
MOST_COLUMNS, MOST_PATTERNS, MOST_NAMES = 60, 8, 6


def told(mixture: Any, rows: Observations, names: tuple[str, ...]) -> dict[str, Any] | None:
    """Texts and tables of the page's section; None where rows are whole and exact."""
    if not rows.measured and not rows.empty:
        return None
    noisy, gaps = rows.noise is not None, rows.gaps or rows.empty > 0
    counts = rows.missing.sum(axis=0)
    order = np.argsort(-counts, kind="stable") if gaps else np.arange(rows.d)
    order = order if noisy else order[counts[order] > 0]
    spread = np.sqrt(np.diag(np.asarray(mixture.cov))) if noisy else np.zeros(rows.d)
    lines = [_line(rows, int(j), names[j], float(spread[j])) for j in order[:MOST_COLUMNS]]
    found = patterns(rows.missing)
    rest = len(found) - MOST_PATTERNS
    return {
        "title": "Missing cells and errors" if gaps and noisy else
        "Errors of measurement" if noisy else "Missing cells",
        "gaps": gaps,
        "noisy": noisy,
        "said": _said(rows, noisy, gaps),
        "facts": _facts(rows) if gaps else [],
        "caption": "What was measured, by column" if noisy else "Missing cells by column",
        "lines": lines,
        "unsaid": _unsaid(rows, order, noisy),
        "patterns": [
            {
                "columns": _named(pattern, names),
                "rows": f"{count:,}",
                "share": percent(count / rows.n),
            }
            for pattern, count in found[:MOST_PATTERNS]
        ] if rows.gaps else [],
        "patterns_caption": "Which cells are missing together"
        + (f": the {MOST_PATTERNS} commonest of {len(found):,} patterns" if rest > 0 else ""),
    }  # fmt: skip


def patterns(missing: Any) -> list[tuple[Any, int]]:
    """Which columns are missing together, and in how many rows; the commonest first."""
    kinds, counts = np.unique(missing, axis=0, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return [(np.flatnonzero(kinds[i]), int(counts[i])) for i in order]


def _said(rows: Observations, noisy: bool, gaps: bool) -> list[str]:
    said = []
    if gaps:
        said.append(
            "A row counts by the cells that were seen; nothing was put in the place of the others. "
            "That is right where a cell is missing at random: where the value itself decides "
            "whether it is seen, the fit is biased."
        )
    if noisy:
        said.append(
            "The values were measured with errors whose standard deviations are known. The mixture "
            "is that of the values without them; what the page says of rows (how likely they are, "
            "which component made them, the check of fit) is of the values as measured."
        )
    return said


def _facts(rows: Observations) -> list[tuple[str, str]]:
    missing = rows.missing
    cells, holed = int(missing.sum()), int(missing.any(axis=1).sum())
    found = [
        ("Missing cells", f"{cells:,} of {missing.size:,} ({percent(cells / missing.size)})"),
        ("Rows with missing cells", f"{holed:,} of {rows.n:,} ({percent(holed / rows.n)})"),
    ]
    if rows.empty:
        found.append(("Rows without any value, left out", f"{rows.empty:,}"))
    return found


def _line(rows: Observations, j: int, name: str, spread: float) -> dict[str, Any]:
    count = int(rows.missing[:, j].sum())
    line = {"name": breakable(name), "missing": f"{count:,}", "share": percent(count / rows.n)}
    if rows.noise is None:
        return line
    variance = rows.noise_of(j)
    exact = {"errors": "–", "typical": "exact", "range": "–", "part": "0%"}
    line |= {"spread": number(spread, 3, raised=True), **exact}
    if variance is None:
        return line
    weight = np.ones(rows.n) if rows.weight is None else rows.weight
    here = ~np.isnan(variance) & (weight > 0)
    s, w = variance[here], weight[here]
    low, mid, high = (
        number(float(value), 3, raised=True)
        for value in np.quantile(np.sqrt(s), (0.05, 0.5, 0.95), weights=w, method="inverted_cdf")
    )
    mean = float(np.average(s, weights=w))
    column = None if rows.errors is None else rows.errors[j]
    line |= {
        "errors": "–" if column is None else breakable(column),
        "typical": mid,
        "range": low if low == high else f"{low} to {high}",
        "part": percent(mean / (mean + spread**2)),
    }
    return line


def _unsaid(rows: Observations, order: Any, noisy: bool) -> str:
    """Which columns the table does not list."""
    if len(order) > MOST_COLUMNS:
        return f"{plural(len(order) - MOST_COLUMNS, 'further column')} of fewer missing cells."
    whole = rows.d - len(order)
    if whole and not noisy:
        return f"{plural(whole, 'further column')} {'is' if whole == 1 else 'are'} whole."
    return ""


def _named(pattern: Any, names: tuple[str, ...]) -> str:
    if not len(pattern):
        return "nothing"
    named = ", ".join(names[j] for j in pattern[:MOST_NAMES])
    rest = len(pattern) - MOST_NAMES
    return named + (f" and {rest:,} more" if rest > 0 else "")
