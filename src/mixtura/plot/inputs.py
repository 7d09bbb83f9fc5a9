"""Doors: what a figure is asked to draw, checked before anything is drawn."""

from __future__ import annotations

import operator
from numbers import Real
from typing import Any

import numpy as np

from mixtura.arrays.namespace import is_numpy, to_numpy
from mixtura.errors import InputError
from mixtura.mixture import Mixture
from mixtura.mixture.columns import positions
from mixtura.sources.rows import as_weights
from mixtura.typing import FloatArray

__all__ = ["columns_of", "mixture_of", "names_of", "rows_of", "shares_of", "weights_of", "whole"]

WORDS = {1: "one column", 2: "two columns"}


def mixture_of(value: Any) -> Mixture:
    """The mixture, or the one that a fitted estimator holds, in NumPy's arrays."""
    found = getattr(value, "mixture_", value)
    if not isinstance(found, Mixture):
        mend = (
            "call fit() first"
            if hasattr(value, "fit")
            else "build one with mixtura.Mixture, or pass what mixtura.load returns"
        )
        raise InputError(
            f"expected a Mixture or a fitted estimator, got {type(value).__name__}; {mend}"
        )
    return found if is_numpy(found.means) else found.to("numpy")


def names_of(mixture: Mixture) -> tuple[str, ...]:
    """Names of the columns, ``x0``, ``x1``, … where they have none."""
    return mixture.columns or tuple(f"x{j}" for j in range(mixture.d))


def columns_of(mixture: Mixture, columns: Any, number: int | None, what: str) -> list[int]:
    """Positions of the columns asked for, ``number`` of them where it is given."""
    if number is not None and mixture.d < number:
        raise InputError(
            f"expected a mixture of at least {WORDS[number]} in {what}, got one of {mixture.d}; "
            "histogram shows a single column"
        )
    found = positions(columns, mixture.d, mixture.columns, what)
    if number is not None and len(found) != number:
        other = "histogram shows one" if not found[1:] else "scatter_matrix shows several at once"
        raise InputError(f"expected {WORDS[number]} in {what}, got {len(found)}; {other}")
    if not found:
        raise InputError(f"expected at least one column in {what}, got none")
    return found


def rows_of(mixture: Mixture, X: Any) -> FloatArray:
    """Rows (n, d) of finite numbers in all columns of the mixture, at least one."""
    x = np.asarray(mixture._rows(X if is_numpy(X) else to_numpy(X)))
    if not len(x):
        raise InputError("expected at least one row in X, got none")
    return x


def weights_of(weights: Any, n: int) -> FloatArray:
    """Row weights (n,), 1 each where none are given."""
    try:
        found = as_weights(weights, n)
    except InputError as reason:
        raise InputError(str(reason).replace("sample_weight", "weights")) from None
    return np.ones(n) if found is None else found


def shares_of(shares: Any, name: str) -> tuple[float, ...]:
    """Distinct shares between 0 and 1, in ascending order; one number stands for itself."""
    listed = [shares] if isinstance(shares, Real) else shares
    try:
        found = sorted({float(share) for share in listed})
    except (TypeError, ValueError):
        found = []
    if not found or not all(0 < share < 1 for share in found):
        raise InputError(f"expected {name} between 0 and 1, such as (0.5, 0.9), got {shares!r}")
    return tuple(found)


def whole(value: Any, name: str) -> int:
    """A whole number, at least 1."""
    try:
        count = operator.index(value)
    except TypeError:
        count = 0
    if count < 1:
        raise InputError(f"expected {name} as a whole number of at least 1, got {value!r}")
    return count
