"""Steps to the end: passes over the rows until a fit is as good as a long run.

With ℓᵢ the mean log-likelihood per row of the model that enters pass i, and ℓ* that of plain EM
after a long run, the count is the first i with ℓᵢ ≥ ℓ* − 10⁻³ nats. Every visit to the rows counts,
those of extrapolations that failed and of the stepwise start included.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import Worker, WorkerError, environment
from benchmarks.peers import OURS, Task
from benchmarks.report import shaped
from benchmarks.workloads import Workload, prepare

__all__ = ["CLOSE", "LONG", "Passes", "count", "objectives", "passes", "table"]

#: As good as the long run, in nats per row.
CLOSE = 1e-3
#: Passes of the long run.
LONG = 300


@dataclass(frozen=True)
class Passes:
    """Passes on one workload.

    Attributes
    ----------
    plain, accelerated : int or None
        Passes until as good as the long run; None where that was not reached.
    log_likelihood : float
        Of the long run of plain EM, mean per row.
    ahead : float
        The best of the accelerated run less that, in nats per row.
    long : int
        Passes of each run.
    marks : dict
        Stamp of the run.
    """

    workload: Workload
    plain: int | None
    accelerated: int | None
    log_likelihood: float
    ahead: float
    long: int
    marks: dict[str, Any] = field(default_factory=dict)


@contextmanager
def recorded(n: int) -> Iterator[list[tuple[float, float]]]:
    """Of every pass that engines make meanwhile over all n rows, two numbers.

    The passes made by then, parts of the rows counted as parts, and the mean log-likelihood per
    row of the model that entered it.
    """
    from mixtura.fit.engines import Dense

    seen: list[tuple[float, float]] = []
    visited = 0.0
    plain = Dense.expect

    def expect(self: Any, model: Any, rows: Any, memory: Any = None) -> Any:
        nonlocal visited
        found = plain(self, model, rows, memory)
        visited += rows.n / n
        if rows.n == n:
            seen.append((visited, float(found[1]) / rows.total_weight))
        return found

    Dense.expect = expect  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        Dense.expect = plain  # type: ignore[method-assign]


def objectives(task: Task, long: int, accelerate: bool) -> list[tuple[float, float]]:
    """Passes made, and log-likelihoods, of so many passes from the task's start."""
    from mixtura import GaussianMixture

    lowrank = task.precisions is None
    start: dict[str, Any] = (
        {"resp_init": task.labels, "rank": task.workload.rank}
        if lowrank
        else {
            "weights_init": task.weights,
            "means_init": task.means,
            "precisions_init": task.precisions,
        }
    )
    model = GaussianMixture(
        task.workload.k,
        covariance_type=task.structure,
        reg_covar=task.workload.reg_covar,
        max_iter=long,
        tol=0.0,
        accelerate=accelerate,
        **start,
    )
    with recorded(len(task.x)) as seen, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(task.x)
    return [(visited, value) for visited, value in seen if visited <= long + 0.5]


def count(objectives: Sequence[tuple[float, float]], goal: float) -> int | None:
    """Passes, rounded up, until a model entered one that is within ``CLOSE`` of the goal."""
    close = (visited for visited, value in objectives if value >= goal - CLOSE)
    return next((math.ceil(visited - 1e-6) for visited in close), None)


def passes(
    workload: Workload,
    cache: Path,
    *,
    long: int = LONG,
    threads: int | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Passes:
    """Run both on a workload, in a process of their own.

    Raises
    ------
    WorkerError
    """
    with Worker(workload, prepare(workload, cache), OURS, environment(None, threads)) as worker:
        plain, accelerated = (
            worker.ask(do="passes", long=long, accelerate=accelerate)["objectives"]
            for accelerate in (False, True)
        )
    if not plain or not accelerated:
        raise WorkerError("the fits made no passes that could be counted")
    goal = plain[-1][1]
    found = Passes(
        workload,
        count(plain, goal),
        count(accelerated, goal),
        goal,
        max(value for _, value in accelerated) - goal,
        long,
    )
    say(f"{workload.name}: {found.plain} passes, accelerated {found.accelerated}")
    return found


def table(found: Sequence[Passes]) -> list[str]:
    """A row for each workload."""
    lines = [
        "| workload | n × d | k | structure | plain EM | `accelerate=True` | ratio | "
        "best, less the long run's |",
        "|---" * 8 + "|",
    ]
    for each in found:
        ratio = f"{each.plain / each.accelerated:.2f}" if each.plain and each.accelerated else "–"
        cells = [*shaped(each)]
        cells += [str(each.plain or "–"), str(each.accelerated or f"more than {each.long}"), ratio]
        lines.append("| " + " | ".join([*cells, f"{each.ahead:+.1e}"]) + " |")
    return lines
