"""Imputation: missing cells from the law of what is missing given what is there.

Rows are grouped by their pattern of missing cells. Means of patterns with few rows come from the
kernels of the E-step, one factorisation per pattern and component; all else from one
``Conditional`` per pattern. A draw takes
one component per row first and then all of the row's cells from it together, so that imputed
cells keep their correlation.
"""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from mixtura.arrays.linalg import log_softmax
from mixtura.arrays.parallel import each_batch
from mixtura.channels import Grouped
from mixtura.covariance.observed import MAX_COLUMNS, Compiled
from mixtura.errors import InputError
from mixtura.mixture import measured, reach
from mixtura.mixture.conditional import Conditional, conditional
from mixtura.typing import FloatArray, Seed

if TYPE_CHECKING:
    from mixtura.mixture.mixture import Mixture

__all__ = ["HOW", "impute"]

#: Rows in a batch, and rows of a pattern from which matrix products beat the kernels.
BATCH, MANY = 4096, 1000
HOW = ("mean", "median", "mode", "sample")


def impute(mix: Mixture, x: Any, how: str, n_draws: int | None, rng: Seed) -> FloatArray:
    """Fill NaN cells; see ``Mixture.impute``."""
    if how not in HOW:
        raise InputError(f"expected how among {', '.join(map(repr, HOW))}, got {how!r}")
    whole = n_draws is None or isinstance(n_draws, Integral)
    if not whole or (n_draws is not None and (how != "sample" or n_draws < 1)):
        raise InputError(
            "expected a whole n_draws ≥ 1 and only with how='sample', got "
            f"n_draws={n_draws}, how={how!r}"
        )
    rows = _rows(mix, x)
    generator = np.random.default_rng(rng)
    draws = 1 if n_draws is None else n_draws
    out: FloatArray = np.repeat(rows[None], draws, axis=0)
    missing = np.isnan(rows)
    reach.check(mix, reach.holes(rows))
    patterns, where = _patterns(missing)
    alone = np.asarray(patterns.any(axis=1))  # patterns with a law of their own
    if how == "mean" and mix.d <= MAX_COLUMNS:
        few = np.bincount(where, minlength=len(patterns)) < MANY
        _expect(mix, out[0], patterns, where, alone & few)
        alone = alone & ~few
    for i, pattern in enumerate(patterns):
        if not alone[i]:
            continue
        inside = np.flatnonzero(where == i)
        filled = _fill(mix, rows[inside], pattern, how, draws, generator)
        out[np.ix_(np.arange(draws), inside, np.flatnonzero(pattern))] = filled
    return out[0] if n_draws is None else out


def _patterns(missing: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Distinct rows (g, d) of a table of truth values, in order, and each row's place (n,)."""
    n, d = missing.shape
    if d > 64:
        distinct, where = np.unique(missing, axis=0, return_inverse=True)
        return distinct, where.ravel()
    bits = np.zeros((n, 8), dtype=np.uint8)  # a row as one number, its first cell the highest bit
    bits[:, : -(-d // 8)] = np.packbits(missing, axis=1)
    _, first, where = np.unique(bits.view(">u8")[:, 0], return_index=True, return_inverse=True)
    return missing[first], where


def _expect(
    mix: Mixture, rows: FloatArray, patterns: FloatArray, where: FloatArray, chosen: FloatArray
) -> None:
    """Fill rows of chosen patterns with E[x | what is there]; each pattern is factorised once."""
    gappy = np.flatnonzero(chosen[where])
    if len(gappy) == 0:
        return
    order = gappy[np.argsort(where[gappy], kind="stable")]
    channel = Grouped(np.where(patterns, np.inf, 0.0), where[order], mix.d, whole=len(rows))
    y = rows[order]
    resp = np.exp(log_softmax(measured.joint(mix, y, channel)))
    components = Compiled(np.ascontiguousarray(mix.means), mix.covariance)

    def work(start: int, stop: int) -> None:
        part, how = slice(start, stop), channel[start:stop]
        filled = components.expectation(y[part], how, resp[part])
        rows[order[part]] = np.where(np.isnan(y[part]), filled, y[part])

    components.expectation(y[:1], channel[:1], resp[:1])  # factors once, before the threads
    each_batch(work, len(order), BATCH)


def _rows(mix: Mixture, x: Any) -> FloatArray:
    if isinstance(x, np.ma.MaskedArray):
        x = np.ma.filled(x.astype(np.float64), np.nan)
    frame_columns = getattr(x, "columns", None)
    if mix.columns is not None and frame_columns is not None:
        missing = [c for c in mix.columns if c not in list(frame_columns)]
        if missing:
            raise InputError(
                f"expected columns {', '.join(mix.columns)}, but "
                f"{', '.join(missing)} are missing; add them or take marginal()"
            )
        x = x[list(mix.columns)]
    try:
        if hasattr(x, "isna"):  # pandas, whose nullable columns mark missing cells as NA
            x = x.to_numpy(dtype=np.float64, na_value=np.nan)
        rows = np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("expected numbers in X, with NaN where a cell is missing") from None
    if rows.ndim != 2 or rows.shape[1] != mix.d:
        raise InputError(f"expected X of shape (n, {mix.d}), got {rows.shape}")
    if np.isinf(rows).any():
        raise InputError(
            "expected finite values or NaN in X, got infinity in "
            f"{int(np.isinf(rows).any(axis=1).sum())} rows; mark unknown cells as NaN"
        )
    return rows


def _fill(
    mix: Mixture,
    rows: FloatArray,
    pattern: FloatArray,
    how: str,
    draws: int,
    generator: np.random.Generator,
) -> FloatArray:
    """Values (draws, b, missing) for rows that share a pattern."""
    given = np.flatnonzero(~pattern)
    if len(given) == 0:
        return _marginal(mix, len(rows), how, draws, generator)
    law = conditional(mix, list(given))
    x = rows[:, given]
    if how == "sample":
        drawn: FloatArray = law.sample(x, draws, generator)
        return drawn[None] if draws == 1 else drawn.swapaxes(0, 1)
    if how == "mean":
        return np.asarray(law.mean(x))[None]
    return (law.quantile(x, 0.5) if how == "median" else law.mode(x))[None]


def _marginal(
    mix: Mixture, n: int, how: str, draws: int, generator: np.random.Generator
) -> FloatArray:
    """Rows of which nothing is known get the mixture's own law."""
    if how == "sample":
        return np.asarray(mix.sample(n * draws, generator)).reshape(draws, n, mix.d)
    if how == "mean":
        value = np.asarray(mix.mean)
    elif how == "median":
        value = np.array([float(mix.marginal([j]).quantile(0.5)) for j in range(mix.d)])
    else:
        value = highest_mode(mix)
    return np.broadcast_to(value, (1, n, mix.d))


def highest_mode(mix: Mixture) -> FloatArray:
    """The highest mode that ascent from the components' means finds (d,)."""
    means = np.asarray(mix.means)
    law = Conditional(mix, (), tuple(range(mix.d)))
    ends = law._ascend(
        np.asarray(mix.log_weights)[None], means[None], np.asarray(mix.covariance.precision())
    )
    return np.asarray(ends[0])
