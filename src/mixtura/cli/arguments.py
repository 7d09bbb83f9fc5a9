"""Arguments and options that several commands share, declared once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mixtura.cli import options

__all__ = ["AsJson", "Data", "Level", "Model", "NoiseColumns", "Prefix", "Seed", "TableOut"]

Model = Annotated[
    Path,
    typer.Argument(help="A model file (.safetensors).", metavar="MODEL", show_default=False),
]

Data = Annotated[
    Path,
    typer.Argument(
        help="The table: CSV or TSV (also .gz), Parquet, Arrow/Feather or NPY.",
        metavar="DATA",
        show_default=False,
    ),
]

TableOut = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="Where to write: .csv, .tsv (also .gz), .parquet, .feather or .arrow "
        "\\[default: CSV on standard output].",
        metavar="PATH",
        callback=options.table_format,
        show_default=False,
    ),
]

Seed = Annotated[
    int, typer.Option(help="Seed; the same one gives the same answer.", metavar="N", min=0)
]

Prefix = Annotated[
    str,
    typer.Option(
        help="Put before the names of the added columns.", metavar="TEXT", show_default=False
    ),
]

Level = Annotated[
    float,
    typer.Option(
        help="Probability that the intervals hold, half of the rest on either side.",
        metavar="P",
        callback=options.level,
    ),
]

NoiseColumns = Annotated[
    str | None,
    typer.Option(
        help="Columns of the errors (standard deviations) of the model's columns, in their order, "
        "one for all, or pairs such as a=e_a; or none: all values are exact "
        "\\[default: those of the fit, if the table has them].",
        metavar="A,B,…",
        callback=lambda value: (options.errors(value), value)[1],
        show_default=False,
    ),
]

AsJson = Annotated[bool, typer.Option("--json", help="Print everything as JSON, and nothing else.")]
