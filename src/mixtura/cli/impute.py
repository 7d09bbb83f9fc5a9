"""``mixtura impute``: a table with its missing cells filled in from a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mixtura.cli import options
from mixtura.cli.arguments import Data, Model, Seed, TableOut
from mixtura.cli.files import check_source, check_target
from mixtura.cli.voice import note

__all__ = ["impute"]


def impute(
    model: Model,
    data: Data,
    how: Annotated[
        str,
        typer.Option(
            help="What fills a cell, given the rest of its row: the mean, median (of each cell) "
            "or mode, or a sample, whose cells keep the spread and the correlations of the data.",
            metavar="NAME",
            callback=options.one_of("mean", "median", "mode", "sample"),
        ),
    ] = "mean",
    draws: Annotated[
        int,
        typer.Option(
            help="Write so many copies of every row, each with a sample of its own, and number "
            "them from 1 in a column draw; needs --how sample.",
            metavar="N",
            min=1,
        ),
    ] = 1,
    seed: Seed = 0,
    flag: Annotated[
        bool,
        typer.Option(
            "--flag", help="Add a column imputed: whether any cell of the row was filled in."
        ),
    ] = False,
    output: TableOut = None,
) -> None:
    r"""Fill in the missing cells of a table.

    Cells of the model's columns that are empty or say NA, NaN, null, none or ? are filled in from
    their law given the rest of the row. Everything else is written as it came. Rows without any
    value are filled in from the model alone.

    [bold]Examples[/bold]

    \b
      mixtura impute data.safetensors holes.csv > whole.csv
      mixtura impute data.safetensors holes.csv --how sample --draws 20 > 20.csv
      mixtura impute data.safetensors holes.tsv.gz --flag -o whole.tsv.gz
    """
    if draws > 1 and how != "sample":
        raise typer.BadParameter(
            f"expected --how sample with --draws, got --how {how}, whose copies would be equal; "
            "add --how sample",
            param_hint="'--draws'",
        )
    from mixtura.cli import columnsout
    from mixtura.cli.columns import model_columns, names_in
    from mixtura.cli.errorcolumns import errors_ignored
    from mixtura.io import read
    from mixtura.sources import tables

    check_source(model, "a model file")
    tables.check(data)
    if output is not None:
        check_target("--output", output, [("the data", data), ("the model", model)])
    mixture, info = read(model)
    table = tables.read(data)
    for text in table.notes:
        note(text)
    x = model_columns(mixture, table, missing=True)
    columnsout.check_added(table, ["draw"] * (draws > 1) + ["imputed"] * flag)
    names = names_in(mixture, table)
    if errors := info.get("noise_columns"):
        note(errors_ignored(errors))
    _write(mixture, table, x, names, (how, draws, seed, flag), output)
    for text in _said(names, x, how):
        note(text)


def _said(names: list[str], x: Any, how: str) -> list[str]:
    """How many cells were filled in, and where."""
    import numpy as np

    from mixtura.sources.tables import told

    missing = np.isnan(x)
    if not missing.any():
        return ["no cell of the model's columns is missing: the table was written as it is"]
    count, rows = int(missing.sum()), int(missing.any(axis=1).sum())
    each = told(
        [f"{name} {n:,}" for name, n in zip(names, missing.sum(axis=0), strict=True) if n > 0]
    )
    by = "a sample of its law" if how == "sample" else f"the {how} of its law"
    notes = [
        f"filled in {count:,} cell{'s' * (count != 1)} in {rows:,} of {len(x):,} rows ({each}), "
        f"each by {by} given the rest of the row"
    ]
    if empty := int(missing.all(axis=1).sum()):
        notes.append(
            f"{empty:,} row{'s' * (empty != 1)} had no value in any of the model's columns and "
            "came from the model alone"
        )
    return notes


def _write(
    mixture: Any,
    table: Any,
    x: Any,
    names: list[str],
    settings: tuple[str, int, int, bool],
    output: Path | None,
) -> None:
    """Fill in and write batch by batch."""
    import numpy as np

    from mixtura.cli import columnsout, tableout

    how, draws, seed, flag = settings
    columnar = tableout.columnar(output)
    whole = columnsout.whole(table, columnar=columnar)
    holes = np.flatnonzero(np.isnan(x).any(axis=0)).tolist()
    rng = np.random.default_rng(seed)
    with tableout.writing(output) as write:
        for start, stop in tableout.batches(table.n, draws * (mixture.d + mixture.k)):
            rows = np.repeat(np.arange(start, stop), draws)
            missing = np.isnan(x[rows])
            full = _filled(mixture, x[start:stop], how, draws, rng)
            batch = whole.slice(start, stop - start)
            batch = batch.take(rows - start) if draws > 1 else batch
            for j in holes:
                place = batch.column_names.index(names[j])
                cells = columnsout.filled(
                    batch.column(place), full[:, j], missing[:, j], columnar=columnar
                )
                batch = batch.set_column(place, names[j], cells)
            added: dict[str, Any] = {}
            if draws > 1:
                added["draw"] = np.tile(np.arange(1, draws + 1, dtype=np.int32), stop - start)
            if flag:
                added["imputed"] = missing.any(axis=1)
            write(columnsout.with_columns(batch, added))


def _filled(mixture: Any, x: Any, how: str, draws: int, rng: Any) -> Any:
    """Rows (b · draws, d) without holes, the draws of a row beside each other."""
    if draws == 1:
        return mixture.impute(x, how, rng=rng)
    drawn = mixture.impute(x, how, n_draws=draws, rng=rng)
    return drawn.swapaxes(0, 1).reshape(-1, mixture.d)
