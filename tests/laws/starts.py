"""Laws of starts: centres follow the law of k-means++, weighted draws are unbiased."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np
from scipy.stats import chisquare, norm

#: Tests pass with seeds that are fixed; a law is refused below this probability.
RARE = 1e-4


def seeding_law(x: Any, weight: Any, k: int) -> dict[tuple[int, ...], float]:
    """Probability of each ordered choice of rows under k-means++, by enumeration."""
    law = {}
    for chosen in permutations(range(len(x)), k):
        p = weight[chosen[0]] / weight.sum()
        for i in range(1, k):
            centres = x[list(chosen[:i])]
            d2 = weight * ((x[:, None] - centres) ** 2).sum(axis=2).min(axis=1)
            p *= d2[chosen[i]] / d2.sum() if d2.sum() > 0 else 0.0
        law[chosen] = float(p)
    return law


def follows_seeding_law(
    draw: Callable[[np.random.Generator], Any], x: Any, weight: Any, k: int, times: int = 3000
) -> None:
    """Ordered choices come as often as k-means++ makes them (chi-square)."""
    law = seeding_law(x, weight, k)
    rng = np.random.default_rng(0)
    count = dict.fromkeys(law, 0)
    for _ in range(times):
        count[tuple(int(i) for i in draw(rng))] += 1
    p, seen = np.array(list(law.values())), np.array(list(count.values()))
    assert not seen[p == 0].any()
    often = p * times >= 5
    expected = np.append(p[often], p[~often].sum()) * times
    observed = np.append(seen[often], seen[~often].sum())
    keep = expected > 0
    expected = expected[keep] * observed.sum() / expected[keep].sum()
    assert chisquare(observed[keep], expected).pvalue > RARE


def is_unbiased(
    draw: Callable[[np.random.Generator], tuple[Any, Any]], f: Any, weight: Any, times: int = 400
) -> None:
    """Σ drawn weights · f(row) has mean Σ weight · f(row), for each column of f (n, p)."""
    rng = np.random.default_rng(0)
    totals = []
    for _ in range(times):
        index, w = draw(rng)
        totals.append(w @ f[index])
    totals = np.array(totals)
    target = weight @ f
    error = totals.std(axis=0, ddof=1) / np.sqrt(times) + 1e-9 * np.abs(target)
    away = np.abs(totals.mean(axis=0) - target) / error
    assert (2 * norm.sf(away) > RARE).all(), away


def discrepancy(x: Any, index: Any, w: Any, width: float) -> float:
    """Squared maximum mean discrepancy between weighted rows and all, by a Gaussian kernel."""
    share = -np.full(len(x), 1 / len(x))
    np.add.at(share, index, w / w.sum())
    d2 = ((x[:, None] - x) ** 2).sum(axis=2)
    return float(share @ np.exp(-d2 / width) @ share)


def halves_closely(draw: Callable[[np.random.Generator], tuple[Any, Any]], x: Any) -> None:
    """Rows that are kept lie at most a third as far from all as random ones do (squared MMD)."""
    width = float(x.var(axis=0).sum())
    rng = np.random.default_rng(0)
    ours, random = [], []
    for _ in range(5):
        index, w = draw(rng)
        ours.append(discrepancy(x, index, w, width))
        some = rng.choice(len(x), len(index), replace=False)
        random.append(discrepancy(x, some, np.ones(len(some)), width))
    assert np.mean(ours) <= np.mean(random) / 3
