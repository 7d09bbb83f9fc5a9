"""``mixtura condition``: the law of a model's remaining columns, once some are given."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mixtura.cli import options
from mixtura.cli.arguments import AsJson, Level, Model
from mixtura.cli.files import check_source, check_target
from mixtura.cli.reading import read
from mixtura.cli.voice import emit, note, say, terminal_width

__all__ = ["condition"]


def condition(
    model: Model,
    given: Annotated[
        list[str],
        typer.Option(
            "--given",
            "-g",
            help="A column and its value; repeat it for several.",
            metavar="COLUMN=VALUE",
            callback=lambda values: (options.given(values), values)[1],
            show_default=False,
        ),
    ],
    level: Level = 0.9,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Also write the law of the rest as a model file (.safetensors).",
            metavar="PATH",
            callback=options.model_file,
            show_default=False,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    r"""Fix some columns of a model, and tell the law of the others.

    The answer is a mixture again: the components keep their numbers and change their weights. A
    note says so when the given values are unlikely under the model itself.

    [bold]Examples[/bold]

    \b
      mixtura condition data.safetensors --given eruptions=3
      mixtura condition data.safetensors -g height=1.8 -g age=40 --json
      mixtura condition data.safetensors -g height=1.8 --output tall.safetensors
    """
    from mixtura.cli import conditioning

    check_source(model, "a model file")
    if output is not None:
        check_target("--output", output, [("the model", model)])
    mixture, info = read(model)
    answer = conditioning.condition(mixture, options.given(given), level)
    if output is not None:
        from mixtura.cli.fitting import save

        save(answer.rest, output, conditioning.record(answer, info, model.name))
    if text := answer.warning(info):
        note(text)
    if as_json:
        emit(_machine(answer, model, output))
        return
    _print(answer, model, output)


def _machine(answer: Any, model: Path, output: Path | None) -> dict[str, Any]:
    """The answer for machines."""
    from mixtura.cli.describe import parameters

    return {
        "model": str(model),
        "given": answer.given,
        "log_density": answer.log_density,
        "share_less_likely": answer.share,
        "columns": list(answer.rest.columns),
        "n_components": answer.rest.k,
        "covariance": answer.rest.covariance.name,
        "level": answer.level,
        "law": {
            name: {"mean": mean, "sd": sd, "low": low, "median": median, "high": high}
            for name, mean, sd, low, median, high in answer.lines()
        },
        "components": parameters(answer.rest),
        "output": None if output is None else str(output),
    }


def _print(answer: Any, model: Path, output: Path | None) -> None:
    from mixtura.cli import summary
    from mixtura.report.numbers import number, pair
    from mixtura.sources.tables import told

    rest = answer.rest
    given = told([f"{summary.short(name)} = {value:g}" for name, value in answer.given.items()])
    say(f"{model.name}: {told(map(summary.short, rest.columns))} given {given}")
    say(f"{rest.k} component{'s' * (rest.k != 1)}, structure {rest.covariance.name}")
    say(
        f"log-density of what is given {number(answer.log_density, 5)} nats: {answer.rarity()} of "
        "the model's rows are less likely"
    )
    low, high = (f"{50 * (1 + sign * answer.level):.4g}%" for sign in (-1, 1))
    lines = [
        [summary.short(name), pair(mean, sd), *(_digits(value, sd) for value in quantiles)]
        for name, mean, sd, *quantiles in answer.lines()[: summary.MOST_COLUMNS]
    ]
    say("")
    for line in summary.grid(["", "mean ± sd", low, "median", high], lines):
        say(f"  {line}")
    if rest.d > summary.MOST_COLUMNS:
        say(f"  … {summary.MOST_COLUMNS} of {rest.d} columns; --json lists all")
    say("")
    for line in summary.component_tables(rest, rest.columns, terminal_width()):
        say(line.replace("mixtura describe --json", "--json"))
    if output is not None:
        say("", f"model   {output}")


def _digits(value: float, sd: float) -> str:
    """A number to the place of its standard deviation's second digit, as in ``mean ± sd``."""
    import math

    from mixtura.report.numbers import number

    size = max(abs(value), sd)
    if sd <= 0 or not 1e-3 <= size < 1e7:
        return number(value)
    places = 1 - math.floor(math.log10(float(f"{sd:.1e}")))
    return f"{value:,.{min(max(places, 0), 20)}f}"
