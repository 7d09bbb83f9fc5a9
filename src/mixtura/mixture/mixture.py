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

from mixtura.arrays.derived import derived
from mixtura.arrays.linalg import log, log_softmax, symmetrise, transpose
from mixtura.arrays.namespace import (
    as_float,
    finite,
    first_tensor,
    freeze,
    holds,
    is_numpy,
    join,
    known,
    namespace,
    to_numpy,
)
from mixtura.covariance import (
    Covariance,
    DiagonalCovariance,
    Form,
    FullCovariance,
    IsotropicCovariance,
    TiedCovariance,
)
from mixtura.errors import ConstructionError, InputError
from mixtura.mixture import (
    algebra,
    convert,
    density,
    distance,
    divergence,
    shortlist,
    sliced,
    transport,
    univariate,
)
from mixtura.mixture.columns import positions
from mixtura.mixture.conditional import Conditional, conditional
from mixtura.mixture.estimates import Estimate, MonteCarlo
from mixtura.mixture.impute import impute
from mixtura.mixture.modes import Modes, modes
from mixtura.mixture.reduce import reduction
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

    Notes
    -----
    Where one of the arrays is a PyTorch tensor, all become tensors, and every answer is a
    tensor of their dtype, on their device, differentiable in whichever of them requires a
    gradient. Tensors are kept as they are: build the mixture anew after a change in place, as
    in each step of a training loop. ``to`` takes a mixture to PyTorch and back.

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
        w, mu, covariance = _joined(weights, means, covariance)
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
            if not finite(array):
                raise ConstructionError(f"expected finite {name}, got NaN or infinity")
        top = namespace(w).max(w)
        if not (holds(w >= 0) and holds(top > 0)):
            raise ConstructionError(
                f"expected non-negative weights that are not all zero, got {to_numpy(w)}"
            )
        cov = _covariance(covariance, k, d)
        names = None if columns is None else tuple(str(c) for c in columns)
        if names is not None and (len(names) != d or len(set(names)) != d):
            raise ConstructionError(f"expected {d} distinct column names, got {list(names)}")
        total = namespace(w).sum(w) if holds(top < 1e300) else top
        if not holds((total > 1e-300) & (total < 1e300)):  # sums beyond the range of floats
            w, total = w / top, namespace(w).sum(w / top)
        # Weights that were normalised before keep their bits, so that files give them back.
        kept = is_numpy(w) and abs(float(total) - 1.0) <= 8 * np.finfo(w.dtype).eps
        self._set(w if kept else w / total, mu, cov, names)
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
        xp = namespace(log_weights, means)
        normal = log_softmax(log_weights)
        mix = object.__new__(cls)
        mix._set(xp.exp(normal), means, covariance, columns)
        object.__setattr__(mix, "log_weights", freeze(normal))
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

    @derived
    def log_weights(self) -> Array:
        """Log weights (k,)."""
        return freeze(log(self.weights))

    @derived
    def mean(self) -> Array:
        """Mean of the mixture (d,)."""
        return freeze(self.weights @ self.means)

    @derived
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

    @cached_property
    def _screen(self) -> shortlist.Screen | None:
        """What tells the components that matter to rows of large tables."""
        return shortlist.screen(self)

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
        except InputError:
            raise
        except (TypeError, ValueError):
            raise InputError(f"expected numbers in {what}; convert text columns first") from None
        if rows.ndim != 2 or rows.shape[1] != self.d:
            names = f" ({', '.join(self.columns)})" if self.columns else ""
            raise InputError(
                f"expected {what} of shape (n, {self.d}){names}, got {tuple(rows.shape)}"
                + (f"; pass one row as {what}[None, :]" if rows.ndim == 1 else "")
            )
        if not finite(rows):
            bad = ~np.isfinite(to_numpy(rows)).all(axis=1)
            raise InputError(
                f"expected finite values in {what}, got NaN or infinity in {int(bad.sum())} row"
                f"{'s' * (int(bad.sum()) != 1)}; drop {'it' if int(bad.sum()) == 1 else 'them'}"
                + (
                    ""
                    if not np.isnan(to_numpy(rows)).any()
                    else " (GaussianMixture.score_samples and impute take missing cells)"
                )
            )
        return rows

    def log_density(self, X: Any) -> Array:
        """Log density of each row, in nats: (n,).

        For arrays, what lies below every float, of rows absurdly far away, is the lowest one.

        Parameters
        ----------
        X : array (n, d)
            A tensor gives tensors, of its dtype and device where this mixture is NumPy's; for a
            mixture of tensors rows are taken to the mixture's dtype. So in every method.
        """
        mix = convert.meet(self, X)
        return density.log_density(mix, mix._rows(X))

    def responsibilities(self, X: Any) -> Array:
        """Posterior probability of each component given each row: (n, k)."""
        mix = convert.meet(self, X)
        return density.responsibilities(mix, mix._rows(X))

    def grad_log_density(self, X: Any) -> Array:
        """The score ∇ log p at each row: (n, d)."""
        mix = convert.meet(self, X)
        return density.grad_log_density(mix, mix._rows(X))

    def hessian_log_density(self, X: Any) -> Array:
        """∇² log p at each row: (n, d, d)."""
        mix = convert.meet(self, X)
        return density.hessian_log_density(mix, mix._rows(X))

    def sample(
        self,
        n: int,
        rng: Seed = None,
        return_labels: bool = False,
        *,
        gradient: str = "pathwise",
    ) -> Any:
        """Draw rows, in random order.

        Parameters
        ----------
        n : int
        rng : int, numpy.random.Generator or torch.Generator, optional
        return_labels : bool
            Also return the component of each row.
        gradient : {"pathwise", "straight-through", "score"}
            How gradients flow through draws of a mixture of tensors; see Notes.

        Returns
        -------
        X : array (n, d)
        labels : array (n,), if asked for
        log_choice : tensor (n,), if ``gradient="score"``
            Log probability of the component of each row.

        Notes
        -----
        A row is x = μ_c + L_c z, with c drawn by the weights w and z standard normal. Always, the
        path from means and covariances to x is differentiated, c and z held fixed. The choice of
        c has no path; for gradients to the weights there are

        - "straight-through": x = Σₖ yₖ (μₖ + Lₖ z), y the one-hot c in value and w in gradient.
          Little variance, exact for linear functions of x, biased for others (Bengio et al. 2013).
        - "score": log_choice = log w_c beside x, for the score function (Williams 1992). The
          gradient of ``(f(x) + f(x).detach() * log_choice).mean()`` is that of E f(x), without
          bias, in all parameters; subtract a baseline from ``f(x).detach()`` for less variance.
        """
        return algebra.sample(self, n, rng, return_labels, gradient)

    def cdf(self, x: Any) -> Array:
        """P(X ≤ x) for one-dimensional mixtures, at each of x (n,)."""
        return univariate.cdf(convert.meet(self, x), x)

    def quantile(self, q: Any) -> Array:
        """The inverse of ``cdf`` for one-dimensional mixtures, at probabilities q (n,)."""
        return univariate.quantile(convert.meet(self, q), q)

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
        given = positions(columns, self.d, self.columns, "condition")
        if self.columns is not None and hasattr(values, "index") and hasattr(values, "loc"):
            names = [self.columns[j] for j in given]
            if set(names) <= set(values.index):
                values = values.loc[names]  # a labelled row is read by its labels
        return algebra.condition(convert.meet(self, values), given, values)

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
        convert.numpy_only("impute", self, X)
        return impute(self, X, how, n_draws, rng)

    def affine(self, A: Any, b: Any = None, *, columns: Sequence[str] | None = None) -> Mixture:
        """The law of A x + b, for A (p, d) with independent rows and b (p,)."""
        return algebra.affine(convert.meet(self, A, b), A, b, columns)

    def blur(self, noise: Any) -> Mixture:
        """The law of x + e, e Gaussian with variance ``noise``: a number, (d,), (d, d) or a
        Covariance with one component."""
        return algebra.blur(convert.meet(self, noise), noise)

    def product(self, other: Mixture) -> Mixture:
        """The normalised product of two densities: a mixture with k · k' components."""
        algebra.check_mixture(other, "product")
        mix = convert.meet(self, other)
        return algebra.product(mix, convert.alike(other, mix))

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
        return algebra.observe(convert.meet(self, y, A, noise), y, A, noise)

    def log_evidence(self, y: Any, A: Any = None, noise: Any = None) -> Any:
        """Log density of y = A x + e: the normaliser of ``observe``."""
        return algebra.log_evidence(convert.meet(self, y, A, noise), y, A, noise)

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
        mix = convert.meet(self, y, noise)
        return algebra.denoise(mix, mix._rows(y, "y"), noise, return_cov)

    def relabel(self, order: Sequence[int]) -> Mixture:
        """The same density with its components in another order."""
        return algebra.relabel(self, order)

    # ---- measures ----------------------------------------------------------------------------
    def entropy(self, n_samples: int = 10_000, rng: Seed = None) -> Estimate:
        """Differential entropy in nats, with its standard error between true bounds; see
        ``mixtura.entropy``."""
        return divergence.entropy(self, n_samples, rng)

    def kl(self, other: Mixture, n_samples: int = 10_000, rng: Seed = None) -> Estimate:
        """KL(self‖other) in nats, with its standard error between true bounds; see
        ``mixtura.kl``."""
        return divergence.kl(self, other, n_samples, rng)

    def l2(self, other: Mixture) -> Any:
        """The distance √∫(p − q)², in closed form; see ``mixtura.l2``."""
        return distance.l2(self, other)

    def mmd(self, other: Mixture, bandwidth: float) -> Any:
        """Maximum mean discrepancy, Gaussian kernel, in closed form; see ``mixtura.mmd``."""
        return distance.mmd(self, other, bandwidth)

    def wasserstein(self, other: Mixture) -> Any:
        """The mixture-Wasserstein distance MW₂; see ``mixtura.wasserstein``."""
        return transport.wasserstein(self, other)

    def sliced_wasserstein(
        self, other: Mixture, n_projections: int = 500, rng: Seed = None
    ) -> MonteCarlo:
        """The sliced 2-Wasserstein distance, with its standard error; see
        ``mixtura.sliced_wasserstein``."""
        return sliced.sliced_wasserstein(self, other, n_projections, rng)

    def modes(self, starts: Any = None) -> Modes:
        """Local maxima of the density, found by ascent from every component's mean.

        Every point returned has a vanishing gradient and a negative definite Hessian (semidefinite
        where modes are about to merge). Modes may be missed: a mixture can have more modes than
        components, and one that no ascent reaches is not found.

        Parameters
        ----------
        starts : array (n, d), optional
            Rows to ascend from as well; a sample of the mixture finds more, at some cost.

        Returns
        -------
        Modes
            ``points`` (m, d), the highest first, their ``log_density`` (m,), the mode of each
            ``component`` (k,), and ``attract(X)``, which labels rows by the mode that they climb
            to.

        Examples
        --------
        >>> import mixtura as mx
        >>> mix = mx.Mixture([1, 1, 1], [[0.0], [1.0], [9.0]], [1.0, 1.0, 1.0])
        >>> found = mix.modes()
        >>> found.points.round(2)
        array([[0.5],
               [9. ]])
        >>> found.component
        array([0, 0, 1])
        """
        return modes(self, starts)

    def reduce(self, k: int, *, merge: str = "moments", refine: bool = True) -> Mixture:
        """The mixture in fewer components, close to this one in Kullback–Leibler divergence.

        Pairs are merged greedily by Runnalls' (2007) bound, then components change groups until
        the bound stands still. Nothing is drawn: the answer is the same every time.

        Parameters
        ----------
        k : int
            From 1 to the number of components, which returns the mixture itself.
        merge : {"moments", "bures", "log-euclidean"}
            How covariances of a group become one. Moments keep the mean and covariance of the
            mixture, and widen a group by the distances within it; the averages in Bures and
            log-Euclidean geometry keep the typical shape of its components instead.
        refine : bool
            Whether components may change groups after the greedy merging.

        Returns
        -------
        Mixture
            With full covariances.

        Raises
        ------
        InputError
            For k below 1 or above the number of components.

        Examples
        --------
        >>> import mixtura as mx
        >>> mix = mx.Mixture([1, 1, 2], [[0.0], [1.0], [9.0]], [1.0, 1.0, 1.0])
        >>> mix.reduce(2).means
        array([[0.5],
               [9. ]])
        """
        return reduction(self, k, refine=refine, merge=merge).mixture

    # ---- conversions -------------------------------------------------------------------------
    def to(self, library: str, *, device: Any = None, dtype: Any = None) -> Mixture:
        """The same mixture in another array library, on another device, in another dtype.

        Parameters
        ----------
        library : {"numpy", "torch"}
            To PyTorch and back nothing is lost. From tensors to tensors gradients are kept, to
            NumPy they are not.
        device : str or torch.device, optional
            The one it is on, or the CPU, by default.
        dtype : {"float64", "float32"} or torch.dtype, optional
            As it is by default: float64, unless it was made of float32 tensors.

        Raises
        ------
        InputError
            For a device that is not there.
        MissingExtraError
            Where PyTorch is not installed.
        """
        return convert.to(self, library, device, dtype)

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
        if first_tensor(values) is not None or not np.iscomplexobj(values):
            return as_float(values)
    except InputError as error:
        raise ConstructionError(f"{name}: {error}") from None
    except (TypeError, ValueError):
        raise ConstructionError(f"expected an array of numbers for {name}") from None
    raise ConstructionError(f"expected real {name}, got complex numbers")


def _joined(weights: Any, means: Any, covariance: Any) -> tuple[Array, Array, Any]:
    """The parameters in one array library: all are tensors where one is."""
    w, mu = _floats(weights, "weights"), _floats(means, "means")
    structured = isinstance(covariance, Covariance)
    values = first_tensor(covariance) if structured else _floats(covariance, "covariance")
    if structured and values is None and is_numpy(w) and is_numpy(mu):
        return w, mu, covariance
    try:
        if not structured:
            return join(w, mu, values)
        joined = join(w, mu, *([] if values is None else [values]))
        return *joined[:2], covariance.converted(lambda a: as_float(a, like=joined[0]))
    except InputError as error:
        raise ConstructionError(str(error)) from None


def _covariance(covariance: Any, k: int, d: int) -> Covariance:
    """A Covariance from what the constructor accepts, with its shape checked."""
    if isinstance(covariance, Covariance):
        if (covariance.k, covariance.d) != (k, d):
            raise ConstructionError(
                f"expected a covariance of {k} components in {d} columns, got one of "
                f"{covariance.k} in {covariance.d}"
            )
        inner = covariance.shared if isinstance(covariance, TiedCovariance) else covariance
        if isinstance(inner, FullCovariance):
            _check_symmetric(inner.values)
        return covariance
    values = _floats(covariance, "covariance")
    shape = tuple(values.shape)
    if not finite(values):
        raise ConstructionError("expected a finite covariance, got NaN or infinity")
    if shape == (k,):
        return IsotropicCovariance(values, d)
    if shape == (k, d):
        return DiagonalCovariance(values)
    if shape == (k, d, d):
        _check_symmetric(values)
        return FullCovariance(symmetrise(values))
    raise ConstructionError(
        f"expected a covariance of shape ({k}, {d}, {d}), ({k}, {d}) or ({k},), got {shape}; for "
        "one matrix shared by all components pass TiedCovariance(FullCovariance(S[None]), k)"
    )


def _check_symmetric(values: Array) -> None:
    """Refuse matrices (k, d, d) that differ from their transposes by more than rounding."""
    numbers = known(values)
    if numbers is None:
        return
    size = np.sqrt(np.einsum("kii->ki", np.abs(numbers)))
    gap = np.abs(numbers - numbers.swapaxes(1, 2))
    slack = 1e-8 if numbers.dtype == np.float64 else 1e-4
    if (gap > slack * size[:, :, None] * size[:, None, :]).any():
        worst = int(gap.reshape(len(gap), -1).max(axis=1).argmax())
        raise ConstructionError(
            f"expected symmetric covariances, got component {worst} with entries that "
            f"differ by {gap[worst].max():.3g} from its transpose; pass (S + S.T) / 2"
        )
