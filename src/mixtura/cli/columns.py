"""A model's columns in a table: found by name, in any order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mixtura.errors import InputError
from mixtura.sources import picking
from mixtura.sources.tables import near, told

__all__ = ["model_columns", "names_in"]


def model_columns(
    mixture: Any, table: Any, *, missing: bool = False, skip: Sequence[str] = ()
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

    Raises
    ------
    InputError
        Columns that are not there or not numbers, cells that are infinite or may not be missing.
    """
    if mixture.columns is None:
        picked = picking.pick(table, skip=skip, missing=missing)
        if len(picked.columns) != mixture.d:
            raise InputError(
                f"expected {mixture.d} numeric columns, as the model has (it knows no names), got "
                f"{len(picked.columns)} ({told(picked.columns)}); "
                "keep those the model was fitted to"
            )
        return picked.x
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


def names_in(mixture: Any, table: Any, *, skip: Sequence[str] = ()) -> list[str]:
    """The table's names of the model's columns."""
    return list(mixture.columns or picking.pick(table, skip=skip, missing=True).columns)
