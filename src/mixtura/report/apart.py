"""What sets a component apart from the rest, in one sentence of numbers in the user's units.

The rest of component k is the mixture of the others, q = Σ_{j≠k} wⱼ pⱼ / (1 − wₖ). In a column, k
stands apart by |μₖ − μ_q| / s with s² = (σₖ² + σ_q²) / 2; with it goes the column whose σₖ differs
most from the spread inside the others, √(Σ_{j≠k} wⱼ σⱼ² / (1 − wₖ)). Where no column reaches 1,
spreads are compared, σₖ / σ_q; and where those are alike too, the sentence tells the overlap
E_{x~pₖ}[1 − rₖ(x)], the probability with which a row of k is taken for another component's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixtura.report.wording import listed, to_place

__all__ = ["Apart", "apart", "overlap", "sentence"]

#: Columns that a sentence names at most.
MOST = 3
#: Pooled standard deviations from which a difference of means is told.
CLEAR = 1.0
#: Ratio of standard deviations from which a difference of spreads is told.
WIDE = 1.5
#: Ratio to the spread inside the others from which it is told beside a difference of means.
TELLING = 3.0
#: Draws behind an overlap (at least, at most, and the arithmetic that bounds them), and the
#: overlap below which columns separate a component jointly.
FEWEST, DRAWS, ARITHMETIC = 200, 2000, 2e9
JOINTLY = 0.1

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Apart:
    """A component against the mixture of the others.

    Attributes
    ----------
    mean, sd : array (d,)
        Of the component.
    rest_mean, rest_sd : array (d,)
        Of the others together.
    inner_sd : array (d,)
        Inside the others: the root of their variances' average.
    """

    mean: Floats
    sd: Floats
    rest_mean: Floats
    rest_sd: Floats
    inner_sd: Floats

    @property
    def pooled(self) -> Floats:
        """Root of the two variances' average (d,)."""
        return np.sqrt((self.sd**2 + self.rest_sd**2) / 2)

    @property
    def separation(self) -> Floats:
        """Difference of the means in pooled standard deviations, with its sign (d,)."""
        return (self.mean - self.rest_mean) / self.pooled


def apart(mixture: Any, k: int) -> Apart:
    """The moments of component k and of the others, column by column.

    Parameters
    ----------
    mixture : Mixture
        With at least two components, and weight beside component k.
    """
    others = np.asarray(mixture.weights, dtype=np.float64).copy()
    others[k] = 0.0
    others /= others.sum()
    means, variance = np.asarray(mixture.means), np.asarray(mixture.covariance.diagonal())
    shift = means - means[k]
    rest = others @ shift
    rest_variance = others @ (variance + (shift - rest) ** 2)
    return Apart(
        mean=means[k],
        sd=np.sqrt(variance[k]),
        rest_mean=means[k] + rest,
        rest_sd=np.sqrt(rest_variance),
        inner_sd=np.sqrt(others @ variance),
    )


def overlap(mixture: Any, k: int) -> float:
    """E_{x~pₖ}[1 − rₖ(x)], by draws with a fixed seed."""
    from mixtura.mixture import Mixture

    one = Mixture([1.0], mixture.means[[k]], mixture.covariance.take([k]))
    n = int(np.clip(ARITHMETIC / (2 * mixture.k * mixture.d**2), FEWEST, DRAWS))
    resp = mixture.responsibilities(one.sample(n, rng=0))
    return float(1 - resp[:, k].mean())


def sentence(mixture: Any, k: int, names: tuple[str, ...]) -> str | None:
    """What sets component k apart; None where there are no others."""
    if mixture.k < 2 or not np.delete(mixture.weights, k).any():
        return None
    moments = apart(mixture, k)
    others = "the other" if mixture.k == 2 else "the others"
    size = np.abs(moments.separation)
    far = [int(j) for j in np.argsort(-size, kind="stable")[:MOST] if size[j] >= CLEAR]
    if far:
        return _by_mean(moments, far, names, others)
    ratio = np.log(moments.sd / moments.rest_sd)
    order = np.argsort(-np.abs(ratio), kind="stable")[:MOST]
    wide = [int(j) for j in order if abs(ratio[j]) >= np.log(WIDE)]
    if wide:
        return _by_spread(moments, wide, names, others)
    shared = overlap(mixture, k)
    told = f"{100 * shared:.0f}%" if shared >= 0.01 else "less than 1%"
    if shared < JOINTLY:
        return (
            "No single column sets it apart, but the columns together do: the model takes a row of "
            f"it for another component’s with a probability of {told} on average."
        )
    return (
        f"Overlaps {others} in every column: the model takes a row of it for another component’s "
        f"with a probability of {told} on average."
    )


def _by_mean(moments: Apart, columns: list[int], names: tuple[str, ...], others: str) -> str:
    """``Lower in a (1.0 against 2.0 in the others) and b (…); higher in c (…).``

    A spread that differs by much is told with it: ``…; 18 times narrower in d (…).``
    """
    said: dict[str, list[str]] = {}
    against = f" in {others}"
    for j in columns:
        sd = float(moments.pooled[j])
        mine, theirs = to_place(moments.mean[j], sd), to_place(moments.rest_mean[j], sd)
        way = "lower" if moments.separation[j] < 0 else "higher"
        said.setdefault(way, []).append(f"{names[j]} ({mine} against {theirs}{against})")
        against = ""
    text = "; ".join(f"{way} in {listed(parts)}" for way, parts in said.items())
    ratio = np.log(moments.sd / moments.inner_sd)
    j = int(np.abs(ratio).argmax())
    if abs(ratio[j]) >= np.log(TELLING):
        own, inner = float(moments.sd[j]), float(moments.inner_sd[j])
        text += (
            f"; {_times(own, inner)} in {names[j]} (standard deviation {to_place(own, own)} "
            f"against {to_place(inner, inner)} inside {others})"
        )
    return text[0].upper() + text[1:] + "."


def _times(mine: float, theirs: float) -> str:
    """``4.1 times wider``, ``18 times narrower``."""
    ratio, way = (mine / theirs, "wider") if mine > theirs else (theirs / mine, "narrower")
    return f"{f'{ratio:.1f}' if ratio < 9.95 else f'{ratio:,.0f}'} times {way}"


def _by_spread(moments: Apart, columns: list[int], names: tuple[str, ...], others: str) -> str:
    """``4.1 times wider in a (standard deviation 8.2 against 2.0 in the others).``"""
    said = []
    for place, j in enumerate(columns):
        mine, theirs = float(moments.sd[j]), float(moments.rest_sd[j])
        sds = f"{to_place(mine, mine)} against {to_place(theirs, theirs)}"
        first = f"standard deviation {sds} in {others}" if place == 0 else sds
        said.append(f"{_times(mine, theirs)} in {names[j]} ({first})")
    return f"No mean sets it apart, but it is {listed(said)}."
