"""``mixtura report``: the page about a model and a table's rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mixtura.cli import options
from mixtura.cli.arguments import Data, NoiseColumns
from mixtura.cli.files import check_source, check_target
from mixtura.cli.naming import stem
from mixtura.cli.voice import note

__all__ = ["report"]


def report(
    model: Annotated[
        Path,
        typer.Argument(
            help="A model file written by mixtura fit.", metavar="MODEL", show_default=False
        ),
    ],
    data: Data,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The page \\[default: DATA's name + .html, in this directory].",
            metavar="PATH",
            show_default=False,
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="Column of row weights \\[default: the one the model was fitted with, if the "
            "table has it].",
            metavar="COLUMN",
            show_default=False,
        ),
    ] = None,
    noise_columns: NoiseColumns = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show no progress, notes or text summary.")
    ] = False,
) -> None:
    r"""Write a report about a model and a table: one self-contained HTML page.

    It shows the components, the rows beside them, how certain the assignments are, the least
    likely rows, and a check of fit. If the rows are exactly those the model was fitted to, the
    check holds rows out and fits again; any others, such as a part of them, are tried on the model
    as it is. Columns are found by name, in any order. Cells may be missing, and where the model was
    fitted with errors of measurement, rows are taken with theirs.

    [bold]Examples[/bold]

    \b
      mixtura report data.safetensors data.csv
      mixtura report data.safetensors new.parquet --output new.html
    """
    from mixtura.cli import errorcolumns, measuring, page
    from mixtura.cli.columns import model_columns, names_in
    from mixtura.errors import InputError
    from mixtura.io import read
    from mixtura.report import brief, check_extras
    from mixtura.sources import picking, tables

    check_source(model, "a model file")
    tables.check(data)
    target = output or Path(stem(data) + ".html")
    check_target("--output", target, [("the data", data), ("the model", model)])
    check_extras()
    mixture, info = read(model)
    if weights is not None and weights in (mixture.columns or ()):
        raise typer.BadParameter(
            f"expected a column that is not fitted, got {weights!r}, a column of the model",
            param_hint="'--weights'",
        )
    table = tables.read(data)
    for text in table.notes:
        note(text, quiet=quiet)
    weigh, said = _weights(table, info, weights)
    weight = None if weigh is None else picking.weights(table, weigh)
    asked = options.errors(noise_columns)
    skip = [*([] if weigh is None else [weigh]), *errorcolumns.taken(asked, table)]
    skip = [] if mixture.columns else skip
    x = model_columns(mixture, table, missing=True, skip=skip)
    names = names_in(mixture, table, skip=skip)
    errors, told_of = errorcolumns.in_table(table, info, asked, names)
    for text in [*said, *told_of]:
        note(text, quiet=quiet)
    said += told_of if errors != (info.get("noise_columns") or {}) else []  # the page tells it
    rows = measuring.observe(table, x, names, weight, errors)
    if rows.n == 0:
        raise InputError(
            f"expected at least one row {'with a value ' if rows.empty else ''}in {table.source}, "
            "got none; add rows"
        )
    told = {**info, "model": model.name, "notes": [*(info.get("notes") or ()), *said]}
    check = page.write(target, mixture, rows, told, quiet=quiet, data=table.source)
    if not quiet:
        print(f"report  {target}")
        print(f"check   {brief(check)}")


def _weights(table: Any, info: dict[str, Any], asked: str | None) -> tuple[str | None, list[str]]:
    """The column of weights to use, and what to say of it."""
    fitted = info.get("weights_column")
    if asked is not None:
        if fitted is not None and asked != fitted:
            return asked, [f"rows are weighted by {asked}; the model was fitted with {fitted}"]
        return asked, [f"rows are weighted by {asked}"]
    if fitted is None:
        return None, []
    if fitted in table.names:
        return fitted, [f"rows are weighted by {fitted}, as the model was fitted"]
    return None, [
        f"the model was fitted with weights ({fitted}), which {table.source} has not: "
        "all rows count alike"
    ]
