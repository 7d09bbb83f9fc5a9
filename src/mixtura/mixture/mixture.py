r"""The value: a finite mixture of Gaussian components, p(x) = Σₖ wₖ N(x; μₖ, Σₖ).

Immutable; every verb returns a new value. Under marginalising, conditioning, affine maps, Gaussian
noise, products and linear observation the answer is a mixture again, in closed form.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mixtura.arrays.linalg import symmetrise, transpose
from mixtura.arrays.namespace import as_float, freeze, is_numpy, namespace
from mixtura.covariance import (
    Covariance,
    DiagonalCovariance,
    Form,
    FullCovariance,
    IsotropicCovariance,
)
from mixtura.errors import ConstructionError, InputError
from mixtura.mixture import algebra, convert, density, univariate
from mixtura.mixture.columns import positions
from mixtura.mixture.conditional import Conditional, conditional
from mixtura.mixture.impute import impute
from mixtura.typing import Array, Columns, FloatArray, Seed

__all__ = ["Mixture"]

#: Doors that a higher floor opens on the value: ``io`` registers how a value is written.
DOORS: dict[str, Callable[..., Any]] = {}


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Mixture:
    """A mixture of k Gaussian components in d columns.

    Parameters
    ----------
    weights : array (k,)
        Non-negative, not all zero; stored normalised to sum to one.
    means : array (k, d)
    covariance : array (k, d, d), (k, d) or (k,), or Covariance
        Full matrices, variances of columns, one variance per component, or a structured value
        such as ``LowRankCovariance`` or ``TiedCovariance``.
    columns : sequence of str, optional
        Names of the d columns.

    Raises
    ------
    ConstructionError
        When shapes disagree or numbers are not finite.
    NotPositiveDefiniteError
        When a covariance is not positive definite.

    Examples
    --------
    >>> import mixtura as mx
    >>> mix = mx.Mixture([0.3, 0.7], [[0.0, 0.0], [4.0, 1.0]], [1.0, 0.5])
    >>> mix.mean
    array([2.8, 0.7])
    >>> mix.condition([1], [0.9])
    Mixture(k=2, d=1, isotropic)
    >>> mix.denoise([[3.5, 1.0]], 0.5).round(2)
    array([[3.67, 1.  ]])
    """

    weights: Array
    means: Array
    covariance: Covariance
    columns: tuple[str, ...] | None

    def __init__(
        self,
        weights: Any,
        means: Any,
        covariance: Any,
        *,
        columns: Sequence[str] | None = None,
    ) -> None:
        w, mu = _floats(weights, "weights"), _floats(means, "means")
        if mu.ndim != 2 or 0 in mu.shape:
            raise ConstructionError(
                f"expected means of shape (k, d), got {tuple(mu.shape)}; one row per component"
            )
        k, d = (int(s) for s in mu.shape)
        if tuple(w.shape) != (k,):
            raise ConstructionError(
                f"expected weights of shape ({k},), one per row of means, got {tuple(w.shape)}"
            )
        for name, array in (("weights", w), ("means", mu)):
            if is_numpy(array) and not np.isfinite(array).all():
                raise ConstructionError(f"expected finite {name}, got NaN or infinity")
        xp = namespace(w, mu)
        total = xp.sum(w)
        if is_numpy(w) and ((w < 0).any() or not total > 0):
            raise ConstructionError(
                f"expected non-negative weights that are not all zero, got {np.asarray(w)}"
            )
        cov = _covariance(covariance, k, d)
        names = None if columns is None else tuple(str(c) for c in columns)
        if names is not None and (len(names) != d or len(set(names)) != d):
            raise ConstructionError(f"expected {d} distinct column names, got {list(names)}")
        self._set(w / total, mu, cov, names)
        if is_numpy(mu):
            cov.logdet  # noqa: B018  (factors every component, and names the one that fails)

    def _set(self, weights: Array, means: Array, covariance: Covariance, columns: Any) -> None:
        object.__setattr__(self, "weights", freeze(weights))
        object.__setattr__(self, "means", freeze(means))
        object.__setattr__(self, "covariance", covariance)
        object.__setattr__(self, "columns", columns)

    @classmethod
    def _from_log_weights(
        cls, log_weights: Array, means: Array, covariance: Covariance, columns: Any
    ) -> Mixture:
        """Build without checks, from unnormalised log weights that may underflow."""
        from mixtura.arrays.linalg import logsumexp

        xp = namespace(log_weights, means)
        normal = log_weights - logsumexp(log_weights)
        mix = object.__new__(cls)
        mix._set(xp.exp(normal), means, covariance, columns)
        object.__setattr__(mix, "log_weights", normal)
        return mix

    def __getstate__(self) -> tuple[Any, ...]:
        return self.weights, self.means, self.covariance, self.columns, self.log_weights

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._set(*state[:4])
        object.__setattr__(self, "log_weights", freeze(state[4]))

    # ---- shapes and moments ------------------------------------------------------------------
    @property
    def k(self) -> int:
        """Number of components."""
        return int(self.means.shape[0])

    @property
    def d(self) -> int:
        """Number of columns."""
        return int(self.means.shape[1])

    def __repr__(self) -> str:
        names = "" if self.columns is None else f", columns={list(self.columns)}"
        return f"Mixture(k={self.k}, d={self.d}, {self.covariance.name}{names})"

    @cached_property
    def log_weights(self) -> Array:
        """Log weights (k,)."""
        if is_numpy(self.weights):
            with np.errstate(divide="ignore"):
                return freeze(np.log(self.weights))
        return namespace(self.weights).log(self.weights)

    @cached_property
    def mean(self) -> Array:
        """Mean of the mixture (d,)."""
        return freeze(self.weights @ self.means)

    @cached_property
    def cov(self) -> Array:
        """Covariance of the mixture (d, d): within plus between components."""
        xp = namespace(self.means)
        centred = self.means - self.mean
        within = xp.sum(self.weights[:, None, None] * self.covariance.dense(), axis=0)
        between = transpose(centred) @ (self.weights[:, None] * centred)
        return freeze(symmetrise(within + between))

    @cached_property
    def _kernel(self) -> tuple[FloatArray, Form]:
        """Anchor (d,), and the form of the log joint compiled about it."""
        anchor = np.asarray(self.mean)
        const = self.log_weights - 0.5 * (self.d * np.log(2 * np.pi) + self.covariance.logdet)
        return anchor, self.covariance.form(self.means - anchor, const, np.float64)

    # ---- densities ---------------------------------------------------------------------------
    def _rows(self, x: Any, what: str = "X") -> Array:
        """Rows (n, d) checked against this mixture's columns; NumPy stays float32 or float64."""
        frame_columns = getattr(x, "columns", None)
        if self.columns is not None and frame_columns is not None:
            missing = [c for c in self.columns if c not in list(frame_columns)]
            if missing:
                raise InputError(
                    f"expected columns {', '.join(self.columns)} in {what}, but "
                    f"{', '.join(missing)} are missing; add them or take marginal()"
                )
            x = x[list(self.columns)]
        try:
            rows = as_float(x, like=self.means, keep_single=True)
        except (TypeError, ValueError):
            raise InputError(f"expected numbers in {what}; convert text columns first") from None
        if rows.ndim != 2 or rows.shape[1] != self.d:
            names = f" ({', '.join(self.columns)})" if self.columns else ""
            raise InputError(
                f"expected {what} of shape (n, {self.d}){names}, got {tuple(rows.shape)}"
                + (f"; pass one row as {what}[None, :]" if rows.ndim == 1 else "")
            )
        if is_numpy(rows) and not np.isfinite(rows).all():
            raise InputError(
                f"expected finite values in {what}, got NaN or infinity in "
                f"{int((~np.isfinite(rows)).any(axis=1).sum())} rows; drop those rows"
            )
        return rows

    def log_density(self, X: Any) -> Array:
        """Log density of each row, in nats: (n,).

        Parameters
        ----------
        X : array (n, d)
        """
        return density.log_density(self, self._rows(X))

    def responsibilities(self, X: Any) -> Array:
        """Posterior probability of each component given each row: (n, k)."""
        return density.responsibilities(self, self._rows(X))

    def grad_log_density(self, X: Any) -> Array:
        """The score ∇ log p at each row: (n, d)."""
        return density.grad_log_density(self, self._rows(X))

    def hessian_log_density(self, X: Any) -> Array:
        """∇² log p at each row: (n, d, d)."""
        return density.hessian_log_density(self, self._rows(X))

    def sample(self, n: int, rng: Seed = None, return_labels: bool = False) -> Any:
        """Draw rows, in random order.

        Parameters
        ----------
        n : int
        rng : int or numpy.random.Generator, optional
        return_labels : bool
            Also return the component of each row.

        Returns
        -------
        X : array (n, d)
        labels : array (n,), if asked for
        """
        return algebra.sample(self, n, rng, return_labels)

    def cdf(self, x: Any) -> FloatArray:
        """P(X ≤ x) for one-dimensional mixtures, at each of x (n,)."""
        return univariate.cdf(self, x)

    def quantile(self, q: Any) -> FloatArray:
        """The inverse of ``cdf`` for one-dimensional mixtures, at probabilities q (n,)."""
        return univariate.quantile(self, q)

    # ---- algebra -----------------------------------------------------------------------------
    def marginal(self, columns: Columns) -> Mixture:
        """The law of some columns, in the order given."""
        return algebra.marginal(self, positions(columns, self.d, self.columns, "marginal"))

    def condition(self, columns: Columns, values: Any) -> Mixture:
        """The law of the remaining columns given one row of values of ``columns``.

        Parameters
        ----------
        columns : positions or names (g,)
        values : array (g,)

        Returns
        -------
        Mixture
            In the remaining columns, in their original order.
        """
        return algebra.condition(
            self, positions(columns, self.d, self.columns, "condition"), values
        )

    def conditional(self, given: Columns) -> Conditional:
        """The batched law of the remaining columns given ``given``, for many rows at once.

        Parameters
        ----------
        given : positions or names (g,)

        Returns
        -------
        Conditional
            With ``mean``, ``cov``, ``log_density``, ``sample``, ``quantile``, ``at``.

        Examples
        --------
        >>> import mixtura as mx
        >>> mix = mx.Mixture([1.0], [[0.0, 0.0]], [[[1.0, 0.5], [0.5, 1.0]]])
        >>> mix.conditional([0]).mean([[1.0], [2.0]])
        array([[0.5],
               [1. ]])
        """
        return conditional(self, positions(given, self.d, self.columns, "conditional"))

    def impute(
        self, X: Any, how: str = "mean", *, n_draws: int | None = None, rng: Seed = None
    ) -> FloatArray:
        """Fill missing cells (NaN) from their law given the rest of the row.

        Parameters
        ----------
        X : array (n, d)
            Any pattern of NaN; rows of which nothing is known get the mixture's own law.
        how : {"mean", "median", "mode", "sample"}
            "sample" draws one component per row and then all missing cells of the row together,
            so that they keep their correlation. "median" is taken column by column.
        n_draws : int, optional
            Several draws, for multiple imputation.
        rng : int or numpy.random.Generator, optional

        Returns
        -------
        array (n, d), or (n_draws, n, d)
        """
        return impute(self, X, how, n_draws, rng)

    def affine(self, A: Any, b: Any = None, *, columns: Sequence[str] | None = None) -> Mixture:
        """The law of A x + b, for A (p, d) with independent rows and b (p,)."""
        return algebra.affine(self, A, b, columns)

    def blur(self, noise: Any) -> Mixture:
        """The law of x + e, e Gaussian with variance ``noise``: a number, (d,), (d, d) or a
        Covariance with one component."""
        return algebra.blur(self, noise)

    def product(self, other: Mixture) -> Mixture:
        """The normalised product of two densities: a mixture with k · k' components."""
        return algebra.product(self, other)

    def observe(self, y: Any, A: Any = None, noise: Any = None) -> Mixture:
        """The posterior of x given y = A x + e.

        Parameters
        ----------
        y : array (p,)
        A : array (p, d), optional
            The identity by default.
        noise : number, (p,), (p, p) or Covariance
            Variance of e.
        """
        return algebra.observe(self, y, A, noise)

    def log_evidence(self, y: Any, A: Any = None, noise: Any = None) -> Any:
        """Log density of y = A x + e: the normaliser of ``observe``."""
        return algebra.log_evidence(self, y, A, noise)

    def denoise(self, y: Any, noise: Any, return_cov: bool = False) -> Any:
        """E[x | y] for rows y = x + e: the exact minimum mean squared error denoiser.

        Parameters
        ----------
        y : array (n, d)
        noise : number, (d, d) or Covariance
            A number is the noise's standard deviation; a matrix its covariance.
        return_cov : bool
            Also return Cov[x | y] (n, d, d).

        Returns
        -------
        mean : array (n, d)
        cov : array (n, d, d), if asked for
        """
        return algebra.denoise(self, self._rows(y, "y"), noise, return_cov)

    def relabel(self, order: Sequence[int]) -> Mixture:
        """The same density with its components in another order."""
        return algebra.relabel(self, order)

    # ---- conversions -------------------------------------------------------------------------
    @classmethod
    def from_sklearn(cls, model: Any) -> Mixture:
        """From a fitted scikit-learn ``GaussianMixture`` or ``BayesianGaussianMixture``, or any
        estimator that carries a ``mixture_``."""
        return convert.from_sklearn(cls, model)

    from_estimator = from_sklearn

    def to_sklearn(self) -> Any:
        """A fitted scikit-learn ``GaussianMixture`` with the same density."""
        return convert.to_sklearn(self)

    def save(self, path: str | os.PathLike[str], info: dict[str, Any] | None = None) -> None:
        """Write to a safetensors file; see ``mixtura.save``."""
        DOORS["save"](self, path, info)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Mixture:
        """Read a file written by ``save``; see ``mixtura.load``."""
        value = DOORS["load"](path)
        if not isinstance(value, cls):
            raise InputError(f"expected a Mixture in {path}, got {type(value).__name__}")
        return value


def _floats(values: Any, name: str) -> Array:
    try:
        array = as_float(values)
    except (TypeError, ValueError):
        raise ConstructionError(f"expected an array of numbers for {name}") from None
    if is_numpy(array) and np.iscomplexobj(values):
        raise ConstructionError(f"expected real {name}, got complex numbers")
    return array


def _covariance(covariance: Any, k: int, d: int) -> Covariance:
    """A Covariance from what the constructor accepts, with its shape checked."""
    if isinstance(covariance, Covariance):
        if (covariance.k, covariance.d) != (k, d):
            raise ConstructionError(
                f"expected a covariance of {k} components in {d} columns, got one of "
                f"{covariance.k} in {covariance.d}"
            )
        return covariance
    values = _floats(covariance, "covariance")
    shape = tuple(values.shape)
    if is_numpy(values) and not np.isfinite(values).all():
        raise ConstructionError("expected a finite covariance, got NaN or infinity")
    if shape == (k,):
        return IsotropicCovariance(values, d)
    if shape == (k, d):
        return DiagonalCovariance(values)
    if shape == (k, d, d):
        if is_numpy(values):
            size = np.sqrt(np.einsum("kii->ki", np.abs(values)))
            gap = np.abs(values - values.swapaxes(1, 2))
            if (gap > 1e-8 * size[:, :, None] * size[:, None, :]).any():
                worst = int(gap.reshape(k, -1).max(axis=1).argmax())
                raise ConstructionError(
                    f"expected symmetric covariances, got component {worst} with entries that "
                    f"differ by {gap[worst].max():.3g} from its transpose; pass (S + S.T) / 2"
                )
        return FullCovariance(symmetrise(values))
    raise ConstructionError(
        f"expected a covariance of shape ({k}, {d}, {d}), ({k}, {d}) or ({k},), got {shape}; for "
        "one matrix shared by all components pass TiedCovariance(FullCovariance(S[None]), k)"
    )
