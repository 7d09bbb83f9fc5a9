"""The options' values: from what is typed to what the fit takes."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import typer

from mixtura.covariance import ALIASES, STRUCTURES
from mixtura.errors import InputError
from mixtura.sources.cells import MISSING, NUMBER
from mixtura.sources.tables import near, told

__all__ = [
    "COVARIANCES",
    "components",
    "covariance",
    "errors",
    "given",
    "level",
    "memory",
    "model_file",
    "names",
    "one_of",
    "page",
    "place",
    "positive",
    "precision",
    "quantile",
    "rank",
    "table_format",
]

#: What may be typed, in small letters, and what the fit calls it: the registry, and more.
COVARIANCES = {
    "auto": "auto",
    **{name.lower(): name for name in STRUCTURES},
    **ALIASES,
}


def components(value: str) -> Any:
    """``5`` → 5, ``2..12`` → [2, …, 12], ``auto`` → "auto"."""
    text = value.strip().lower()
    if text == "auto":
        return "auto"
    if re.fullmatch(r"\d{1,6}", text):
        count = int(text)
        if count < 1:
            raise typer.BadParameter("expected at least 1 component, got 0; try --components auto")
        return count
    if found := re.fullmatch(r"(\d{1,6})\s*\.\.\s*(\d{1,6})", text):
        low, high = int(found[1]), int(found[2])
        if low < 1:
            raise typer.BadParameter(
                f"expected a range from 1 upwards, got {value!r}; "
                f"try --components 1..{max(high, 1)}"
            )
        if high < low:
            raise typer.BadParameter(
                f"expected a range from small to large, got {value!r}; "
                f"try --components {high}..{low}"
            )
        return list(range(low, high + 1))
    raise typer.BadParameter(
        f"expected a number such as 5, a range such as 2..12, or auto; got {value!r}"
    )


def covariance(value: str) -> str:
    """Names of structures, separated by commas, aliases resolved; "auto" stands alone."""
    found = [COVARIANCES.get(name.strip().lower()) for name in value.split(",")]
    for name, known in zip(value.split(","), found, strict=True):
        if known is None:
            hint = near(name.strip(), COVARIANCES)
            listed = ", ".join(dict.fromkeys(["auto", *STRUCTURES, *ALIASES]))
            raise typer.BadParameter(
                f"expected one of {listed}; got {name.strip()!r}" + (f"; {hint}" * bool(hint))
            )
    if len(found) > 1 and "auto" in found:
        raise typer.BadParameter(
            f"expected auto or a list of structures, got {value!r}; leave auto out"
        )
    return ",".join(dict.fromkeys(str(name) for name in found))


def rank(value: str | None) -> str | None:
    """A number of factors, or "auto"."""
    if value is None or value.strip().lower() == "auto":
        return None if value is None else "auto"
    if not re.fullmatch(r"\d{1,6}", value.strip()) or int(value) < 1:
        raise typer.BadParameter(f"expected a number of at least 1, or auto; got {value!r}")
    return value.strip()


def precision(value: str) -> str:
    """double, mixed or single."""
    known = ("double", "mixed", "single")
    if value.strip().lower() not in known:
        raise typer.BadParameter(f"expected one of {', '.join(known)}; got {value!r}")
    return value.strip().lower()


def names(value: str | None) -> list[str] | None:
    """``a,b`` → ["a", "b"]; a name that holds a comma stands in double quotes."""
    if value is None:
        return None
    found = [name for name in _separated(value) if name]
    if not found:
        raise typer.BadParameter(
            "expected column names separated by commas, got none; name at least one, as in a,b"
        )
    twice = sorted({name for name in found if found.count(name) > 1})
    if twice:
        raise typer.BadParameter(f"expected every column once, got {', '.join(twice)} twice")
    return found


def _separated(value: str) -> list[str]:
    try:
        return next(csv.reader([value], skipinitialspace=True, strict=True), [])
    except csv.Error:
        raise typer.BadParameter(
            f"expected column names separated by commas, got {value!r}; close the quotation mark"
        ) from None


def errors(value: str | None) -> list[str] | None:
    """``e_a,e_b`` or ``a=e_a,b=e_b`` → their list; one column may serve several."""
    if value is None:
        return None
    found = [name.strip() for name in _separated(value)]
    if not found or not all(found):
        raise typer.BadParameter(
            f"expected column names separated by commas, got {value!r}; name the columns of "
            "errors, as in e_a,e_b or a=e_a,b=e_b"
        )
    return found


def positive(value: int | None) -> int | None:
    """A count of at least 1."""
    if value is not None and value < 1:
        raise typer.BadParameter(f"expected at least 1, got {value}")
    return value


def quantile(value: float | None) -> float | None:
    """A share strictly between 0 and 1."""
    if value is not None and not 0.0 < value < 1.0:
        raise typer.BadParameter(
            f"expected a share between 0 and 1, such as 0.01 for 1%; got {value:g}"
        )
    return value


def level(value: float) -> float:
    """The probability of an interval, strictly between 0 and 1."""
    if not 0.0 < value < 1.0:
        raise typer.BadParameter(
            f"expected a probability between 0 and 1, such as 0.9 for 90%; got {value:g}"
        )
    if (1 + value) / 2 == 1:
        raise typer.BadParameter(
            "expected a probability that leaves something beyond the interval, at most "
            f"0.999999999999999; got {value!r}"
        )
    return value


def one_of(*choices: str) -> Callable[[str], str]:
    """A check that a word is one of several."""

    def check(value: str) -> str:
        word = value.strip().lower()
        if word not in choices:
            hint = near(value, choices)
            raise typer.BadParameter(
                f"expected one of {', '.join(choices)}; got {value!r}" + (f"; {hint}" * bool(hint))
            )
        return word

    return check


def given(values: Sequence[str]) -> dict[str, float]:
    """``["a=3", "b=-1e2"]`` → {"a": 3.0, "b": -100.0}; names may hold = themselves."""
    found: dict[str, float] = {}
    for value in values:
        name, sign, text = value.rpartition("=")
        name, text = name.strip(), text.strip()
        if not sign or not name:
            raise typer.BadParameter(
                f"expected a column and its value, such as height=1.8; got {value!r}"
            )
        if name in found:
            raise typer.BadParameter(f"expected every column once, got {name} twice")
        if text in MISSING:
            raise typer.BadParameter(
                f"expected a number after {name}=, got {text!r}; leave --given out "
                "for a column that is not known"
            )
        if not re.fullmatch(NUMBER, text):
            raise typer.BadParameter(
                f"expected a number after {name}=, such as 1.8 or -2e3; got {text!r}"
            )
        found[name] = float(text)
        if not math.isfinite(found[name]):
            raise typer.BadParameter(f"expected a finite number after {name}=, got {text!r}")
    return found


def memory(value: str | None) -> str | None:
    """``500MB``, ``2GB``, a number of bytes."""
    from mixtura.sources.budget import as_bytes

    try:
        if value is not None:
            as_bytes(value)
    except InputError as error:
        raise typer.BadParameter(str(error)) from None
    return value


def model_file(value: Path | None) -> Path | None:
    """The name of a model to write: ``.safetensors``, or a name without an ending."""
    return _ending(value, (".safetensors",))


def page(value: Path | None) -> Path | None:
    """The name of a page to write: ``.html``, or a name without an ending."""
    return _ending(value, (".html", ".htm"))


def _ending(value: Path | None, endings: tuple[str, ...]) -> Path | None:
    if value is not None and value.suffix and value.suffix.lower() not in endings:
        raise typer.BadParameter(f"expected a name that ends in {endings[0]}, got {value}")
    return value


def table_format(value: Path | None) -> Path | None:
    """The name of a table to write; refuses those that end in nothing we write."""
    from mixtura.cli.tableout import format_of

    if format_of(value) is None:
        raise typer.BadParameter(
            f"expected a name that ends in .csv, .tsv (also .gz), .parquet, .feather or .arrow; "
            f"got {value}"
        )
    return value


def place(mixture: Any, name: str, option: str) -> int:
    """The position of a column of the model that an option names.

    A model without names takes x0, x1, … or 0, 1, …
    """
    if mixture.columns is not None:
        if name in mixture.columns:
            return int(mixture.columns.index(name))
        hint = near(name, mixture.columns) or f"its columns are {told(mixture.columns)}"
        raise InputError(f"expected a column of the model after {option}, got {name!r}; {hint}")
    found = re.fullmatch(r"x?(\d{1,9})", name)
    if found and int(found[1]) < mixture.d:
        return int(found[1])
    columns = "x0" if mixture.d == 1 else f"x0 … x{mixture.d - 1}"
    raise InputError(
        f"expected {columns} after {option}, as the model knows its columns by place "
        f"alone, got {name!r}; count from 0"
    )
