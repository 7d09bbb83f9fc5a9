"""Two calls of BLAS that let other threads run: SciPy's own wrappers keep the interpreter's lock.

The routines are those that SciPy exports to Cython (``scipy.linalg.cython_blas``), called through
``ctypes``, which gives the lock back meanwhile. Matrices of rows are columns to BLAS: a C-ordered
(b, d) is what Fortran calls (d, b).
"""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np
from scipy.linalg import cython_blas

from mixtura.typing import FloatArray

__all__ = ["gram", "substitute"]

_LETTERS = {
    np.dtype(np.float32): ("s", ctypes.c_float),
    np.dtype(np.float64): ("d", ctypes.c_double),
}


@cache
def _routine(name: str, arguments: int) -> Any:
    """A routine all of whose arguments are pointers."""
    capsule = cython_blas.__pyx_capi__[name]
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype = ctypes.c_char_p
    api.PyCapsule_GetName.argtypes = [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    pointer = api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule))
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * arguments)(pointer)


def _call(name: str, dtype: Any, letters: bytes, *arguments: Any) -> None:
    """Whole numbers are sizes, floats are factors, arrays are themselves."""
    prefix, real = _LETTERS[np.dtype(dtype)]
    held: list[Any] = [ctypes.c_char(letter) for letter in letters]
    pointers = [ctypes.addressof(each) for each in held]
    for each in arguments:
        if isinstance(each, np.ndarray):
            pointers.append(each.ctypes.data)
            continue
        held.append(real(each) if isinstance(each, float) else ctypes.c_int(each))
        pointers.append(ctypes.addressof(held[-1]))
    _routine(prefix + name, len(pointers))(*pointers)


def _checked(*arrays: FloatArray) -> Any:
    dtype = arrays[0].dtype
    if dtype not in _LETTERS or any(
        a.dtype != dtype or not a.flags.c_contiguous or a.ndim != 2 for a in arrays
    ):
        raise TypeError("expected C-contiguous matrices, all of float32 or all of float64")
    return dtype


def substitute(factor: FloatArray, x: FloatArray) -> FloatArray:
    """L⁻¹ x for every row of x (b, d), in its memory, with lower triangular L (d, d).

    L may be a block of a larger matrix.
    """
    dtype, (b, d), width = _checked(x), x.shape, factor.strides[0] // factor.itemsize
    if factor.shape != (d, d):
        raise ValueError(f"expected a factor of shape {(d, d)}, got {factor.shape}")
    if factor.dtype != dtype or (d > 1 and (width < d or factor.strides[1] != factor.itemsize)):
        raise TypeError(f"expected a factor of {dtype} whose rows lie one after another")
    if x.size:
        _call("trsm", dtype, b"LUTN", d, b, 1.0, factor, max(width, d), x, d)
    return x


def gram(x: FloatArray) -> FloatArray:
    """The lower triangle of xᵀ x (d, d) for rows x (b, d); the upper one is zero."""
    dtype, (b, d) = _checked(x), x.shape
    out = np.zeros((d, d), dtype=dtype)
    if x.size:
        _call("syrk", dtype, b"UN", d, b, 1.0, x, d, 0.0, out, d)
    return out
