"""Mixtura: one object, three verbs: fit, condition, denoise.

A mixture is a density that stays a mixture under marginalising, conditioning, affine maps, noise,
products and linear observation. ``Mixture`` is that value; estimators fit it to data.
"""

from mixtura import plot
from mixtura.covariance import (
    DiagonalCovariance,
    FullCovariance,
    IsotropicCovariance,
    LowRankCovariance,
    TiedCovariance,
)
from mixtura.errors import MixturaError
from mixtura.estimators import GaussianMixture, MixtureImputer, MixtureRegressor
from mixtura.io import export_onnx, load, save
from mixtura.mixture import (
    Mixture,
    barycenter,
    blend,
    bures,
    entropy,
    geodesic,
    kl,
    l2,
    match,
    mmd,
    sliced_wasserstein,
    wasserstein,
)
from mixtura.sources.streams import stream

__version__ = "0.1.0"
__all__ = [
    "DiagonalCovariance",
    "FullCovariance",
    "GaussianMixture",
    "IsotropicCovariance",
    "LowRankCovariance",
    "MixturaError",
    "Mixture",
    "MixtureImputer",
    "MixtureRegressor",
    "TiedCovariance",
    "barycenter",
    "blend",
    "bures",
    "entropy",
    "export_onnx",
    "geodesic",
    "kl",
    "l2",
    "load",
    "match",
    "mmd",
    "plot",
    "save",
    "sliced_wasserstein",
    "stream",
    "wasserstein",
]
