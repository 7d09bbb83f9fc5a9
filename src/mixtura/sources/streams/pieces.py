"""Buffers filled from pieces of any length: what a source gives at a time need not be a chunk.

A piece is an array (b, d), or d vectors of b numbers, which spares a copy where a source holds its
columns apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from mixtura.errors import InputError
from mixtura.sources.streams.prefetch import Fill
from mixtura.typing import FloatArray

__all__ = ["numbers", "poured"]


def poured(pieces: Iterator[tuple[Any, FloatArray | None]]) -> Fill:
    """A function that fills buffers from pieces (rows, weights or None)."""
    rest: Any = None
    taken = 0

    def fill(x: FloatArray, weight: FloatArray | None) -> int:
        nonlocal rest, taken
        done = 0
        while done < len(x):
            if rest is None:
                rest, taken = next(pieces, None), 0
                if rest is None:
                    break
            rows, w = rest
            apart = not isinstance(rows, np.ndarray)
            length = len(rows[0]) if apart else len(rows)
            count = min(length - taken, len(x) - done)
            into, part = slice(done, done + count), slice(taken, taken + count)
            if apart:
                for j, column in enumerate(rows):
                    x[into, j] = column[part]
            else:
                x[into] = rows[part]
            if weight is not None:
                weight[into] = 1.0 if w is None else w[part]
            done, taken = done + count, taken + count
            if taken == length:
                rest = None
        return done

    return fill


def numbers(column: Any, name: str, source: str) -> FloatArray:
    """A column of an Arrow batch as numbers, NaN where a cell is missing.

    Raises
    ------
    InputError
        For cells that are not numbers.
    """
    import pyarrow as pa
    from pyarrow import compute

    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    if not numeric(kind):
        raise InputError(
            f"expected numbers in column {name!r} of {source}, got cells of type {kind}; leave it "
            "out or turn it into numbers"
        )
    if column.null_count or not pa.types.is_floating(kind) or pa.types.is_float16(kind):
        wide = pa.float32() if pa.types.is_float32(kind) else pa.float64()
        column = compute.cast(column, wide, safe=False)
    return np.asarray(column.to_numpy(zero_copy_only=False))


def numeric(kind: Any) -> bool:
    """Whether an Arrow type is of numbers."""
    import pyarrow as pa

    return bool(
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    )
