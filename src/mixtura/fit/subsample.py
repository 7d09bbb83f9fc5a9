"""Subsamples: weighted rows on which starts and searches work in the place of all.

The weights sum to those of all rows, on average at least. Only the last fit sees every row. Draws
by sensitivity keep the tails of the data, where random ones lose whole components; thinned rows
lose least where clusters are alike, and take longest to draw.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from mixtura.errors import InputError
from mixtura.fit.coreset import sensitivity
from mixtura.fit.thinning import thinned
from mixtura.sources import Rows
from mixtura.typing import FloatArray

__all__ = ["DEFAULT", "SUBSAMPLES", "as_subsample", "random_rows", "subsampled"]

#: What a number alone means, and how many rows a name alone does.
DEFAULT, ROWS = "sensitivity", 20_000

Drawn: TypeAlias = tuple[FloatArray, FloatArray]


def random_rows(
    x: FloatArray, weight: FloatArray | None, size: int, k: int, rng: np.random.Generator
) -> Drawn:
    """Rows in proportion to their weights; parameters and results as of ``coreset.sensitivity``."""
    if weight is None:
        index = np.sort(rng.choice(len(x), size, replace=False))
        return index, np.full(size, len(x) / size)
    cumulative = np.cumsum(weight)
    places = np.searchsorted(cumulative, rng.random(size) * cumulative[-1], side="right")
    index, times = np.unique(np.minimum(places, len(x) - 1), return_counts=True)
    return index, times * (cumulative[-1] / size)


#: Names -> (x, weight, size, k, rng) -> places of rows, and weights.
SUBSAMPLES: dict[str, Callable[..., Drawn]] = {
    "random": random_rows,
    "sensitivity": sensitivity,
    "thinning": thinned,
}


def as_subsample(value: Any) -> tuple[str, int] | None:
    """A way and a number of rows, from what ``subsample=`` takes.

    Parameters
    ----------
    value : None, int, str or (str, int)
        A number of rows, drawn by sensitivity; one of ``SUBSAMPLES``, 20,000 rows; or both.

    Raises
    ------
    InputError
    """
    if value is None:
        return None
    name: Any = DEFAULT
    size: Any = ROWS
    if isinstance(value, tuple | list) and len(value) == 2:
        name, size = value
    elif isinstance(value, str):
        name = value
    else:
        size = value
    whole = isinstance(size, int | np.integer) and not isinstance(size, bool)
    if not isinstance(name, str) or name not in SUBSAMPLES or not whole or size < 2:
        raise InputError(
            "expected subsample as a number of rows from 2 on, one of "
            f"{', '.join(SUBSAMPLES)}, or a pair such as ('sensitivity', 20_000), got {value!r}"
        )
    return name, int(size)


def subsampled(rows: Rows, subsample: Any, k: int, seed: Any) -> Rows:
    """A weighted subsample of the rows; the rows themselves where they are no more.

    Of a stream, it is one of the sample that is held, which it is itself by default.

    Parameters
    ----------
    rows : Rows
    subsample : None, int, str or (str, int)
        See ``as_subsample``.
    k : int
        Components to be fitted, at most: clusters of the sensitivity.
    seed : int, RandomState or Generator

    Raises
    ------
    InputError
        Where fewer rows are asked for than components.
    """
    rows, chosen = rows.held, as_subsample(subsample)
    if chosen is None or chosen[1] >= rows.n_present:
        return rows
    name, size = chosen
    if size < k:
        raise InputError(
            f"expected a subsample of at least as many rows as components, got {size} rows for "
            f"{k} components; raise subsample"
        )
    present = slice(None) if rows.weight is None else np.flatnonzero(rows.weight)
    weight = None if rows.weight is None else rows.weight[present]
    index, mass = SUBSAMPLES[name](rows.points[present], weight, size, k, _generator(seed))
    index = index if rows.weight is None else np.arange(rows.n)[present][index]
    parts = {
        part: value[index]
        for part in ("y", "channel", "labels", "selection", "order")
        if (value := getattr(rows, part)) is not None
    }
    ground = rows.ground
    if ground is not None:
        ground = replace(ground, points=ground.points[index])
    return replace(rows, x=rows.x[index], weight=mass, ground=ground, **parts)


def _generator(seed: Any) -> np.random.Generator:
    if isinstance(seed, np.random.RandomState):
        seed = seed.randint(np.iinfo(np.int32).max)
    return np.random.default_rng(seed)
