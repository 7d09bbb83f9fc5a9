"""Columns of errors: which column of a table holds the errors of which, and the errors themselves.

They are standard deviations, as catalogues give them; a fit takes their squares. An infinite error
says that nothing is known of the cell, which is then missing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import typer

from mixtura.errors import InputError
from mixtura.report.wording import plural
from mixtura.sources.cells import cells
from mixtura.sources.tables import near, told

__all__ = ["errors_ignored", "from_table", "in_table", "pairs", "taken"]

OPTION = "--noise-columns"


def taken(asked: Sequence[str] | None, table: Any) -> list[str]:
    """The columns of errors that are asked for, each once: they are not fitted."""
    if asked is not None and list(asked) == ["none"] and "none" not in table.names:
        return []
    found = [_split(name, table)[1] for name in asked or ()]
    for name in found:
        table.column(name)  # says what is there if it is not
    return list(dict.fromkeys(found))


def pairs(asked: Sequence[str], columns: Sequence[str], table: Any) -> dict[str, str]:
    """For each column that has errors, the column that holds them.

    Parameters
    ----------
    asked : sequence of str
        ``err`` or ``a=err``: as many as columns and in their order, or one for all; or pairs.
    columns : sequence of str
        The columns fitted.
    table : Table

    Raises
    ------
    InputError
    """
    split = [_split(name, table) for name in asked]
    for _, name in split:
        if name in columns:
            raise typer.BadParameter(
                f"expected columns of errors that are not fitted themselves, got {name!r}, which "
                "is fitted; leave it out of one of them",
                param_hint=f"'{OPTION}'",
            )
    named = [column is not None for column, _ in split]
    if any(named) and not all(named):
        raise InputError(
            f"expected either names in the order of the columns or pairs after {OPTION}, got both "
            f"({told(asked)}); write all of them as pairs, such as {columns[0]}={split[0][1]}"
        )
    if any(named):
        return _paired(split, columns)
    if len(split) not in (1, len(columns)):
        raise InputError(
            f"expected one column of errors for each of the {len(columns)} columns fitted "
            f"({told(columns)}), in their order, or one for all, after {OPTION}; got {len(split)} "
            f"({told(asked)}); add those that lack, or write pairs, such as "
            f"{columns[0]}={split[0][1]}: columns without a pair are exact"
        )
    errors = [name for _, name in split]
    return dict(zip(columns, errors * len(columns) if len(errors) == 1 else errors, strict=True))


def _paired(split: Sequence[tuple[str | None, str]], columns: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for column, name in split:
        if column not in columns:
            hint = near(str(column), columns) or f"these are fitted: {told(columns)}"
            raise InputError(
                f"expected a column that is fitted before = in {OPTION}, got {column!r}; {hint}"
            )
        if column in found:
            raise InputError(
                f"expected one column of errors for {column!r}, got {found[column]!r} and "
                f"{name!r}; name one"
            )
        found[str(column)] = name
    return found


def _split(name: str, table: Any) -> tuple[str | None, str]:
    """``a=err`` → ("a", "err"), unless it is the name of a column itself."""
    column, sign, errors = name.partition("=")
    if not sign or name in table.names:
        return None, name
    return column.strip(), errors.strip()


def from_table(table: Any, x: Any, columns: Sequence[str], errors: Mapping[str, str]) -> Any:
    """Variances (n, d) of the cells of x; 0 in columns that are exact.

    Parameters
    ----------
    table : Table
    x : array (n, d)
        NaN where a cell is missing: its error may be missing too.
    columns : sequence of str
        Names of the d columns.
    errors : mapping of str to str
        The column that holds the errors of a column.

    Raises
    ------
    InputError
        Errors that are not numbers, negative, or missing where there is a value.
    """
    variance = np.zeros(x.shape)
    for j, name in enumerate(columns):
        if name not in errors:
            continue
        here = ~np.isnan(x[:, j])
        sd = _errors(table, errors[name], here)
        with np.errstate(over="ignore"):
            variance[:, j] = np.where(here, sd**2, 0.0)
    return variance


def _errors(table: Any, name: str, here: Any) -> Any:
    """A column of standard deviations (n,): checked where there is a value."""
    found, where = cells(table.column(name)), f"column {name!r} of {table.source}"
    if found.values is None:
        raise InputError(
            f"expected errors (standard deviations) in {where}, got {found.reason}; name a column "
            f"of numbers with {OPTION}"
        )
    sd = np.asarray(found.values, dtype=np.float64)
    negative = here & (sd < 0)
    if negative.any():
        first = int(np.argmax(negative))
        raise InputError(
            f"expected errors of 0 or more, got {plural(int(negative.sum()), 'negative cell')} in "
            f"{where} (first on row {first + 1:,}: {sd[first]:g}); errors are standard deviations: "
            "mend them, or empty the values they belong to if they are not known"
        )
    lacking = here & np.isnan(sd)
    if lacking.any():
        raise InputError(
            f"expected an error for every value, got {plural(int(lacking.sum()), 'value')} without "
            f"one in {where} (first on row {int(np.argmax(lacking)) + 1:,}); write 0 where a value "
            "is exact, or inf where nothing is known of it"
        )
    return sd


def in_table(
    table: Any, info: Mapping[str, Any], asked: Sequence[str] | None, columns: Sequence[str]
) -> tuple[dict[str, str], list[str]]:
    """Whose errors a table holds, for a model that is there, and what to say of it.

    Parameters
    ----------
    table : Table
    info : mapping
        The model's record.
    asked : sequence of str, optional
        What ``--noise-columns`` names; ``none`` alone takes all values as exact.
    columns : sequence of str
        The model's columns.
    """
    fitted = dict(info.get("noise_columns") or {})
    if asked is not None and list(asked) == ["none"] and "none" not in table.names:
        return {}, ["values are taken as exact"] if fitted else []
    if asked is not None:
        taken(asked, table)
        found = pairs(asked, columns, table)
        return found, [f"errors are those in {_listed(found)}: log-densities are of the values as "
                       "measured"]  # fmt: skip
    if not fitted:
        return {}, []
    found = {name: fitted[name] for name in columns if fitted.get(name) in table.names}
    if not found:
        return {}, [
            f"the model was fitted with errors of measurement ({_listed(fitted)}), which "
            f"{table.source} has not: its values are taken as exact, and if they are not, they "
            "look less likely than they are"
        ]
    notes = [
        f"errors are those in {_listed(found)}, as the model was fitted: log-densities are of the "
        "values as measured"
    ]
    if lacking := [a for a in fitted if a not in found]:
        notes.append(
            f"{table.source} has no errors of {told(lacking)} "
            f"({told(dict.fromkeys(fitted[a] for a in lacking))}): values there are taken as exact"
        )
    return found, notes


def _listed(errors: Mapping[str, str]) -> str:
    return told(dict.fromkeys(errors.values()))


def errors_ignored(errors: Mapping[str, str]) -> str:
    """What commands say that answer about values without errors, and take those given as such."""
    return (
        f"the model is of values without errors of measurement ({_listed(errors)} were taken out): "
        "what is given is taken as exact, and what is filled in or predicted has no such error"
    )
