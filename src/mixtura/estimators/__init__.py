"""Floor 8: scikit-learn estimators. They validate, call down and store attributes."""

from mixtura.estimators.gaussian_mixture import GaussianMixture
from mixtura.estimators.mixture_imputer import MixtureImputer
from mixtura.estimators.mixture_regressor import MixtureRegressor

__all__ = ["GaussianMixture", "MixtureImputer", "MixtureRegressor"]
