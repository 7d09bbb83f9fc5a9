"""``MixtureImputer``: missing cells filled from a mixture that was fitted to what is there.

The mixture is fitted by exact EM on the observed cells; a missing cell then has the law of
x_missing given x_observed, a mixture again. Its mean is the best single value in squared error;
draws keep the correlation and the spread that means lose, and several draws carry the uncertainty
on into what is computed from them (multiple imputation, Rubin 1987).
"""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from mixtura.covariance import ALIASES, STRUCTURES, Structure
from mixtura.errors import InputError
from mixtura.estimators.gaussian_mixture import GaussianMixture
from mixtura.estimators.tables import table
from mixtura.fit.initialise import STARTS
from mixtura.mixture.impute import HOW
from mixtura.sources.rows import as_weights
from mixtura.typing import FloatArray

__all__ = ["MixtureImputer"]


class MixtureImputer(TransformerMixin, BaseEstimator):
    """Fill missing cells (NaN) from a Gaussian mixture of the table.

    Parameters
    ----------
    n_components : int, "auto" or ints, default="auto"
        "auto" chooses by BIC.
    covariance_type : str or Structure, default="full"
        Structures without correlations ("diag", "spherical") fill by components alone.
    how : {"mean", "median", "mode", "sample"}, default="mean"
        What ``transform`` fills in. "sample" draws all missing cells of a row together.
    add_indicator : bool, default=False
        Append a column for each column that had missing cells in the fit, 1 where one is missing.
    tol, reg_covar, max_iter, n_init, init_params, rank
        As in ``GaussianMixture``.
    random_state : int, RandomState, Generator or None
        For starts, and for draws.

    Attributes
    ----------
    mixture_ : Mixture
        The fitted law of whole rows.
    indicator_ : MissingIndicator or None
    n_components_, covariance_type_, converged_, n_iter_, trace_, search_
        As in ``GaussianMixture``.
    n_features_in_ : int
    feature_names_in_ : array (d,)

    Examples
    --------
    >>> import numpy as np, mixtura as mx
    >>> X = np.array([[1, 2.1], [2, 3.9], [3, 6.2], [4, np.nan], [np.nan, 10.1]])
    >>> mx.MixtureImputer(1, reg_covar=1e-3, tol=1e-6).fit_transform(X).round()
    array([[ 1.,  2.],
           [ 2.,  4.],
           [ 3.,  6.],
           [ 4.,  8.],
           [ 5., 10.]])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_components": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
            "array-like",
            range,
        ],
        "covariance_type": [StrOptions({*STRUCTURES, *ALIASES, "auto"}), Structure, list, tuple],
        "how": [StrOptions(set(HOW))],
        "add_indicator": ["boolean"],
        "tol": [Interval(Real, 0.0, None, closed="left")],
        "reg_covar": [Interval(Real, 0.0, None, closed="left"), StrOptions({"auto"})],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "init_params": [StrOptions(set(STARTS))],
        "rank": [Interval(Integral, 1, None, closed="left"), None],
        "random_state": ["random_state", np.random.Generator],
    }

    def __init__(
        self,
        n_components: Any = "auto",
        *,
        covariance_type: Any = "full",
        how: str = "mean",
        add_indicator: bool = False,
        tol: float = 1e-5,
        reg_covar: Any = "auto",
        max_iter: int = 500,
        n_init: int = 1,
        init_params: str = "kmeans",
        rank: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.how = how
        self.add_indicator = add_indicator
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.rank = rank
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> MixtureImputer:
        """Fit the mixture to the cells that are there.

        Parameters
        ----------
        X : array (n, d)
            NaN where a cell is missing. Rows without any cell are left out of the fit.
        y : ignored
        sample_weight : array (n,), optional

        Returns
        -------
        self
        """
        x = table(self, X, reset=True, min_rows=2)
        missing = np.isnan(x)
        weight = as_weights(sample_weight, len(x))
        bare = missing.all(axis=1)
        if bare.any():
            weight = np.where(bare, 0.0, 1.0 if weight is None else weight)
        if bare.all():
            raise InputError("expected a table with observed cells, got NaN in every one")
        names = set(GaussianMixture._parameter_constraints)
        settings = {k: v for k, v in self.get_params(deep=False).items() if k in names}
        model = GaussianMixture(**settings)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            model.fit(x, sample_weight=weight)
        for warning in caught:
            warnings.warn(warning.message, warning.category, stacklevel=2)
        self.mixture_ = model.mixture_
        for name in (
            "n_components_",
            "covariance_type_",
            "converged_",
            "n_iter_",
            "trace_",
            "search_",
        ):
            setattr(self, name, getattr(model, name))
        self.indicator_ = None
        if self.add_indicator:
            from sklearn.impute import MissingIndicator

            self.indicator_ = MissingIndicator(error_on_new=False).fit(x)
        return self

    def transform(self, X: Any) -> Any:
        """Fill missing cells; what is there stays as it is.

        Parameters
        ----------
        X : array (n, d)
            Rows of which nothing is known are filled from the mixture's own law.

        Returns
        -------
        array (n, d), or wider with ``add_indicator``
        """
        check_is_fitted(self)
        x = table(self, X)
        filled = self.mixture_.impute(x, self.how, rng=self._seed(self.random_state))
        filled = np.where(np.isnan(x), filled.astype(x.dtype, copy=False), x)
        if self.indicator_ is None:
            return filled
        return np.hstack([filled, self.indicator_.transform(x).astype(x.dtype)])

    def sample(self, X: Any, n_draws: int = 5, random_state: Any = None) -> FloatArray:
        """Several drawn tables, for multiple imputation: (n_draws, n, d).

        Parameters
        ----------
        X : array (n, d)
        n_draws : int
        random_state : int, RandomState or Generator, optional
            By default the imputer's own ``random_state``.
        """
        check_is_fitted(self)
        x = table(self, X)
        state = self.random_state if random_state is None else random_state
        drawn = self.mixture_.impute(x, "sample", n_draws=n_draws, rng=self._seed(state))
        return np.asarray(drawn, dtype=x.dtype)

    @staticmethod
    def _seed(state: Any) -> Any:
        if isinstance(state, np.random.Generator):
            return state
        return int(check_random_state(state).randint(np.iinfo(np.int32).max))

    def get_feature_names_out(self, input_features: Any = None) -> FloatArray:
        """Names of the columns that ``transform`` gives.

        Parameters
        ----------
        input_features : array of str, optional
            By default the names seen in the fit, or ``x0``, ``x1``, ….
        """
        check_is_fitted(self, "n_features_in_")
        names = _check_feature_names_in(self, input_features)
        if self.indicator_ is None:
            return np.asarray(names)
        return np.concatenate([names, self.indicator_.get_feature_names_out(names)])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.non_deterministic = self.how == "sample"
        return tags
