"""``mixtura score``: a table's rows, and what a model says of each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mixtura.cli import options
from mixtura.cli.files import check_source, check_target
from mixtura.cli.voice import note

__all__ = ["score"]

#: Rows scored at a time, and numbers held at a time in responsibilities.
BATCH, NUMBERS = 65_536, 8_000_000


def output_format(value: Path | None) -> Path | None:
    """Refuse names that end in nothing we write."""
    from mixtura.cli.tableout import format_of

    if format_of(value) is None:
        raise typer.BadParameter(
            f"expected a name that ends in .csv, .tsv (also .gz), .parquet, .feather or .arrow; "
            f"got {value}"
        )
    return value


def score(
    model: Annotated[
        Path,
        typer.Argument(
            help="A model file written by mixtura fit.", metavar="MODEL", show_default=False
        ),
    ],
    data: Annotated[
        Path,
        typer.Argument(
            help="The table: CSV or TSV (also .gz), Parquet, Arrow/Feather or NPY.",
            metavar="DATA",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Where to write: .csv, .tsv (also .gz), .parquet, .feather or .arrow "
            "\\[default: CSV on standard output].",
            metavar="PATH",
            callback=output_format,
            show_default=False,
        ),
    ] = None,
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
    prefix: Annotated[
        str,
        typer.Option(
            help="Put before the names of the added columns.", metavar="TEXT", show_default=False
        ),
    ] = "",
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
    from mixtura.io import read
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
    x = _numbers(mixture, table)
    added = ["log_density", "component", *(f"resp_{k}" for k in range(mixture.k))]
    if level is not None:
        added.append("outlier")
    added = [prefix + name for name in added]
    _check_names(table, added)
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


def _numbers(mixture: Any, table: Any) -> Any:
    """The model's columns of the table (n, d), by name."""
    from mixtura.errors import InputError
    from mixtura.sources import picking
    from mixtura.sources.tables import near, told

    if mixture.columns is None:
        picked = picking.pick(table)
        if len(picked.columns) != mixture.d:
            raise InputError(
                f"expected {mixture.d} numeric columns, as the model has (it knows no names), got "
                f"{len(picked.columns)} ({told(picked.columns)}); "
                "keep those the model was fitted to"
            )
        return picked.x
    missing = [name for name in mixture.columns if name not in table.names]
    if missing:
        hints = [hint for name in missing[:3] if (hint := near(name, table.names))]
        raise InputError(
            f"expected the model's {mixture.d} columns ({told(mixture.columns)}) in "
            f"{table.source}, got a table without {told([repr(name) for name in missing])}; "
            f"add {'it' if len(missing) == 1 else 'them'} or rename"
            + (f" ({' '.join(hints)})" if hints else f" (the table has {told(table.names)})")
        )
    return picking.pick(table, list(mixture.columns), choosable=False).x


def _check_names(table: Any, added: list[str]) -> None:
    from mixtura.errors import InputError
    from mixtura.sources.tables import told

    clash = [name for name in added if name in table.names]
    if clash:
        raise InputError(
            f"expected a table without the columns that are added, got {told(clash)}; rename or "
            "drop them, or name the added ones apart: --prefix new_"
        )


def _write(
    mixture: Any, table: Any, x: Any, level: float | None, added: list[str], output: Path | None
) -> None:
    """Score and write batch by batch."""
    import numpy as np
    import pyarrow as pa

    from mixtura.cli import tableout

    kind = tableout.format_of(output)
    typed = table.kind == "text" and kind in ("parquet", "arrow")
    columns = [tableout.as_arrow(column, typed=typed) for column in table.columns]
    whole = pa.table(dict(zip(table.names, columns, strict=True)))
    size = max(1, min(BATCH, NUMBERS // mixture.k))
    with tableout.writing(output) as write:
        for start in range(0, table.n, size):
            part = x[start : start + size]
            density, resp = mixture.log_density(part), mixture.responsibilities(part)
            values = [density, resp.argmax(axis=1).astype(np.int32), *resp.T]
            if level is not None:
                values.append(density < level)
            batch = whole.slice(start, len(part))
            for name, value in zip(added, values, strict=True):
                batch = batch.append_column(name, pa.array(np.ascontiguousarray(value)))
            write(batch)
