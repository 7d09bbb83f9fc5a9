"""A table's columns on their way out: as they came, with cells filled in, and with columns added.

Text output keeps every cell as it came; columnar output has numbers where the text is numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from mixtura.errors import InputError
from mixtura.sources.cells import cells, given_cells
from mixtura.sources.columnar import arrow
from mixtura.sources.tables import Table, told

__all__ = ["as_arrow", "as_text", "check_added", "filled", "kinds", "whole", "with_columns"]


def kinds(first: Table, parts: Iterable[Table]) -> dict[str, Any] | None:
    """What columns of text become in a file that keeps columns of numbers, where a table comes in
    parts: what suits all of them.

    None where they are not text.
    """
    import pyarrow as pa

    if first.kind != "text":
        return None
    order = [None, pa.int64(), pa.float64(), pa.string()]
    found = dict.fromkeys(first.names, 0)
    for table in parts:
        for name, column in zip(table.names, table.columns, strict=True):
            if found[name] < 3 and given_cells(column).null_count < len(column):
                kind = as_arrow(column, typed=True).type
                found[name] = max(found[name], order.index(kind) if kind in order else 3)
    return {name: order[place or 3] for name, place in found.items()}


def whole(table: Table, *, columnar: bool, kinds: dict[str, Any] | None = None) -> Any:
    """A table as a ``pyarrow.Table``, its columns as they are to be written.

    ``kinds`` are those of the columns of the whole table, where this is a part of it.
    """
    pa = arrow("writing tables")
    if kinds is not None:
        made = {
            name: column if pa.types.is_string(kinds[name]) else _cast(column, kinds[name])
            for name, column in zip(table.names, table.columns, strict=True)
        }
        return pa.table(made)
    typed = table.kind == "text" and columnar
    columns = [as_arrow(column, typed=typed) for column in table.columns]
    return pa.table(dict(zip(table.names, columns, strict=True)))


def _cast(column: Any, kind: Any) -> Any:
    from pyarrow import compute

    return compute.cast(given_cells(column), kind)


def as_arrow(column: Any, *, typed: bool) -> Any:
    """A table's column for writing.

    Parameters
    ----------
    column : NumPy vector or Arrow array
    typed : bool
        Whether text that is numbers becomes numbers, as a Parquet reader expects; text output
        keeps every cell as it came.
    """
    import pyarrow as pa
    from pyarrow import compute

    if isinstance(column, np.ndarray):
        return pa.chunked_array([pa.array(np.ascontiguousarray(column))])
    if not typed or not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column
    judged = cells(column)
    if judged.values is None or judged.reason:
        return column
    given = given_cells(column)
    try:
        return compute.cast(given, pa.int64())
    except pa.ArrowInvalid:
        return compute.cast(given, pa.float64())


def as_text(column: Any) -> Any:
    """A column's cells as strings, before any quoting; null where there is nothing."""
    import pyarrow as pa

    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    try:
        return column.cast(pa.string())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        listed = column.to_pylist()
        return pa.array([None if cell is None else _told(cell) for cell in listed], pa.string())


def _told(cell: Any) -> str:
    """A cell that is no number and no text: bytes in hexadecimal, all else as JSON."""
    if isinstance(cell, bytes):
        return cell.hex()
    return json.dumps(cell, default=lambda one: one.hex() if isinstance(one, bytes) else str(one))


def filled(column: Any, values: Any, mask: Any, *, columnar: bool) -> Any:
    """A column with some of its cells replaced by numbers.

    Parameters
    ----------
    column : Arrow array of n cells
    values : array (n,)
        The numbers of all its cells.
    mask : array (n,) of bool
        Where they replace what was there.
    columnar : bool
        Whether the column becomes one of floating-point numbers (of single precision if it was);
        in text the other cells are kept as they came.
    """
    import pyarrow as pa
    from pyarrow import compute

    if columnar:
        single = pa.types.is_float32(column.type)
        return pa.array(np.asarray(values, dtype=np.float32 if single else np.float64))
    numbers = pa.array(np.ascontiguousarray(values)).cast(pa.string())
    return compute.if_else(pa.array(mask), numbers, as_text(column))


def with_columns(batch: Any, columns: dict[str, Any]) -> Any:
    """The batch with more columns at its end: NumPy vectors by name."""
    import pyarrow as pa

    for name, values in columns.items():
        batch = batch.append_column(name, pa.array(np.ascontiguousarray(values)))
    return batch


def check_added(table: Table, added: Sequence[str], mend: str = "") -> None:
    """Refuse to add columns whose names the table has, or that share one name.

    Raises
    ------
    InputError
    """
    clash = [name for name in added if name in table.names]
    if clash:
        raise InputError(
            f"expected a table without the columns that are added, got {told(clash)}; rename or "
            f"drop them{mend}"
        )
    twice = sorted({name for name in added if added.count(name) > 1})
    if twice:
        raise InputError(
            f"expected the added columns to have names of their own, got {told(twice)} twice; "
            "predict one target at a time"
        )
