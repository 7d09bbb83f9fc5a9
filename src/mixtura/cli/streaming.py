"""``mixtura fit`` on tables that are not held: when, and how their rows arrive.

A file larger than a quarter of the free memory is streamed unasked, ``--memory`` says within how
much. What needs rows at hand (outlier thresholds, the checks of columns, the report) is taken from
the sample that the fit began with.
"""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mixtura.cli.voice import note
from mixtura.errors import InputError
from mixtura.sources.budget import SHARE, as_bytes, free_memory, told_bytes

__all__ = ["Arrived", "arrived", "budget", "facts", "refuse_errors", "whole_instead"]


#: Bytes that a stream is given where a quarter of the free memory is less, up to half of it.
LEAST = 64_000_000


@dataclass(frozen=True, eq=False)
class Arrived:
    """Rows of a stream, ready for a fit.

    Attributes
    ----------
    table : Table
        Its name and kind, without rows.
    picked : Picked
        Which columns are fitted, without rows.
    rows : Streamed
    sample : Observations
    notes : list of str
    """

    table: Any
    picked: Any
    rows: Any
    sample: Any
    notes: list[str]


def budget(data: Path, memory: str | None) -> int | None:
    """Bytes within which a file is to be streamed; None where it is read as a whole."""
    found = data.stat()
    if memory is not None:
        if not stat.S_ISREG(found.st_mode):
            raise InputError(
                f"expected a file with --memory, got {data}, which can be read only once; write it "
                "to disk, or leave --memory out"
            )
        return as_bytes(memory)
    free = free_memory()
    if not stat.S_ISREG(found.st_mode) or found.st_size <= SHARE * free:
        return None
    return int(max(SHARE * free, min(LEAST, free / 2)))


def arrived(
    data: Path,
    memory: int,
    counts: Any,
    covariance: str,
    names: Sequence[str] | None,
    weights: str | None,
    seed: int,
    folder: Path,
    quiet: bool,
) -> Arrived | None:
    """Rows of a file as a stream; None where all of them fit into the memory.

    Parameters
    ----------
    data : Path
    memory : int
        Bytes.
    counts : "auto", int or ints
        Numbers of components.
    covariance : str
    names : sequence of str, optional
        Columns asked for.
    weights : str, optional
        The column of weights.
    seed : int
        Of the sample.
    folder : Path
        Where text is spilled.

    Raises
    ------
    InputError
    """
    from mixtura.cli.progress import watching
    from mixtura.fit.budget import plan
    from mixtura.fit.search import MOST
    from mixtura.fit.streams import streamed
    from mixtura.sources import picking
    from mixtura.sources.blocks import blocks
    from mixtura.sources.streams import kind as kind_named
    from mixtura.sources.tables import kind_of

    kind = kind_of(data)
    some = blocks(data, size=1 << 20)
    first = next(some)
    some.close()  # type: ignore[attr-defined]
    if weights is not None:
        picking.weights(_positive(first, weights), weights)
    skip = [] if weights is None else [weights]
    picked = picking.pick(first, names, skip=skip, missing=True)
    most = MOST if isinstance(counts, str) else max(counts) if isinstance(counts, list) else counts
    columns = list(picked.columns)
    with watching(quiet=quiet) as watcher:
        how: dict[str, Any] = {}
        if kind == "text":
            how["folder"], how["size"] = folder, int(np.clip(memory // 16, 2**18, 2**23))
            how["watch"] = lambda done: watcher.display.rows(done, None)
        stream = kind_named(kind)(data, columns, weights, **how)
        divided = plan(stream, memory, most)
        if divided.whole:
            stream.close()
            return None
        stream.watch = lambda done: watcher.display.rows(done, stream.n)
        k = counts if isinstance(counts, int) else 1
        rows = streamed(stream, divided, k=k, seed=seed)
    _check(rows, columns, covariance, most)
    table = replace(first, columns=())
    picked = replace(picked, x=np.empty((0, len(columns))))
    notes = [*first.notes, *(text for text in stream.notes if text not in first.notes)]
    notes.append(
        f"{rows.n:,} rows are read pass by pass, {divided.chunk:,} at a time, within "
        f"{told_bytes(memory)}; starts are fitted to a sample of {rows.held.n:,}, and outlier "
        "thresholds are those of the sample"
    )
    return Arrived(table, picked, rows, _sample(rows), notes)


def _positive(table: Any, name: str) -> Any:
    """The table, with a weight at least in its first rows: more are seen later."""
    from mixtura.sources.cells import cells

    found = cells(table.column(name)).values
    if found is None or not len(found) or found.any():
        return table
    columns = list(table.columns)
    columns[table.names.index(name)] = np.ones(table.n)
    return replace(table, columns=tuple(columns))


def _check(rows: Any, columns: Sequence[str], covariance: str, k: int) -> None:
    """Refuse rows of which nothing can be fitted, as far as a sample tells."""
    from mixtura.fit.checks import check_rows

    low, high = rows.extremes()
    x = rows.held.x
    flat = (x == x[0]).all(axis=0)
    if (flat & (low < high)).any() or max(-low.min(), high.max()) > np.abs(x).max():
        # What the sample lacks of a column's range.
        x = np.concatenate([x, np.stack([low, high]).astype(x.dtype)])
    check_rows(x, columns, covariance, n_components=min(k, len(x)))


def _sample(rows: Any) -> Any:
    """The sample as rows of a table; weights that are all alike are none."""
    from mixtura.report.observations import Observations

    held = rows.held
    alike = held.weight is None or (held.weight == held.weight[0]).all()
    return Observations(held.x, None if alike else held.weight)


def facts(rows: Any, columns: Sequence[str]) -> dict[str, Any]:
    """What the record says of all rows of a stream."""
    found: dict[str, Any] = {"n_rows": int(rows.n), "weight_sum": float(rows.total_weight)}
    gaps = rows.summary.gaps
    missing = None
    if gaps is not None:
        each = zip(columns, gaps.cells.tolist(), strict=True)
        missing = {
            "cells": int(gaps.cells.sum()),
            "rows": int(gaps.rows),
            "empty_rows": 0,
            "columns": {name: int(count) for name, count in each if count},
        }
    return found | {"missing": missing}


def refuse_errors(noise_columns: Any) -> None:
    """Refuse columns of errors where ``--memory`` was asked for.

    Raises
    ------
    InputError
    """
    if noise_columns is not None:
        raise InputError(
            "expected rows without errors of measurement with --memory, got --noise-columns; leave "
            "--memory out to hold the table"
        )


def whole_instead(reason: str, quiet: bool) -> None:
    """Say that a large file is read as a whole."""
    note(f"{reason}: the table is read as a whole", quiet=quiet)
