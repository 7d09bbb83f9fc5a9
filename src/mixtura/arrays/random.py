"""Draws in any array library: where a seed leads, and what comes from it."""

from __future__ import annotations

from typing import Any

import numpy as np

from mixtura.arrays.namespace import detached, is_numpy, namespace, torch
from mixtura.errors import InputError
from mixtura.typing import Array, Seed

__all__ = ["choice", "generator", "standard_normal"]


def generator(rng: Seed, like: Array) -> Any:
    """A generator for draws like an array: NumPy's, or PyTorch's on the array's device.

    Parameters
    ----------
    rng : int, numpy.random.Generator or torch.Generator, optional
        For tensors, None is PyTorch's own generator of the device (``torch.manual_seed``), and a
        generator of NumPy's gives the seed.
    like : array
    """
    if is_numpy(like):
        try:
            return np.random.default_rng(rng)
        except TypeError:
            raise InputError(
                f"expected a seed or a numpy.random.Generator, got {type(rng).__name__}; a "
                'torch.Generator draws from mix.to("torch")'
            ) from None
    module = torch("a draw of tensors")
    if rng is None:
        return None
    if isinstance(rng, module.Generator):
        if rng.device.type != like.device.type:
            raise InputError(
                f"expected a generator on {like.device}, where the mixture is, got one on "
                f'{rng.device}; make it with torch.Generator(device="{like.device}")'
            )
        return rng
    try:
        seed = int(np.random.default_rng(rng).integers(2**63 - 1))
    except TypeError:
        raise InputError(
            f"expected a seed or a generator of PyTorch or NumPy, got {type(rng).__name__}"
        ) from None
    return module.Generator(device=like.device).manual_seed(seed)


def standard_normal(shape: tuple[int, ...], source: Any, like: Array) -> Array:
    """Standard normal numbers in the library, dtype and device of an array."""
    if is_numpy(like):
        return source.standard_normal(shape)
    module = torch("a draw of tensors")
    return module.randn(shape, generator=source, dtype=like.dtype, device=like.device)


def choice(probabilities: Array, draws: int, source: Any) -> Array:
    """Indices (b, draws) drawn with probabilities (b, k), of tensors; no gradient."""
    xp = namespace(probabilities)
    shape = (int(probabilities.shape[0]), draws)
    if 0 in shape:
        return xp.zeros(shape, dtype=xp.int64, device=probabilities.device)
    return xp.multinomial(detached(probabilities), draws, replacement=True, generator=source)
