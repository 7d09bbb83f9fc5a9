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
    error = totals.std(axis=0, ddof=1) / np.sqrt(times)
    away = np.abs(totals.mean(axis=0) - weight @ f) / np.maximum(error, 1e-12 * np.abs(weight @ f))
    away = np.where(error <= 1e-12 * np.abs(weight @ f), away * 1e-4, away)
    assert (2 * norm.sf(away) > RARE).all(), away
