"""The stages of ``mixtura fit``: prepare the rows, search, record, save."""

from __future__ import annotations

import signal
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixtura.cli.files import replacing
from mixtura.cli.voice import note

#: Share of the greatest weight below which a row is lost in the rounding of sums.
LIGHT = 1e-15

__all__ = ["Job", "Outcome", "finish", "prepare", "prepare_stream", "save", "search"]


@dataclass(frozen=True, eq=False)
class Job:
    """What is to be fitted."""

    table: Any
    picked: Any
    rows: Any
    counts: Any
    notes: list[str]
    errors: dict[str, str]
    stream: Any = None

    @property
    def n(self) -> int:
        """Rows of the table that are fitted."""
        return int(self.rows.n if self.stream is None else self.stream.n)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of it."""

    mixture: Any
    best: dict[str, Any]
    trials: list[Any]
    notes: list[str]
    interrupted: bool
    seconds: float
    trace: tuple[float, ...] = ()


def prepare(
    data: Path,
    counts: Any,
    covariance: str,
    rank: int | str | None,
    names: list[str] | None,
    weights: str | None,
    quiet: bool,
    noise_columns: list[str] | None = None,
) -> Job:
    """Read the table, pick its columns, and check them."""
    from mixtura.cli import errorcolumns, measuring
    from mixtura.errors import InputError
    from mixtura.fit.checks import check_rows
    from mixtura.sources import picking, tables

    table = tables.read(data)
    notes = list(table.notes)
    weight = None if weights is None else picking.weights(table, weights)
    used = [*([] if weights is None else [weights]), *errorcolumns.taken(noise_columns, table)]
    picked = picking.pick(table, names, skip=used, missing=True)
    errors = errorcolumns.pairs(noise_columns, picked.columns, table) if noise_columns else {}
    rows = measuring.observe(table, picked.x, picked.columns, weight, errors)
    present = rows.x if rows.weight is None else rows.x[rows.weight > 0]
    least = counts[0] if isinstance(counts, list) else counts if isinstance(counts, int) else 1
    check_rows(present, picked.columns, covariance, n_components=least)
    if weight is not None and (counted := weight > LIGHT * weight.max()).sum() < len(present):
        try:
            check_rows(picked.x[counted], picked.columns, covariance, n_components=least)
        except InputError as error:
            raise InputError(
                f"{error} (among the {counted.sum():,} rows that count beside the greatest weight "
                f"in {weights!r}, {weight.max():g})"
            ) from None
    n, d = present.shape
    if isinstance(counts, list) and counts[-1] > n:
        notes.append(f"{n} rows allow at most {n} components: larger numbers were not tried")
        counts = [count for count in counts if count <= n]
    _check_rank(rank, d)
    _say(notes, picked, quiet)
    return Job(table, picked, rows, counts, notes, errors)


def _check_rank(rank: int | str | None, d: int) -> None:
    from mixtura.errors import InputError

    if isinstance(rank, int) and rank >= d:
        raise InputError(
            f"expected a rank smaller than the number of columns ({d}), got {rank}; "
            + (f"ask for at most --rank {d - 1}" if d > 1 else "leave --rank out")
        )


def _say(notes: list[str], picked: Any, quiet: bool) -> None:
    for text in notes:
        note(text, quiet=quiet)
    if picked.left_out:
        from mixtura.cli.summary import left_out

        note(f"left out {left_out(picked.left_out)}", quiet=quiet)


def prepare_stream(
    data: Path,
    memory: str | None,
    counts: Any,
    covariance: str,
    rank: int | str | None,
    names: list[str] | None,
    weights: str | None,
    seed: int,
    folder: Path,
    quiet: bool,
    noise_columns: list[str] | None = None,
) -> Job | None:
    """The same of a table that is not held; None where it is to be.

    That is one that fits into the memory; and, unless that was asked for, one with errors of
    measurement or rows without any value.
    """
    from mixtura.cli import streaming
    from mixtura.sources.gathering import EmptyRowError

    allowed = streaming.budget(data, memory)
    if allowed is None:
        return None
    if noise_columns is not None:
        if memory is not None:
            streaming.refuse_errors(noise_columns)
        streaming.whole_instead("errors of measurement are not read pass by pass", quiet)
        return None
    try:
        found = streaming.arrived(
            data, allowed, counts, covariance, names, weights, seed, folder, quiet
        )
    except EmptyRowError:
        if memory is not None:
            raise
        streaming.whole_instead("rows without any value are not left out of a stream", quiet)
        return None
    if found is None:
        return None
    _check_rank(rank, found.rows.d)
    _say(found.notes, found.picked, quiet)
    return Job(found.table, found.picked, found.sample, counts, found.notes, {}, found.rows)


def search(
    job: Job,
    covariance: str,
    rank: int | str | None,
    seed: int,
    quiet: bool,
    precision: str = "mixed",
) -> Outcome:
    """Fit, and keep the best so far if Ctrl-C comes."""
    import numpy as np

    from mixtura import fit
    from mixtura.cli.progress import watching
    from mixtura.fit.engines import engine_for

    started = time.perf_counter()
    interrupted, notes = False, []
    trace: tuple[float, ...] = ()
    with warnings.catch_warnings(record=True) as caught, watching(quiet=quiet) as watcher:
        warnings.simplefilter("always")
        rows: Any = job.stream
        if rows is not None:
            rows.stream.watch = lambda done: watcher.display.rows(done, job.n)
        try:
            result = fit.search(
                job.rows.for_fit() if rows is None else rows,
                n_components=job.counts,
                covariance_type=covariance.split(",") if "," in covariance else covariance,
                rank=rank,
                precision=precision,
                seed=seed,
                columns=job.picked.columns,
                engine=None if rows is None else engine_for(rows, "auto"),
                callback=watcher,
            )
            mixture, trial, trials = result.mixture, result.best, list(result.trials)
            notes, trace = list(result.notes), result.trace
            best = _facts(trial)
        except KeyboardInterrupt:
            kept = watcher.best()
            if kept is None:
                raise
            mixture, trial, latest = kept
            trials, interrupted = list(watcher.trials), True
            best = _facts(trial) if trial is not None else _facts_so_far(latest)
    for item in caught:
        if issubclass(item.category, UserWarning) and str(item.message) not in notes:
            notes.append(str(item.message))
    if not best["converged"] and not interrupted:
        notes.append("the fit stopped before it had converged")
    order = np.argsort(-mixture.weights, kind="stable").tolist()
    spent = time.perf_counter() - started
    return Outcome(mixture.relabel(order), best, trials, notes, interrupted, spent, trace)


def _facts(trial: Any) -> dict[str, Any]:
    from mixtura.cli.record import finite

    return {
        "covariance_type": trial.covariance_type,
        "bic": finite(trial.bic),
        "log_likelihood": finite(trial.log_likelihood),
        "n_parameters": int(trial.n_parameters),
        "n_iter": int(trial.n_iter),
        "converged": bool(trial.converged),
    }


def _facts_so_far(progress: Any) -> dict[str, Any]:
    """What is known of a trial that did not end."""
    from mixtura.cli.record import finite

    return {
        "covariance_type": progress.covariance_type,
        "bic": None,
        "log_likelihood": finite(progress.log_likelihood),
        "n_parameters": None,
        "n_iter": int(progress.n_iter),
        "converged": False,
    }


def finish(job: Job, outcome: Outcome, asked: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The record that the model carries, and notes that came late."""
    from mixtura.cli import record

    rest, quantiles = list(outcome.notes), {}
    try:
        rows = job.rows
        most = record.FEW if rows.measured else record.BATCH
        if outcome.interrupted and rows.n > most:
            step = -(-rows.n // most)  # who pressed Ctrl-C does not want to wait
            rows = rows.take(slice(None, None, step))
        if rows.weight is None or rows.weight.any():
            quantiles = record.thresholds(outcome.mixture, rows)
    except KeyboardInterrupt:
        rest.append("interrupted before outlier thresholds were known: the model has none")
    info = record.record(
        table=job.table,
        picked=job.picked,
        rows=job.rows,
        errors=job.errors,
        mixture=outcome.mixture,
        best=outcome.best,
        trials=outcome.trials,
        notes=[*job.notes, *rest],
        quantiles=quantiles,
        options=asked,
        interrupted=outcome.interrupted,
        seconds=outcome.seconds,
        trace=outcome.trace,
    )
    if job.stream is not None:
        from mixtura.cli.streaming import facts

        info |= facts(job.stream, job.picked.columns)
    return info, rest


def save(mixture: Any, path: Path, info: dict[str, Any]) -> None:
    """Write the model file, whole or not at all."""
    import mixtura

    with _undisturbed(), replacing(path) as temporary:
        mixtura.save(mixture, temporary, info=info)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Ctrl-C waits: a model takes no time to write, and long to fit."""
    try:
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
