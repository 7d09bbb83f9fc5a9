"""The page: what was fitted, each component, the rows, how sure, how well, and how it was chosen.

What it says is computed by the modules beside this one and drawn by ``figures``; here they are
joined with the template.
"""

from __future__ import annotations

import importlib
import os
from math import isfinite
from pathlib import Path
from typing import Any

from mixtura.errors import MissingExtraError
from mixtura.plot.bic import ceiling, scored
from mixtura.report import figures, measuring, origin, sections
from mixtura.report.cards import cards
from mixtura.report.fitcheck import FitCheck, fit_check
from mixtura.report.observations import Observations
from mixtura.report.origin import STRUCTURES
from mixtura.report.reading import Reading, read_rows
from mixtura.report.tail import tail

__all__ = ["STRUCTURES", "check_extras", "render"]


def check_extras() -> None:
    """Make sure that what a report is made with is installed.

    Raises
    ------
    MissingExtraError
    """
    for package in ("jinja2", "matplotlib"):
        try:
            importlib.import_module(package)
        except ImportError:
            raise MissingExtraError(package, "cli", "writing the report") from None


def render(
    path: str | os.PathLike[str] | None,
    mixture: Any,
    rows: Any,
    info: dict[str, Any],
    *,
    data: str | None = None,
    check: FitCheck | None = None,
) -> str:
    """One self-contained HTML page about a fitted mixture and rows.

    Parameters
    ----------
    path : path, optional
        Where to write it; None only returns it.
    mixture : Mixture
    rows : Rows or Observations
        The rows it was fitted to, or others; Observations where they have gaps or noise.
    info : dict
        How it was fitted, as the command line stores it in the model.
    data : str, optional
        The name of the rows' table, where it is not the one fitted.
    check : FitCheck, optional
        The check of fit, made here by default; it takes a few fits.

    Returns
    -------
    str
        The page. It asks nothing of the network.

    Raises
    ------
    MissingExtraError
        If Jinja2 or Matplotlib is not installed.
    """
    check_extras()
    from jinja2 import Environment, PackageLoader, StrictUndefined

    rows = Observations.of(rows)
    reading = read_rows(mixture, rows)
    if check is None:
        check = fit_check(mixture, rows, info, reading=reading)
    environment = Environment(
        loader=PackageLoader("mixtura.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.j2").render(
        _contents(mixture, rows, info, data, check, reading)
    )
    if path is not None:
        Path(path).write_text(page, encoding="utf8")
    return page


def _contents(
    mixture: Any, rows: Observations, info: dict[str, Any], data: str | None, check: FitCheck,
    reading: Reading,
) -> dict[str, Any]:  # fmt: skip
    """All that the template names."""
    names = tuple(mixture.columns or (f"x{i}" for i in range(mixture.d)))
    source = data or str(info.get("data") or "a table")
    tried = origin.trials(info)
    chosen = (mixture.k, str(info.get("covariance_type", mixture.covariance.name)))
    several = mixture.k > 1
    tails = tail(mixture, rows, reading.log_density) if rows.measured else None
    return {
        "data": source,
        "model": info.get("model"),
        "model_literal": repr(info.get("model")),
        "k": mixture.k,
        "structure": chosen[1],
        "in_words": STRUCTURES.get(chosen[1], chosen[1]),
        "lede": origin.lede(mixture, info, tried, source, rows, check.fitted),
        "facts": origin.facts(mixture, info, rows, check.fitted),
        "notes": origin.notes(info),
        "measured": measuring.told(mixture, rows, names),
        "noise_argument": ", noise=sd**2" if rows.noise is not None else "",
        "measured_comment": "; NaN where cells are missing" if rows.gaps else "",
        "components": cards(mixture, names, rows, reading, check.fitted),
        "scatter": figures.scatter_matrix(mixture, rows, names, reading),
        "densities": sections.densities(mixture, rows, names),
        "certain": sections.certain(mixture, rows, reading) if several else None,
        "unlikely": sections.least_likely(mixture, rows, reading, names, tails),
        "flagged": sections.flagged(mixture, rows, info, reading, tails),
        "check": sections.checked(check, info, names),
        "trials": tried,
        "curve": figures.bic_curve(info.get("trials") or [], chosen),
        "curve_is_cut": isfinite(ceiling(scored(info.get("trials") or []))),
        "trace": sections.trace(info),
        "version": info.get("mixtura", ""),
        "created": str(info.get("created", ""))[:10],
    }
