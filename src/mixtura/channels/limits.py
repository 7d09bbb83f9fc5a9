"""Checks of limits: of detection for censored cells, and of the window for truncated rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from mixtura.errors import InputError
from mixtura.typing import FloatArray

__all__ = ["as_limits"]


def as_limits(
    limits: Any, n: int, d: int, what: str, dtype: Any = np.float64
) -> tuple[FloatArray, FloatArray]:
    """Lower and upper limits of cells, from a pair (lower, upper).

    Parameters
    ----------
    limits : pair
        Each None, a number, (d,) for columns or (n, d) for cells; infinite or None where there is
        no limit. Where n = d, a square array is read as (n, d).
    n, d : int
    what : str
        The parameter's name, for errors.
    dtype : dtype
        Of the cells: a limit of 0.1 is what float32 makes of it for cells of float32.

    Returns
    -------
    lower, upper : array (1, d) or (n, d)

    Raises
    ------
    InputError
    """
    if not isinstance(limits, tuple | list) or len(limits) != 2:
        raise InputError(
            f"expected {what}=(lower, upper), each None, a number, one per column or one per "
            f"cell, got {type(limits).__name__}; pass (lower, None) where there is none above"
        )
    lower = _side(limits[0], -np.inf, n, d, f"the lower limits of {what}")
    upper = _side(limits[1], np.inf, n, d, f"the upper limits of {what}")
    lower, upper = (side.astype(dtype).astype(np.float64) for side in (lower, upper))
    wrong = np.argwhere(~(lower < upper))
    if len(wrong):
        row, column = wrong[0]
        low, high = np.broadcast_arrays(lower, upper)
        raise InputError(
            f"expected lower limits below upper ones in {what}, got {low[row, column]:g} and "
            f"{high[row, column]:g} for column {column}; check their order"
        )
    return lower, upper


def _side(values: Any, nothing: float, n: int, d: int, what: str) -> FloatArray:
    if values is None:
        return np.full((1, d), nothing)
    if hasattr(values, "to_numpy"):
        raise InputError(
            f"expected {what} as an array, got a {type(values).__name__} with labels; put them "
            "into the order of the columns and pass to_numpy()"
        )
    if isinstance(values, np.ma.MaskedArray):
        values = values.filled(nothing)
    if isinstance(values, list | tuple) and any(v is None for v in values):
        values = [nothing if v is None else v for v in values]
    try:
        side = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"expected numbers as {what}; pass a numeric array") from None
    if np.asarray(values).dtype == bool:
        raise InputError(f"expected numbers as {what}, got True or False; pass the limits")
    if side.shape not in ((), (d,), (n, d)):
        raise InputError(
            f"expected {what} as a number, ({d},) or ({n}, {d}), got {side.shape}; use infinity "
            "where a column has none"
        )
    if np.isnan(side).any():
        where = f" for column {np.argwhere(np.isnan(side))[0][-1]}" if side.ndim else ""
        raise InputError(
            f"expected numbers as {what}, got NaN{where}; use infinity where there is no limit"
        )
    return np.asarray(np.broadcast_to(side, (n if side.ndim == 2 else 1, d)))
