"""The summary on standard output: what was chosen, the BIC table, each component."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mixtura.cli.voice import plain
from mixtura.plot.layout import telling
from mixtura.report.numbers import number, pair, percent
from mixtura.report.page import STRUCTURES

__all__ = ["bic_table", "component_tables", "grid", "headline", "left_out", "short"]

#: Columns listed for each component; more are for ``describe --json`` and the report.
MOST_COLUMNS = 24
MOST_COMPONENTS = 40
#: Numbers of components that the BIC table lists.
MOST_LINES = 8
#: Structures beside each other in it.
MOST_STRUCTURES = 7


def grid(head: Sequence[str], lines: Sequence[Sequence[str]], *, left: int = 1) -> list[str]:
    """Aligned text: the first ``left`` columns to the left, the others to the right."""
    from rich.cells import cell_len

    table = [[plain(cell) for cell in line] for line in (head, *lines)]
    widths = [max(cell_len(line[j]) for line in table) for j in range(len(head))]

    def padded(cell: str, j: int) -> str:
        space = " " * (widths[j] - cell_len(cell))
        return cell + space if j < left else space + cell

    return ["  ".join(padded(cell, j) for j, cell in enumerate(line)).rstrip() for line in table]


def headline(mixture: Any, info: dict[str, Any]) -> list[str]:
    """What was fitted to what, in two or three lines."""
    structure = info.get("covariance_type", mixture.covariance.name)
    lines = [
        f"{mixture.k} component{'s' * (mixture.k != 1)}, structure {structure}"
        + (_rank(mixture, info["rank"]) if info.get("rank") and structure == "lowrank" else "")
        + (f" ({STRUCTURES[structure]})" if structure in STRUCTURES else "")
    ]
    if (bic := info.get("bic")) is not None:
        said = [f"BIC {bic:,.1f}"]
        if (height := info.get("log_likelihood")) is not None:
            said.append(f"log-likelihood {number(height, 6)} nats per row")
        if (free := info.get("n_parameters")) is not None:
            said.append(f"{free:,} free parameters")
        lines.append(", ".join(said))
    return lines


def _rank(mixture: Any, rank: int | str) -> str:
    """`` of rank 3``, or of each component's own."""
    if rank != "auto":
        return f" of rank {rank}"
    own = np.asarray(mixture.covariance.loadings).any(axis=1).sum(axis=1)
    return f" of rank{'s' * (len(own) != 1)} {', '.join(str(r) for r in own)}"


def left_out(pairs: Sequence[Sequence[str]]) -> str:
    """``class (text, such as 'setosa'), id (…)``."""
    said = ", ".join(f"{name} ({reason})" for name, reason in pairs[:12])
    return said + (f" and {len(pairs) - 12} more" if len(pairs) > 12 else "")


def bic_table(info: dict[str, Any]) -> list[str]:
    """BIC by number of components (down) and structure (across); the one kept has a star."""
    trials = info.get("trials") or []
    if len(trials) < 2:
        return []
    chosen = (info.get("n_components"), info.get("covariance_type"))
    structures = list(dict.fromkeys(trial["covariance_type"] for trial in trials))
    counts = sorted({trial["n_components"] for trial in trials})
    cells: dict[tuple[int, str], str] = {}
    for trial in trials:
        key = (trial["n_components"], trial["covariance_type"])
        bic = trial["bic"]
        if bic is None or trial.get("error"):
            cells.setdefault(key, "failed ")
        else:
            cells[key] = f"{bic:,.1f}" + ("*" if key == chosen else " ")
    kept = chosen[0] or 0
    shown = [k for k in counts if k <= max(kept + 3, counts[min(len(counts), MOST_LINES) - 1])]
    shown = shown if len(shown) <= 2 * MOST_LINES else [k for k in shown if k > kept - 4]
    gaps = any((k, name) not in cells for k in shown for name in structures)
    out = ["BIC (lower is better; * kept" + ", – not tried)" * gaps + ")" * (not gaps)]
    for start in range(0, len(structures), MOST_STRUCTURES):
        part = structures[start : start + MOST_STRUCTURES]
        lines = [[str(k), *(cells.get((k, name), "– ") for name in part)] for k in shown]
        head = ["components", *(f"{name} " for name in part)]
        out += [""] * (start > 0) + [f"  {line}" for line in grid(head, lines)]
    if len(shown) < len(counts):
        out.append(f"  … {len(trials)} fits in all; mixtura describe --json lists them")
    return out


def component_tables(mixture: Any, columns: Sequence[str], width: int) -> list[str]:
    """Weight and mean ± sd of every component, in as many tables as the width needs."""
    shown = telling(mixture, MOST_COLUMNS)
    some = range(min(mixture.k, MOST_COMPONENTS))
    sd = np.sqrt(mixture.covariance.diagonal())
    names = {j: short(columns[j]) for j in shown}
    cells = {j: [pair(float(mixture.means[k, j]), float(sd[k, j])) for k in some] for j in shown}
    fixed = [[str(k), percent(float(mixture.weights[k]))] for k in some]
    out = ["Components, numbered from 0 (mean ± standard deviation)"]
    while shown:
        take, used = 0, 20
        for j in shown:
            used += 2 + max(len(names[j]), *(len(cell) for cell in cells[j]))
            if take and used > width:
                break
            take += 1
        part, shown = shown[:take], shown[take:]
        lines = [[*line, *(cells[j][i] for j in part)] for i, line in enumerate(fixed)]
        if len(out) > 1:
            out.append("")
        out += [f"  {line}" for line in grid(["", "weight", *(names[j] for j in part)], lines)]
    if mixture.d > MOST_COLUMNS:
        which = "that tell the components apart best" if mixture.k > 1 else "first in the table"
        out.append(
            f"  … {MOST_COLUMNS} of {mixture.d} columns, those {which}; "
            "mixtura describe --json lists all"
        )
    if mixture.k > MOST_COMPONENTS:
        out.append(f"  … and {mixture.k - MOST_COMPONENTS} more components")
    return out


def short(name: str) -> str:
    """A name as tables show it: the first thirty characters of a long one."""
    return name if len(name) <= 30 else name[:29] + "…"
