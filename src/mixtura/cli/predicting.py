"""What ``mixtura predict`` predicts from what: columns of a table found in a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import typer

from mixtura.cli import options
from mixtura.report.wording import plural

__all__ = ["Job", "prepare", "targets"]


@dataclass(frozen=True, eq=False)
class Job:
    """What is predicted from what.

    ``x`` (n, g) and ``y`` (n, m) may hold NaN; ``given`` and ``targets`` are the places of their
    columns in the model.
    """

    x: Any
    y: Any
    given: list[int]
    targets: list[int]
    names: list[str]
    notes: list[str]


def targets(mixture: Any, names: list[str]) -> list[int]:
    """Places of the targets in the model."""
    from mixtura.errors import InputError

    places = [options.place(mixture, name, "--target") for name in names]
    if len(set(places)) < len(places):
        raise typer.BadParameter(
            f"expected every target once, got {', '.join(names)}", param_hint="'--target'"
        )
    if mixture.d == 1:
        raise InputError(
            "expected a model of several columns, got one that has one column only: nothing is "
            "left to predict it from; mixtura describe tells its law"
        )
    if len(places) == mixture.d:
        raise InputError(
            f"expected at most {plural(mixture.d - 1, 'target')}, got all {mixture.d} columns of "
            "the model: nothing is left to predict them from; mixtura describe tells their law"
        )
    return places


def prepare(mixture: Any, table: Any, targets: list[int]) -> Job:
    """The columns of the table that are given, those that are predicted, and what to say."""
    import numpy as np

    from mixtura.mixture import reach

    given = [j for j in range(mixture.d) if j not in targets]
    columns, found = _columns(mixture, table, given, targets)
    there = [j for j in given if j in found]
    x = columns[:, [found[j] for j in there]]
    y = np.full((table.n, len(targets)), np.nan)
    for i, j in enumerate(targets):
        if j in found:
            y[:, i] = columns[:, found[j]]
    reach.check(mixture, x, there)
    names = [mixture.columns[j] if mixture.columns else f"x{j}" for j in targets]
    return Job(x, y, there, targets, names, _said(mixture, table, given, there, x))


def _columns(
    mixture: Any, table: Any, given: list[int], targets: list[int]
) -> tuple[Any, dict[int, int]]:
    """Numbers (n, c) of the table, and which of them is each column of the model."""
    from mixtura.errors import InputError
    from mixtura.sources import picking
    from mixtura.sources.tables import near, told

    if mixture.columns is None:
        picked = picking.pick(table, missing=True)
        for order in (sorted([*given, *targets]), given):
            if len(picked.columns) == len(order):
                return picked.x, {j: i for i, j in enumerate(order)}
        raise InputError(
            f"expected {mixture.d} numeric columns, as the model has (it knows no names), or "
            f"{len(given)} without the targets, got {len(picked.columns)} "
            f"({told(picked.columns)}); keep those the model was fitted to"
        )
    there = [j for j in range(mixture.d) if mixture.columns[j] in table.names]
    if not set(given) & set(there):
        wanted = [mixture.columns[j] for j in given]
        hints = [hint for name in wanted[:3] if (hint := near(name, table.names))]
        raise InputError(
            f"expected at least one column to predict from ({told(wanted)}) in {table.source}, "
            "got none of them; add one or rename "
            + (f"({' '.join(hints)})" if hints else f"(the table has {told(table.names)})")
        )
    picked = picking.pick(table, [mixture.columns[j] for j in there], choosable=False, missing=True)
    return picked.x, {j: i for i, j in enumerate(there)}


def _said(mixture: Any, table: Any, given: list[int], there: list[int], x: Any) -> list[str]:
    """What is not as a full table would have it."""
    import numpy as np

    from mixtura.sources.tables import near, told

    notes = []
    if lacking := [mixture.columns[j] for j in given if j not in there]:
        hints = [hint for name in lacking[:3] if (hint := near(name, table.names))]
        notes.append(
            f"{table.source} has no {told(lacking)}: predicted without"
            + (f" ({' '.join(hints)})" if hints else "")
        )
    missing = np.isnan(x)
    some, all_ = int(missing.any(axis=1).sum()), int(missing.all(axis=1).sum())
    if some:
        notes.append(
            f"{some:,} of {plural(table.n, 'row')} {'has' if some == 1 else 'have'} missing cells: "
            "predicted from what is there"
            + (
                f"; {all_:,} {'has' if all_ == 1 else 'have'} nothing to predict from and "
                f"get{'s' * (all_ == 1)} the marginal law"
                if all_
                else ""
            )
        )
    return notes
