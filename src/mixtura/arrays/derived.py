"""Properties that are computed once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

from mixtura.arrays.namespace import tensors, volatile

__all__ = ["derived"]

T = TypeVar("T")


class derived(Generic[T]):
    """A property that is computed once, except where gradients are in play.

    A tensor that was computed from parameters which require a gradient holds a graph that one
    backward pass frees, or, under ``torch.no_grad``, lacks one that a later pass needs. Neither
    may be kept.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self.compute = compute
        self.__doc__ = compute.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> derived[T]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None) -> T: ...

    def __get__(self, instance: object | None, owner: type | None = None) -> derived[T] | T:
        if instance is None:
            return self
        value = self.compute(instance)
        if not any(volatile(t) for t in tensors((value, instance))):
            instance.__dict__[self.name] = value
        return value
