"""``mixtura score``: a table's rows, and what a model says of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from mixtura.cli import options
from mixtura.cli.arguments import Data, Model, NoiseColumns, Prefix, TableOut
from mixtura.cli.files import check_source, check_target
from mixtura.cli.reading import read
from mixtura.cli.voice import note

__all__ = ["score"]

#: Rows scored at a time, and numbers held at a time in responsibilities.
BATCH, NUMBERS = 65_536, 8_000_000
#: Bytes of a file beyond which it is read, scored and written part by part; rows of a part, or
#: bytes of text. Rows with gaps are held against draws of their own in each.
LARGE, ROWS, TEXT = 16 << 20, 131_072, 16 << 20


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
    noise_columns: NoiseColumns = None,
    prefix: Prefix = "",
) -> None:
    r"""Score every row of a table under a model.

    The output holds the input's rows and columns, and adds: [bold]log_density[/bold] (nats);
    [bold]component[/bold], the most likely one, numbered from 0; [bold]resp_0[/bold],
    [bold]resp_1[/bold], …, the probability of each component; [bold]outlier[/bold], whether the
    log-density lies below a quantile of those of the rows the model was fitted to. Columns are
    found by name, in any order.

    Of a row with missing cells this is the density of the others; if the model was fitted with
    errors of measurement and the table has their columns, it is that of the values as measured. As
    such densities are no measure of each other, a row with gaps or errors is an outlier if it is
    as unlikely among rows measured alike as the level is among whole and exact rows.

    [bold]Examples[/bold]

    \b
      mixtura score data.safetensors new.csv > scored.csv
      mixtura score data.safetensors new.parquet --output scored.parquet
      mixtura score data.safetensors new.csv --outlier-quantile 0.001 -o out.tsv.gz
    """
    from mixtura.cli import columnsout, errorcolumns, measuring, tableout
    from mixtura.cli.columns import model_columns, model_names
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
    asked = options.errors(noise_columns)
    parts = _parts(data)
    first = next(parts)
    skip = [] if mixture.columns else errorcolumns.taken(asked, first)
    names = model_names(mixture, first, missing=True, skip=skip)
    errors, said = errorcolumns.in_table(first, info, asked, names)
    added = ["log_density", "component", *(f"resp_{k}" for k in range(mixture.k))]
    if level is not None:
        added.append("outlier")
    added = [prefix + name for name in added]
    columnsout.check_added(first, added, ", or name the added ones apart: --prefix new_")
    kinds = columnsout.kinds(first, _parts(data)) if _in_parts(data, output) else None
    missing = Missing(names)
    with tableout.writing(output) as write:
        for table in chain([first], parts):
            for text in table.notes:
                note(text)
            x = model_columns(mixture, table, missing=True, names=names)
            rows = measuring.observe(table, x, names, None, errors, keep_empty=True)
            missing.add(rows)
            _write(mixture, table, rows, level, added, output, write, kinds)
    for text in [*said, *missing.said(level is not None)]:
        note(text)


def _parts(data: Path) -> Iterator[Any]:
    """The table, in parts where it is large; a pipe can be read once, as a whole."""
    from mixtura.sources import blocks, tables

    if data.is_file() and data.stat().st_size > LARGE:
        yield from blocks.blocks(data, ROWS, TEXT)
    else:
        yield tables.read(data)


def _in_parts(data: Path, output: Path | None) -> bool:
    """Whether parts of the table must agree on the kinds of their columns."""
    from mixtura.cli import tableout

    return tableout.columnar(output) and data.is_file() and data.stat().st_size > LARGE


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


class Missing:
    """How many cells are missing, part by part, and what follows."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.n = self.rows = self.empty = 0
        self.cells: Counter[str] = Counter()

    def add(self, rows: Any) -> None:
        """Another part of the table."""
        self.n += rows.n
        self.rows += int(rows.missing.any(axis=1).sum())
        self.empty += int(rows.missing.all(axis=1).sum())
        for name, count in zip(self.names, rows.missing.sum(axis=0), strict=True):
            self.cells[name] += int(count)

    def said(self, flagged: bool) -> list[str]:
        """What is said of it."""
        from mixtura.report.wording import plural
        from mixtura.sources.tables import told

        total = sum(self.cells.values())
        if not total:
            return []
        each = told([f"{name} {count:,}" for name, count in self.cells.items() if count])
        notes = [
            f"{plural(total, 'cell')} in {self.rows:,} of {plural(self.n, 'row')} "
            f"{'is' if total == 1 else 'are'} missing ({each}): log-densities there are of the "
            "other cells"
            + (", and outliers are judged among rows with the same cells" if flagged else "")
        ]
        if self.empty:
            notes.append(
                f"{plural(self.empty, 'row')} had no value in any of the model's columns: "
                "log-density 0, the model's own weights as responsibilities, never an outlier"
            )
        return notes


def _write(
    mixture: Any,
    table: Any,
    rows: Any,
    level: float | None,
    added: list[str],
    output: Path | None,
    write: Any,
    kinds: Any,
) -> None:
    """Score and write batch by batch."""
    import numpy as np

    from mixtura.arrays.linalg import log_softmax
    from mixtura.cli import columnsout, tableout
    from mixtura.report.tail import flags

    every = rows.log_density(mixture)
    outlier = None if level is None else flags(mixture, rows, every, level)
    whole = columnsout.whole(table, columnar=tableout.columnar(output), kinds=kinds)
    size = max(1, min(BATCH, NUMBERS // mixture.k))
    for start in range(0, table.n, size):
        part = slice(start, start + size)
        resp = np.exp(log_softmax(rows.log_joint(mixture, part)))
        values = [every[part], resp.argmax(axis=1).astype(np.int32), *resp.T]
        if outlier is not None:
            values.append(outlier[part])
        batch = whole.slice(start, len(resp))
        write(columnsout.with_columns(batch, dict(zip(added, values, strict=True))))
