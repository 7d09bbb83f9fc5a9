"""To and from scikit-learn's mixture models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mixtura.covariance import (
    DiagonalCovariance,
    FullCovariance,
    IsotropicCovariance,
    TiedCovariance,
)
from mixtura.errors import InputError

if TYPE_CHECKING:
    from mixtura.mixture.mixture import Mixture

__all__ = ["from_sklearn", "precision_cholesky", "to_sklearn"]


def from_sklearn(cls: type[Mixture], model: Any) -> Mixture:
    """From a fitted estimator; see ``Mixture.from_sklearn``."""
    value = getattr(model, "mixture_", None)
    if isinstance(value, cls):
        return value
    missing = [a for a in ("weights_", "means_", "covariances_") if not hasattr(model, a)]
    if missing or not hasattr(model, "covariance_type"):
        raise InputError(
            f"expected a fitted Gaussian mixture, got {type(model).__name__} without "
            f"{', '.join(missing) or 'covariance_type'}; call fit() first"
        )
    means = np.asarray(model.means_, dtype=np.float64)
    values = np.asarray(model.covariances_, dtype=np.float64)
    k, d = means.shape
    covariance: Any
    if model.covariance_type == "full":
        covariance = FullCovariance(values)
    elif model.covariance_type == "tied":
        covariance = TiedCovariance(FullCovariance(values[None]), k)
    elif model.covariance_type == "diag":
        covariance = DiagonalCovariance(values)
    elif model.covariance_type == "spherical":
        covariance = IsotropicCovariance(values, d)
    else:
        raise InputError(
            f"expected one of scikit-learn's structures, got {model.covariance_type!r}"
        )
    names = getattr(model, "feature_names_in_", None)
    return cls(model.weights_, means, covariance, columns=names)


def to_sklearn(mix: Mixture) -> Any:
    """A fitted scikit-learn model; see ``Mixture.to_sklearn``."""
    from sklearn.mixture import GaussianMixture

    name, values, factors = sklearn_parameters(mix)
    model = GaussianMixture(n_components=mix.k, covariance_type=name)
    model.weights_ = np.array(mix.weights)
    model.means_ = np.array(mix.means)
    model.covariances_ = values
    model.precisions_cholesky_ = factors
    model.precisions_ = (
        factors @ np.swapaxes(factors, -1, -2) if name in ("full", "tied") else factors**2
    )
    model.converged_, model.n_iter_, model.lower_bound_ = True, 0, np.nan
    model.lower_bounds_ = []
    model.n_features_in_ = mix.d
    if mix.columns is not None:
        model.feature_names_in_ = np.array(mix.columns, dtype=object)
    return model


def sklearn_parameters(mix: Mixture) -> tuple[str, Any, Any]:
    """scikit-learn's name of the structure, its ``covariances_`` and ``precisions_cholesky_``."""
    covariance = mix.covariance
    if isinstance(covariance, IsotropicCovariance):
        variance = np.array(covariance.variance)
        return "spherical", variance, 1 / np.sqrt(variance)
    if isinstance(covariance, DiagonalCovariance):
        variance = np.array(covariance.variance)
        return "diag", variance, 1 / np.sqrt(variance)
    if isinstance(covariance, TiedCovariance):
        values = np.array(covariance.shared.dense())
        return "tied", values[0], precision_cholesky(FullCovariance(values))[0]
    dense = np.array(covariance.dense())
    return "full", dense, precision_cholesky(FullCovariance(dense))


def precision_cholesky(covariance: FullCovariance) -> Any:
    """Upper triangular U (k, d, d) with Σ⁻¹ = U Uᵀ: scikit-learn's ``precisions_cholesky_``."""
    eye = np.broadcast_to(np.eye(covariance.d), (covariance.k, covariance.d, covariance.d))
    return np.swapaxes(covariance.whiten(eye), 1, 2)
