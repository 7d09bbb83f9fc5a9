r"""Discrete optimal transport: the joint law of labels with given marginals and the least cost.

    min Σ γ c  over γ ≥ 0 with marginals w⁽¹⁾, …, w⁽ʲ⁾

A linear programme (HiGHS), whose dual gives the derivative of the cost with respect to the weights.
With two equally weighted sides of one size the answer is an assignment.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment, linprog
from scipy.sparse import coo_array

from mixtura.arrays.namespace import as_float, is_numpy, namespace
from mixtura.errors import InputError, MixturaError
from mixtura.typing import Array, FloatArray

__all__ = ["Coupling", "masses", "optimal_coupling"]

#: Mass that is a solver's rounding.
DUST = 1e-14
#: Tuples of labels that a linear programme takes: a minute's work, and a few gigabytes.
MOST_VARIABLES = 2_000_000


class Coupling(NamedTuple):
    """An optimal joint law of labels.

    Attributes
    ----------
    plan : array (k₁, …, kⱼ)
    potentials : tuple of arrays (k₁,), …, (kⱼ,), or None
        Derivatives of the cost with respect to the weights, up to a constant on each side; None
        where the plan was found without them.
    """

    plan: FloatArray
    potentials: tuple[FloatArray, ...] | None


def optimal_coupling(
    cost: FloatArray, marginals: Sequence[FloatArray], *, potentials: bool = False
) -> Coupling:
    """The plan of least cost.

    Parameters
    ----------
    cost : array (k₁, …, kⱼ)
    marginals : sequence of arrays (kᵢ,)
        Each summing to one.
    potentials : bool
        Whether the dual is asked for, which an assignment does not give.
    """
    if not potentials and cost.ndim == 2:
        plan = _assigned(cost, *marginals)
        if plan is not None:
            return Coupling(plan, None)
    return _programme(cost, marginals)


def masses(plan: FloatArray, weights: Sequence[Array]) -> Array:
    """The positive entries of a plan (s,), as functions of the weights on other array libraries.

    Labels that a plan found by the simplex method couples are linearly independent as columns of
    the constraints S γ = w, so that γ = S⁺ w.
    """
    if all(is_numpy(w) for w in weights):
        return plan[plan > 0]
    places = np.nonzero(plan)
    rows = [np.arange(size)[:, None] == p for size, p in zip(plan.shape, places, strict=True)]
    joined = namespace(*weights).concat(list(weights))
    inverse = np.linalg.pinv(np.concatenate(rows).astype(np.float64))
    return as_float(inverse, like=joined) @ joined


def _assigned(cost: FloatArray, w: FloatArray, v: FloatArray) -> FloatArray | None:
    """The plan where it is plain: one component on a side, or a permutation."""
    k = len(w)
    if k == 1 or len(v) == 1:
        return np.outer(w, v)
    if k != len(v) or max(np.ptp(w), np.ptp(v)) > 4 * np.finfo(np.float64).eps / k:
        return None
    plan = np.zeros((k, k))
    plan[linear_sum_assignment(cost)] = 1 / k
    return plan


def _programme(cost: FloatArray, marginals: Sequence[FloatArray]) -> Coupling:
    size, sides = cost.size, cost.ndim
    if size > MOST_VARIABLES:
        raise InputError(
            f"expected at most {MOST_VARIABLES:,} pairs of components for an exact plan of unequal "
            f"weights, got {' × '.join(str(k) for k in cost.shape)}; reduce() the mixtures first, "
            "or take sliced_wasserstein()"
        )
    places = np.unravel_index(np.arange(size), cost.shape)
    starts = np.concatenate([[0], np.cumsum(cost.shape)])
    rows = np.concatenate([p + s for p, s in zip(places, starts, strict=False)])
    columns = np.tile(np.arange(size), sides)
    matrix = coo_array((np.ones(len(rows)), (rows, columns)), shape=(starts[-1], size)).tocsr()
    # All sides sum to one: the last row of every side but the first says nothing new.
    kept = np.delete(np.arange(starts[-1]), starts[2:] - 1)
    top = float(cost.max(initial=0.0)) or 1.0
    answer = linprog(
        cost.ravel() / top,
        A_eq=matrix[kept],
        b_eq=np.concatenate(marginals)[kept],
        method="highs-ds",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    if answer.x is None:
        raise MixturaError(
            f"expected the transport between {cost.shape} components to be solved, but the solver "
            f"says: {answer.message}; reduce() the mixtures to fewer components"
        )
    plan = np.where(answer.x > DUST, answer.x, 0.0).reshape(cost.shape)
    dual = np.zeros(starts[-1])
    dual[kept] = answer.eqlin.marginals * top
    return Coupling(plan / plan.sum(), tuple(np.split(dual, starts[1:-1])))
