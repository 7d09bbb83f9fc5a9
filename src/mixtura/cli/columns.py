"""A model's columns in a table: found by name, in any order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mixtura.errors import InputError
from mixtura.report.wording import plural
from mixtura.sources import picking
from mixtura.sources.tables import near, told

__all__ = ["model_columns", "model_names"]


def model_columns(
    mixture: Any,
    table: Any,
    *,
    missing: bool = False,
    skip: Sequence[str] = (),
    names: Sequence[str] | None = None,
) -> Any:
    """The model's columns of a table (n, d).

    Parameters
    ----------
    mixture : Mixture
        One that knows no names takes the numeric columns, if they are as many as its own.
    table : Table
    missing : bool
        Whether cells may be missing; they are NaN then.
    skip : sequence of str
        Columns used otherwise (weights), which a model without names does not take.
    names : sequence of str, optional
        What ``model_names`` said of the table, or of its first rows.

    Raises
    ------
    InputError
        Columns that are not there or not numbers, cells that are infinite or may not be missing.
    """
    if mixture.columns is None:
        names = names or model_names(mixture, table, missing=missing, skip=skip)
        return picking.pick(table, names, choosable=False, missing=missing).x
    lacking = [name for name in mixture.columns if name not in table.names]
    if lacking:
        hints = [hint for name in lacking[:3] if (hint := near(name, table.names))]
        raise InputError(
            f"expected the model's {mixture.d} columns ({told(mixture.columns)}) in "
            f"{table.source}, got a table without {told([repr(name) for name in lacking])}; "
            f"add {'it' if len(lacking) == 1 else 'them'} or rename"
            + (f" ({' '.join(hints)})" if hints else f" (the table has {told(table.names)})")
        )
    return picking.pick(table, list(mixture.columns), choosable=False, missing=missing).x


def model_names(
    mixture: Any, table: Any, *, missing: bool = False, skip: Sequence[str] = ()
) -> list[str]:
    """The table's names of the model's columns; see ``model_columns``.

    Where cells may be missing, a column without any value counts as numeric if one is needed.
    """
    if mixture.columns is not None:
        return list(mixture.columns)
    picked = picking.pick(table, skip=skip, missing=missing)
    names = list(picked.columns)
    if missing and len(names) < mixture.d:
        empty = {name for name, reason in picked.left_out if reason == picking.EMPTY}
        names = [name for name in table.names if name in names or name in empty]
    if len(names) != mixture.d:
        raise InputError(
            f"expected {plural(mixture.d, 'numeric column')}, as the model has (it knows no "
            f"names), got {len(names)} ({told(names)}); keep those the model was fitted to"
        )
    return names
