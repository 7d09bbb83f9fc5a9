"""NPY files as tables; never unpickled, and mapped rather than read, so sizes cannot lie."""

from __future__ import annotations

import tokenize
from pathlib import Path
from typing import Any

import numpy as np

from mixtura.errors import InputError
from mixtura.sources.tables import Table

__all__ = ["mapped", "read"]


def mapped(path: Path) -> Any:
    """The array of a file, a ``numpy.memmap``: rows, rows and columns, or rows with fields.

    Raises
    ------
    InputError
        For damaged files, Python objects, arrays of another shape or without rows.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        if "object" in str(error).lower():
            raise InputError(
                f"expected an array of numbers in {path}, got Python objects, which are never "
                "unpickled; save it with a numeric dtype: np.save(path, array.astype(float))"
            ) from None
        raise InputError(
            f"expected a whole NPY file, got a damaged one: {path} ({error}); write it again"
        ) from None
    except (OSError, EOFError, SyntaxError, OverflowError, tokenize.TokenError) as error:
        raise InputError(
            f"expected a whole NPY file, got a damaged one: {path} ({error}); write it again"
        ) from None
    fields = array.dtype.names if array.ndim == 1 else None
    if fields is not None and any(array.dtype[name].shape for name in fields):
        raise InputError(
            f"expected one number per field in {path}, got fields that are arrays; "
            "flatten them into one field each"
        )
    if array.ndim not in (1, 2):
        raise InputError(
            f"expected an array of rows and columns (2 dimensions) in {path}, got shape "
            f"{array.shape}; reshape it to (rows, columns) before saving"
        )
    if not array.size or fields == ():
        raise InputError(
            f"expected at least one row and one column in {path}, got shape {array.shape}; "
            "check how it was written"
        )
    return array


def read(path: Path) -> Table:
    """A table whose columns are views on the array: x0, x1, … or a structured array's fields."""
    array = mapped(path)
    if array.dtype.names is not None and array.ndim == 1:
        names = tuple(array.dtype.names)
        columns = tuple(array[name] for name in names)
        notes: tuple[str, ...] = ()
    else:
        array = array[:, None] if array.ndim == 1 else array
        names = tuple(f"x{i}" for i in range(array.shape[1]))
        columns = tuple(array[:, i] for i in range(array.shape[1]))
        notes = ("an array has no column names: they are " + _span(names),)
    return Table(path.name, "npy", names, columns, notes)


def _span(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}"
