"""Batched linear algebra over any array library, with errors that name the component."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from mixtura.arrays.namespace import detached, is_numpy, namespace, to_numpy
from mixtura.arrays.parallel import map_spans, n_workers
from mixtura.arrays.triangular import solve_lower, solve_lower_adjoint
from mixtura.errors import NotPositiveDefiniteError
from mixtura.typing import Array

__all__ = [
    "cholesky",
    "congruent",
    "length",
    "log",
    "log_softmax",
    "logsumexp",
    "rooted",
    "solve_cholesky",
    "solve_triangular",
    "symmetrise",
    "transpose",
]


#: Columns from which matrices are large, and in how many parts the zeros of a factor are left out.
LARGE, PARTS = 192, 4


def transpose(a: Array) -> Array:
    """Swap the last two axes."""
    return namespace(a).matrix_transpose(a)


def symmetrise(a: Array) -> Array:
    """Return (A + Aᵀ) / 2 over the last two axes."""
    return 0.5 * (a + transpose(a))


def cholesky(a: Array, what: str = "covariance", begin: int = 0) -> Array:
    """Lower Cholesky factors of a batch (..., d, d), whose first is component ``begin``.

    Raises
    ------
    NotPositiveDefiniteError
        Naming the first component that has no factor, and its smallest eigenvalue.
    """
    xp = namespace(a)
    if not is_numpy(a):
        a = symmetrise(a)  # a factor sees one triangle only: this gives both their gradients
    try:
        factor = _large_cholesky(a) if is_numpy(a) and _large(a) else xp.linalg.cholesky(a)
    except Exception as error:  # every library raises its own LinAlgError
        if "LinAlgError" not in type(error).__name__:
            raise
        raise _not_positive_definite(a, what, begin) from None
    if is_numpy(factor) and not np.isfinite(factor).all():
        raise _not_positive_definite(a, what, begin)
    return factor


def _large(a: Array) -> bool:
    return a.ndim == 3 and len(a) > 1 and a.shape[-1] >= LARGE


def _large_cholesky(a: Array) -> Array:
    """Factors of large matrices (k, d, d), threads over matrices: BLAS's own threads wait more."""
    factor = np.empty(a.shape, dtype=np.result_type(a, np.float32))

    def span(start: int, stop: int) -> None:
        for j in range(start, stop):
            factor[j] = np.linalg.cholesky(a[j])

    map_spans(span, len(a), n_workers())
    return factor


def congruent(operator: Array, a: Array) -> Array:
    """A Σ Aᵀ (k, p, p) for A (p, d) and symmetric Σ (k, d, d), symmetric to the last bit."""
    if not (is_numpy(a) and _large(a)):
        return symmetrise(operator @ (a @ transpose(operator)))
    k, p = len(a), len(operator)
    out = np.empty((k, p, p), dtype=np.result_type(operator, a))

    def span(start: int, stop: int) -> None:
        for j in range(start, stop):
            out[j] = symmetrise(operator @ (a[j] @ operator.T))

    map_spans(span, k, n_workers())
    return out


def rooted(factor: Array, operator: Array | None = None) -> Array:
    """A L Lᵀ Aᵀ (k, p, p) for A (p, d), by default the identity, and lower L (k, d, d)."""
    if not (is_numpy(factor) and _large(factor)):
        root = factor if operator is None else operator @ factor
        return symmetrise(root @ transpose(root))
    k, d = factor.shape[:2]
    p = d if operator is None else len(operator)
    out = np.empty((k, p, p), dtype=factor.dtype)
    cuts = [d * i // PARTS for i in range(PARTS + 1)]

    def span(start: int, stop: int) -> None:
        root = np.empty((p, d), dtype=factor.dtype)
        for j in range(start, stop):
            if operator is None:
                root = factor[j]
            else:
                for low, high in pairwise(cuts):
                    np.matmul(operator[:, low:], factor[j, low:, low:high], out=root[:, low:high])
            np.matmul(root, root.T, out=out[j])  # symmetric to the last bit

    map_spans(span, k, n_workers())
    return out


def _not_positive_definite(a: Array, what: str, begin: int) -> NotPositiveDefiniteError:
    matrices = to_numpy(a).reshape((-1, *a.shape[-2:]))
    for j, matrix in enumerate(matrices, begin):
        if not np.isfinite(matrix).all():
            return NotPositiveDefiniteError(
                f"expected a finite {what}, got NaN or infinity in component {j}"
            )
        smallest = float(np.linalg.eigvalsh(matrix)[0])
        try:
            np.linalg.cholesky(matrix)
        except np.linalg.LinAlgError:
            return NotPositiveDefiniteError(
                f"expected a positive definite {what}, got one whose smallest eigenvalue is "
                f"{smallest:.3g} in component {j}; add a small number to its diagonal, or leave "
                "out the columns that are linear combinations of others"
            )
    return NotPositiveDefiniteError(f"expected a positive definite {what}")


def solve_triangular(factor: Array, b: Array, *, adjoint: bool = False) -> Array:
    """Solve L x = b (or Lᵀ x = b) for lower L (..., d, d) and b (..., d, p), batched."""
    if not is_numpy(factor):
        xp = namespace(factor, b)
        matrix = transpose(factor) if adjoint else factor
        return xp.linalg.solve_triangular(matrix, b, upper=adjoint)
    shape = np.broadcast_shapes(factor.shape[:-2], b.shape[:-2])
    factors, sides = factor, b
    if factor.shape[:-2] != b.shape[:-2]:
        factors = np.broadcast_to(factor, (*shape, *factor.shape[-2:]))
        sides = np.broadcast_to(b, (*shape, *b.shape[-2:]))
    if sides.size == 0:
        return np.zeros(sides.shape)
    solve = solve_lower_adjoint if adjoint else solve_lower
    flat = solve(factors.reshape((-1, *factors.shape[-2:])), sides.reshape(-1, *b.shape[-2:]))
    return flat.reshape(sides.shape)


def solve_cholesky(factor: Array, b: Array) -> Array:
    """Solve L Lᵀ x = b."""
    return solve_triangular(factor, solve_triangular(factor, b), adjoint=True)


def length(v: Array) -> Array:
    """Euclidean length of a vector, also where its square is beyond floats."""
    xp = namespace(v)
    top = detached(xp.max(xp.abs(v)))
    unit = xp.where((top > 0) & xp.isfinite(top), top, xp.ones_like(top))
    square = xp.sum((v / unit) ** 2)
    some = square > 0  # at no length the gradient is zero and not NaN
    return xp.where(some, unit * xp.sqrt(xp.where(some, square, xp.ones_like(square))), square)


def log(a: Array) -> Array:
    """Log of non-negative numbers: −inf at zero, where the gradient is zero and not infinite."""
    if is_numpy(a):
        with np.errstate(divide="ignore"):
            return np.log(a)
    xp = namespace(a)
    zero = a == 0  # twice, since 0 · inf in a branch that is not taken is NaN in its gradient
    return xp.where(zero, xp.full_like(a, -xp.inf), xp.log(xp.where(zero, xp.ones_like(a), a)))


def logsumexp(a: Array, axis: int = -1) -> Array:
    """Stable log Σ exp along an axis; −inf where every term is −inf."""
    xp = namespace(a)
    top = detached(xp.max(a, axis=axis, keepdims=True))
    safe = xp.where(xp.isfinite(top), top, xp.zeros_like(top))
    total = xp.sum(xp.exp(a - safe), axis=axis, keepdims=True)
    return xp.squeeze(log(total) + safe, axis=axis)


def log_softmax(a: Array, axis: int = -1) -> Array:
    """a − log Σ exp a along an axis.

    The largest entry is taken off first: where entries are of the order of 1e12, far from every
    component, log k would drown in a difference of two such numbers.
    """
    xp = namespace(a)
    top = detached(xp.max(a, axis=axis, keepdims=True))
    shifted = a - xp.where(xp.isfinite(top), top, xp.zeros_like(top))
    return shifted - log(xp.sum(xp.exp(shifted), axis=axis, keepdims=True))
