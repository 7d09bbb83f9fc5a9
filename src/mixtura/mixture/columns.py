"""Columns by position or by name."""

from __future__ import annotations

import difflib
import operator
from typing import Any

import numpy as np

from mixtura.errors import InputError

__all__ = ["positions"]


def positions(columns: Any, d: int, names: tuple[str, ...] | None, what: str) -> list[int]:
    """Positions of columns given by position or name, in the order given.

    Raises
    ------
    InputError
        For unknown names, positions outside 0 … d − 1, repeats, and names where there are none.
    """
    single = isinstance(columns, str) or np.ndim(columns) == 0
    listed = [columns] if single else columns
    found: list[int] = []
    for column in listed:
        if isinstance(column, str):
            found.append(_named(column, names, what))
            continue
        if isinstance(column, bool | np.bool_):
            raise InputError(
                f"expected column positions or names in {what}, got a mask; pass "
                "numpy.flatnonzero(mask)"
            )
        try:
            index = operator.index(column)
        except TypeError:
            raise InputError(
                f"expected column positions or names in {what}, got {column!r}"
            ) from None
        if not -d <= index < d:
            raise InputError(f"expected columns from 0 to {d - 1} in {what}, got {index}")
        found.append(index % d)
    if len(set(found)) < len(found):
        raise InputError(f"expected distinct columns in {what}, got {list(listed)}")
    return found


def _named(name: str, names: tuple[str, ...] | None, what: str) -> int:
    if names is None:
        raise InputError(
            f"expected column positions in {what}, got the name {name!r}: this mixture has no "
            "column names; pass columns= when you build it"
        )
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"expected columns among {', '.join(names)} in {what}, got {name!r}{hint}")
    return names.index(name)
