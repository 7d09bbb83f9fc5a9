"""``mixtura score``: a table's rows, and what a model says of each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mixtura.cli import options
from mixtura.cli.arguments import Data, Model, Prefix, TableOut
from mixtura.cli.files import check_source, check_target
from mixtura.cli.reading import read
from mixtura.cli.voice import note

__all__ = ["score"]

#: Rows scored at a time, and numbers held at a time in responsibilities.
BATCH, NUMBERS = 65_536, 8_000_000


def score(
    model: Model,
    data: Data,
    output: TableOut = None,
    outlier_quantile: Annotated[
        float | None,
        typer.Option(
            help="Share of the training rows below which a row is an outlier "
            "\\[default: the model's, 0.01].",
            metavar="Q",
            callback=options.quantile,
            show_default=False,
        ),
    ] = None,
    prefix: Prefix = "",
) -> None:
    r"""Score every row of a table under a model.

    The output holds the input's rows and columns, and adds: [bold]log_density[/bold] (nats);
    [bold]component[/bold], the most likely one, numbered from 0; [bold]resp_0[/bold],
    [bold]resp_1[/bold], …, the probability of each component; [bold]outlier[/bold], whether the
    log-density lies below a quantile of those of the rows the model was fitted to. Columns are
    found by name, in any order.

    [bold]Examples[/bold]

    \b
      mixtura score data.safetensors new.csv > scored.csv
      mixtura score data.safetensors new.parquet --output scored.parquet
      mixtura score data.safetensors new.csv --outlier-quantile 0.001 -o out.tsv.gz
    """
    from mixtura.cli import columnsout
    from mixtura.cli.columns import model_columns
    from mixtura.sources import tables

    check_source(model, "a model file")
    tables.check(data)
    if output is not None:
        check_target("--output", output, [("the data", data), ("the model", model)])
    mixture, info = read(model)
    level = _threshold(info, outlier_quantile, model)
    if level is None:
        note(
            f"{model.name} holds no quantiles of training log-densities (they are stored by "
            "mixtura fit), so there is no outlier column"
        )
    table = tables.read(data)
    for text in table.notes:
        note(text)
    x = model_columns(mixture, table)
    added = ["log_density", "component", *(f"resp_{k}" for k in range(mixture.k))]
    if level is not None:
        added.append("outlier")
    added = [prefix + name for name in added]
    columnsout.check_added(table, added, ", or name the added ones apart: --prefix new_")
    _write(mixture, table, x, level, added, output)


def _threshold(info: dict[str, Any], quantile: float | None, model: Path) -> float | None:
    """The log-density below which a row is an outlier."""
    from mixtura.cli import record
    from mixtura.errors import InputError

    if quantile is None:
        level = info.get("outlier_threshold")
        return None if level is None else float(level)
    level = record.threshold(info, quantile)
    if level is None:
        stored = ", ".join(info.get("outlier_quantiles") or ())
        held = f"its quantiles are {stored}" if stored else "it holds no quantiles"
        raise InputError(
            f"expected an outlier quantile that {model.name} can tell, got {quantile:g}; {held}: "
            + ("choose one of these or between them" if stored else "fit it with mixtura fit")
        )
    return level


def _write(
    mixture: Any, table: Any, x: Any, level: float | None, added: list[str], output: Path | None
) -> None:
    """Score and write batch by batch."""
    import numpy as np

    from mixtura.cli import columnsout, tableout

    whole = columnsout.whole(table, columnar=tableout.columnar(output))
    size = max(1, min(BATCH, NUMBERS // mixture.k))
    with tableout.writing(output) as write:
        for start in range(0, table.n, size):
            part = x[start : start + size]
            density, resp = mixture.log_density(part), mixture.responsibilities(part)
            values = [density, resp.argmax(axis=1).astype(np.int32), *resp.T]
            if level is not None:
                values.append(density < level)
            batch = whole.slice(start, len(part))
            write(columnsout.with_columns(batch, dict(zip(added, values, strict=True))))
