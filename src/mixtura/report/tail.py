r"""How unlikely a row is among rows measured alike: u = P(log p(y') < log p(y)), y' ~ p.

A density of two columns cannot be held against one of five, nor that of a row with large errors
against that of an exact one. Their tails can: p is the law of what is observed of a row with these
gaps and this noise, y' = x' + e', and u is uniform on [0, 1] where the model is right, whatever was
observed. It is estimated by the rank of log p(y) among draws of y'. Rows that were measured alike
share their draws. Where almost every row has gaps or noise of its own, each gets few draws, and
more where these leave it among the least likely.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from mixtura.mixture import measured
from mixtura.report.observations import NUMBERS, Observations
from mixtura.typing import FloatArray

__all__ = ["Tail", "draws", "flags", "level_of", "tail", "threshold_at"]

#: Draws of the model: as many as this arithmetic allows, within bounds.
FEWEST, MOST, ARITHMETIC = 2000, 50_000, 3e10
#: Draws of each set of rows in turn where there are many sets, and the tail below which a row
#: goes on to the next.
STAGES = ((200, 0.1), (2000, 0.02), (20_000, 0.0))

SIDES: tuple[Any, ...] = ("left", "right")


class Tail(NamedTuple):
    """How unlikely rows are.

    Attributes
    ----------
    share : array (n,)
        u: the share of rows measured alike that are less likely.
    excess : array (n,)
        Log-density minus the median of such rows', in nats: tells rows apart where no draw is
        less likely.
    """

    share: FloatArray
    excess: FloatArray


def draws(mixture: Any) -> int:
    """How many draws of a mixture can be afforded."""
    return int(np.clip(ARITHMETIC / (2 * mixture.k * mixture.d**2), FEWEST, MOST))


def tail(
    mixture: Any, rows: Observations, density: FloatArray | None = None, *, seed: int = 0
) -> Tail:
    """The tails of rows that may have gaps and noise.

    Parameters
    ----------
    mixture : Mixture
    rows : Observations
    density : array (n,), optional
        Their log-densities, where they are at hand.
    seed : int
    """
    density = rows.log_density(mixture) if density is None else density
    noise = np.zeros(rows.x.shape) if rows.noise is None else rows.noise
    variance = np.where(rows.missing, np.inf, noise) + 0.0
    kinds, kind = np.unique(variance, axis=0, return_inverse=True)
    kind = kind.ravel()
    found = Tail(np.empty(rows.n), np.empty(rows.n))
    rng = np.random.default_rng(seed)
    todo = np.arange(len(kinds))
    for number, bound in _stages(mixture, len(kinds)):
        for some, drawn in _drawn(mixture, kinds, todo, number, rng):
            members = _members(kind, some)
            for mine, values in zip(members, np.sort(drawn, axis=1), strict=True):
                low, high = (np.searchsorted(values, density[mine], side) for side in SIDES)
                rank = (low + high) / 2  # ties count half: of nothing, all densities are 1
                found.share[mine] = (rank + 0.5) / (number + 1)
                found.excess[mine] = density[mine] - values[number // 2]
        least = np.full(len(kinds), np.inf)
        np.minimum.at(least, kind, found.share)
        todo = todo[least[todo] < bound]
        if not len(todo):
            break
    return found


def level_of(mixture: Any, threshold: float) -> float:
    """The share of the model's whole and exact rows with a log-density below the threshold."""
    values = _exact(mixture)
    return float((np.searchsorted(values, threshold) + 0.5) / (len(values) + 1))


def threshold_at(mixture: Any, level: float) -> float:
    """The log-density below which that share of the model's whole and exact rows lies."""
    return float(np.quantile(_exact(mixture), level))


def flags(
    mixture: Any,
    rows: Observations,
    density: FloatArray,
    threshold: float,
    share: FloatArray | None = None,
) -> FloatArray:
    """Which rows are outliers (n,).

    A whole and exact row is one where its log-density lies below the threshold. A row with gaps
    or noise is one where, among rows measured alike, it is as unlikely as a whole and exact row
    at the threshold is among such.

    Parameters
    ----------
    mixture : Mixture
    rows : Observations
    density : array (n,)
        Their log-densities.
    threshold : float
    share : array (n,), optional
        Their tails, where they are at hand.
    """
    below = np.asarray(density < threshold)
    indirect = np.flatnonzero(rows.indirect)
    if len(indirect):
        if share is None:
            mine = tail(mixture, rows.take(indirect), density[indirect]).share
        else:
            mine = share[indirect]
        seen = ~rows.missing[indirect].all(axis=1)  # of nothing, nothing is unlikely
        below[indirect] = seen & (mine < level_of(mixture, threshold))
    return below


@lru_cache(maxsize=2)
def _exact(mixture: Any) -> FloatArray:
    """Log-densities of draws of the mixture, sorted; kept, as tables may come in parts."""
    number = draws(mixture)
    kinds = np.zeros((1, mixture.d))
    parts = _drawn(mixture, kinds, np.arange(1), number, np.random.default_rng(0))
    return np.sort(np.concatenate([part for _, part in parts])[0])


def _stages(mixture: Any, kinds: int) -> Any:
    """(draws, bound) in turn: all at once where few kinds of rows leave many draws to each."""
    each = draws(mixture) if kinds == 1 else int(min(MOST, 20 * draws(mixture) // kinds))
    if each >= STAGES[-1][0] or kinds == 1:
        return ((each, 0.0),)
    return STAGES if draws(mixture) == MOST else STAGES[:-1]


def _drawn(
    mixture: Any, kinds: FloatArray, todo: FloatArray, number: int, rng: np.random.Generator
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Kinds (b,), and log-densities (b, number) of draws that are measured as they are."""
    d = mixture.d
    size = max(1, NUMBERS // (number * max(d, mixture.k)))
    for start in range(0, len(todo), size):
        some = todo[start : start + size]
        out = np.empty((len(some), number))
        step = max(1, NUMBERS // (len(some) * max(d, mixture.k)))
        for low in range(0, number, step):
            count = min(step, number - low)
            variance = np.repeat(kinds[some], count, axis=0)
            y = np.asarray(mixture.sample(len(variance), rng=rng), dtype=np.float64)
            seen = np.isfinite(variance)
            if (variance[seen] > 0).any():
                y += np.sqrt(np.where(seen, variance, 0.0)) * rng.standard_normal(y.shape)
            y[~seen] = np.nan
            values = measured.log_density(mixture, y, noise=np.where(seen, variance, 0.0))
            out[:, low : low + count] = values.reshape(len(some), count)
        yield some, out


def _members(kind: FloatArray, some: FloatArray) -> list[FloatArray]:
    """The rows of each of some kinds."""
    inside = np.flatnonzero(np.isin(kind, some))
    inside = inside[np.argsort(kind[inside], kind="stable")]
    ends = np.searchsorted(kind[inside], some, side="right")
    begins = np.searchsorted(kind[inside], some, side="left")
    return [inside[a:b] for a, b in zip(begins, ends, strict=True)]
