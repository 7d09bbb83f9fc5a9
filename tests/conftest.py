"""Fixtures for every test: data sets, reference values, a seeded generator; Hypothesis settings."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

DATA = Path(__file__).parent / "data"

# Few examples, the same ones in every run; pytest --hypothesis-profile=thorough searches longer.
settings.register_profile(
    "quick",
    deadline=None,
    max_examples=20,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "thorough",
    deadline=None,
    max_examples=500,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("quick")


class Table(NamedTuple):
    """A data set: numbers `x` (n, d), their `columns`, and class `labels` (n,) where known."""

    x: np.ndarray
    columns: tuple[str, ...]
    labels: np.ndarray | None


@cache
def _read(name: str) -> Table:
    with gzip.open(DATA / f"{name}.csv.gz", "rt", encoding="utf8", newline="") as file:
        header, *rows = csv.reader(file)
    labels = np.array([row[header.index("class")] for row in rows]) if "class" in header else None
    columns = tuple(column for column in header if column != "class")
    places = [header.index(column) for column in columns]
    cells = [[row[place] for place in places] for row in rows]
    x = np.array([[np.nan if cell == "NA" else float(cell) for cell in row] for row in cells])
    x.flags.writeable = False
    return Table(x, columns, labels)


@pytest.fixture(scope="session")
def load() -> Callable[..., Table]:
    """`load("iris")` reads `tests/data/iris.csv.gz`; `columns=[…]` keeps those, in that order."""

    def load_table(name: str, columns: Sequence[str] | None = None) -> Table:
        table = _read(name.removesuffix(".csv.gz"))
        if columns is None:
            return table._replace(x=table.x.copy())
        x = table.x[:, [table.columns.index(column) for column in columns]]
        return Table(x, tuple(columns), table.labels)

    return load_table


@pytest.fixture(scope="session")
def mclust_reference() -> dict[str, Any]:
    """mclust's fits at fixed G from recorded partitions, by data set."""
    text = (DATA / "reference" / "mclust_fixed_g.json").read_text(encoding="utf8")
    return json.loads(text)["datasets"]


@pytest.fixture(scope="session")
def conditional_reference() -> dict[str, Any]:
    """gmr's conditionals of mclust's joint mixtures, by data set and given column."""
    text = (DATA / "reference" / "conditional_reference.json").read_text(encoding="utf8")
    return json.loads(text)["conditionals"]


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed seed, fresh for every test."""
    return np.random.default_rng(20260101)
