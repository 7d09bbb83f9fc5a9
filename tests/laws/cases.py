"""What laws are held against: every structure of the registry, alone and tied, on random data.

Nothing here names a structure: a new line in the registry is tested without a line here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from mixtura import Mixture
from mixtura.covariance import (
    STRUCTURES,
    Added,
    Covariance,
    Parsimonious,
    Structure,
    Tied,
    structure,
)
from mixtura.fit.model import gather

RANK = 2


def structure_of(name: str, d: int) -> Structure:
    """The structure that a name of ``NAMES`` stands for, in d columns."""
    rank = min(RANK, max(d - 1, 1))
    if name.startswith("tied "):
        return Tied(structure(name.removeprefix("tied "), rank, d))
    return structure(name, rank, d)


@dataclass(frozen=True)
class Case:
    """A size and a seed: everything random is drawn from the seed."""

    seed: int
    k: int
    d: int

    @property
    def rng(self) -> np.random.Generator:
        """A fresh generator; the same draws every time."""
        return np.random.default_rng([self.seed, self.k, self.d])


def cases(
    min_k: int = 1, max_k: int = 4, min_d: int = 1, max_d: int = 6
) -> st.SearchStrategy[Case]:
    """Random cases."""
    return st.builds(
        Case, st.integers(0, 2**32 - 1), st.integers(min_k, max_k), st.integers(min_d, max_d)
    )


def clusters(rng: np.random.Generator, n: int, k: int, d: int) -> tuple[Any, Any]:
    """Rows (n, d) of k overlapping clusters of different shapes, and their labels (n,)."""
    labels = np.arange(n) % k
    maps = rng.standard_normal((k, d, d)) + 0.5 * np.eye(d)
    centres = 2.5 * rng.standard_normal((k, d))
    x = centres[labels]
    for j in range(k):
        z = rng.standard_normal((int(np.sum(labels == j)), d))
        x[labels == j] += z @ maps[j].T
    return x, labels


def covariance_of(name: str, rng: np.random.Generator, k: int, d: int) -> Covariance:
    """A random covariance of that structure: what the structure fits to random clusters."""
    x, labels = clusters(rng, k * (3 * d + 4), k, d)
    resp = 0.9 * np.eye(k)[labels] + 0.1 * rng.dirichlet(np.ones(k), len(x))
    rule = structure_of(name, d)
    fitted: Any = None
    for _ in range(rule.start_passes):
        stats = gather(x, resp, rule.kind(fitted, d), np.zeros(d))
        fitted = rule.fit(stats, fitted, Added(0.05))
    return fitted


def _rules() -> tuple[str, ...]:
    """Names of rules that differ, and of those tied that say not themselves what is shared."""
    rules: dict[str, Structure] = {}
    for name in STRUCTURES:
        rule = structure(name, 1, 2)
        if rule not in rules.values():
            rules[name] = rule
    loose = [name for name, rule in rules.items() if not isinstance(rule, Tied | Parsimonious)]
    tied = {f"tied {name}": Tied(rules[name]) for name in loose}
    return (*rules, *(name for name, rule in tied.items() if rule not in rules.values()))


def _names() -> tuple[str, ...]:
    """The first rule of each representation."""
    found: dict[Any, str] = {}
    for name in RULES:
        cov = covariance_of(name, np.random.default_rng(0), 2, 3)
        found.setdefault((type(cov), type(getattr(cov, "shared", None))), name)
    return tuple(found.values())


#: Every rule of the registry, and each of them tied ("tied" itself is tied full).
RULES = _rules()
#: Of these, one for each representation of matrices.
NAMES = _names()


def mixture_of(name: str, rng: np.random.Generator, k: int, d: int, columns: Any = None) -> Mixture:
    """A random mixture with components of that structure."""
    weights = 0.1 + rng.random(k)
    means = 2 * rng.standard_normal((k, d))
    return Mixture(weights, means, covariance_of(name, rng, k, d), columns=columns)


def rows_near(mix: Mixture, rng: np.random.Generator, n: int) -> Any:
    """Rows about where the mixture has its mass."""
    return mix.sample(n, rng=rng) + 0.5 * rng.standard_normal((n, mix.d))


def random_covariance_matrix(rng: np.random.Generator, d: int) -> Any:
    """A positive definite matrix (d, d)."""
    root = rng.standard_normal((d, d))
    return root @ root.T + 0.3 * np.eye(d)


def lying(value: Any, **lies: Any) -> Any:
    """A copy of a value of which some methods or attributes are replaced by lies."""
    liar = object.__new__(type(f"Lying{type(value).__name__}", (type(value),), lies))
    liar.__dict__.update(value.__dict__)
    return liar
