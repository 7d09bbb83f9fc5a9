"""The options' values: from what is typed to what the fit takes."""

from __future__ import annotations

import csv
import re
from typing import Any

import typer

from mixtura.sources.tables import near

__all__ = ["COVARIANCES", "components", "covariance", "names", "positive", "quantile"]

#: What may be typed, and what the fit calls it.
COVARIANCES = {
    "auto": "auto",
    "full": "full",
    "tied": "tied",
    "diag": "diag",
    "diagonal": "diag",
    "spherical": "spherical",
    "isotropic": "spherical",
    "lowrank": "lowrank",
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
    """A structure's name, aliases resolved."""
    known = COVARIANCES.get(value.strip().lower())
    if known is None:
        hint = near(value, COVARIANCES)
        raise typer.BadParameter(
            f"expected one of {', '.join(COVARIANCES)}; got {value!r}" + (f"; {hint}" * bool(hint))
        )
    return known


def names(value: str | None) -> list[str] | None:
    """``a,b`` → ["a", "b"]; a name that holds a comma stands in double quotes."""
    if value is None:
        return None
    try:
        found = next(csv.reader([value], skipinitialspace=True, strict=True), [])
    except csv.Error:
        raise typer.BadParameter(
            f"expected column names separated by commas, got {value!r}; close the quotation mark"
        ) from None
    found = [name for name in found if name]
    if not found:
        raise typer.BadParameter(
            "expected column names separated by commas, got none; name at least one, as in a,b"
        )
    twice = sorted({name for name in found if found.count(name) > 1})
    if twice:
        raise typer.BadParameter(f"expected every column once, got {', '.join(twice)} twice")
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
