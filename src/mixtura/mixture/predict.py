r"""Predictions from rows with holes: the law of some columns given whatever is there of others.

    p(y | x_o) = Σₖ rₖ(x_o) N(y; mₖ(x_o), Cₖ),    o the columns in which the row has a value.

A cell that is missing is integrated out, so each pattern of missing cells has regression matrices
of its own; rows are grouped by pattern and each group is answered at once. Rows of which nothing
is known get the marginal law.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mixtura.mixture import algebra, reach
from mixtura.mixture.conditional import Conditional, conditional
from mixtura.mixture.impute import highest_mode
from mixtura.typing import FloatArray

if TYPE_CHECKING:
    from mixtura.mixture.mixture import Mixture

__all__ = ["HOW", "Predictions", "patterns", "predict"]

HOW = ("mean", "median", "mode")


class Predictions(NamedTuple):
    """What a mixture says of m targets, row by row.

    Attributes
    ----------
    value : array (n, m)
        The point prediction.
    low, high : array (n, m)
        Equal-tailed interval of each target's own law.
    sd : array (n, m)
        Standard deviation of each target's own law.
    log_density : array (n,)
        Joint log density of the targets' true values; NaN where they are not all known.
    """

    value: FloatArray
    low: FloatArray
    high: FloatArray
    sd: FloatArray
    log_density: FloatArray


def patterns(known: FloatArray) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Groups of rows that share a pattern.

    Parameters
    ----------
    known : array (n, g) of bool

    Yields
    ------
    there : array of int
        Columns in which the group's rows have a value.
    rows : array of int
        The group's rows.
    """
    distinct, label = np.unique(known, axis=0, return_inverse=True)
    order = np.argsort(label.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(label.ravel(), minlength=len(distinct)))
    for pattern, rows in zip(distinct, np.split(order, ends[:-1]), strict=True):
        yield np.flatnonzero(pattern), rows


def predict(
    mix: Mixture,
    x: FloatArray,
    given: Sequence[int],
    targets: Sequence[int],
    *,
    how: str = "mean",
    level: float = 0.9,
    y: FloatArray | None = None,
) -> Predictions:
    """Predict target columns from rows in which cells may be missing (NaN).

    Parameters
    ----------
    mix : Mixture
    x : array (n, g)
        Values of the columns ``given``. Columns of the mixture that are neither given nor
        targets are integrated out.
    given, targets : positions of columns (g,) and (m,)
    how : {"mean", "median", "mode"}
        The point prediction. The median is taken target by target, the mode of all targets
        together.
    level : float
        Probability of the intervals.
    y : array (n, m), optional
        True values of the targets, for ``log_density``.

    Returns
    -------
    Predictions

    Raises
    ------
    InputError
        For values that cannot be squared in units of the model.
    """
    rows = np.asarray(x, dtype=np.float64)
    reach.check(mix, rows, given)
    n, m = len(rows), len(targets)
    truth = np.full((n, m), np.nan) if y is None else np.asarray(y, dtype=np.float64)
    tails = [(1 - level) / 2, (1 + level) / 2]
    value, low, high, sd = np.empty((4, n, m))
    out = Predictions(value, low, high, sd, np.full(n, np.nan))
    for there, group in patterns(~np.isnan(rows)):
        columns = [given[j] for j in there]
        part = algebra.marginal(mix, [*columns, *targets])
        if columns:
            law = conditional(part, list(range(len(columns))))
            found = _given(law, rows[np.ix_(group, there)], how, tails, truth[group])
        else:
            found = _unknown(part, len(group), how, tails, truth[group])
        for array, values in zip(out, found, strict=True):
            array[group] = values
    return out


def _given(
    law: Conditional, x: FloatArray, how: str, tails: list[float], y: FloatArray
) -> tuple[FloatArray, ...]:
    """Answers for rows x (b, g) without holes."""
    mean, sd = _moments(law, x)
    low, high = np.moveaxis(law.quantile(x, tails), 1, 0)
    density = np.full(len(x), np.nan)
    known = ~np.isnan(y).any(axis=1)
    if known.any():
        density[known] = law.log_density(x[known], y[known])
    value = mean if how == "mean" else law.quantile(x, 0.5) if how == "median" else law.mode(x)
    return value, low, high, sd, density


def _moments(law: Conditional, x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mean and standard deviation of each target (b, m), without their correlations."""
    within = np.asarray(law.covariance.diagonal())
    mean = np.empty((len(x), len(law.rest)))
    sd = np.empty_like(mean)
    for low, high in law.batches(len(x)):
        log_resp, each = law.parts(x[low:high])
        resp = np.exp(log_resp)
        mean[low:high] = np.einsum("bk,bkm->bm", resp, each)
        between = np.einsum("bk,bkm->bm", resp, (each - mean[low:high, None, :]) ** 2)
        sd[low:high] = np.sqrt(resp @ within + between)
    return mean, sd


def _unknown(
    law: Mixture, n: int, how: str, tails: list[float], y: FloatArray
) -> tuple[FloatArray, ...]:
    """The same answer n times: the marginal law of the targets."""
    each = [law.marginal([j]) for j in range(law.d)]
    low, high = np.array([one.quantile(tails) for one in each]).T
    sd = np.array([float(np.sqrt(one.cov[0, 0])) for one in each])
    density = np.full(n, np.nan)
    known = ~np.isnan(y).any(axis=1)
    if known.any():
        density[known] = law.log_density(y[known])
    if how == "median":
        value: Any = np.array([float(one.quantile(0.5)) for one in each])
    else:
        value = np.asarray(law.mean) if how == "mean" else highest_mode(law)
    shape = (n, law.d)
    return (*(np.broadcast_to(a, shape) for a in (value, low, high, sd)), density)
