"""``mixtura predict``: a table's rows, and the law of some columns given the others."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mixtura.cli import options, predicting
from mixtura.cli.arguments import Data, Level, Model, Prefix, TableOut
from mixtura.cli.files import check_source, check_target
from mixtura.cli.voice import note

__all__ = ["predict"]


def predict(
    model: Model,
    data: Data,
    target: Annotated[
        list[str],
        typer.Option(
            "--target",
            "-t",
            help="Column to predict; repeat it for several.",
            metavar="COLUMN",
            show_default=False,
        ),
    ],
    level: Level = 0.9,
    how: Annotated[
        str,
        typer.Option(
            help="The prediction: mean (least squared error), median (of each target) or mode "
            "(of all targets together).",
            metavar="NAME",
            callback=options.one_of("mean", "median", "mode"),
        ),
    ] = "mean",
    output: TableOut = None,
    prefix: Prefix = "",
) -> None:
    r"""Predict columns of a table from the others.

    The output holds the input's rows and columns, and adds for each target, here y:
    [bold]predicted_y[/bold]; [bold]y_low[/bold] and [bold]y_high[/bold], an interval that holds y
    with probability --level; [bold]y_sd[/bold], its standard deviation. Rows may have missing
    cells, and the table may lack columns: predictions then rest on what is there. If the table
    holds the target too, it is not used, and a note says how well it was predicted.

    [bold]Examples[/bold]

    \b
      mixtura predict data.safetensors new.csv --target waiting > predicted.csv
      mixtura predict data.safetensors new.csv -t width -t length --level 0.5
      mixtura predict data.safetensors new.csv -t price --how median -o out.tsv
    """
    from mixtura.cli import columnsout
    from mixtura.cli.errorcolumns import errors_ignored
    from mixtura.io import read
    from mixtura.sources import tables

    check_source(model, "a model file")
    tables.check(data)
    if output is not None:
        check_target("--output", output, [("the data", data), ("the model", model)])
    mixture, info = read(model)
    places = predicting.targets(mixture, target)
    table = tables.read(data)
    for text in table.notes:
        note(text)
    job = predicting.prepare(mixture, table, places)
    added = [
        prefix + form.format(name)
        for name in job.names
        for form in ("predicted_{}", "{}_low", "{}_high", "{}_sd")
    ]
    columnsout.check_added(table, added, ", or name the added ones apart: --prefix new_")
    for text in job.notes:
        note(text)
    if errors := info.get("noise_columns"):
        note(errors_ignored(errors))
    accuracy = _write(mixture, table, job, added, how, level, output)
    told = accuracy.told(job.names, level)
    rows = info.get("n_rows", 0) + ((info.get("missing") or {}).get("empty_rows") or 0)
    if told and (info.get("data"), rows) == (table.source, table.n):
        told.append("the model was fitted to these rows: expect a little less of new ones")
    for text in told:
        note(text)


def _write(
    mixture: Any, table: Any, job: Any, added: list[str], how: str, level: float, output: Any
) -> Any:
    """Predict and write batch by batch; how well it went."""
    from mixtura.cli import columnsout, tableout
    from mixtura.cli.accuracy import Accuracy
    from mixtura.mixture.predict import predict

    accuracy = Accuracy(job.y)
    whole = columnsout.whole(table, columnar=tableout.columnar(output))
    with tableout.writing(output) as write:
        for start, stop in tableout.batches(table.n, mixture.k * (1 + len(job.targets))):
            y = job.y[start:stop]
            found = predict(
                mixture, job.x[start:stop], job.given, job.targets, how=how, level=level, y=y
            )
            accuracy.add(found, y)
            values = [
                array[:, i]
                for i in range(len(job.targets))
                for array in (found.value, found.low, found.high, found.sd)
            ]
            batch = whole.slice(start, stop - start)
            write(columnsout.with_columns(batch, dict(zip(added, values, strict=True))))
    return accuracy
