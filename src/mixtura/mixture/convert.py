"""To and from scikit-learn's mixture models, and between array libraries."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from mixtura.arrays.namespace import as_float, convert, first_tensor, freeze, is_numpy
from mixtura.covariance import (
    DiagonalCovariance,
    FullCovariance,
    IsotropicCovariance,
    TiedCovariance,
)
from mixtura.errors import InputError
from mixtura.typing import Array

if TYPE_CHECKING:
    from mixtura.mixture.mixture import Mixture

__all__ = [
    "alike",
    "from_sklearn",
    "meet",
    "numpy_only",
    "precision_cholesky",
    "to",
    "to_sklearn",
]


def to(mix: Mixture, library: str, device: Any, dtype: Any) -> Mixture:
    """The same mixture in another array library; see ``Mixture.to``."""
    return _changed(mix, convert(library, device, dtype))


def meet(mix: Mixture, *others: Any) -> Mixture:
    """A mixture as tensors like those among ``others``, if it is NumPy's and there are any."""
    like = first_tensor(*others) if is_numpy(mix.means) else None
    if like is None:
        return mix
    like = as_float(like)
    return _changed(mix, lambda a: as_float(a, like=like))


def alike(mix: Mixture, other: Mixture) -> Mixture:
    """A mixture in the library and dtype of another, on the same device."""
    mix, like = meet(mix, other), other.means
    if is_numpy(mix.means) or (mix.means.dtype, mix.means.device) == (like.dtype, like.device):
        return mix
    return _changed(mix, lambda a: as_float(a, like=like))


def numpy_only(what: str, mix: Mixture, *others: Any) -> None:
    """Refuse tensors where the computation is NumPy's."""
    tensor = first_tensor(mix.means, *others)
    if tensor is not None:
        raise InputError(
            f"expected NumPy arrays in {what}, which has no gradient, got {type(tensor).__name__}; "
            'take the mixture there with .to("numpy"), and rows with .detach().cpu().numpy()'
        )


def _changed(mix: Mixture, change: Callable[[Array], Array]) -> Mixture:
    """The same mixture with ``change`` applied to every array that defines it."""
    changed = object.__new__(type(mix))
    covariance = mix.covariance.converted(change)
    changed._set(change(mix.weights), change(mix.means), covariance, mix.columns)
    if "log_weights" in vars(mix):  # may tell apart weights that underflow
        object.__setattr__(changed, "log_weights", freeze(change(mix.log_weights)))
    return changed


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

    mix = mix.to("numpy")
    name, values = sklearn_parameters(mix)
    _, factors = precision_factors(mix)
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


def sklearn_parameters(mix: Mixture) -> tuple[str, Any]:
    """scikit-learn's name of the structure, and a copy of its ``covariances_``."""
    covariance = mix.covariance
    if isinstance(covariance, IsotropicCovariance):
        return "spherical", np.array(covariance.variance)
    if isinstance(covariance, DiagonalCovariance):
        return "diag", np.array(covariance.variance)
    if isinstance(covariance, TiedCovariance):
        return "tied", np.array(covariance.shared.dense()[0])
    return "full", np.array(covariance.dense())


def precision_factors(mix: Mixture) -> tuple[str, Any]:
    """scikit-learn's name of the structure, and its ``precisions_cholesky_``."""
    covariance = mix.covariance
    if isinstance(covariance, TiedCovariance):
        return "tied", precision_cholesky(FullCovariance(covariance.shared.dense()))[0]
    if isinstance(covariance, FullCovariance):
        return "full", precision_cholesky(covariance)
    name, values = sklearn_parameters(mix)
    if name == "full":
        return name, precision_cholesky(FullCovariance(values))
    return name, 1 / np.sqrt(values)


def precision_cholesky(covariance: FullCovariance) -> Any:
    """Upper triangular U (k, d, d) with Σ⁻¹ = U Uᵀ: scikit-learn's ``precisions_cholesky_``."""
    eye = np.broadcast_to(np.eye(covariance.d), (covariance.k, covariance.d, covariance.d))
    return np.swapaxes(covariance.whiten(eye), 1, 2)
