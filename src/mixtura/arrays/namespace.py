"""The only file that knows which array library is in hand: NumPy, or PyTorch for tensors.

PyTorch is never imported before a tensor comes in or is asked for. Tensors keep their library,
dtype, device and gradients: nothing here detaches one unless its name says so.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from typing import Any

import array_api_compat
import array_api_compat.numpy as array_api_compat_numpy
import numpy as np
from scipy.special import ndtr

from mixtura.errors import InputError, MissingExtraError
from mixtura.typing import Array, FloatArray

__all__ = [
    "as_float",
    "convert",
    "detached",
    "finite",
    "first_tensor",
    "freeze",
    "holds",
    "is_numpy",
    "join",
    "known",
    "namespace",
    "normal_cdf",
    "tensors",
    "to_numpy",
    "torch",
    "volatile",
    "zeros",
]

LIBRARIES = ("numpy", "torch")
PRECISIONS = ("float32", "float64")


# ---- which library ---------------------------------------------------------------------------
def namespace(*arrays: Any) -> Any:
    """Return the array-API namespace that the arrays share; NumPy for lists and scalars."""
    if all(type(a) is np.ndarray for a in arrays):  # by far the most frequent, and cheap to see
        return array_api_compat_numpy
    found = [a for a in arrays if array_api_compat.is_array_api_obj(a)]
    return array_api_compat.array_namespace(*found) if found else array_api_compat_numpy


def is_numpy(array: Any) -> bool:
    """Return whether the array is NumPy's (or a list or scalar, which becomes so)."""
    if type(array) is np.ndarray:
        return True
    return not array_api_compat.is_array_api_obj(array) or array_api_compat.is_numpy_array(array)


def torch(purpose: str) -> Any:
    """The module ``torch``.

    Raises
    ------
    MissingExtraError
        Where it is not installed.
    """
    try:
        return importlib.import_module("torch")
    except ImportError:
        raise MissingExtraError("torch", "torch", purpose) from None


def tensors(value: Any) -> Iterator[Any]:
    """Arrays of other libraries than NumPy in a value, its fields, or a list."""
    if not is_numpy(value):
        yield value
        return
    items: Any = ()
    if isinstance(value, list | tuple):
        items = value[:64]  # a list of tensors is short; one of numbers may be long
    elif is_dataclass(value):
        items = vars(value).values()
    for item in items:
        if type(item) is not np.ndarray:
            yield from tensors(item)


def first_tensor(*values: Any) -> Array | None:
    """The first array that is not NumPy's, or None."""
    return next(tensors(values), None)


# ---- conversion ------------------------------------------------------------------------------
def as_float(values: Any, *, like: Any = None, keep_single: bool = False) -> Array:
    """Convert to a floating array: float64 for NumPy, unless float32 rows are to be kept.

    Parameters
    ----------
    values : array-like
        Tensors keep float32 or float64; integers become float64.
    like : array, optional
        A tensor whose library, dtype and device the values should join.
    keep_single : bool
        Leave float32 as it is (rows keep their type; parameters are float64).
    """
    if isinstance(values, list | tuple) and first_tensor(values) is not None:
        values = _stacked(values)
    if is_numpy(values):
        if like is not None and not is_numpy(like):
            xp = namespace(like)  # a copy: NumPy's arrays may be read-only, and tensors never are
            return xp.asarray(np.array(values, np.float64), dtype=like.dtype, device=like.device)
        if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
            raise InputError(
                "expected an array without masked cells; fill them, or pass NaN to impute()"
            )
        array = np.asarray(values)
        if array.dtype.kind in "cmM":
            raise InputError(f"expected real numbers, got {array.dtype}; convert them first")
        if keep_single and array.dtype == np.float32:
            return array
        return np.asarray(array, dtype=np.float64)
    xp = namespace(values)
    if values.dtype not in (xp.float32, xp.float64):
        if not xp.isdtype(values.dtype, ("bool", "integral")):
            raise InputError(
                f"expected tensors of float32 or float64, got {values.dtype}; convert with "
                ".double()"
            )
        values = xp.astype(values, xp.float64)
    return values if like is None or is_numpy(like) else _alike(values, like)


def _alike(values: Array, like: Array) -> Array:
    """A tensor in the dtype of another, on the same device."""
    if values.dtype != like.dtype:
        values = namespace(values).astype(values, like.dtype)
    if str(values.device) == str(like.device):
        return values
    if values.ndim == 0:  # a number may live anywhere
        return array_api_compat.to_device(values, like.device)
    raise InputError(
        f"expected tensors on one device, got {like.device} and {values.device}; move one with "
        f'.to("{like.device}"), or the mixture with .to("torch", device="{values.device}")'
    )


def _stacked(values: Any) -> Array:
    """A list of numbers and tensors as one tensor, gradients kept."""
    like = as_float(first_tensor(values))
    return namespace(like).stack([as_float(v, like=like) for v in values])


def join(*arrays: Array) -> tuple[Array, ...]:
    """The arrays in one library: where one is a tensor, all are, in the wider dtype."""
    found = [as_float(a) for a in arrays if not is_numpy(a)]
    if not found:
        return arrays
    xp = namespace(*found)
    like = xp.astype(found[0], xp.result_type(*found), copy=False)
    return tuple(as_float(a, like=like) for a in arrays)


def to_numpy(array: Array) -> FloatArray:
    """A NumPy array of the same numbers, without gradients."""
    if is_numpy(array):
        return np.asarray(array)
    return np.asarray(array_api_compat.to_device(detached(array), "cpu")).copy()


def convert(library: str, device: Any = None, dtype: Any = None) -> Callable[[Array], Array]:
    """A function that takes arrays to a library, device and dtype.

    Raises
    ------
    InputError
        For a library, device or dtype that there is not.
    MissingExtraError
        Where PyTorch is asked for and not installed.
    """
    if library not in LIBRARIES:
        raise InputError(
            f'expected the library "numpy" or "torch", got {library!r}; a device is named beside '
            'it: .to("torch", device="cuda")'
        )
    name = None if dtype is None else _precision(dtype)
    if library == "numpy":
        if device is not None and str(device) != "cpu":
            raise InputError(f'expected the device "cpu" for NumPy, got {str(device)!r}')
        if name not in (None, "float64"):
            raise InputError(f"expected float64, which NumPy's mixtures are in, got {name}")
        return lambda a: np.asarray(to_numpy(a), dtype=np.float64)
    module = torch('.to("torch")')
    place = None if device is None else _device(module, device)
    kind = None if name is None else getattr(module, name)

    def move(a: Array) -> Array:
        tensor = a if isinstance(a, module.Tensor) else module.from_numpy(np.array(a))
        return tensor.to(device=place, dtype=kind)

    return move


def _precision(dtype: Any) -> str:
    try:
        name = str(dtype).removeprefix("torch.")
        name = name if name in PRECISIONS else np.dtype(dtype).name
    except TypeError:
        name = str(dtype)
    if name not in PRECISIONS:
        raise InputError(f"expected the dtype float64 or float32, got {name}")
    return name


def _device(module: Any, device: Any) -> Any:
    """A device that can hold a tensor."""
    try:
        place = module.device(device)
        module.empty(0, device=place)
    except (RuntimeError, AssertionError, ImportError, TypeError, ValueError):
        there = ["cpu", *(f"cuda:{i}" for i in range(module.cuda.device_count()))]
        there += ["mps"] if module.backends.mps.is_available() else []
        raise InputError(
            f"expected a device that PyTorch has on this machine ({', '.join(there)}), got "
            f'{str(device)!r}; pass device="cpu", or install the PyTorch build for that device'
        ) from None
    return place


def zeros(shape: tuple[int, ...], like: Array) -> Array:
    """Zeros in the library, dtype and device of an array."""
    return namespace(like).zeros(shape, dtype=like.dtype, device=like.device)


# ---- looking at values -----------------------------------------------------------------------
def holds(condition: Any) -> bool:
    """Whether a condition holds everywhere; taken for granted where no value can be looked at
    (under ``torch.func.vmap``, on the device "meta")."""
    if is_numpy(condition):
        return bool(np.all(condition))
    try:
        return bool(condition.all())
    except RuntimeError:
        return True


def finite(array: Array) -> bool:
    """Whether every number is finite."""
    if is_numpy(array) and array.dtype.kind == "f":
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(np.sum(array)):  # one pass, and no table of truth values
                return True
    return holds(namespace(array).isfinite(array))


def known(array: Array) -> FloatArray | None:
    """The numbers of an array if a structure may be chosen by them, otherwise None.

    Where a gradient flows to the array, a zero is not known to stay zero.
    """
    if is_numpy(array):
        return np.asarray(array)
    if getattr(array, "requires_grad", False):
        return None
    try:
        return to_numpy(array)
    except RuntimeError:
        return None


def detached(array: Array) -> Array:
    """The same numbers as constants, through which no gradient flows."""
    return array.detach() if hasattr(array, "detach") else array


def normal_cdf(z: Array) -> Array:
    """Φ(z), the standard normal distribution function, of every number."""
    if is_numpy(z):
        return ndtr(np.asarray(z))
    return torch("distribution functions of tensors").special.ndtr(z)


def freeze(array: Array) -> Array:
    """Return a NumPy array as a read-only copy or view; other libraries' arrays as they are."""
    if not isinstance(array, np.ndarray):
        return array
    if array.flags.writeable:
        array = array.copy()
        array.flags.writeable = False
    return array


def volatile(tensor: Any) -> bool:
    """Whether a tensor has or needs a graph, or belongs to a mode or transform that will end."""
    return bool(
        getattr(tensor, "requires_grad", False)
        or (hasattr(tensor, "is_inference") and tensor.is_inference())
    )
