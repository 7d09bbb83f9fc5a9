"""One batch as numbers: an array (b, d), a data frame, or an Arrow batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from mixtura.errors import InputError
from mixtura.sources.streams.pieces import numbers
from mixtura.sources.streams.stream import chosen
from mixtura.typing import FloatArray

__all__ = ["as_numbers"]


def as_numbers(
    batch: Any, columns: Any, weight: str | None, source: str
) -> tuple[FloatArray, FloatArray | None, tuple[str, ...] | None]:
    """Rows (b, d) in float32 or float64, weights (b,) or None, and names of columns or None.

    Parameters
    ----------
    batch : array, data frame or Arrow batch
    columns : sequence of str, optional
        All but the weights by default.
    weight : str, optional
        The column that holds weights.
    source : str
        What messages call it.

    Raises
    ------
    InputError
        For what is no table of numbers.
    """
    if hasattr(batch, "schema") and hasattr(batch, "column"):
        names = [str(name) for name in batch.schema.names]
        taken = chosen(source, names, columns, weight)
        found = [numbers(batch.column(name), name, source) for name in taken]
        w = None if weight is None else numbers(batch.column(weight), weight, source)
        return _beside(found), None if w is None else w.astype(np.float64), tuple(taken)
    if hasattr(batch, "columns") and hasattr(batch, "__getitem__"):
        own = {str(name): name for name in batch.columns}
        taken = chosen(source, list(own), columns, weight)
        found = [_vector(batch[own[name]], name, source) for name in taken]
        w = None if weight is None else _vector(batch[own[weight]], weight, source)
        return _beside(found), None if w is None else w.astype(np.float64), tuple(taken)
    if weight is not None or columns is not None:
        raise InputError(
            f"expected batches with names of columns from {source}, got {type(batch).__name__}; "
            "pass sample_weight as an array"
        )
    x = np.asarray(batch)
    if x.dtype.kind not in "biuf" or x.ndim != 2 or not x.shape[1]:
        raise InputError(
            f"expected batches of numbers (b, d) from {source}, got an array of shape {x.shape} "
            f"and type {x.dtype}"
        )
    if x.dtype not in (np.float32, np.float64):
        x = x.astype(np.float64)
    return x, None, None


def _beside(columns: list[FloatArray]) -> FloatArray:
    """Columns as rows; float32 where all of them are."""
    single = all(column.dtype == np.float32 for column in columns)
    x = np.empty((len(columns[0]), len(columns)), dtype=np.float32 if single else np.float64)
    for j, column in enumerate(columns):
        x[:, j] = column
    return x


def _vector(column: Any, name: str, source: str) -> FloatArray:
    values = np.asarray(column)
    if values.dtype.kind not in "biuf":
        raise InputError(
            f"expected numbers in column {name!r} of {source}, got {values.dtype}; leave it out or "
            "turn it into numbers"
        )
    return values if values.dtype == np.float32 else values.astype(np.float64)
