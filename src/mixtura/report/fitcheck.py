"""The check of fit: (1/n) Σ log p(xᵢ) on rows that p has not seen, against one Gaussian's.

Rows that the model was fitted to have been seen: for these the kept structure and number of
components are cross-validated, and the Gaussian likewise. New rows are tried on the model itself,
and on the Gaussian of its mean and covariance.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixtura.errors import MixturaError
from mixtura.mixture import Mixture
from mixtura.report import pit
from mixtura.report.crossvalidate import SEED, Callback, drawn, held_out
from mixtura.report.layout import telling
from mixtura.report.observations import Observations
from mixtura.report.reading import Reading, read_rows

__all__ = ["MOST_ROWS", "FitCheck", "fit_check", "is_fitted_to"]

#: Rows that refits and transforms look at; of more, so many are drawn at random.
MOST_ROWS = 20_000
#: Columns whose marginals are transformed, as many as the scatter matrix shows.
MOST_COLUMNS = 6
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FitCheck:
    """How a model does on rows that it has not seen.

    Attributes
    ----------
    fitted : bool
        Whether the rows are those of the fit, so that it had to be refitted.
    recorded : bool
        Whether the model says what it was fitted to.
    n, used : int
        Rows of positive weight, and how many of them were looked at.
    why : str
        Why there are no numbers; empty if there are.
    model, gaussian : float, optional
        Log-likelihood per row in nats. No Gaussian where the model is one itself.
    gain, se : float, optional
        Difference of the two, and its standard error over rows.
    columns : tuple of int
        Columns transformed; the whole row comes after them where there are several.
    values : array (rows, m), optional
        Probability integral transforms of some of the rows; NaN at missing cells.
    weight : array (rows,), optional
        Row weights of ``values``.
    tied : tuple of int
        Columns among them in which many rows share a value; see ``pit.intervals``.
    unseen : bool
        Whether ``values`` are of rows that the model which gave them had not seen.
    """

    fitted: bool
    recorded: bool
    n: int
    used: int
    why: str = ""
    model: float | None = None
    gaussian: float | None = None
    gain: float | None = None
    se: float | None = None
    columns: tuple[int, ...] = ()
    values: Floats | None = None
    weight: Floats | None = None
    tied: tuple[int, ...] = ()
    unseen: bool = True


def is_fitted_to(info: dict[str, Any], rows: Any, reading: Reading) -> bool:
    """Whether the record tells of rows as many and as likely as these."""
    told = info.get("log_likelihood")
    if told is None or info.get("n_rows") != rows.n:
        return False
    slack = 1e-6 if rows.x.dtype != np.float32 else 1e-4  # float32 rows are fitted in float32
    return bool(abs(reading.mean_log_density - told) <= slack * max(1.0, abs(told)))


def fit_check(
    mixture: Any,
    rows: Any,
    info: dict[str, Any],
    *,
    reading: Reading | None = None,
    fitted: bool | None = None,
    callback: Callback | None = None,
) -> FitCheck:
    """Hold the model against rows that it has not seen.

    Parameters
    ----------
    mixture : Mixture
    rows : Rows
    info : dict
        How the model was fitted, as the command line stores it.
    reading : Reading, optional
        Of these rows, where it is at hand.
    fitted : bool, optional
        Whether these are the rows it was fitted to; found out by default.
    callback : callable (Progress) -> Any
        Told of every iteration of a refit.
    """
    rows = Observations.of(rows)
    reading = read_rows(mixture, rows) if reading is None else reading
    if fitted is None:
        fitted = is_fitted_to(info, rows, reading)
    live = np.flatnonzero(reading.weight > 0)
    n = len(live)
    some = rows.take(live[drawn(n, MOST_ROWS)])
    columns = tuple(telling(mixture, MOST_COLUMNS))
    cells = pit.intervals(some.x, list(columns))
    check = FitCheck(
        fitted,
        info.get("n_rows") is not None,
        n,
        some.n,
        columns=columns,
        tied=tuple(j for j, (low, high) in zip(columns, cells, strict=True) if (low < high).any()),
    )
    if not fitted:
        return _transformed(_on_new_rows(check, mixture, rows, reading), mixture, some, cells)
    try:
        found = held_out(mixture, some, info, columns, cells, callback)
    except MixturaError as reason:
        seen = replace(check, why=str(reason).rstrip("."), unseen=False)
        return _transformed(seen, mixture, some, cells)
    weight = None if some.weight is None else some.weight[found.looked]
    return _compared(
        replace(check, values=found.values, weight=weight), found.mine, found.theirs, some.weight
    )


def _transformed(check: FitCheck, mixture: Any, rows: Observations, cells: Floats) -> FitCheck:
    """With transforms by the model itself."""
    which = drawn(rows.n, pit.rows_for(mixture))
    some = rows.take(which)
    values = pit.transform(mixture, some, list(check.columns), seed=SEED, cells=cells[:, :, which])
    return replace(check, values=values, weight=some.weight)


def _on_new_rows(check: FitCheck, mixture: Any, rows: Observations, reading: Reading) -> FitCheck:
    """The model as it is, against the Gaussian of its moments."""
    mine = reading.mean_log_density
    if mixture.k == 1:
        return replace(check, model=mine, used=check.n)
    try:
        one = Mixture([1.0], mixture.mean[None], mixture.cov[None])
    except MixturaError as reason:
        return replace(check, model=mine, used=check.n, why=f"one Gaussian is not there: {reason}")
    theirs = rows.log_density(one)
    return _compared(replace(check, used=check.n), reading.log_density, theirs, reading.weight)


def _compared(check: FitCheck, mine: Floats, theirs: Floats | None, weight: Any) -> FitCheck:
    """Weighted means of two log-densities, of their difference, and its standard error."""
    share = np.ones(len(mine)) if weight is None else np.asarray(weight, dtype=np.float64)
    share = share / share.sum()
    if theirs is None:
        return replace(check, model=float(share @ mine))
    gain = mine - theirs
    mean = float(share @ gain)
    live = int(np.count_nonzero(share))
    se = None
    if live > 1:
        se = float(np.sqrt(share**2 @ (gain - mean) ** 2 * live / (live - 1)))
    return replace(
        check, model=float(share @ mine), gaussian=float(share @ theirs), gain=mean, se=se
    )
