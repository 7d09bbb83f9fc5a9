"""From a table to numbers: which columns are taken, which are left out and why, and weights."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mixtura.errors import InputError
from mixtura.sources.cells import Cells, cells
from mixtura.sources.tables import Table, told
from mixtura.typing import FloatArray

__all__ = ["Picked", "as_option", "pick", "weights"]

IDENTIFIER = re.compile(
    r"(?i)^(id|uid|uuid|guid|key|index|idx|row|rowid|row[ _.]?(no|num|number|names?|index)|"
    r"rownames|unnamed: ?0|__index_level_\d+__|column 1|.*[ _.-](id|uuid|guid|key)|.*[a-z](Id|ID))$"
)

#: What ``cells`` says of a column in which every cell is missing.
EMPTY = "no values at all"


@dataclass(frozen=True, eq=False)
class Picked:
    """The numbers of a table.

    Attributes
    ----------
    x : array (n, d)
        Finite numbers, and NaN where cells may be missing and are; float32 if every column is,
        else float64.
    columns : tuple of str
        Their names.
    left_out : tuple of (name, reason)
        Columns that were not taken, unless columns were asked for by name.
    """

    x: FloatArray
    columns: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...] = ()


def pick(
    table: Table,
    columns: Sequence[str] | None = None,
    *,
    skip: Sequence[str] = (),
    choosable: bool = True,
    missing: bool = False,
) -> Picked:
    """Take the numeric columns, or those asked for.

    Parameters
    ----------
    table : Table
    columns : sequence of str, optional
        Names, in the order wanted; by default every column of numbers that does not merely
        number or name the rows.
    skip : sequence of str
        Columns used otherwise (weights); never taken unasked and not reported.
    choosable : bool
        Whether the user could have chosen other columns, which errors then advise.
    missing : bool
        Whether cells may be missing: they are NaN then, and so is all of a column that is asked
        for and holds no value. Infinities are refused all the same.

    Raises
    ------
    InputError
        No numeric column, an unknown column, one that is not numbers, missing or infinite cells.
    """
    if columns is not None:
        judged = {name: _asked(table, name, missing) for name in columns}
        for name, cell in judged.items():
            if cell.values is None:
                raise InputError(
                    f"expected numbers in column {name!r} of {table.source}, got {cell.reason}; "
                    "leave it out or turn it into numbers"
                )
        left_out: list[tuple[str, str]] = []
    else:
        judged, left_out = _numeric(table, skip)
    _whole(table, judged, choosable, missing)
    vectors = [cell.values for cell in judged.values() if cell.values is not None]
    single = all(vector.dtype == np.float32 for vector in vectors)
    x = np.empty((table.n, len(vectors)), dtype=np.float32 if single else np.float64)
    for i, vector in enumerate(vectors):
        x[:, i] = vector
    return Picked(x, tuple(judged), tuple(left_out))


def _asked(table: Table, name: str, missing: bool) -> Cells:
    """A column asked for by name; without any value it is all NaN where cells may be missing."""
    cell = cells(table.column(name))
    if missing and cell.values is None and cell.reason == EMPTY:
        return Cells(np.full(table.n, np.nan))
    return cell


def _numeric(table: Table, skip: Sequence[str]) -> tuple[dict[str, Cells], list[tuple[str, str]]]:
    """Columns of numbers, and the others with the reason."""
    judged: dict[str, Cells] = {}
    left_out: list[tuple[str, str]] = []
    for name, column in zip(table.names, table.columns, strict=True):
        if name in skip:
            continue
        cell = cells(column)
        reason = cell.reason
        if cell.values is not None and not reason:
            reason = _numbers_rows(name, cell.values)
        if reason:
            left_out.append((name, reason))
        else:
            judged[name] = cell
    if not judged:
        said = "; ".join(f"{name!r}: {reason}" for name, reason in left_out[:8])
        more = f"; and {len(left_out) - 8} more" if len(left_out) > 8 else ""
        raise InputError(
            f"expected at least one column of numbers in {table.source}, got none "
            f"({said or 'no column is left'}{more}); "
            "turn the columns you need into numbers, or name them with --columns"
        )
    return judged, left_out


def _numbers_rows(name: str, values: FloatArray) -> str:
    """Why a column of numbers only numbers or names the rows; empty if it does not."""
    n = len(values)
    if n < 3 or not np.array_equal(values, np.round(values)):
        return ""
    if IDENTIFIER.match(name) and len(np.unique(values)) == n:
        return "an identifier: a different whole number on every row"
    if n >= 10 and values[0] in (0.0, 1.0) and np.array_equal(values, values[0] + np.arange(n)):
        return f"it only counts the rows ({values[0]:.0f}, {values[0] + 1:.0f}, …)"
    return ""


def _whole(table: Table, judged: dict[str, Cells], choosable: bool, missing: bool) -> None:
    """Refuse infinite cells, and missing ones unless they may be, with counts and the way out."""
    filling = "" if choosable else ", for instance with mixtura impute"
    tests = (
        (
            np.isnan,
            "missing",
            f"missing values are not supported yet: drop those rows or fill them in{filling}",
        ),
        (
            np.isinf,
            "infinite",
            "drop those rows or " + ("empty those cells" if missing else "replace the infinities"),
        ),
    )
    finite = "finite number or a missing one" if missing else "finite number"
    for test, what, mend in tests[1:] if missing else tests:
        counts: dict[str, int] = {}
        rows = np.zeros(table.n, dtype=bool)
        for name, cell in judged.items():
            hit = test(np.asarray(cell.values))
            if hit.any():
                counts[name] = int(hit.sum())
                rows |= hit
        if not counts:
            continue
        said = told([f"{name!r}: {count:,}" for name, count in counts.items()])
        others = [name for name in judged if name not in counts]
        way_out = f", or use the other columns: {as_option(others)}" if others and choosable else ""
        some = int(rows.sum())
        raise InputError(
            f"expected a {finite} in every cell of the columns used, got {what} cells in "
            f"{some:,} of {table.n:,} rows of {table.source} ({said}); {mend}{way_out}"
        )


def as_option(columns: Sequence[str]) -> str:
    """``--columns a,b`` as it must be typed: quoted where a name needs it."""
    quoted = [
        '"' + name.replace('"', '""') + '"' if re.search(r'[,"]|^\s|\s$', name) else name
        for name in columns
    ]
    return "--columns " + shlex.quote(",".join(quoted))


def weights(table: Table, name: str) -> FloatArray:
    """A column of row weights (n,): finite, non-negative, not all zero.

    Raises
    ------
    InputError
    """
    cell = cells(table.column(name))
    where = f"column {name!r} of {table.source}"
    if cell.values is None:
        raise InputError(
            f"expected row weights (numbers) in {where}, got {cell.reason}; "
            "name a numeric column with --weights"
        )
    weight = np.asarray(cell.values, dtype=np.float64)
    bad = ~np.isfinite(weight)
    if bad.any():
        raise InputError(
            f"expected a finite weight on every row, got {int(bad.sum()):,} missing or infinite "
            f"cells in {where} (first on row {int(np.argmax(bad)) + 1:,}); fill them in: 0 leaves "
            "a row out"
        )
    negative = weight < 0
    if negative.any():
        raise InputError(
            f"expected weights of 0 or more, got {int(negative.sum()):,} negative cells in {where} "
            f"(first on row {int(np.argmax(negative)) + 1:,}: "
            f"{weight[np.argmax(negative)]:g}); replace them: 0 leaves a row out"
        )
    if not weight.any():
        raise InputError(
            f"expected at least one positive weight, got only zeros in {where}; "
            "leave --weights out to weigh all rows alike"
        )
    return weight
