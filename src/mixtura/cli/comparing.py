r"""What ``mixtura compare`` computes: how far apart two mixtures are, and what became of what.

The one number for the headline is how often one can say which of the two a row came from, knowing
both: with a row from either at even odds, the likelier one is right with probability

    ½ P_a(a > b) + ½ P_b(b ≥ a) = ½ + ¼ ∫ |a − b|,

half for equal laws, one for laws that share nothing. It is a mean over draws, with its error.
Distances that depend on units are told twice: in the columns' own, and in pooled standard
deviations sⱼ = √((Var_a xⱼ + Var_b xⱼ)/2).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mixtura.arrays.linalg import length
from mixtura.errors import InputError
from mixtura.sources.tables import near, told
from mixtura.typing import FloatArray

__all__ = ["aligned", "differences", "over_rows"]

#: Draws from each mixture.
DRAWS = 20_000
BATCH = 65_536


def aligned(a: Any, b: Any, names: tuple[str, str]) -> tuple[Any, Any, str]:
    """Two mixtures in the same columns in the order of the first, and what had to be assumed.

    Raises
    ------
    InputError
        For different columns.
    """
    if a.columns is None or b.columns is None:
        if a.d != b.d:
            raise InputError(
                f"expected two models with as many columns, got {a.d} in {names[0]} and {b.d} in "
                f"{names[1]}; fit both to the same columns"
            )
        if a.columns is b.columns:
            return a, b, ""
        bare = names[0] if a.columns is None else names[1]
        return a, b, f"{bare} knows no names of columns: they are taken in the other's order"
    only = [
        [name for name in one.columns if name not in other.columns]
        for one, other in ((a, b), (b, a))
    ]
    if any(only):
        said = "; ".join(
            f"{told(some)} only in {name}" for some, name in zip(only, names, strict=True) if some
        )
        hints = [hint for name in only[0][:3] if (hint := near(name, only[1]))]
        raise InputError(
            f"expected two models of the same columns, got {said}"
            + (f" ({' '.join(hints)})" if hints else "")
            + "; fit both to the same columns"
        )
    return a, b if a.columns == b.columns else b.marginal(a.columns), ""


def pooled_sd(a: Any, b: Any) -> FloatArray:
    """√((Var_a + Var_b)/2) of each column (d,)."""
    return np.asarray(np.sqrt(0.5 * (_variance(a) + _variance(b))))


def _variance(mix: Any) -> FloatArray:
    within = mix.weights @ np.asarray(mix.covariance.diagonal())
    return np.asarray(within + mix.weights @ (mix.means - mix.mean) ** 2)


def differences(a: Any, b: Any, seed: int) -> dict[str, Any]:
    """Everything that is told of two mixtures in the same columns."""
    import mixtura as mx

    rng = np.random.default_rng(seed)
    sd = pooled_sd(a, b)
    scaled = [mix.affine(np.diag(1.0 / sd)) for mix in (a, b)]
    found: dict[str, Any] = {
        "told_apart": _told_apart(a, b, rng),
        "kl": {
            "a_b": mx.kl(a, b, DRAWS, rng)._asdict(),
            "b_a": mx.kl(b, a, DRAWS, rng)._asdict(),
        },
    }
    for unit, (p, q) in (("in_units", (a, b)), ("in_pooled_sd", scaled)):
        found[unit] = {
            "wasserstein": mx.wasserstein(p, q),
            "sliced_wasserstein": mx.sliced_wasserstein(p, q, rng=rng)._asdict(),
            "l2": mx.l2(p, q),
        }
    found["pooled_sd"] = sd.tolist()
    found["components"] = _components(a, b, sd)
    return found


def _told_apart(a: Any, b: Any, rng: Any) -> dict[str, Any]:
    """Probability, with its standard error, of naming the origin of a row."""
    from mixtura.mixture.pairs import coincide

    if coincide(a, b):
        return {"probability": 0.5, "se": 0.0, "same": True}
    x, y = a.sample(DRAWS, rng), b.sample(DRAWS, rng)
    right = [
        float((a.log_density(x) > b.log_density(x)).mean()),
        float((b.log_density(y) >= a.log_density(y)).mean()),
    ]
    variance = sum(share * (1 - share) for share in right) / DRAWS
    share, se = max(0.5, sum(right) / 2), float(np.sqrt(variance)) / 2
    return {"probability": share, "se": se, "same": False}


def _components(a: Any, b: Any, sd: FloatArray) -> dict[str, Any]:
    """Pairs of components, with what changed from a to b."""
    import mixtura as mx

    match = mx.match(a, b)
    pairs = [
        {
            "a": int(i),
            "b": int(j),
            "weight_a": float(a.weights[i]),
            "weight_b": float(b.weights[j]),
            "distance": float(distance),
            "shift": ((b.means[j] - a.means[i]) / sd).tolist(),
        }
        for (i, j), distance in zip(match.pairs, match.distance, strict=True)
    ]
    return {
        "matched": pairs,
        "only_a": [{"a": i, "weight": float(a.weights[i])} for i in match.unmatched_a],
        "only_b": [{"b": j, "weight": float(b.weights[j])} for j in match.unmatched_b],
    }


def over_rows(a: Any, b: Any, x: FloatArray, matched: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean log-densities of rows, their difference with its standard error, and moves.

    A row moves where its likeliest component in b is not the partner of the one in a.
    """
    partner = np.full(a.k, -1)
    for pair in matched:
        partner[pair["a"]] = pair["b"]
    means, gaps, moved = np.zeros(2), np.empty(len(x)), 0
    size = max(1, min(BATCH, 8_000_000 // max(a.k, b.k)))
    for start in range(0, len(x), size):
        part = x[start : start + size]
        height = [mix.log_density(part) for mix in (a, b)]
        means += [(h / len(x)).sum() for h in height]
        gaps[start : start + size] = height[1] - height[0]
        label = [mix.responsibilities(part).argmax(axis=1) for mix in (a, b)]
        moved += int((partner[label[0]] != label[1]).sum())
    n = len(x)
    difference = float(np.mean(gaps / n) * n)
    se = float(length(gaps - difference) / np.sqrt(n * (n - 1))) if n > 1 else None
    return {
        "n_rows": n,
        "log_density_a": float(means[0]),
        "log_density_b": float(means[1]),
        "difference": difference,
        "se": se,
        "moved": moved,
    }
