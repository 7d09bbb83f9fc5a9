"""Cross-validation: (1/n) Σᵢ log p₋ᵢ(xᵢ), p₋ᵢ fitted from scratch without the fold of row i.

Rows are dealt at random into five folds; each is held out once from a fit to the other four (Stone
1974). Only what the search chose is kept: the number of components and the structure.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixtura import fit
from mixtura.errors import InputError
from mixtura.mixture import Mixture
from mixtura.report import pit
from mixtura.report.observations import Observations
from mixtura.report.wording import plural

__all__ = ["FOLDS", "SEED", "Callback", "HeldOut", "drawn", "held_out"]

FOLDS, SEED = 5, 0
#: Numbers in the table per free parameter below which nothing is refitted.
NUMBERS_PER_PARAMETER = 4
#: Random starts of a refit, beside the deterministic one.
STARTS = 2

Floats = NDArray[np.float64]
Callback = Callable[[fit.Progress], Any]


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What refits say of the rows that they were not fitted to.

    Attributes
    ----------
    mine : array (n,)
        Log-densities under refits of the model.
    theirs : array (n,), optional
        The same under one Gaussian; None where the model is one itself.
    looked : array (n,) of bool
        The rows that were transformed.
    values : array (rows, m)
        Their probability integral transforms.
    """

    mine: Floats
    theirs: Floats | None
    looked: NDArray[np.bool_]
    values: Floats


def drawn(n: int, most: int) -> NDArray[np.int64]:
    """At most so many of n rows, at random, in order."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(SEED).choice(n, most, replace=False))


def held_out(
    mixture: Any,
    rows: Observations,
    info: dict[str, Any],
    columns: tuple[int, ...],
    cells: Floats,
    callback: Callback | None = None,
) -> HeldOut:
    """Fit anew without each fold, and try the fold on that.

    Parameters
    ----------
    mixture : Mixture
        Its number of components is kept.
    rows : Observations
        All of positive weight.
    info : dict
        With the structure, its rank and the number of free parameters.
    columns : tuple of int
        Columns whose transforms are wanted.
    cells : array (m, 2, n)
        Of the rows' values in these columns, by ``pit.intervals``.
    callback : callable (Progress) -> Any

    Raises
    ------
    InputError
        Too few rows, or a refit that failed; the message says so in words for the page.
    """
    from sklearn.model_selection import KFold

    structure = str(info.get("covariance_type", mixture.covariance.name))
    free, n = info.get("n_parameters") or 0, rows.n
    if n < 2 * FOLDS or np.count_nonzero(~rows.missing) < NUMBERS_PER_PARAMETER * free:
        what = plural(free, "free parameter") if free else "the model"
        raise InputError(
            f"{plural(n, 'row')} of {plural(rows.d, 'column')} {'are' if n != 1 else 'is'} too few "
            f"to refit {what} to four fifths of them"
        )
    # One Gaussian with a covariance of its own is what the mixture is held against.
    whole = rows.d * (rows.d + 3) // 2  # its free parameters
    alone = mixture.k == 1 and (structure in ("full", "tied") or rows.d == 1 or free == whole)
    mine, theirs = np.empty(n), None if alone else np.empty(n)
    looked = np.zeros(n, dtype=bool)
    looked[drawn(n, pit.rows_for(mixture, FOLDS))] = True
    values = np.empty((n, len(columns) + (mixture.d > 1)))
    folds = KFold(FOLDS, shuffle=True, random_state=SEED).split(rows.x)
    for fold, (train, test) in enumerate(folds):
        part, left = rows.take(train), rows.take(test)
        tell = None if callback is None else _in_fold(callback, fold)
        model = _refit(part, mixture.k, structure, info.get("rank"), tell, fold)
        mine[test] = left.log_density(model)
        if theirs is not None:
            one = _refit(part, 1, "full", None, tell, fold)
            theirs[test] = left.log_density(one)
        shown = test[looked[test]]
        if len(shown):
            values[shown] = pit.transform(
                model, rows.take(shown), list(columns), seed=SEED + fold, cells=cells[:, :, shown]
            )
    return HeldOut(mine, theirs, looked, values[looked])


def _refit(
    rows: Observations,
    k: int,
    structure: str,
    rank: int | None,
    callback: Callback | None,
    fold: int,
) -> Mixture:
    """k components of one structure, from scratch."""
    what = "one Gaussian" if k == 1 else f"{k} components, {structure}"
    where = f"the refit of {what} without fold {fold + 1} of {FOLDS}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = fit.search(
                rows.for_fit(),
                n_components=k,
                covariance_type=structure,
                rank=rank,
                seed=SEED,
                n_init=STARTS,
                callback=callback,
            )
    except InputError as reason:
        raise InputError(f"{where} failed ({reason})") from None
    if found.best.error is not None:
        raise InputError(f"{where} failed ({found.best.error})")
    return found.mixture


def _in_fold(callback: Callback, fold: int) -> Callback:
    """Tell of a refit as of one of so many trials, none of which can end up as the model."""

    def tell(progress: fit.Progress) -> Any:
        if progress.finished is None:
            name = f"{progress.covariance_type} (check of fit)"
            callback(
                replace(progress, covariance_type=name, trial=fold, n_trials=FOLDS, remaining=None)
            )

    return tell
