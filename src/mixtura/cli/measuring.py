"""Rows of a table with their gaps and errors, and what is said of these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mixtura.cli.errorcolumns import from_table
from mixtura.report.numbers import percent
from mixtura.report.observations import Observations
from mixtura.report.wording import plural
from mixtura.sources.tables import told

__all__ = ["missing_record", "observe", "said"]


def observe(
    table: Any,
    x: Any,
    columns: Sequence[str],
    weight: Any = None,
    errors: Mapping[str, str] | None = None,
    *,
    keep_empty: bool = False,
) -> Observations:
    """The rows with their gaps and errors; those without any value are left out.

    Parameters
    ----------
    table : Table
    x : array (n, d)
    columns : sequence of str
    weight : array (n,), optional
    errors : mapping of str to str, optional
        See ``from_table``.
    keep_empty : bool
        Whether rows without any value stay.
    """
    noise = None
    if errors:
        noise = from_table(table, x, columns, errors)
        unknown = np.isinf(noise)
        if unknown.any():
            x, noise = np.where(unknown, np.nan, x), np.where(unknown, 0.0, noise)
        noise = noise if noise.any() else None
    empty = np.isnan(x).all(axis=1)
    told_of = tuple(errors.get(name) for name in columns) if errors else None
    if keep_empty or not empty.any():
        return Observations(x, weight, noise=noise, errors=told_of)
    kept = np.flatnonzero(~empty)
    return Observations(
        x[kept],
        None if weight is None else weight[kept],
        order=kept,
        noise=None if noise is None else noise[kept],
        empty=int(empty.sum()),
        errors=told_of,
    )


def missing_record(rows: Observations, columns: Sequence[str]) -> dict[str, Any] | None:
    """Counts of missing cells for the model's record; None where nothing is missing."""
    counts = rows.missing.sum(axis=0)
    if not counts.any() and not rows.empty:
        return None
    return {
        "cells": int(counts.sum()),
        "rows": int(rows.missing.any(axis=1).sum()),
        "empty_rows": rows.empty,
        "columns": {
            name: int(count) for name, count in zip(columns, counts, strict=True) if count > 0
        },
    }


def said(info: Mapping[str, Any]) -> list[str]:
    """Lines of a summary: what was missing, and how exact the rest was."""
    lines = []
    if missing := info.get("missing"):
        total = info["n_rows"] * len(info["columns"])
        counts = missing["columns"]
        each = told([f"{name} {counts[name]:,}" for name in info["columns"] if name in counts])
        if missing["cells"]:
            lines.append(
                f"missing: {missing['cells']:,} of {total:,} cells "
                f"({percent(missing['cells'] / total)}), in {plural(missing['rows'], 'row')} "
                f"({each})"
            )
        if missing["empty_rows"]:
            lines.append(f"left out: {plural(missing['empty_rows'], 'row')} without any value")
    if errors := info.get("noise_columns"):
        pairs = [(name, errors[name]) for name in info["columns"] if name in errors]
        each = told([f"{name} ± {error}" for name, error in pairs])
        lines.append(f"errors of measurement taken out: {each}")
    return lines
