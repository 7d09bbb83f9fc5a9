"""``mixtura describe``: what a model file holds, and how it was fitted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from mixtura.cli.files import check_source
from mixtura.cli.voice import terminal_width

__all__ = ["describe", "parameters"]


def describe(
    model: Annotated[
        Path,
        typer.Argument(
            help="A model file (.safetensors).",
            metavar="MODEL",
            show_default=False,
        ),
    ],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print everything as JSON, and nothing else.")
    ] = False,
) -> None:
    r"""Say what a model holds and how it was fitted.

    [bold]Examples[/bold]

    \b
      mixtura describe data.safetensors
      mixtura describe data.safetensors --json
    """
    from mixtura.cli import measuring, summary

    check_source(model, "a model file")
    mixture, info = _read(model)
    columns = mixture.columns or tuple(f"x{i}" for i in range(mixture.d))
    if as_json:
        described = {
            "n_components": mixture.k,
            "covariance": mixture.covariance.name,
            "columns": list(columns),
            "info": info,
            "components": parameters(mixture),
        }
        print(json.dumps(described, allow_nan=False))
        return
    print(f"{model.name}: {', '.join(columns[:12])}" + (", …" if len(columns) > 12 else ""))
    if given := info.get("conditioned_on"):
        fixed = ", ".join(f"{name} = {value:g}" for name, value in given.items())
        print(f"the law given {fixed}, of the model {info.get('model') or 'it came from'}")
    if info.get("n_rows") is not None:
        on = f" on {str(info['created'])[:10]}" if info.get("created") else ""
        data = info.get("data") or "a table"
        print(f"fitted to {data} ({info['n_rows']:,} rows){on}, seed {info.get('seed')}")
    print("\n".join([*measuring.said(info), *summary.headline(mixture, info)]))
    if info.get("interrupted"):
        print("the fit was interrupted: this is the best model up to then")
    if info.get("left_out"):
        print(f"left out: {summary.left_out(info['left_out'])}")
    if info.get("outlier_threshold") is not None:
        print(
            f"outliers: log-density below {info['outlier_threshold']:.4f} "
            f"({100 * info.get('outlier_quantile', 0.01):g}% of the training rows)"
            + (", for whole and exact rows" if _indirect(info) else "")
        )
    if info.get("trials") and (table := summary.bic_table(info)):
        print("\n" + "\n".join(table))
    print("\n" + "\n".join(summary.component_tables(mixture, columns, terminal_width())))


def _indirect(info: dict[str, Any]) -> bool:
    """Whether rows fitted had gaps or errors."""
    return bool(info.get("noise_columns") or info.get("missing"))


def parameters(mixture: Any) -> list[dict[str, Any]]:
    """Each component's weight, and mean and standard deviation by column."""
    import numpy as np

    columns = mixture.columns or tuple(f"x{i}" for i in range(mixture.d))
    sd = np.sqrt(mixture.covariance.diagonal())
    return [
        {
            "component": k,
            "weight": float(mixture.weights[k]),
            "mean": dict(zip(columns, mixture.means[k].tolist(), strict=True)),
            "sd": dict(zip(columns, sd[k].tolist(), strict=True)),
        }
        for k in range(mixture.k)
    ]


def _read(path: Path) -> tuple[Any, dict[str, Any]]:
    from mixtura.io import read

    return read(path)
