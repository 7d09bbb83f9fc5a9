"""Floor 3: covariance structures, one per file, and the registry that lists them."""

from __future__ import annotations

from collections.abc import Callable

from mixtura.covariance.averages import bures_mean, log_euclidean_mean
from mixtura.covariance.base import Covariance, Law, Structure
from mixtura.covariance.diagonal import Diagonal, DiagonalCovariance
from mixtura.covariance.floor import Added, Clipped, Floor
from mixtura.covariance.form import Form
from mixtura.covariance.full import Full, FullCovariance
from mixtura.covariance.isotropic import Isotropic, IsotropicCovariance
from mixtura.covariance.ladder import fuse, plus, stack
from mixtura.covariance.lowrank import LowRank, LowRankCovariance
from mixtura.covariance.tied import Tied, TiedCovariance
from mixtura.errors import InputError

__all__ = [
    "ALIASES",
    "REPRESENTATIONS",
    "STRUCTURES",
    "Added",
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
    "Law",
    "LowRank",
    "LowRankCovariance",
    "Structure",
    "Tied",
    "TiedCovariance",
    "bures_mean",
    "fuse",
    "log_euclidean_mean",
    "plus",
    "stack",
    "structure",
]

#: Names at the doors -> a function of the rank that makes the structure.
STRUCTURES: dict[str, Callable[[int], Structure]] = {
    "spherical": lambda rank: Isotropic(),
    "diag": lambda rank: Diagonal(),
    "tied": lambda rank: Tied(Full()),
    "full": lambda rank: Full(),
    "lowrank": LowRank,
}
ALIASES = {"isotropic": "spherical", "diagonal": "diag"}
#: Names in model files -> representations.
REPRESENTATIONS: dict[str, type[Covariance]] = {
    c.name: c for c in (IsotropicCovariance, DiagonalCovariance, LowRankCovariance, FullCovariance)
}


def structure(name: str | Structure, rank: int | None, d: int) -> Structure:
    """The structure that a name at the door stands for.

    Parameters
    ----------
    name : str or Structure
        A key of ``STRUCTURES`` or ``ALIASES``; a structure is returned as it is.
    rank : int, optional
        Rank of ``"lowrank"``; by default the square root of d, rounded, and at least 1.
    d : int
        Number of columns.
    """
    if isinstance(name, Structure):
        return name
    key = ALIASES.get(name, name)
    if key not in STRUCTURES:
        known = ", ".join(repr(s) for s in [*STRUCTURES, *ALIASES])
        raise InputError(f"expected a covariance structure among {known}, got {name!r}")
    if rank is None:
        rank = max(1, min(round(d**0.5), d - 1))
    if not 1 <= rank <= d:
        raise InputError(f"expected a rank from 1 to {d} (the number of columns), got {rank}")
    return STRUCTURES[key](rank)
