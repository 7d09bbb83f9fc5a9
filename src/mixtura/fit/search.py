r"""How many components, and which structure: a search by the Bayesian information criterion.

BIC = −2 log L + p log n (lower is better), p the free parameters and n the sum of weights, or the
number of rows where weights sum to less and are only relative (Schwarz 1978; Fraley & Raftery
2002). Starts are shared: the structures of one k start from the same partitions, and each
structure also from its own best fit with one component fewer, whose most dispersed component is
split. Every start runs a few iterations; the best one, or as many as are cheap, is carried to
convergence. With
``n_components="auto"`` a structure is given up when its BIC has not improved for ``patience``
steps of k, and the search ends when the best BIC of all has not for twice as many.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mixtura.covariance import Clipped, Floor, Structure, TiedCovariance, structure
from mixtura.errors import InputError
from mixtura.fit.accelerate import squarem_step
from mixtura.fit.driver import Fit, Step
from mixtura.fit.engines import ENGINES
from mixtura.fit.ground import grounded
from mixtura.fit.initialise import deterministic, kmeans, model_from_start, nearest
from mixtura.fit.model import GaussianModel
from mixtura.fit.precision import run_in
from mixtura.fit.recover import on_floor, split_widest
from mixtura.fit.steps import batch_step
from mixtura.fit.stepwise import warmed
from mixtura.fit.subsample import subsampled
from mixtura.fit.warm import warm
from mixtura.mixture import Mixture
from mixtura.sources import Rows
from mixtura.sources.rows import balanced
from mixtura.typing import FloatArray

__all__ = ["Progress", "SearchResult", "Trial", "bic", "default_structures", "search"]

#: Iterations that each start of a trial runs before the best is chosen.
SHORT = 8
#: Rows × components × columns² up to which a trial may carry so many starts to the end: one of
#: this size, ten of a tenth of it.
CHEAP = 2e7
#: Rows on which partitions are made; more are assigned to the nearest centre.
PARTITION_ROWS = 20_000
#: Most components that "auto" tries.
MOST = 40


@dataclass(frozen=True)
class Trial:
    """One cell of the search table."""

    n_components: int
    covariance_type: str
    bic: float
    log_likelihood: float
    n_parameters: int
    n_iter: int
    converged: bool
    seconds: float
    error: str | None = None


@dataclass(frozen=True)
class Progress:
    """What a callback is told: after each iteration, and when a trial is finished."""

    n_components: int
    covariance_type: str
    n_iter: int
    log_likelihood: float
    trial: int
    n_trials: int
    elapsed: float
    remaining: float | None
    finished: Trial | None
    mixture: Callable[[], Mixture]


@dataclass(frozen=True, eq=False)
class SearchResult:
    """The mixture chosen, and the table of what was tried."""

    mixture: Mixture
    trials: tuple[Trial, ...]
    best: Trial
    trace: tuple[float, ...]
    notes: tuple[str, ...]
    fit: Fit = field(repr=False)


def bic(loglik: float, n_parameters: int, total_weight: float) -> float:
    """−2 log L + p log n: lower is better."""
    return -2 * loglik + n_parameters * float(np.log(total_weight))


def default_structures(d: int) -> list[str]:
    """The structures that "auto" tries on d columns, narrow ones first."""
    if d == 1:
        return ["tied", "full"]  # one column: all others coincide with these
    return ["spherical", "diag", "tied", "full"] + (["lowrank"] if d >= 10 else [])


def search(
    rows: Rows,
    *,
    n_components: str | int | Iterable[int] = "auto",
    covariance_type: str | Structure | Iterable[str] = "auto",
    rank: int | str | None = None,
    reg_covar: float | str | Floor = "auto",
    seed: Any = 0,
    n_init: int = 1,
    max_iter: int = 500,
    tol: float = 1e-5,
    patience: int = 2,
    columns: Any = None,
    accelerate: bool = False,
    precision: str = "double",
    engine: Any = None,
    subsample: Any = None,
    callback: Callable[[Progress], Any] | None = None,
) -> SearchResult:
    """Fit a grid of mixtures and choose by BIC.

    Parameters
    ----------
    rows : Rows
    n_components : "auto", int or ints
        "auto" counts up from 1 with patience; ints are all tried.
    covariance_type : "auto", str, Structure or strs
    rank : int or "auto", optional
        Rank of "lowrank".
    reg_covar : "auto", float or Floor
        See ``mixtura.covariance.floor``.
    seed : int, RandomState or Generator
    n_init : int
        Random partitions per k, besides the deterministic one.
    patience : int
        Steps of k without improvement after which "auto" gives a structure up.
    columns : sequence of str, optional
        Names for the mixture.
    accelerate : bool
        See ``fit.accelerate``.
    precision : {"double", "mixed", "single"}
        See ``fit.precision``.
    engine : Engine, optional
        See ``fit.engines``; by default the one that "auto" names.
    subsample : int, str or (str, int), optional
        Weighted rows on which the trials are fitted; see ``fit.subsample``. They are scored on all
        rows, and the best is fitted on with all.
    callback : callable (Progress) -> Any
        Returning True ends the search with the best fit so far; exceptions that it raises
        (KeyboardInterrupt among them) end it without.

    Raises
    ------
    InputError
        When nothing could be fitted, with the reason of each trial.
    """
    rows = grounded(replace(rows, weight=balanced(rows.weight)))
    floor = make_floor(reg_covar, rows)
    counts, patient = _counts(n_components, rows)
    some = subsampled(rows, subsample, max(counts), seed)
    counts, patient = _counts(n_components, some)
    names = _structures(covariance_type, rows.d)
    step = squarem_step if accelerate or rows.creeps else batch_step
    hunt = _Hunt(
        table=rows,
        rows=some,
        floor=floor,
        rank=rank,
        seed=seed,
        n_init=n_init,
        max_iter=max_iter,
        tol=tol,
        columns=columns,
        precision=precision,
        engine=ENGINES["auto"]() if engine is None else engine,
        step=step,
        begin=warmed if accelerate else None,
        callback=callback,
    )
    scale = np.minimum(np.sqrt(rows.variance()), 10 * rows.robust_scale())
    hunt.limit = Clipped(scale) if (scale > 0).all() else None
    hunt.planned = len(counts) * len(names)
    stale = dict.fromkeys(range(len(names)), 0)
    best_of: dict[int, float] = {}
    best_k = (np.inf, counts[0])
    for position, k in enumerate(counts):
        if patient and k > best_k[1] + 2 * patience:
            break
        for i in list(stale):
            if k == 1 and len(names) > 1 and names[i] == "tied" and "full" in names:
                continue  # with one component the two are the same
            if hunt.stopped:
                return hunt.result()
            trial = hunt.attempt(k, names[i])
            usable = trial.error is None and np.isfinite(trial.bic)
            if usable and trial.bic < best_of.get(i, np.inf):
                best_of[i], stale[i] = trial.bic, 0
            else:
                stale[i] += 1
            if usable and trial.bic < best_k[0]:
                best_k = (trial.bic, k)
            if patient and stale[i] >= patience:
                del stale[i]
                hunt.planned -= len(counts) - position - 1
        if not stale:
            break
    result = hunt.result()
    if patient and result.best.n_components == counts[-1] > 1:
        note = f"the best has {counts[-1]} components, the most that were tried"
        return replace(result, notes=(*result.notes, note))
    return result


def make_floor(reg_covar: float | str | Floor, rows: Rows) -> Floor:
    """The floor that ``reg_covar`` means for these rows."""
    from mixtura.covariance import Added

    if isinstance(reg_covar, Floor):
        return reg_covar
    if isinstance(reg_covar, str):
        if reg_covar != "auto":
            raise InputError(f"expected reg_covar as a number or 'auto', got {reg_covar!r}")
        variance = rows.variance()
        mean = rows.mean()
        # A column is constant when its spread is rounding: a few units in the last place.
        rounding = (8 * np.finfo(rows.x.dtype).eps * np.abs(mean)) ** 2
        flat = np.flatnonzero(~(variance > rounding))
        if len(flat):
            raise InputError(
                "expected columns that vary, got constant values in column "
                f"{', '.join(str(j) for j in flat[:10])}; leave constant columns out"
            )
        return Clipped(np.minimum(np.sqrt(variance), 10 * rows.robust_scale()))
    return Added(float(reg_covar))


def _counts(n_components: Any, rows: Rows) -> tuple[list[int], bool]:
    if isinstance(n_components, str):
        if n_components != "auto":
            raise InputError(f"expected n_components as a number or 'auto', got {n_components!r}")
        most = min(MOST, int(np.ceil(rows.n_meant / 10)), rows.n_present)
        return list(range(1, max(1, most) + 1)), True
    counts = [n_components] if isinstance(n_components, int | np.integer) else list(n_components)
    if not all(isinstance(k, int | np.integer) and not isinstance(k, bool) for k in counts):
        raise InputError(
            f"expected whole numbers of components, got {n_components!r}; pass 'auto', a number or "
            "a list such as [2, 3, 4]"
        )
    if not counts or min(counts) < 1:
        raise InputError(f"expected at least 1 component, got {n_components}")
    if max(counts) > rows.n_present:
        raise InputError(
            f"expected at least as many rows as components, got {rows.n_present} rows for "
            f"{max(counts)} components; ask for fewer components"
        )
    return [int(k) for k in counts], False


def _structures(covariance_type: Any, d: int) -> list[Any]:
    if isinstance(covariance_type, Structure):
        return [covariance_type]
    if isinstance(covariance_type, str):
        return default_structures(d) if covariance_type == "auto" else [covariance_type]
    return list(covariance_type)


@dataclass
class _Hunt:
    """The state of one search: partitions by k, the last fit of each structure, the table."""

    table: Rows
    rows: Rows
    floor: Floor
    rank: int | str | None
    seed: Any
    n_init: int
    max_iter: int
    tol: float
    columns: Any
    precision: str
    engine: Any
    step: Any
    begin: Any
    callback: Callable[[Progress], Any] | None
    planned: int = 0
    trials: list[Trial] = field(default_factory=list)
    fits: list[Fit | None] = field(default_factory=list)
    partitions: dict[int, list[FloatArray]] = field(default_factory=dict)
    begun: float = field(default_factory=time.perf_counter)
    limit: Clipped | None = None
    stopped: bool = False

    def attempt(self, k: int, name: Any) -> Trial:
        """Fit k components of one structure, and enter the trial in the table."""
        rule = structure(name, self.rank, self.rows.d)
        warm(self.rows, k, rule.kind(None, self.rows.d), self.precision)
        label = name if isinstance(name, str) else name.name
        started = time.perf_counter()
        n_parameters = rule.n_parameters(k, self.rows.d) + k * self.rows.d + k - 1
        fit: Fit | None = None
        total = np.nan
        try:
            numbers = self.rows.n_numbers * self.rows.n / self.table.n
            if k > 1 and 2 * n_parameters > numbers:
                raise InputError(
                    f"{n_parameters} parameters are too many for the table's {numbers:.0f} numbers"
                )
            fit = self._fit(k, rule, label)
            if hasattr(self.engine, "loglik"):  # of all components
                total = self.engine.loglik(fit.model, self.table)
            else:
                _, total, _ = self.engine.expect(fit.model, self.table)
            kept = fit.model.k
            if kept < k:
                raise InputError(f"collapsed to {kept} components; ask for fewer")
            n_parameters = fit.model.n_parameters
            score, error = self._bic(total, n_parameters), None
            degenerate = self._degenerate(fit.model)
            if degenerate is not None:
                # The likelihood is then as high as the floor is low, and BIC means nothing.
                error = f"component {degenerate} shrank to the floor of its variance"
        except InputError as reason:
            score, error = np.nan, str(reason)
            fit = None
        trial = Trial(
            k,
            label,
            score,
            np.nan if fit is None else total / self.table.total_weight,
            n_parameters,
            0 if fit is None else fit.n_iter,
            fit is not None and fit.converged,
            time.perf_counter() - started,
            error,
        )
        self.trials.append(trial)
        self.fits.append(fit)
        if fit is not None:
            self._tell(Step(fit.n_iter, fit.objective, fit.model), k, label, trial)
        return trial

    def _bic(self, total: float, n_parameters: int) -> float:
        """BIC of a total log-likelihood of all rows."""
        n = self.table.n_meant
        return bic(total / self.table.total_weight * n, n_parameters, n)

    def _degenerate(self, model: GaussianModel) -> int | None:
        """The first component that lies on the floor."""
        if self.limit is None:
            return None
        tied = isinstance(model.covariance, TiedCovariance)
        for j in range(1 if tied else model.k):
            one = (
                model.covariance.shared
                if isinstance(model.covariance, TiedCovariance)
                else model.covariance.take([j])
            )
            if on_floor(one, self.limit):
                return j
        return None

    def _fit(self, k: int, rule: Structure, label: str) -> Fit:
        starts = [
            model_from_start(self.rows, labels, k, rule, self.floor)
            for labels in self._partitions(k)
        ]
        previous = self._previous(k, label)
        if previous is not None:
            starts.append(split_widest(previous))

        def tell(step: Step) -> bool:
            return self._tell(step, k, label, None)

        def carry(model: GaussianModel, before: Fit | None) -> Fit:
            fit = run_in(
                self.precision,
                model,
                self.rows,
                self.engine,
                max_iter=self.max_iter,
                tol=self.tol,
                previous=-np.inf if before is None else before.objective,
                callback=tell,
                step=self.step,
                begin=self.begin if before is None else None,
            )
            if before is None:
                return fit
            return replace(
                fit,
                trace=before.trace + fit.trace,
                n_iter=before.n_iter + fit.n_iter,
                notes=before.notes + fit.notes,
            )

        if len(starts) == 1:
            return carry(starts[0], None)
        # n iterations, short: the last entry of a trace is one step behind its model
        short = "double" if self.precision == "double" else "single"
        runs = [
            run_in(
                short,
                m,
                self.rows,
                self.engine,
                max_iter=SHORT,
                tol=0,
                callback=tell,
                begin=self.begin,
            )
            for m in starts
        ]
        runs.sort(key=_height, reverse=True)
        # A few iterations foretell the end poorly: where fits are cheap, all are carried to it.
        most = int(np.clip(CHEAP / (self.rows.n * k * self.rows.d**2), 1, len(runs)))
        return max((carry(r.model, r) for r in runs[:most]), key=_height)

    def _partitions(self, k: int) -> list[FloatArray]:
        """Labels of all rows from k-means on standardised and on whitened columns."""
        if k not in self.partitions:
            self.partitions = {k: make_partitions(self.rows, k, self.n_init, self.seed)}
        return self.partitions[k]

    def _previous(self, k: int, label: str) -> GaussianModel | None:
        for trial, fit in zip(reversed(self.trials), reversed(self.fits), strict=True):
            if fit is not None and (trial.n_components, trial.covariance_type) == (k - 1, label):
                return fit.model  # type: ignore[no-any-return]
        return None

    def _tell(self, step: Step, k: int, label: str, finished: Trial | None) -> bool:
        """Report, and say whether the callback asked to stop."""
        if self.callback is None or self.stopped:
            return self.stopped
        elapsed = time.perf_counter() - self.begun
        done = len(self.trials)
        remaining = None if done == 0 else elapsed / done * max(self.planned - done, 0)
        model: GaussianModel = step.model
        answer = self.callback(
            Progress(
                k,
                label,
                step.n_iter,
                step.objective,
                done - (finished is not None),
                max(self.planned, done),
                elapsed,
                remaining,
                finished,
                lambda: model.mixture(self.columns),
            )
        )
        self.stopped = answer is True
        return self.stopped

    def result(self) -> SearchResult:
        """The best trial's mixture, and the table."""
        fitted = [i for i, fit in enumerate(self.fits) if fit is not None]
        # Fits on the floor only where there is nothing else: one row per cluster, say.
        fitted = [i for i in fitted if self.trials[i].error is None] or fitted
        if not fitted:
            reasons = "; ".join(
                f"{t.covariance_type} with {t.n_components}: {t.error}" for t in self.trials[:5]
            )
            raise InputError(f"no mixture could be fitted ({reasons})")
        chosen = min(fitted, key=lambda i: self.trials[i].bic)
        fit = self.fits[chosen]
        best = self.trials[chosen]
        doubts = [] if best.error is None else [f"take this fit with care: {best.error}"]
        narrow = {t.covariance_type for t in self.trials if t.error and "shrank" in t.error}
        if best.error is None and narrow:
            doubts.append(
                f"set aside: {', '.join(sorted(narrow))} with more components, where some "
                "shrank to almost no variance (equal values in the data, or too few rows)"
            )
        if fit is None:
            raise AssertionError("fitted trials carry a fit")
        if self.rows is not self.table:
            fit = self._finish(fit, chosen)
        return SearchResult(
            fit.model.mixture(self.columns),
            tuple(self.trials),
            self.trials[chosen],
            fit.trace,
            (*fit.notes, *doubts),
            fit,
        )

    def _finish(self, fit: Fit, chosen: int) -> Fit:
        """Carry a fit of the subsample on with all rows, and enter that in its trial."""
        best, began = self.trials[chosen], time.perf_counter()
        final = run_in(
            self.precision,
            fit.model,
            self.table,
            self.engine,
            max_iter=self.max_iter,
            tol=self.tol,
            callback=lambda step: self._tell(step, best.n_components, best.covariance_type, None),
            step=self.step,
        )
        _, total, _ = self.engine.expect(final.model, self.table)
        self.trials[chosen] = replace(
            best,
            bic=self._bic(total, final.model.n_parameters),
            log_likelihood=total / self.table.total_weight,
            n_iter=final.n_iter,
            converged=final.converged,
            seconds=best.seconds + time.perf_counter() - began,
        )
        return replace(final, notes=fit.notes + final.notes)


def _height(fit: Fit) -> float:
    return fit.objective if np.isfinite(fit.objective) else -np.inf


def make_partitions(rows: Rows, k: int, n_init: int, seed: Any) -> list[FloatArray]:
    """Labels of all rows: a deterministic partition, and k-means in whitened columns.

    Beyond ``PARTITION_ROWS`` rows, they are made on a draw and extended to the nearest centre.
    """
    if k == 1:
        return [np.where(np.ones(rows.n) if rows.weight is None else rows.weight > 0, 0, -1)]
    part, x_all = rows, rows.points
    mean, variance = rows.mean(), rows.variance()
    standard = (x_all - mean) / np.sqrt(np.where(variance > 0, variance, 1.0))
    if rows.n > PARTITION_ROWS:
        rng = np.random.default_rng(0)
        share = None if rows.weight is None else rows.weight / rows.weight.sum()
        chosen = np.sort(rng.choice(rows.n, PARTITION_ROWS, replace=False, p=share))
    else:
        chosen = np.arange(rows.n)
    weight = None if rows.weight is None else rows.weight[chosen]
    part = Rows(standard[chosen], weight)
    labels = [deterministic(part, k)]
    white = _whitened(part)
    if white is not None:
        labels += [kmeans(Rows(white, weight), k, _reseed(seed, i)) for i in range(n_init)]
    else:
        labels += [kmeans(part, k, _reseed(seed, i)) for i in range(n_init)]
    if len(chosen) == rows.n:
        return labels
    spread = []
    for found in labels:
        centres = np.stack([part.x[found == j].mean(axis=0) for j in range(int(found.max()) + 1)])
        spread.append(nearest(standard, centres))
    return spread


def _reseed(seed: Any, i: int) -> Any:
    return seed + i if isinstance(seed, int) else seed


def _whitened(part: Rows) -> FloatArray | None:
    """Rows in coordinates in which their covariance is the identity; None where it is singular."""
    weight = np.ones(part.n) if part.weight is None else part.weight
    centred = part.x - np.average(part.x, axis=0, weights=weight)
    values, vectors = np.linalg.eigh((weight[:, None] * centred).T @ centred / weight.sum())
    if not values[0] > 1e-10 * values[-1]:
        return None
    return np.ascontiguousarray(centred @ (vectors / np.sqrt(values)), dtype=np.float64)
