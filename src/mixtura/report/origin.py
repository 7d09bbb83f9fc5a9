"""What was fitted and how it was chosen: the first sentence, facts, notes, the table of fits."""

from __future__ import annotations

import math
from typing import Any

from mixtura import covariance
from mixtura.report.numbers import number
from mixtura.report.wording import minus, plural

__all__ = ["STRUCTURES", "facts", "lede", "notes", "trials"]

#: Structures in words.
STRUCTURES = {name: make(1).words for name, make in covariance.STRUCTURES.items()}


def lede(
    mixture: Any, info: dict[str, Any], tried: list[dict[str, Any]], data: str, rows: Any,
    fitted: bool,
) -> str:  # fmt: skip
    """The sentence under the title."""
    k, d, n = mixture.k, mixture.d, info.get("n_rows")
    said = plural(k, "Gaussian component")
    if not fitted:
        source = info.get("data")
        origin = f" fitted to {source}" if source else ""
        origin += f" ({plural(n, 'row')})" if source and n is not None else ""
        return (
            f"{said}{origin}, held against the {plural(rows.n, 'row')} of {data} in "
            f"{plural(d, 'column')}."
        )
    if n is not None:
        said += f" describe{'s' * (k == 1)} {plural(n, 'row')} in {plural(d, 'column')}"
    if info.get("interrupted"):
        return said + ". The fit was interrupted: this is the best model up to then."
    compared = sum(trial["bic"] != "–" for trial in tried)
    if compared > 1:
        said += f"; chosen by BIC among {compared} fits"
    return said + "."


def facts(mixture: Any, info: dict[str, Any], rows: Any, fitted: bool) -> list[tuple[str, str]]:
    """Terms and values of the summary."""
    found = [("Components", f"{mixture.k}"), ("Columns", f"{mixture.d:,}")]
    if (n := info.get("n_rows")) is not None:
        found.append(("Rows" if fitted else "Rows fitted", f"{n:,}"))
    if fitted and (missing := info.get("missing")):
        found.append(("Missing cells", f"{missing['cells']:,}"))
    if fitted and (errors := info.get("noise_columns")):
        found.append(("Columns with errors taken out", f"{len(errors):,}"))
    if not fitted:
        found.append(("Rows on this page", f"{rows.n:,}"))
    if info.get("weights_column") and (total := info.get("weight_sum")) is not None:
        found.append((f"Total weight ({info['weights_column']})", number(total, 6)))
    if (score := info.get("bic")) is not None:
        found.append(("BIC", bic(score)))
    if (loglik := info.get("log_likelihood")) is not None:
        found.append(("Log-likelihood per row", minus(f"{loglik:.4f} nats")))
    if (free := info.get("n_parameters")) is not None:
        found.append(("Free parameters", f"{free:,}"))
    if (level := info.get("outlier_threshold")) is not None:
        indirect = info.get("noise_columns") or info.get("missing")
        whole = " of a whole, exact row" if indirect else ""
        found.append((f"Outliers: log-density{whole} below", minus(f"{level:.4f}")))
    if (seed := info.get("seed")) is not None:
        found.append(("Seed", str(seed)))
    return found


def notes(info: dict[str, Any]) -> list[str]:
    """What the reader should know before the numbers."""
    found = [str(note) for note in info.get("notes") or ()]
    if left_out := info.get("left_out"):
        said = "; ".join(f"{name} ({reason})" for name, reason in left_out[:20])
        more = f"; and {len(left_out) - 20} more" if len(left_out) > 20 else ""
        found.append(f"Columns left out: {said}{more}.")
    if info.get("converged") is False and not info.get("interrupted"):
        found.append("The fit stopped before it had converged.")
    return found


def trials(info: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the BIC table, best first, failures last."""

    def score(trial: dict[str, Any]) -> float:
        value = trial.get("bic")
        if value is None or trial.get("error") or not math.isfinite(value):
            return math.inf
        return float(value)

    tried = sorted(info.get("trials") or (), key=score)
    best = score(tried[0]) if tried else math.inf
    kept = (info.get("n_components"), info.get("covariance_type"), info.get("bic"))
    return [
        {
            "n_components": trial["n_components"],
            "structure": trial["covariance_type"],
            "bic": bic(score(trial)),
            "behind": f"+{score(trial) - best:,.1f}" if best < score(trial) < math.inf else "",
            "log_likelihood": minus(f"{trial['log_likelihood']:.4f}")
            if score(trial) < math.inf
            else "–",
            "n_parameters": f"{trial.get('n_parameters', 0):,}",
            "n_iter": f"{trial.get('n_iter', 0):,}",
            "converged": bool(trial.get("converged", True)),
            "error": trial.get("error"),
            "chosen": kept == (trial["n_components"], trial["covariance_type"], trial.get("bic")),
        }
        for trial in tried
    ]


def bic(value: float | None) -> str:
    """``2,314.3``."""
    if value is None or not math.isfinite(value):
        return "–"
    return minus(f"{value:,.1f}" if abs(value) < 1e9 else f"{value:.6e}")
