"""``GaussianMixture``: scikit-learn's estimator, with weights, more structures and a value.

A shell: it validates, calls the fit, and stores attributes. The mathematics is on lower floors.
"""

from __future__ import annotations

import warnings
from contextlib import ExitStack
from dataclasses import replace
from numbers import Integral, Real
from time import perf_counter
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin, _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from mixtura.covariance import ALIASES, STRUCTURES, Structure, structure
from mixtura.errors import InputError
from mixtura.estimators import streaming
from mixtura.estimators.callbacks import CallbackSupport, fit_context, fit_end, managed
from mixtura.estimators.parameters import (
    check_means,
    check_resp,
    check_weights,
    covariance_from_precisions,
)
from mixtura.estimators.tables import converted, table
from mixtura.fit.accelerate import squarem_step
from mixtura.fit.driver import Fit, Step
from mixtura.fit.engines import ENGINES, engine_for
from mixtura.fit.ground import arrive
from mixtura.fit.initialise import STARTS, model_from_start
from mixtura.fit.model import GaussianModel
from mixtura.fit.precision import PRECISIONS, run_in
from mixtura.fit.search import SearchResult, make_floor, search
from mixtura.fit.steps import batch_step
from mixtura.fit.stepwise import warmed
from mixtura.fit.subsample import subsampled
from mixtura.fit.warm import warm
from mixtura.mixture import measured
from mixtura.mixture.convert import precision_factors, sklearn_parameters
from mixtura.sources import Rows
from mixtura.sources.rows import as_rows, as_weights, balanced
from mixtura.typing import FloatArray

__all__ = ["GaussianMixture"]


class GaussianMixture(CallbackSupport, DensityMixin, BaseEstimator):
    """Gaussian mixture, fitted by expectation maximisation.

    A drop-in for ``sklearn.mixture.GaussianMixture``: its parameters, attributes and methods keep
    their meaning and defaults. Rows may carry weights, cells may be missing or measured with
    known noise, the structure may be low-rank, structure and number of components may be chosen
    by BIC, and ``mixture_`` is a value that computes.

    Parameters
    ----------
    n_components : int, "auto" or ints, default=1
        "auto" counts up from 1 and chooses by BIC; a list chooses among its entries. Such a search
        starts each number several times, which one number alone does not.
    covariance_type : str, Structure or list of them, default="full"
        scikit-learn's "full", "tied", "diag" and "spherical" ("isotropic" and "diagonal" are
        other names of the last two); "lowrank", "block", "kronecker" and "positive"; mclust's
        fourteen from "EII" to "VVV"; or a structure of ``mixtura.covariance``. "auto" chooses
        among scikit-learn's four by BIC, and a list among its entries.
    tol : float, default=1e-3
        The fit ends when the mean log-likelihood per row changes by less.
    reg_covar : float or "auto", default=1e-6
        A number is added to variances (absolute). "auto" clips eigenvalues at a millionth of the
        data's own variance, and recovers components that collapse.
    max_iter : int, default=100
    n_init : int, default=1
        Starts, of which the best fit is kept.
    init_params : {"kmeans", "k-means++", "random", "random_from_data", "deterministic"}
        "deterministic" draws no random number.
    weights_init : array (k,), optional
    means_init : array (k, d), optional
    precisions_init : array, optional
        Shaped as ``precisions_``.
    random_state : int, RandomState, Generator or None
    warm_start : bool, default=False
        Start from the last fit.
    verbose : int, default=0
    verbose_interval : int, default=10
    rank : int or "auto", optional
        Factors of "lowrank"; by default the rounded square root of the number of columns, or less
        where that would not save parameters. "auto"
        chooses a number for each component at the start, by BIC.
    resp_init : array, optional
        Labels (n,) or responsibilities (n, k) from which to start.
    accelerate : bool, default=False
        Begin with two stepwise passes where rows are many, 40 per component and column (Cappé &
        Moulines 2009), and extrapolate EM's steps once they are small (Varadhan & Roland 2008); the
        likelihood still never falls. Slow fits need a third or a quarter of the passes; iterates
        are then no longer scikit-learn's, and ``max_iter`` and ``n_iter_`` count neither the
        stepwise passes nor those of extrapolations that failed.
    precision : {"double", "mixed", "single"}, default="double"
        What EM computes in. "double": the rows' own type, so that float32 rows are computed in
        float32 and others in float64. "single": float32. "mixed": float32, with the last
        iterations in float64, for the same answer; iterations of large tables then take half the
        time, and small tables are not mixed. Sums and parameters are float64 in any case, and
        float32 is not used where its digits or its range would not suffice, nor for rows with
        gaps, noise, censored cells or a selection.
    engine : {"auto", "dense", "truncated"} or Truncated, default="auto"
        How rows are visited. "dense" evaluates every row under every component. "truncated"
        evaluates 32 candidates, so that an iteration costs no more for ten times the components;
        the iterates are then not scikit-learn's, the trace is a lower bound but for its last
        entry, which is exact, and ``notes_`` tells what was left out. ``Truncated(16)`` of
        ``mixtura.fit.engines`` takes other numbers. "auto" is "dense" below 2,048 components, and
        above says in ``notes_`` that it chose "truncated". See docs/scale.md.
    subsample : int, str or (str, int), optional
        Rows on which starts are made and fitted, or a search's trials; only the best of them is
        then fitted on with all rows. A number of rows, drawn by sensitivity; "sensitivity",
        "thinning" or "random" (20,000 rows); or a pair such as ``("thinning", 50_000)``. Thinning
        takes seconds on a million rows, and pays where fits are long.
    memory : int or str, optional
        Bytes, or a text such as "500MB", that a fit to a stream may take (see ``fit``); a quarter
        of the free memory by default. With it, mapped arrays are streamed too. Arrays that are in
        memory are fitted as they are.

    Attributes
    ----------
    mixture_ : Mixture
        The fitted value.
    weights_ : array (k,)
    means_ : array (k, d)
    covariances_, precisions_, precisions_cholesky_ : array
        (k, d, d), (d, d), (k, d) or (k,) by structure; "lowrank" gives (k, d, d) on demand.
    converged_ : bool
    n_iter_ : int
    lower_bound_ : float
        Mean log-likelihood per row in the last iteration.
    lower_bounds_, trace_ : list of float
        The same for every iteration of the best start.
    n_components_, covariance_type_ : int, str
        What was fitted, or chosen.
    search_ : SearchResult or None
        The table of what "auto" tried.
    notes_ : tuple of str
        Components that collapsed and were recovered; rows that had to be converted.
    n_features_in_ : int
    feature_names_in_ : array (d,)

    Examples
    --------
    >>> import numpy as np, mixtura as mx
    >>> X = np.array([[1, 2], [1, 4], [1, 0], [10, 2], [10, 4], [10, 0]], dtype=float)
    >>> gm = mx.GaussianMixture(2, random_state=0).fit(X)
    >>> np.sort(gm.means_[:, 0])
    array([ 1., 10.])
    >>> gm.mixture_
    Mixture(k=2, d=2, full)
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_components": [
            Interval(Integral, 1, None, closed="left"),
            StrOptions({"auto"}),
            "array-like",
            range,
        ],
        "covariance_type": [StrOptions({*STRUCTURES, *ALIASES, "auto"}), Structure, list, tuple],
        "tol": [Interval(Real, 0.0, None, closed="left")],
        "reg_covar": [Interval(Real, 0.0, None, closed="left"), StrOptions({"auto"})],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "init_params": [StrOptions(set(STARTS))],
        "weights_init": ["array-like", None],
        "means_init": ["array-like", None],
        "precisions_init": ["array-like", None],
        "random_state": ["random_state", np.random.Generator],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "verbose_interval": [Interval(Integral, 1, None, closed="left")],
        "rank": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"}), None],
        "resp_init": ["array-like", None],
        "accelerate": ["boolean"],
        "precision": [StrOptions(set(PRECISIONS))],
        "engine": [StrOptions(set(ENGINES)), HasMethods("expect")],
        "subsample": [Interval(Integral, 2, None, closed="left"), str, tuple, list, None],
        "memory": [Interval(Real, 1, None, closed="left"), str, None],
    }

    def __init__(
        self,
        n_components: Any = 1,
        *,
        covariance_type: Any = "full",
        tol: float = 1e-3,
        reg_covar: Any = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: str = "kmeans",
        weights_init: Any = None,
        means_init: Any = None,
        precisions_init: Any = None,
        random_state: Any = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        rank: int | str | None = None,
        resp_init: Any = None,
        accelerate: bool = False,
        precision: str = "double",
        engine: str = "auto",
        subsample: Any = None,
        memory: int | str | None = None,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.rank = rank
        self.resp_init = resp_init
        self.accelerate = accelerate
        self.precision = precision
        self.engine = engine
        self.subsample = subsample
        self.memory = memory

    # ---- fitting -----------------------------------------------------------------------------
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        noise: Any = None,
        operators: Any = None,
        censored: Any = None,
        selection: Any = None,
    ) -> GaussianMixture:
        """Fit the mixture.

        Parameters
        ----------
        X : array (n, d), path, or iterable of batches
            float32 rows stay float32. NaN marks a missing cell: what a row does show counts, and
            no value is put in the place of the rest (Ghahramani & Jordan 1994). Files (NPY,
            Parquet, Arrow, CSV) and iterables of arrays, data frames or Arrow batches are read
            pass by pass within ``memory``, unless they fit into it: starts are then fitted to a
            sample of the rows, and the best goes on with all. Rows that are streamed are all used.
        y : ignored
        sample_weight : array (n,), optional
            Non-negative; a weight of 2 counts as the row given twice. For files and batches with
            names of columns also the name of one.
        noise : number or array, optional
            Variances of the errors in X: one for all cells, (d,) for columns, (n, d) for cells, or
            covariances (d, d) for all rows, (n, d, d) for each. The mixture fitted is that of the
            values without their errors (Bovy, Hogg & Roweis 2011). An infinite variance is a
            missing cell; where n = d, a square array is read as (n, d).
        operators : array (p, d) or (n, p, d), optional
            A of y = A x + e, where the rows of X (n, p) are y and the mixture is that of x.
        censored : pair (lower, upper), optional
            Limits of detection, each None, a number, (d,) for columns or (n, d) for cells. A cell
            at or below its lower limit, or at or above its upper one, is known only to lie there
            (Tobin 1958). Exact for one such cell in a row, and for any number where the structure
            takes their columns for independent; several correlated ones are refused.
        selection : pair (lower, upper) or callable, optional
            By what rule rows came into X. Bounds, shaped as limits: rows outside of them were not
            recorded (truncation), in closed form for bounds on one column or on columns that the
            structure takes for independent. A function from x (m, d) to the probability (m,) that
            a row is recorded: by 4096 quasi-random numbers per component. The mixture fitted is
            that of all rows, recorded or not.

        Notes
        -----
        EM creeps where much is unseen. Fits with ``censored`` or ``selection`` are therefore always
        accelerated, and end when what is still to be gained, and not what was gained last, is less
        than a ten-thousandth of ``tol``; give them a ``max_iter`` of 1000. Scores and criteria of
        the same rows need ``noise``, ``operators``, ``censored`` and ``selection`` again.

        Returns
        -------
        self

        Raises
        ------
        InputError
            For noise that is negative, NaN or indefinite, for shapes that do not agree, for rows
            (of positive weight) or columns of which no cell is known, for columns in which every
            cell is censored, and for rows that the selection would not have kept.
        """
        self._fit(X, sample_weight, noise, operators, censored, selection)
        return self

    def fit_predict(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        noise: Any = None,
        operators: Any = None,
        censored: Any = None,
        selection: Any = None,
    ) -> FloatArray:
        """Fit, and return the most probable component of each row (n,)."""
        x = self._fit(X, sample_weight, noise, operators, censored, selection)
        if streaming.is_source(X, self.memory):
            return self.predict(X)
        return measured.labels(
            self.mixture_, x, noise=noise, operators=operators, censored=censored
        )

    @_fit_context(prefer_skip_nested_validation=True)
    def _fit(
        self,
        X: Any,
        sample_weight: Any,
        noise: Any,
        operators: Any,
        censored: Any,
        selection: Any,
    ) -> FloatArray:
        how = {"noise": noise, "operators": operators, "censored": censored}
        how["selection"] = selection
        with ExitStack() as stack, managed(self):
            if streaming.is_source(X, self.memory):
                rows, source = streaming.arrive(self, X, sample_weight, how, stack)
                x, self._said = rows.x, source.notes
            else:
                x = as_rows(table(self, X, operators, reset=True, min_rows=2))
                self._said = converted(X)
                weight = balanced(as_weights(sample_weight, len(x)))
                k = int(self.n_components) if isinstance(self.n_components, Integral) else 1
                rows = arrive(x, weight, **how, k=k)
            report = fit_context(self, X)
            if self._searches():
                self._fit_search(rows, report)
            else:
                self._fit_one(rows, report)
            fit_end(self, X)
        if not self.converged_ and self.max_iter > 0:
            warnings.warn(
                "Best performing initialization did not converge. Try different init parameters, "
                "or increase max_iter, tol, or check for degenerate data.",
                ConvergenceWarning,
                stacklevel=4,  # the caller of fit: a decorator stands between
            )
        return x

    def _searches(self) -> bool:
        structures = self.covariance_type
        return not isinstance(self.n_components, Integral) or (
            structures == "auto" or isinstance(structures, list | tuple)
        )

    def _fit_search(self, rows: Rows, report: Any) -> None:
        for name in ("weights_init", "means_init", "precisions_init", "resp_init"):
            if getattr(self, name) is not None:
                raise InputError(
                    f"expected {name}=None while the number of components or the structure is "
                    "searched for; fix n_components and covariance_type to use it"
                )
        seed = self._random_state()
        result = search(
            rows,
            n_components=self.n_components,
            covariance_type=self.covariance_type,
            rank=self.rank,
            reg_covar=self.reg_covar,
            seed=int(seed.randint(np.iinfo(np.int32).max)),
            n_init=self.n_init,
            max_iter=max(self.max_iter, 1),
            tol=self.tol,
            columns=getattr(self, "feature_names_in_", None),
            accelerate=self.accelerate,
            precision=self.precision,
            engine=engine_for(rows, self.engine),
            subsample=self.subsample,
            callback=None if report is None else lambda progress: report(),
        )
        self._store(rows, result.fit, result)

    def _fit_one(self, rows: Rows, report: Any) -> None:
        k, d = int(self.n_components), rows.d
        if rows.n_present < k:
            raise InputError(
                f"Expected n_samples >= n_components but got n_components = {k}, "
                f"n_samples = {rows.n_present}"
            )
        rule = structure(self.covariance_type, self.rank, d)
        warm(rows, k, rule.kind(None, d), self.precision)
        floor = make_floor(self.reg_covar, rows)
        resume = self.warm_start and hasattr(self, "converged_")
        # A change of shape is a new start.
        resume = resume and (self._model.k, self._model.d) == (k, d)
        random_state = self._random_state()
        engine = engine_for(rows, self.engine)
        some, given = rows, (self.weights_init, self.means_init, self.precisions_init)
        if not resume and self.resp_init is None and any(part is None for part in given):
            some = subsampled(rows, self.subsample, k, random_state)
        step = squarem_step if self.accelerate or rows.creeps else batch_step
        best: Fit | None = None
        for start in range(1 if resume or self.resp_init is not None else self.n_init):
            self._say_start(start)
            fit = run_in(
                self.precision,
                # Not held here, so that a large start does not outlive the first iteration.
                replace(self._model, structure=rule, floor=floor)
                if resume
                else self._start(some, rule, floor, k, random_state),
                some,
                engine,
                max_iter=self.max_iter,
                tol=self.tol,
                previous=self.lower_bound_ if resume else -np.inf,
                callback=self._watch(report),
                step=step,
                begin=warmed if self.accelerate and not resume else None,
            )
            self._say_end(fit)
            if best is None or fit.objective > best.objective:
                best = fit
        if best is None:
            raise AssertionError("at least one start is made")
        if some is not rows:
            best = run_in(
                self.precision,
                best.model,
                rows,
                engine,
                max_iter=self.max_iter,
                tol=self.tol,
                callback=self._watch(report),
                step=step,
            )
        self._store(rows, best, None)

    def _start(
        self, rows: Rows, rule: Structure, floor: Any, k: int, random_state: Any
    ) -> GaussianModel:
        d = rows.d
        weights = None if self.weights_init is None else check_weights(self.weights_init, k)
        means = None if self.means_init is None else check_means(self.means_init, k, d)
        covariance = None
        if self.precisions_init is not None:
            covariance, _ = covariance_from_precisions(self.precisions_init, rule, k, d)
        if weights is not None and means is not None and covariance is not None:
            anchor = rows.mean().astype(rows.x.dtype).astype(np.float64)
            return GaussianModel(weights, means, covariance, rule, floor, anchor)
        if self.resp_init is not None:
            labels = check_resp(self.resp_init, rows.n, k, rows.weight, rows.order)
        else:
            labels = STARTS[self.init_params](rows, k, random_state)
        model = model_from_start(rows, labels, k, rule, floor)
        return replace(
            model,
            weights=model.weights if weights is None else weights,
            means=model.means if means is None else means,
            covariance=model.covariance if covariance is None else covariance,
        )

    def _random_state(self) -> Any:
        state = self.random_state
        if isinstance(state, np.random.Generator):
            state = int(state.integers(2**31 - 1))
        return check_random_state(state)

    def _watch(self, report: Any) -> Any:
        began = perf_counter()

        def watch(step: Step) -> bool:
            if self.verbose and step.n_iter % self.verbose_interval == 0:
                spent = f"\t time lapse {perf_counter() - began:.5f}s" if self.verbose > 1 else ""
                print(f"  Iteration {step.n_iter}\t log-likelihood {step.objective:.5f}{spent}")
            return bool(report is not None and report())

        return watch if self.verbose or report is not None else None

    def _say_start(self, start: int) -> None:
        if self.verbose:
            print(f"Initialization {start}")

    def _say_end(self, fit: Fit) -> None:
        if self.verbose:
            state = "converged" if fit.converged else "did not converge"
            print(f"Initialization {state}. lower bound {fit.objective:.5f}")

    def _store(self, rows: Rows, fit: Fit, found: SearchResult | None) -> None:
        model, dtype = fit.model, rows.x.dtype
        names = getattr(self, "feature_names_in_", None)
        self._model = model
        self.mixture_ = mix = model.mixture(names)
        self.weights_ = mix.weights.astype(dtype)
        self.means_ = mix.means.astype(dtype)
        self._arrays: dict[int, FloatArray] = {}
        self.n_components_ = mix.k
        if found is None and mix.k < self.n_components:
            warnings.warn(
                f"{mix.k} of {self.n_components} components are left, as the others kept "
                "collapsing; ask for fewer components (notes_ tells when)",
                ConvergenceWarning,
                stacklevel=4,
            )
        self.covariance_type_ = (
            found.best.covariance_type
            if found is not None
            else ALIASES.get(self.covariance_type, self.covariance_type)
            if isinstance(self.covariance_type, str)
            else self.covariance_type.name
        )
        self.converged_ = fit.converged
        self.n_iter_ = fit.n_iter
        self.lower_bounds_ = list(fit.trace)
        self.trace_ = list(fit.trace)
        self.lower_bound_ = fit.objective
        self.search_ = found
        self.notes_ = (*self._said, *(fit.notes if found is None else found.notes))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True  # a missing cell
        return tags

    # ---- attributes in scikit-learn's shapes ----------------------------------------------------
    def _array(self, i: int) -> FloatArray:
        """Matrices in scikit-learn's shapes, made when they are first asked for."""
        if not hasattr(self, "_arrays"):
            raise AttributeError("the mixture is not fitted yet; call fit() first")
        if i not in self._arrays:
            values = sklearn_parameters(self.mixture_)[1] if i == 0 else self._factors(i)
            self._arrays[i] = np.asarray(values, dtype=self.means_.dtype)
        return self._arrays[i]

    def _factors(self, i: int) -> FloatArray:
        name, factors = precision_factors(self.mixture_)
        if i == 1:
            return np.asarray(factors)
        matrices = name in ("full", "tied")
        precisions = factors @ np.swapaxes(factors, -1, -2) if matrices else factors**2
        return np.asarray(precisions)

    @property
    def covariances_(self) -> FloatArray:
        """Covariances, shaped by structure."""
        return self._array(0)

    @property
    def precisions_cholesky_(self) -> FloatArray:
        """Upper triangular U with Σ⁻¹ = U Uᵀ, shaped by structure."""
        return self._array(1)

    @property
    def precisions_(self) -> FloatArray:
        """Inverse covariances, shaped by structure."""
        return self._array(2)

    # ---- the fitted mixture --------------------------------------------------------------------
    def _rows(self, X: Any, operators: Any = None) -> FloatArray:
        check_is_fitted(self)
        return table(self, X, operators)

    def _streams(self, X: Any, **how: Any) -> bool:
        """Whether X is scored chunk by chunk."""
        check_is_fitted(self)
        found = streaming.is_source(X, self.memory)
        if found and any(value is not None for value in how.values()):
            given = ", ".join(name for name, value in how.items() if value is not None)
            raise InputError(f"expected an array with {given}, got rows that are streamed")
        return found

    def score_samples(
        self,
        X: Any,
        noise: Any = None,
        operators: Any = None,
        censored: Any = None,
        selection: Any = None,
    ) -> FloatArray:
        """Log density of each row, in nats (n,).

        Parameters
        ----------
        X : array (n, d)
            Of a row with missing cells (NaN), the density of the others; a row of which nothing is
            known has density 1.
        noise, operators : optional
            As in ``fit``: the density of what was measured, errors included.
        censored : optional
            As in ``fit``: a censored cell counts with the probability of its interval.
        selection : optional
            As in ``fit``: the density among the rows that are recorded.
        """
        how = {"noise": noise, "operators": operators, "censored": censored}
        if self._streams(X, selection=selection, **how):
            return streaming.answers(self, X, self._density)
        return self._density(self._rows(X, operators), selection=selection, **how)

    def _density(self, x: FloatArray, **how: Any) -> FloatArray:
        return np.asarray(measured.log_density(self.mixture_, x, **how), dtype=x.dtype)

    def _resp(self, x: FloatArray, **how: Any) -> FloatArray:
        return np.asarray(measured.responsibilities(self.mixture_, x, **how), dtype=x.dtype)

    def score(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        noise: Any = None,
        operators: Any = None,
        censored: Any = None,
        selection: Any = None,
    ) -> float:
        """Mean log density per row (weighted); parameters as in ``score_samples``."""
        how = {"noise": noise, "operators": operators, "censored": censored}
        if self._streams(X, selection=selection, **how):
            total, mass = streaming.total(self, X, self._density, sample_weight)
            return total / mass
        density = self.score_samples(X, noise, operators, censored, selection)
        weight = as_weights(sample_weight, len(density))
        return float(np.average(density.astype(np.float64), weights=weight))

    def predict(
        self, X: Any, noise: Any = None, operators: Any = None, censored: Any = None
    ) -> FloatArray:
        """The most probable component of each row (n,); parameters as in ``score_samples``."""
        how = {"noise": noise, "operators": operators, "censored": censored}
        if self._streams(X, **how):
            return streaming.answers(self, X, lambda x: measured.labels(self.mixture_, x))
        return measured.labels(self.mixture_, self._rows(X, operators), **how)

    def predict_proba(
        self, X: Any, noise: Any = None, operators: Any = None, censored: Any = None
    ) -> FloatArray:
        """Responsibilities (n, k); parameters as in ``score_samples``."""
        if self._streams(X, noise=noise, operators=operators, censored=censored):
            return streaming.answers(self, X, self._resp)
        how = {"noise": noise, "operators": operators, "censored": censored}
        return self._resp(self._rows(X, operators), **how)

    def sample(self, n_samples: int = 1, random_state: Any = None) -> Any:
        """Draw rows, shuffled.

        Parameters
        ----------
        n_samples : int
        random_state : int, RandomState or Generator, optional
            By default the estimator's own ``random_state``.

        Returns
        -------
        X : array (n_samples, d)
        y : array (n_samples,)
            Components.
        """
        check_is_fitted(self)
        if n_samples < 1:
            raise InputError(
                f"Invalid value for 'n_samples': {n_samples} . The sampling requires at least one "
                "sample."
            )
        state = self.random_state if random_state is None else random_state
        if not isinstance(state, np.random.Generator):
            state = check_random_state(state).randint(2**31 - 1)
        return self.mixture_.sample(n_samples, rng=state, return_labels=True)

    def _n_parameters(self) -> int:
        check_is_fitted(self)
        return int(self._model.n_parameters)

    def bic(
        self,
        X: Any,
        sample_weight: Any = None,
        noise: Any = None,
        operators: Any = None,
        censored: Any = None,
        selection: Any = None,
    ) -> float:
        """Bayesian information criterion; lower is better. n is the sum of weights."""
        loglik, n = self._total(X, sample_weight, noise, operators, censored, selection)
        return float(-2 * loglik + self._n_parameters() * np.log(n))

    def aic(
        self,
        X: Any,
        sample_weight: Any = None,
        noise: Any = None,
        operators: Any = None,
        censored: Any = None,
        selection: Any = None,
    ) -> float:
        """Akaike information criterion; lower is better."""
        loglik, _ = self._total(X, sample_weight, noise, operators, censored, selection)
        return -2 * loglik + 2 * self._n_parameters()

    def _total(self, X: Any, sample_weight: Any, *how: Any) -> tuple[float, float]:
        names = ("noise", "operators", "censored", "selection")
        if self._streams(X, **dict(zip(names, how, strict=True))):
            return streaming.total(self, X, self._density, sample_weight)
        density = self.score_samples(X, *how).astype(np.float64)
        weight = as_weights(sample_weight, len(density))
        if weight is None:
            return float(density.sum()), float(len(density))
        return float(weight @ density), float(weight.sum())
