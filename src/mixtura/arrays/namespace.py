"""The only file that knows which array library is in hand."""

from __future__ import annotations

from typing import Any

import array_api_compat
import array_api_compat.numpy as array_api_compat_numpy
import numpy as np

from mixtura.typing import Array

__all__ = ["as_float", "freeze", "is_numpy", "namespace"]


def namespace(*arrays: Any) -> Any:
    """Return the array-API namespace that the arrays share; NumPy for lists and scalars."""
    known = [a for a in arrays if array_api_compat.is_array_api_obj(a)]
    return array_api_compat.array_namespace(*known) if known else array_api_compat_numpy


def is_numpy(array: Any) -> bool:
    """Return whether the array is NumPy's (or a list or scalar, which becomes so)."""
    return not array_api_compat.is_array_api_obj(array) or array_api_compat.is_numpy_array(array)


def as_float(values: Any, *, like: Any = None, keep_single: bool = False) -> Array:
    """Convert to a floating array: float64 for NumPy, unless float32 rows are to be kept.

    Parameters
    ----------
    values : array-like
    like : array, optional
        Array whose library and device a list or scalar should join.
    keep_single : bool
        Leave float32 as it is (rows keep their type; parameters are float64).
    """
    if is_numpy(values):
        if like is not None and not is_numpy(like):
            xp = namespace(like)
            return xp.asarray(values, dtype=like.dtype, device=like.device)
        array = np.asarray(values)
        if keep_single and array.dtype == np.float32:
            return array
        return np.asarray(array, dtype=np.float64)
    xp = namespace(values)
    if xp.isdtype(values.dtype, "real floating"):
        return values
    return xp.astype(values, xp.float64)


def freeze(array: Array) -> Array:
    """Return a NumPy array as a read-only copy or view; other libraries' arrays as they are."""
    if not isinstance(array, np.ndarray):
        return array
    if array.flags.writeable:
        array = array.copy()
        array.flags.writeable = False
    return array
