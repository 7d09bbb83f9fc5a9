"""What the cells of one column are: numbers, or something else and what.

A column of text whose every cell that is not empty is a number counts as numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mixtura.typing import FloatArray

__all__ = ["MISSING", "NUMBER", "Cells", "cells", "given_cells"]

#: Text that stands for a cell without a value.
MISSING = ("", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NAN", "null", "NULL", "None", "none", "?")
#: A number as text.
NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?([iI]nf|INF|[iI]nfinity)"

DATE = (
    r"^\d{4}[-/.]\d{1,2}[-/.]\d{1,2}([T ].*)?$|^\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4}( .*)?$"
    r"|^\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?$"
)
CODE = r"^[+-]?0\d"


@dataclass(frozen=True, eq=False)
class Cells:
    """One column, judged.

    Attributes
    ----------
    values : array (n,), optional
        The numbers, NaN where missing; None if the cells are not numbers.
    reason : str
        Why the column is not taken unasked; empty if it is.
    """

    values: FloatArray | None
    reason: str = ""


def cells(column: Any) -> Cells:
    """Judge a column: a NumPy vector or an Arrow ``ChunkedArray``."""
    return _numpy_cells(column) if isinstance(column, np.ndarray) else _arrow_cells(column)


def _numpy_cells(column: np.ndarray) -> Cells:
    kind = column.dtype.kind
    if kind == "f":
        exact = column.dtype == np.float32
        return Cells(np.asarray(column, dtype=np.float32 if exact else np.float64))
    if kind in "iu":
        return Cells(np.asarray(column, dtype=np.float64))
    if kind in "US":
        import pyarrow

        text = column.astype(str) if kind == "S" else column
        return _text_cells(pyarrow.chunked_array([pyarrow.array(text.tolist())]))
    reasons = {
        "b": "true or false",
        "c": "complex numbers",
        "M": "dates or times",
        "m": "durations",
    }
    return Cells(None, reasons.get(kind, f"cells of type {column.dtype}"))


def _arrow_cells(column: Any) -> Cells:
    import pyarrow as pa
    from pyarrow import compute

    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        column = pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type)
        kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if column.null_count == len(column):
        return Cells(None, "no values at all")
    if pa.types.is_float32(kind):
        return Cells(column.to_numpy())
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return Cells(compute.cast(column, pa.float64(), safe=False).to_numpy())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or "string_view" in str(kind):
        return _text_cells(column)
    if pa.types.is_boolean(kind):
        return Cells(None, "true or false")
    if pa.types.is_temporal(kind):
        return Cells(None, "durations" if pa.types.is_duration(kind) else "dates or times")
    if pa.types.is_nested(kind):
        return Cells(None, "nested values")
    return Cells(None, f"cells of type {kind}")


def given_cells(column: Any) -> Any:
    """A text column without surrounding space, null where a cell is missing."""
    import pyarrow as pa
    from pyarrow import compute

    text = compute.utf8_trim_whitespace(column.cast(pa.string()))
    missing = compute.is_in(text, value_set=pa.array(MISSING))
    return compute.if_else(missing, pa.scalar(None, pa.string()), text)


def _text_cells(column: Any) -> Cells:
    import pyarrow as pa
    from pyarrow import compute

    given = given_cells(column)
    count = len(given) - given.null_count
    if not count:
        return Cells(None, "no values at all")
    try:
        values = compute.cast(given, pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        return Cells(None, _why_text(given, count))
    if compute.any(compute.match_substring_regex(given, CODE)).as_py():
        return Cells(values, "digits with leading zeros: codes rather than numbers")
    return Cells(values)


def _why_text(given: Any, count: int) -> str:
    """Say what text it is."""
    import pyarrow as pa
    from pyarrow import compute

    lower = compute.utf8_lower(given)
    if compute.all(compute.is_in(lower, value_set=pa.array(["true", "false", None]))).as_py():
        return "true or false"
    if compute.all(compute.match_substring_regex(given, DATE)).as_py():
        return "dates or times"
    number = compute.match_substring_regex(given, f"^({NUMBER})$")
    odd = compute.filter(given, compute.invert(number))
    if not len(odd):
        return "numbers too large for float64"
    example = str(odd[0].as_py())
    example = repr(example if len(example) <= 24 else example[:23] + "…")
    others = len(odd)
    if others < count:
        return f"text: {others:,} of {count:,} cells are not numbers, such as {example}"
    return f"text, such as {example}"
