"""Floor 3: covariance structures, one per file, and the registry that lists them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mixtura.covariance.averages import bures_mean, log_euclidean_mean
from mixtura.covariance.base import Covariance, Law, Structure
from mixtura.covariance.block import Block
from mixtura.covariance.diagonal import Diagonal, DiagonalCovariance
from mixtura.covariance.floor import Added, Clipped, Floor
from mixtura.covariance.form import Form
from mixtura.covariance.full import Full, FullCovariance
from mixtura.covariance.isotropic import Isotropic, IsotropicCovariance
from mixtura.covariance.kronecker import Kronecker, KroneckerCovariance
from mixtura.covariance.ladder import fuse, plus, stack
from mixtura.covariance.lowrank import LowRank, LowRankCovariance
from mixtura.covariance.parsimonious import FOURTEEN, Parsimonious
from mixtura.covariance.positive import TotallyPositive
from mixtura.covariance.sparse import Sparse
from mixtura.covariance.tied import Tied, TiedCovariance
from mixtura.errors import InputError

__all__ = [
    "ALIASES",
    "FOURTEEN",
    "STRUCTURES",
    "Added",
    "Block",
    "Clipped",
    "Covariance",
    "Diagonal",
    "DiagonalCovariance",
    "Floor",
    "Form",
    "Full",
    "FullCovariance",
    "Isotropic",
    "IsotropicCovariance",
    "Kronecker",
    "KroneckerCovariance",
    "Law",
    "LowRank",
    "LowRankCovariance",
    "Parsimonious",
    "Sparse",
    "Structure",
    "Tied",
    "TiedCovariance",
    "TotallyPositive",
    "bures_mean",
    "fuse",
    "log_euclidean_mean",
    "plus",
    "stack",
    "structure",
]

#: Names at the doors -> a function of the rank that makes the structure.
STRUCTURES: dict[str, Callable[[Any], Structure]] = {
    "spherical": lambda rank: Isotropic(),
    "diag": lambda rank: Diagonal(),
    "tied": lambda rank: Tied(Full()),
    "full": lambda rank: Full(),
    "lowrank": LowRank,
    "block": lambda rank: Block(),
    "kronecker": lambda rank: Kronecker(),
    "positive": lambda rank: TotallyPositive(),
    **{model: lambda rank, rule=rule: rule for model, rule in FOURTEEN.items()},  # type: ignore[misc]
}
ALIASES = {"isotropic": "spherical", "diagonal": "diag"}


def structure(name: str | Structure, rank: int | str | None, d: int) -> Structure:
    """The structure that a name at the door stands for.

    Parameters
    ----------
    name : str or Structure
        A key of ``STRUCTURES`` or ``ALIASES``; a structure is returned as it is.
    rank : int or "auto", optional
        Rank of ``"lowrank"``; by default the square root of d, rounded, or less where that would
        have no fewer parameters than a full matrix. "auto"
        chooses one for each component.
    d : int
        Number of columns.
    """
    if isinstance(name, Structure):
        return name
    key = ALIASES.get(name, name)
    if key not in STRUCTURES:
        known = ", ".join(repr(s) for s in [*STRUCTURES, *ALIASES])
        if key.lower() == "sparse":
            raise InputError(
                f"expected a penalty for sparse precisions, got the name {name!r} alone; pass "
                "mixtura.covariance.Sparse(penalty_weight)"
            )
        raise InputError(f"expected a covariance structure among {known}, got {name!r}")
    if rank is None:
        # Where (d − r)² < d + r a rank r saves no parameters against a full matrix.
        fit = [r for r in range(1, round(d**0.5) + 1) if (d - r) ** 2 >= d + r]
        rank = max(fit, default=1)
    rule = STRUCTURES[key](rank)
    rule.kind(None, d)  # refuses what does not suit so many columns
    return rule
