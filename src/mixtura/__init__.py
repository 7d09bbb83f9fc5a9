"""Mixtura: one object, three verbs: fit, condition, denoise.

A mixture is a density that stays a mixture under marginalising, conditioning, affine maps, noise,
products and linear observation. ``Mixture`` is that value; estimators fit it to data.
"""

from mixtura.covariance import (
    DiagonalCovariance,
    FullCovariance,
    IsotropicCovariance,
    LowRankCovariance,
    TiedCovariance,
)
from mixtura.errors import MixturaError
from mixtura.estimators import GaussianMixture, MixtureRegressor
from mixtura.io import load, save
from mixtura.mixture import Mixture, blend

__version__ = "0.1.0"
__all__ = [
    "DiagonalCovariance",
    "FullCovariance",
    "GaussianMixture",
    "IsotropicCovariance",
    "LowRankCovariance",
    "MixturaError",
    "Mixture",
    "MixtureRegressor",
    "TiedCovariance",
    "blend",
    "load",
    "save",
]
