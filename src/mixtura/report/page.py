"""The page: what was fitted, how it was chosen, each component, and the rows behind it."""

from __future__ import annotations

import importlib
import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from mixtura.errors import MissingExtraError
from mixtura.report.curve import bic_curve
from mixtura.report.layout import separation, telling
from mixtura.report.numbers import number, pair, percent
from mixtura.report.scatter import scatter_matrix
from mixtura.report.svg import N_COLOURS

__all__ = ["STRUCTURES", "check_extras", "render"]

#: Structures in words.
STRUCTURES = {
    "full": "a covariance of its own for each component",
    "tied": "one covariance shared by all components",
    "diag": "variances of its own for each component, no correlations",
    "spherical": "one variance for each component, the same in every direction",
    "lowrank": "a few directions of correlation for each component, plus a variance per column",
}

#: Columns that a card shows at once; the rest unfold.
CARD_COLUMNS = 10
#: Columns searched for a component's strongest correlation.
CORRELATED_COLUMNS = 300


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
    path: str | os.PathLike[str] | None, mixture: Any, rows: Any, info: dict[str, Any]
) -> str:
    """One self-contained HTML page about a fitted mixture.

    Parameters
    ----------
    path : path, optional
        Where to write it; None only returns it.
    mixture : Mixture
    rows : Rows
        The rows it was fitted to.
    info : dict
        How it was fitted, as the command line stores it in the model.

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

    names = tuple(mixture.columns or (f"x{i}" for i in range(mixture.d)))
    environment = Environment(
        loader=PackageLoader("mixtura.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    trials = _trials(info)
    chosen = (mixture.k, str(info.get("covariance_type", mixture.covariance.name)))
    page = environment.get_template("report.html.j2").render(
        data=info.get("data") or "a table",
        model=info.get("model"),
        model_literal=repr(info.get("model")),
        k=mixture.k,
        structure=chosen[1],
        in_words=STRUCTURES.get(chosen[1], chosen[1]),
        lede=_lede(mixture, info, trials, chosen),
        facts=_facts(mixture, info),
        notes=_notes(info),
        components=_components(mixture, names, rows),
        n_colours=N_COLOURS,
        trials=trials,
        curve=bic_curve(info.get("trials") or [], chosen),
        scatter=scatter_matrix(mixture, rows, names),
        version=info.get("mixtura", ""),
        created=str(info.get("created", ""))[:10],
    )
    if path is not None:
        Path(path).write_text(page, encoding="utf8")
    return page


def _lede(mixture: Any, info: dict[str, Any], trials: list[Any], chosen: tuple[int, str]) -> str:
    n = info.get("n_rows")
    said = f"{mixture.k} Gaussian component{'s' * (mixture.k != 1)}"
    if n is not None:
        said += f" describe{'s' * (mixture.k == 1)} {n:,} rows"
    d = mixture.d
    said += f" in {d:,} column{'s' * (d != 1)}" if n is not None else ""
    if info.get("interrupted"):
        return said + ". The fit was interrupted: this is the best model up to then."
    tried = sum(trial["bic"] != "–" for trial in trials)
    if tried > 1:
        said += f"; chosen by BIC among {tried} fits"
    return said + "."


def _facts(mixture: Any, info: dict[str, Any]) -> list[tuple[str, str]]:
    """Terms and values of the summary."""
    facts = [("Components", f"{mixture.k}"), ("Columns", f"{mixture.d:,}")]
    if (n := info.get("n_rows")) is not None:
        facts.append(("Rows", f"{n:,}"))
    if info.get("weights_column") and (total := info.get("weight_sum")) is not None:
        facts.append((f"Total weight ({info['weights_column']})", number(total, 6)))
    if (bic := info.get("bic")) is not None:
        facts.append(("BIC", _bic(bic)))
    if (loglik := info.get("log_likelihood")) is not None:
        facts.append(("Log-likelihood per row", _minus(f"{loglik:.4f} nats")))
    if (free := info.get("n_parameters")) is not None:
        facts.append(("Free parameters", f"{free:,}"))
    if (level := info.get("outlier_threshold")) is not None:
        facts.append(("Outliers: log-density below", _minus(f"{level:.4f}")))
    if (seed := info.get("seed")) is not None:
        facts.append(("Seed", str(seed)))
    return facts


def _notes(info: dict[str, Any]) -> list[str]:
    notes = [str(note) for note in info.get("notes") or ()]
    if left_out := info.get("left_out"):
        said = "; ".join(f"{name} ({reason})" for name, reason in left_out[:20])
        more = f"; and {len(left_out) - 20} more" if len(left_out) > 20 else ""
        notes.append(f"Columns left out: {said}{more}.")
    if info.get("converged") is False and not info.get("interrupted"):
        notes.append("The fit stopped before it had converged.")
    return notes


def _trials(info: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the BIC table, best first, failures last."""

    def bic(trial: dict[str, Any]) -> float:
        value = trial.get("bic")
        if value is None or trial.get("error") or not math.isfinite(value):
            return math.inf
        return float(value)

    trials = sorted(info.get("trials") or (), key=bic)
    best = bic(trials[0]) if trials else math.inf
    kept = (info.get("n_components"), info.get("covariance_type"), info.get("bic"))
    return [
        {
            "n_components": trial["n_components"],
            "structure": trial["covariance_type"],
            "bic": _bic(bic(trial)),
            "behind": f"+{bic(trial) - best:,.1f}" if best < bic(trial) < math.inf else "",
            "log_likelihood": _minus(f"{trial['log_likelihood']:.4f}")
            if bic(trial) < math.inf
            else "–",
            "n_parameters": f"{trial.get('n_parameters', 0):,}",
            "n_iter": f"{trial.get('n_iter', 0):,}",
            "converged": bool(trial.get("converged", True)),
            "error": trial.get("error"),
            "chosen": kept == (trial["n_components"], trial["covariance_type"], trial.get("bic")),
        }
        for trial in trials
    ]


def _bic(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return "–"
    return _minus(f"{value:,.1f}" if abs(value) < 1e9 else f"{value:.6e}")


def _minus(text: str) -> str:
    """With the minus sign that figures use."""
    return text.replace("-", "−")


# ------------------------------------------------------------------ components


def breakable(name: str) -> Any:
    """The name, escaped, with places for line breaks: after ``_ . - /``, or every so often."""
    from markupsafe import Markup, escape

    parts = re.split(r"(?<=[_./-])(?=[^\W_])", name)
    short = [part[at : at + 16] for part in parts for at in range(0, max(len(part), 1), 16)]
    return Markup("<wbr>").join(escape(part) for part in short)


def _components(mixture: Any, names: tuple[str, ...], rows: Any) -> list[dict[str, Any]]:
    """What each card says."""
    order = np.argsort(-separation(mixture), kind="stable")
    shown = telling(mixture, CARD_COLUMNS)
    rest = [j for j in range(mixture.d) if j not in set(shown)]
    sd = np.sqrt(mixture.covariance.diagonal())
    low = (mixture.means - 2 * sd).min(axis=0)
    high = (mixture.means + 2 * sd).max(axis=0)
    ties = _correlations(mixture, [int(j) for j in order[:CORRELATED_COLUMNS]])
    weighed, total = rows.weight is not None, rows.total_weight

    def line(k: int, j: int) -> dict[str, Any]:
        width = (high[j] - low[j]) or 1.0
        return {
            "name": breakable(names[j]),
            "value": _minus(pair(mixture.means[k, j], sd[k, j], raised=True)),
            "at": round(100 * float((mixture.means[k, j] - low[j]) / width), 1),
            "from": round(100 * float((mixture.means[k, j] - sd[k, j] - low[j]) / width), 1),
            "wide": round(100 * float(2 * sd[k, j] / width), 1),
        }

    cards = []
    for k in range(mixture.k):
        weight = float(mixture.weights[k])
        cards.append(
            {
                "number": k,
                "colour": k % N_COLOURS,
                "weight": percent(weight),
                "share": round(100 * weight, 2),
                "rows": ""
                if weighed
                else number(weight * total, 3 if weight * total < 1000 else 4),
                "lines": [line(k, j) for j in shown],
                "rest": [line(k, j) for j in rest[:500]],
                "correlation": _tie(ties[k], names) if ties else None,
            }
        )
    return cards


def _correlations(mixture: Any, among: list[int]) -> list[Any]:
    """For each component (r, slope, from, to) of the strongest correlation, or None."""
    if mixture.d < 2:
        return []
    part = mixture if len(among) == mixture.d else mixture.marginal(among)
    columns = list(range(mixture.d)) if len(among) == mixture.d else among
    found: list[Any] = []
    for k in range(mixture.k):
        cov = np.asarray(part.covariance.dense()[k])
        sd = np.sqrt(np.diag(cov))
        r = cov / np.outer(sd, sd)
        np.fill_diagonal(r, 0.0)
        i, j = sorted(np.unravel_index(np.abs(r).argmax(), r.shape))
        if abs(r[i, j]) < 1e-12:
            found.append(None)
        else:
            slope = float(cov[i, j] / cov[i, i])
            found.append((float(r[i, j]), slope, columns[i], columns[j]))
    return found


def _tie(tie: Any, names: tuple[str, ...]) -> dict[str, str] | None:
    """A correlation in words and in the user's units."""
    if tie is None:
        return None
    r, slope, i, j = tie
    return {
        "first": names[i],
        "second": names[j],
        "r": _minus(f"{r:+.2f}"),
        "change": ("+" if slope > 0 else "−") + number(abs(slope), 3, raised=True),
    }
