"""``mixtura compare``: two models side by side, and how different they are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mixtura.cli.arguments import AsJson, Seed
from mixtura.cli.files import check_source
from mixtura.cli.reading import read
from mixtura.cli.voice import emit, note, say, terminal_width

__all__ = ["compare"]


def compare(
    first: Annotated[
        Path,
        typer.Argument(
            help="A model file (.safetensors), called a.", metavar="MODEL", show_default=False
        ),
    ],
    second: Annotated[
        Path,
        typer.Argument(help="Another one, called b.", metavar="MODEL", show_default=False),
    ],
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Also hold both against the rows of a table.",
            metavar="DATA",
            show_default=False,
        ),
    ] = None,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    r"""Compare two models of the same columns.

    Says how well rows of one can be told from rows of the other; the Kullback–Leibler divergence
    either way, with standard errors and bounds that hold for certain; the mixture-Wasserstein and
    sliced Wasserstein distances and L2; and which component of one became which of the other. With
    --data, also which model gives the table's rows the higher density, and how many of them change
    component.

    [bold]Examples[/bold]

    \b
      mixtura compare data.safetensors new.safetensors
      mixtura compare data.safetensors new.safetensors --data data.csv
      mixtura compare data.safetensors new.safetensors --json > difference.json
    """
    from mixtura.cli import comparing, sidebyside
    from mixtura.sources import tables

    for path in (first, second):
        check_source(path, "a model file")
    if data is not None:
        tables.check(data)
    (a, info), (b, other) = read(first), read(second)
    names = (first.name, second.name) if first.name != second.name else (str(first), str(second))
    a, b, assumed = comparing.aligned(a, b, names)
    if assumed:
        note(assumed)
    rows: Any = None if data is None else _rows(data, a if a.columns is not None else b)
    found = comparing.differences(a, b, seed)
    if data is not None:
        matched = found["components"]["matched"]
        found["rows"] = {"data": data.name, **comparing.over_rows(a, b, rows, matched)}
    columns = a.columns or b.columns or tuple(f"x{j}" for j in range(a.d))
    sides = [_side(names[0], a, info), _side(names[1], b, other)]
    if as_json:
        emit(sidebyside.machine(columns, sides, found))
    else:
        say(*sidebyside.lines(columns, sides, found, terminal_width()))


def _rows(data: Path, mixture: Any) -> Any:
    """The models' columns of a table (n, d)."""
    from mixtura.cli.columns import model_columns
    from mixtura.sources import tables

    table = tables.read(data)
    for text in table.notes:
        note(text)
    return model_columns(mixture, table)


def _side(name: str, mixture: Any, info: dict[str, Any]) -> dict[str, Any]:
    """What stands in one column of the table of both.

    The matrices held may be freer than the structure that was fitted, so parameters are those of
    the record; without any, they are counted where the matrices are of the structure itself.
    """
    structure, held = info.get("covariance_type"), mixture.covariance
    free = info.get("n_parameters")
    if free is None and structure in (None, held.name):
        free = mixture.k - 1 + mixture.k * mixture.d + held.n_parameters()
    return {
        "model": name,
        "n_components": mixture.k,
        "structure": structure or held.name,
        "n_parameters": None if free is None else int(free),
        "data": info.get("data"),
        "n_rows": info.get("n_rows"),
        "bic": info.get("bic"),
    }
