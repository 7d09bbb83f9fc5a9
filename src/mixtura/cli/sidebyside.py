"""What ``mixtura compare`` says: the comparison as text, and for machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mixtura.cli.summary import MOST_COMPONENTS, grid
from mixtura.report.numbers import number, pair, percent
from mixtura.report.wording import fixed, plural
from mixtura.sources.tables import told

__all__ = ["lines", "machine", "verdict"]

#: How often the origin of a row can be told, and what is then said of the two.
WORDS = (
    (0.51, "are all but the same"),
    (0.60, "are close"),
    (0.80, "differ"),
    (0.95, "differ widely"),
    (1.01, "have little in common"),
)
#: Columns whose shifts are listed; --json has all.
MOST_COLUMNS = 12


def verdict(apart: dict[str, Any]) -> str:
    """How different they are, in a sentence."""
    share = apart["probability"]
    if apart["same"]:
        return "The two models are the same, up to the order of their components."
    word = next(word for bound, word in WORDS if share < bound)
    return (
        f"The two models {word}: of a row from either, one can say which model it came from "
        f"{100 * share:.{int(share > 0.99)}f}% of the time (guessing: 50%)."
    )


def machine(columns: Sequence[str], sides: Any, found: dict[str, Any]) -> dict[str, Any]:
    """The comparison for machines."""
    matched = [
        {**one, "shift": dict(zip(columns, one["shift"], strict=True))}
        for one in found["components"]["matched"]
    ]
    return {
        "verdict": verdict(found["told_apart"]),
        "a": sides[0],
        "b": sides[1],
        "columns": list(columns),
        **found,
        "pooled_sd": dict(zip(columns, found["pooled_sd"], strict=True)),
        "components": {**found["components"], "matched": matched},
    }


def lines(columns: Sequence[str], sides: Any, found: dict[str, Any], width: int) -> list[str]:
    """The comparison as text."""
    out = [verdict(found["told_apart"]), "", *_sides(sides), "", *_distances(found), ""]
    out += _components(columns, found, width)
    if "rows" in found:
        out += ["", *_rows(found["rows"])]
    return out


def _sides(sides: Any) -> list[str]:
    """Both models, side by side."""

    def fitted(side: dict[str, Any]) -> str:
        rows = "" if side["n_rows"] is None else f", {plural(side['n_rows'], 'row')}"
        return "–" if side["data"] is None else f"{side['data']}{rows}"

    table = [
        ["fitted to", *map(fitted, sides)],
        ["components", *(str(side["n_components"]) for side in sides)],
        ["structure", *(side["structure"] for side in sides)],
        ["free parameters", *(_count(side["n_parameters"]) for side in sides)],
    ]
    a, b = sides
    same = a["data"] is not None and (a["data"], a["n_rows"]) == (b["data"], b["n_rows"])
    if same and None not in (a["bic"], b["bic"]):
        table.append(["BIC (lower is better)", *(f"{side['bic']:,.1f}" for side in sides)])
    return grid(["", f"a: {a['model']}", f"b: {b['model']}"], table, left=3)


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _distances(found: dict[str, Any]) -> list[str]:
    """Divergences and distances."""
    kl = [
        [name, _measured(one), f"{number(one['lower'], 3)} … {number(one['upper'], 3)}"]
        for name, one in (("KL(a‖b)", found["kl"]["a_b"]), ("KL(b‖a)", found["kl"]["b_a"]))
    ]
    units, scaled = found["in_units"], found["in_pooled_sd"]
    distances = [
        [name, *(told_as(side[key]) for side in (units, scaled))]
        for name, key, told_as in (
            ("mixture-Wasserstein", "wasserstein", number),
            ("sliced Wasserstein", "sliced_wasserstein", _measured),
            ("L2 of the densities", "l2", number),
        )
    ]
    return [
        *grid(["Divergence", "nats per row", "certainly within"], kl),
        "",
        *grid(["Distance", "in the columns' units", "in pooled sd"], distances),
    ]


def _measured(one: dict[str, float]) -> str:
    """An estimate with its standard error, if it has one."""
    return pair(one["estimate"], one["se"]) if one["se"] > 0 else number(one["estimate"])


def _components(columns: Sequence[str], found: dict[str, Any], width: int) -> list[str]:
    """Which component became which, and how its mean moved."""
    parts = found["components"]
    matched = parts["matched"][:MOST_COMPONENTS]
    shifts = np.array([one["shift"] for one in parts["matched"]])
    shown = _moving(shifts, columns, width)
    table = [
        [
            str(one["a"]),
            str(one["b"]),
            percent(one["weight_a"]),
            percent(one["weight_b"]),
            number(one["distance"], 3),
            *(_signed(one["shift"][j]) for j in shown),
        ]
        for one in matched
    ]
    blank = ["–"] * (1 + len(shown))
    table += [[str(one["a"]), "–", percent(one["weight"]), "–", *blank] for one in parts["only_a"]]
    table += [["–", str(one["b"]), "–", percent(one["weight"]), *blank] for one in parts["only_b"]]
    head = ["a", "b", "weight in a", "in b", "distance", *(columns[j] for j in shown)]
    sd = [f"{columns[j]} {number(found['pooled_sd'][j], 3)}" for j in shown]
    out = [
        "Components that correspond, and the shift of their means from a to b in pooled sd "
        f"({told(sd)})",
        *(f"  {line}" for line in grid(head, table[:MOST_COMPONENTS], left=0)),
    ]
    if len(table) > MOST_COMPONENTS:
        out.append(f"  … and {len(table) - MOST_COMPONENTS} more; --json lists all")
    if len(shown) < len(columns):
        out.append(f"  … {len(shown)} of {len(columns)} columns, those that moved most")
    out.append(
        "  distance: Wasserstein's, in units of the covariance of the two pooled, which their "
        "shift widens: below 1 they overlap, 2 is far apart"
    )
    return out


def _signed(shift: float) -> str:
    """``+0.12`` or ``-0.12``; what rounds to nothing has no sign."""
    text = f"{shift:+.2f}"
    return "0.00" if float(text) == 0 else text


def _moving(shifts: Any, columns: Sequence[str], width: int) -> list[int]:
    """The columns that moved most, as many as fit, in table order."""
    most = np.abs(shifts).max(axis=0)
    room = width - 45
    taken: list[int] = []
    for j in np.argsort(-most, kind="stable")[:MOST_COLUMNS].tolist():
        room -= max(len(columns[j]), 6) + 2
        if taken and room < 0:
            break
        taken.append(j)
    return sorted(taken)


def _rows(rows: dict[str, Any]) -> list[str]:
    """Both models on the rows of a table."""
    n = rows["n_rows"]
    se = "" if rows["se"] is None else f" ± {number(rows['se'], 2)}"
    return [
        f"{rows['data']}, {plural(n, 'row')}",
        f"  mean log-density a {fixed(rows['log_density_a'])}, b {fixed(rows['log_density_b'])}; "
        f"b − a {'+' * (rows['difference'] >= 0)}{fixed(rows['difference'])}{se} nats per row",
        f"  {plural(rows['moved'], 'row')} ({percent(rows['moved'] / n)}) "
        f"change{'s' * (rows['moved'] == 1)} component",
    ]
