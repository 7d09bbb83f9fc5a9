"""How a model was fitted: what travels in the model file beside its parameters.

Outliers are told by log-densities below a threshold, the q quantile of those of the training rows.
Where these have gaps or noise, their densities are no measure of each other; then the q quantile of
their tails u is taken, and the threshold is the u quantile of the log-densities of whole and exact
rows under the model. Either way the threshold is one for whole and exact rows.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixtura.cli.measuring import missing_record
from mixtura.report.observations import Observations
from mixtura.report.tail import tail, threshold_at

__all__ = [
    "QUANTILES",
    "finite",
    "record",
    "thinned",
    "threshold",
    "thresholds",
    "training_quantiles",
]

#: Quantiles of the training rows' log-densities that a model keeps, for outlier flags.
QUANTILES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
#: The one that flags outliers unless another is asked for.
DEFAULT_QUANTILE = 0.01
BATCH = 65_536
#: Iterations of the trace that a model keeps at most.
TRACE = 500

#: Rows with gaps or noise whose tails are looked at: of more, so many drawn at random; and how
#: many after an interruption.
TAILS, FEW = 20_000, 2000

Floats = NDArray[np.floating[Any]]


def thresholds(mixture: Any, rows: Observations) -> dict[str, float]:
    """Log-densities of whole and exact rows below which rows are outliers, by share as text."""
    if not rows.measured:
        return training_quantiles(rows.log_density(mixture), rows.weight)
    live = np.arange(rows.n) if rows.weight is None else np.flatnonzero(rows.weight > 0)
    if len(live) > TAILS:
        live = np.sort(np.random.default_rng(0).choice(live, TAILS, replace=False))
    some = rows.take(live)
    levels = training_quantiles(tail(mixture, some).share, some.weight)
    return {q: threshold_at(mixture, level) for q, level in levels.items()}


def training_quantiles(values: Floats, weight: Floats | None) -> dict[str, float]:
    """Weighted quantiles of log-densities, by their share as text."""
    if weight is None:
        found = np.quantile(values, QUANTILES)
    else:
        found = np.quantile(values, QUANTILES, weights=weight, method="inverted_cdf")
    return {f"{q:g}": float(value) for q, value in zip(QUANTILES, found, strict=True)}


def threshold(info: dict[str, Any], quantile: float) -> float | None:
    """The log-density below which a row is an outlier; None if the model cannot say.

    Between two stored quantiles the log-density is interpolated, linearly in log q.
    """
    stored = {float(q): float(value) for q, value in (info.get("outlier_quantiles") or {}).items()}
    if not stored and info.get("outlier_threshold") is not None:
        stored = {DEFAULT_QUANTILE: float(info["outlier_threshold"])}
    if not stored or not min(stored) <= quantile <= max(stored):
        return None
    levels = sorted(stored)
    return float(np.interp(math.log(quantile), np.log(levels), [stored[q] for q in levels]))


def record(
    *,
    table: Any,
    picked: Any,
    rows: Observations,
    errors: Mapping[str, str],
    mixture: Any,
    best: dict[str, Any],
    trials: list[Any],
    notes: list[str],
    quantiles: dict[str, float],
    options: dict[str, Any],
    interrupted: bool,
    seconds: float,
    trace: Sequence[float] = (),
) -> dict[str, Any]:
    """The record, as JSON can hold it."""
    import mixtura

    return {
        "fitted_by": "mixtura fit",
        "mixtura": mixtura.__version__,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "data": table.source,
        "n_rows": int(rows.n),
        "weights_column": options.get("weights"),
        "weight_sum": float(rows.total_weight),
        "columns": list(picked.columns),
        "noise_columns": dict(errors) or None,
        "missing": missing_record(rows, picked.columns),
        "left_out": [list(pair) for pair in picked.left_out],
        "n_components": int(mixture.k),
        **best,
        "rank": options.get("rank"),
        "precision": options.get("precision", "double"),
        "seed": options["seed"],
        "asked": {"components": options["components"], "covariance": options["covariance"]},
        "trials": [_trial(trial) for trial in trials],
        **({"trace": thinned(trace)} if trace else {}),
        "notes": list(notes),
        "interrupted": interrupted,
        "seconds": round(seconds, 3),
        "outlier_quantile": DEFAULT_QUANTILE,
        "outlier_threshold": quantiles.get(f"{DEFAULT_QUANTILE:g}"),
        "outlier_quantiles": quantiles,
    }


def thinned(trace: Sequence[float], most: int = TRACE) -> dict[str, list[Any]]:
    """The trace of a fit: iterations from 1, and the mean log-likelihood per row at each.

    Of more than ``most``, the first and last are kept and evenly spread ones between.
    """
    kept = np.unique(np.linspace(0, len(trace) - 1, min(most, len(trace))).round().astype(int))
    told = [(int(i) + 1, float(trace[i])) for i in kept if math.isfinite(trace[i])]
    return {
        "n_iter": [i for i, _ in told],
        "log_likelihood": [value for _, value in told],
    }


def _trial(trial: Any) -> dict[str, Any]:
    return {
        "n_components": int(trial.n_components),
        "covariance_type": str(trial.covariance_type),
        "bic": finite(trial.bic),
        "log_likelihood": finite(trial.log_likelihood),
        "n_parameters": int(trial.n_parameters),
        "n_iter": int(trial.n_iter),
        "converged": bool(trial.converged),
        "seconds": round(float(trial.seconds), 4),
        "error": None if trial.error is None else str(trial.error),
    }


def finite(value: float | None) -> float | None:
    """The number, or None where JSON has none for it."""
    return None if value is None or not math.isfinite(value) else float(value)
