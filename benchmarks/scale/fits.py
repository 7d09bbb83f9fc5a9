"""One fit in a process of its own, each iteration timed: ``python -m benchmarks.scale.fits JOB``.

The clock of a fit stands still while its model is judged: the mean log density of the rows held
out, by the exact scores of ``mixtura.Mixture`` for all entrants. Ours are watched through their
engine, scikit-learn's through its M-step.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import peak, reset_peak, resident
from benchmarks.measure import ROOT, WorkerError
from benchmarks.scale.data import FASHION, Table, begin, digits, fashion

__all__ = ["Fit", "Job", "made"]

#: Rows × components from which compiled code serves.
COMPILED = 2_000_000
#: Iterations that are judged one by one; then every so many.
EACH, EVERY = 10, 5


@dataclass(frozen=True)
class Job:
    """What to fit.

    Attributes
    ----------
    entrant : {"truncated", "dense", "scikit-learn"}
    source : {"digits", "fashion"}
    n, d, k : int
        Rows, columns and components; 0 rows for all of Fashion-MNIST.
    structure : {"diag", "lowrank"}
    rank : int
        Factors of "lowrank".
    candidates : int
        Of the truncated engine.
    iterations : int or None
        None for the library's own start and stopping rule; factor analysers have their own start
        in any case.
    judged : bool
        Whether models are judged on the rows held out on the way, or at the end alone.
    after : int
        Iterations after which the model is judged in any case; 0 for none.
    """

    entrant: str
    source: str
    n: int
    d: int
    k: int
    structure: str = "diag"
    rank: int = 0
    candidates: int = 32
    iterations: int | None = None
    judged: bool = False
    after: int = 0


@dataclass(frozen=True)
class Fit:
    """What a fit took and reached.

    Attributes
    ----------
    start, seconds, end : float, tuple of float, float
        Before the first iteration, of each iteration, and after the last.
    clock, held_out : tuple of float
        Seconds since the fit began at which models were judged, and their mean log density of the
        rows held out.
    log_likelihood : float
        The last entry of the library's own account, mean per row.
    pairs : int
        Pairs of a row and a component that were evaluated, without the last exact pass.
    peak_bytes : int
        Memory above data, imports and compiled code, judging included.
    parameters : int
        Free parameters.
    notes : tuple of str
    """

    job: Job
    start: float
    seconds: tuple[float, ...]
    end: float
    clock: tuple[float, ...]
    held_out: tuple[float, ...]
    log_likelihood: float
    pairs: int
    peak_bytes: int
    parameters: int
    converged: bool
    notes: tuple[str, ...] = ()
    marks: dict[str, Any] = field(default_factory=dict)

    @property
    def whole(self) -> float:
        """Seconds of the whole fit."""
        return self.start + sum(self.seconds) + self.end

    @property
    def settled(self) -> float:
        """Seconds of an iteration: the median after the first two, where there are more."""
        return float(np.median(self.seconds[2:] or self.seconds))

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Fit:
        """A fit from JSON."""
        given = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}
        return cls(**given | {"job": Job(**fields["job"])})


def made(
    job: Job,
    cache: Path,
    env: Mapping[str, str],
    images: Path = FASHION,
    patience: float | None = None,
) -> Fit:
    """Fit in a process of its own.

    Raises
    ------
    WorkerError
        When the process fails, or takes longer than ``patience`` seconds.
    """
    where = [str(cache), str(images)]
    command = [sys.executable, "-m", "benchmarks.scale.fits", json.dumps(asdict(job)), *where]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=dict(env), capture_output=True, text=True, timeout=patience
        )
    except subprocess.TimeoutExpired:
        raise WorkerError(f"a fit took more than {patience:.0f} s") from None
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [f"ended with exit status {done.returncode}"]
        raise WorkerError(lines[-1])
    return Fit.read(json.loads(done.stdout.splitlines()[-1]))


class Watch:
    """A clock that notes iterations and stands still while a model is judged."""

    def __init__(self, held_out: Any, job: Job) -> None:
        self._held_out, self._job = held_out, job
        self._began, self._still = time.perf_counter(), 0.0
        self.laps: list[float] = []
        self.clock: list[float] = []
        self.scores: list[float] = []
        self.pairs = 0

    @property
    def now(self) -> float:
        """Seconds since the fit began."""
        return time.perf_counter() - self._began - self._still

    def lap(self, mixture: Any) -> None:
        """An iteration begins with a model, whose mixture the function given makes."""
        self.laps.append(self.now)
        done, job = len(self.laps) - 1, self._job
        on_the_way = job.judged and (done < EACH or (done + 1) % EVERY == 0)
        if on_the_way or 0 < job.after == done:
            self.judge(mixture())

    def judge(self, mixture: Any) -> None:
        """Note what a mixture makes of the rows held out."""
        self.clock.append(self.now)
        began = time.perf_counter()
        self.scores.append(float(np.mean(mixture.log_density(self._held_out))))
        self._still += time.perf_counter() - began


class Watched:
    """An engine that notes when each pass begins."""

    def __init__(self, engine: Any, watch: Watch) -> None:
        self._engine, self._watch = engine, watch

    def expect(self, model: Any, rows: Any, memory: Any = None) -> Any:
        """See the engine."""
        self._watch.lap(model.mixture)
        found = self._engine.expect(model, rows, memory)
        pairs = getattr(found[2], "pairs", None)
        more = self._watch.pairs + rows.n * model.k
        self._watch.pairs = more if pairs is None else pairs
        return found

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        found = getattr(self._engine, name)
        return self._noted(found) if name == "finish" else found

    def _noted(self, finish: Any) -> Any:
        """The same, with the end of the last iteration noted."""

        def noted(*arguments: Any) -> Any:
            self._watch.laps.append(self._watch.now)
            return finish(*arguments)

        return noted


def ours(job: Job, table: Table) -> Fit:
    """A fit of ``mixtura.GaussianMixture``, in single precision."""
    from mixtura import GaussianMixture
    from mixtura.fit.engines import Dense, Truncated

    options: dict[str, Any] = {"reg_covar": 1e-3, "random_state": 0}
    if job.structure == "lowrank":
        options |= {"rank": job.rank}
    options |= {"covariance_type": job.structure, "precision": "single"}
    engine = Truncated(job.candidates) if job.entrant == "truncated" else Dense()
    few = table.rows[: max(2 * job.k, COMPILED // job.k)]  # what is compiled is there beforehand
    GaussianMixture(job.k, engine=engine, max_iter=2, **options).fit(few)
    if job.iterations is not None:
        start = given(job, table) if job.structure == "diag" else {}
        options |= start | {"max_iter": job.iterations, "tol": 0.0}
    base = measured_from()
    watch = Watch(table.held_out, job)
    model = GaussianMixture(job.k, engine=Watched(engine, watch), **options).fit(table.rows)
    ended = watch.now
    watch.judge(model.mixture_)
    free = model._n_parameters()
    return fit_of(job, watch, ended, model, base, free, tuple(model.notes_))


def scikit_learn(job: Job, table: Table) -> Fit:
    """A diagonal fit of ``sklearn.mixture.GaussianMixture``, in double precision."""
    from sklearn.mixture import GaussianMixture

    import mixtura as mx

    class Noted(GaussianMixture):  # type: ignore[misc]
        """Notes when each iteration begins."""

        def _e_step(self, *arguments: Any, **options: Any) -> Any:
            watch.lap(lambda: mixture(self))
            return super()._e_step(*arguments, **options)

    def mixture(model: Any) -> Any:
        return mx.Mixture(model.weights_, model.means_, model.precisions_cholesky_**-2)

    options: dict[str, Any] = {"reg_covar": 1e-3, "random_state": 0}
    if job.iterations is not None:
        options |= given(job, table) | {"max_iter": job.iterations, "tol": 0.0}
    x = table.rows.astype(np.float64)
    base = measured_from()
    model = Noted(job.k, covariance_type=job.structure, **options)
    watch = Watch(table.held_out, job)
    model.fit(x)
    ended = watch.now
    watch.judge(mixture(model))
    watch.pairs = len(x) * job.k * len(watch.laps)
    return fit_of(job, watch, ended, model, base, model._n_parameters(), ())


def given(job: Job, table: Table) -> dict[str, Any]:
    """The start that entrants share."""
    first = begin(table.rows, job.k)
    precisions = np.full((job.k, job.d), 1 / first.variance)
    return {
        "weights_init": first.weights,
        "means_init": first.means,
        "precisions_init": precisions,
    }


def measured_from() -> int:
    """Resident bytes from which on memory counts."""
    reset_peak()
    return resident()


def fit_of(
    job: Job, watch: Watch, ended: float, model: Any, base: int, free: int, notes: tuple[str, ...]
) -> Fit:
    """What a watch saw; scikit-learn's last E-step, whose labels it returns, is the end."""
    laps = watch.laps[: model.n_iter_]
    last = watch.laps[model.n_iter_] if len(watch.laps) > model.n_iter_ else None
    if last is None:  # the last iteration's end is not seen: as long as the one before
        last = min(ended, laps[-1] + (laps[-1] - laps[-2] if len(laps) > 1 else ended - laps[-1]))
    return Fit(
        job,
        laps[0],
        tuple(np.diff([*laps, last]).tolist()),
        ended - last,
        tuple(watch.clock),
        tuple(watch.scores),
        float(model.lower_bound_),
        int(watch.pairs),
        peak() - base,
        int(free),
        bool(model.converged_),
        notes,
    )


def run(job: Job, cache: Path, images: Path = FASHION) -> Fit:
    """The fit that a job asks for."""
    if job.source == "digits":
        table = digits(job.n, job.d, cache)
    else:
        table = fashion(images)
        table = Table(table.rows[: job.n or None], table.held_out)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (scikit_learn if job.entrant == "scikit-learn" else ours)(job, table)


if __name__ == "__main__":
    print(json.dumps(asdict(run(Job(**json.loads(sys.argv[1])), *map(Path, sys.argv[2:])))))
