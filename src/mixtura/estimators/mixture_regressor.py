"""``MixtureRegressor``: fit a joint mixture of inputs and outputs, then condition it.

E[y | x] is a smooth blend of k linear regressions whose gates are the responsibilities of x
(Ghahramani & Jordan 1994); the whole law of y given x comes with it.
"""

from __future__ import annotations

import warnings
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, MultiOutputMixin, RegressorMixin, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from mixtura.covariance import ALIASES, STRUCTURES, Structure
from mixtura.errors import InputError
from mixtura.estimators.gaussian_mixture import GaussianMixture
from mixtura.fit.initialise import STARTS
from mixtura.mixture.conditional import Conditional, Predictive
from mixtura.mixture.trajectory import smoothest_sequence
from mixtura.typing import FloatArray, Seed

__all__ = ["MixtureRegressor"]


class MixtureRegressor(MultiOutputMixin, RegressorMixin, BaseEstimator):
    """Regression by conditioning a joint Gaussian mixture of (X, y).

    Parameters
    ----------
    n_components : int, "auto" or ints, default="auto"
        "auto" chooses by BIC of the joint density, which need not be the best for prediction:
        choose by cross-validation where that is what counts.
    covariance_type : str or Structure, default="full"
        Of the joint density. Structures without correlations ("diag", "spherical") predict by
        gates alone.
    predict_with : {"mean", "median", "mode"}, default="mean"
        What ``predict`` answers unless told otherwise.
    tol, reg_covar, max_iter, n_init, init_params, random_state, rank
        As in ``GaussianMixture``.

    Attributes
    ----------
    mixture_ : Mixture
        Joint law of the inputs and then the outputs.
    conditional_ : Conditional
        The law of the outputs given the inputs.
    n_components_, covariance_type_, converged_, n_iter_, trace_, search_
        As in ``GaussianMixture``.
    n_features_in_ : int
    n_outputs_ : int

    Examples
    --------
    >>> import numpy as np, mixtura as mx
    >>> x = np.linspace(-1, 1, 200)[:, None]
    >>> y = np.abs(x[:, 0])
    >>> model = mx.MixtureRegressor(n_components=2, random_state=0).fit(x, y)
    >>> model.predict([[-0.5], [0.5]]).round(2)
    array([0.5, 0.5])
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_components": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
            "array-like",
            range,
        ],
        "covariance_type": [StrOptions({*STRUCTURES, *ALIASES, "auto"}), Structure, list, tuple],
        "predict_with": [StrOptions({"mean", "median", "mode"})],
        "tol": [Interval(Real, 0.0, None, closed="left")],
        "reg_covar": [Interval(Real, 0.0, None, closed="left"), StrOptions({"auto"})],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "init_params": [StrOptions(set(STARTS))],
        "random_state": ["random_state", np.random.Generator],
        "rank": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"}), None],
    }

    def __init__(
        self,
        n_components: Any = "auto",
        *,
        covariance_type: Any = "full",
        predict_with: str = "mean",
        tol: float = 1e-5,
        reg_covar: Any = 1e-6,
        max_iter: int = 500,
        n_init: int = 1,
        init_params: str = "kmeans",
        random_state: Any = None,
        rank: int | str | None = None,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.predict_with = predict_with
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.random_state = random_state
        self.rank = rank

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> MixtureRegressor:
        """Fit the joint mixture.

        Parameters
        ----------
        X : array (n, d)
        y : array (n,) or (n, m)
        sample_weight : array (n,), optional

        Returns
        -------
        self
        """
        x, targets = validate_data(
            self,
            X,
            y,
            dtype=[np.float64, np.float32],
            multi_output=True,
            y_numeric=True,
            ensure_min_samples=2,
        )
        self._single = targets.ndim == 1
        outputs = targets[:, None] if self._single else targets
        joint = np.concatenate([x, outputs.astype(x.dtype, copy=False)], axis=1)
        settings = self.get_params(deep=False)
        settings.pop("predict_with")
        model = GaussianMixture(**settings)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            model.fit(joint, sample_weight=sample_weight)
        for warning in caught:
            warnings.warn(warning.message, warning.category, stacklevel=2)
        self.n_outputs_ = outputs.shape[1]
        self.mixture_ = model.mixture_
        self.conditional_: Conditional = model.mixture_.conditional(range(x.shape[1]))
        for name in (
            "n_components_",
            "covariance_type_",
            "converged_",
            "n_iter_",
            "trace_",
            "search_",
        ):
            setattr(self, name, getattr(model, name))
        return self

    def _rows(self, X: Any) -> FloatArray:
        check_is_fitted(self)
        return np.asarray(validate_data(self, X, dtype=[np.float64, np.float32], reset=False))

    def _shaped(self, values: FloatArray) -> FloatArray:
        """Outputs (…, m) without the last axis where y was one column."""
        return values[..., 0] if self._single else values

    def predict(self, X: Any, how: str | None = None) -> FloatArray:
        """One value per row: (n,), or (n, m).

        Parameters
        ----------
        X : array (n, d)
        how : {"mean", "median", "mode"}, optional
            ``predict_with`` by default. The median is taken per output.
        """
        x = self._rows(X)
        kind = self.predict_with if how is None else how
        if kind == "mean":
            values = self.conditional_.mean(x)
        elif kind == "median":
            values = self.conditional_.quantile(x, 0.5)
        elif kind == "mode":
            values = self.conditional_.mode(x)
        else:
            raise InputError(f"expected how among 'mean', 'median', 'mode', got {kind!r}")
        return self._shaped(np.asarray(values))

    def predict_dist(self, X: Any) -> Predictive:
        """The law of y given each row: ``mean``, ``cov``, ``log_density``, ``cdf``, …"""
        x = self._rows(X)
        return self.conditional_.bind(x)

    def predict_interval(self, X: Any, level: float = 0.9) -> FloatArray:
        """Equal-tailed intervals that hold y with probability ``level``: (n, 2), or (n, 2, m)."""
        share: Any = level
        if not isinstance(share, Real) or not 0 < float(share) < 1:
            raise InputError(f"expected a level between 0 and 1, such as 0.9, got {level!r}")
        x = self._rows(X)
        tail = (1 - level) / 2
        return self._shaped(self.conditional_.quantile(x, [tail, 1 - tail]))

    def predict_draw(self, X: Any, rng: Seed = None) -> FloatArray:
        """One coherent draw per row: its spread is the data's, where the mean's is too small."""
        x = self._rows(X)
        return self._shaped(self.conditional_.sample(x, rng=rng))

    def predict_trajectory(
        self, X: Any, window: tuple[float, ...] = (-0.5, 0.0, 0.5)
    ) -> FloatArray:
        """The smooth sequence of greatest likelihood, for rows that are consecutive frames.

        Parameters
        ----------
        X : array (n, d)
            Frames in order.
        window : odd number of floats
            The window with which the slopes in y were computed.

        Returns
        -------
        array (n, p)
            Statics, for a model fitted to p statics followed by their p slopes.

        References
        ----------
        Toda, Black & Tokuda (2007), IEEE Trans. Audio, Speech, Language Process. 15(8).
        """
        x = self._rows(X)
        log_resp, each = self.conditional_.parts(np.asarray(x, dtype=np.float64))
        best = log_resp.argmax(axis=1)
        variances = np.asarray(self.conditional_.covariance.diagonal())[best]
        return smoothest_sequence(each[np.arange(len(x)), best], variances, window)
