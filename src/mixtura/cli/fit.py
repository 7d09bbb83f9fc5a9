"""``mixtura fit``: from a table to a model file, a summary and a report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mixtura.cli import fitting, options
from mixtura.cli.files import check_target
from mixtura.cli.naming import stem
from mixtura.cli.voice import complain, emit, note, say, terminal_width

__all__ = ["fit"]


def fit(
    data: Annotated[
        Path,
        typer.Argument(
            help="The table: CSV or TSV (also .gz), Parquet, Arrow/Feather or NPY.",
            metavar="DATA",
            show_default=False,
        ),
    ],
    components: Annotated[
        str,
        typer.Option(
            "--components",
            "-k",
            help="How many: a number (5), a range (2..12), or auto.",
            metavar="K",
            callback=lambda value: (options.components(value), value)[1],
        ),
    ] = "auto",
    covariance: Annotated[
        str,
        typer.Option(
            help="Structure of the covariances: full, tied, diag (or diagonal), spherical "
            "(or isotropic), lowrank, block, kronecker, positive, mclust's EII to VVV, a list such "
            "as VEV,VVV,lowrank to choose from, or auto.",
            metavar="NAME",
            callback=options.covariance,
        ),
    ] = "auto",
    rank: Annotated[
        str | None,
        typer.Option(
            help="Directions of correlation in the lowrank structure: a number, or auto for one "
            "of each component's own.",
            metavar="R",
            callback=options.rank,
            show_default=False,
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            help="Columns to use, separated by commas \\[default: all numeric columns].",
            metavar="A,B,…",
            callback=lambda value: (options.names(value), value)[1],
            show_default=False,
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="Column of row weights.", metavar="COLUMN", show_default=False),
    ] = None,
    noise_columns: Annotated[
        str | None,
        typer.Option(
            help="Columns that hold the errors of measurement, as standard deviations, of the "
            "columns fitted: one for each, in their order, or one for all; or pairs such as "
            "a=e_a,b=e_b, where the others are exact. 0 is exact, inf a missing value.",
            metavar="E_A,E_B,…",
            callback=lambda value: (options.errors(value), value)[1],
            show_default=False,
        ),
    ] = None,
    precision: Annotated[
        str,
        typer.Option(
            help="double, single (float32), or mixed: float32 with an end in float64, where a "
            "table is large enough to gain by it.",
            metavar="NAME",
            callback=options.precision,
        ),
    ] = "mixed",
    memory: Annotated[
        str | None,
        typer.Option(
            help="Memory that the fit may take, such as 500MB: a larger table is read pass by pass "
            "\\[default: tables beyond a quarter of the free memory are, within that].",
            metavar="SIZE",
            callback=options.memory,
            show_default=False,
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Seed of the random starts.", metavar="N", min=0, max=2**31)
    ] = 0,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The model file \\[default: DATA's name + .safetensors, in this directory].",
            metavar="PATH",
            callback=options.model_file,
            show_default=False,
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="Also write a report: one self-contained HTML page.",
            metavar="PATH",
            callback=options.page,
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON, and nothing else.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Show no progress, notes or text summary.")
    ] = False,
) -> None:
    r"""Fit a mixture to the numeric columns of a table.

    Chooses the number of components and the structure of their covariances by BIC, prints a
    summary in the units of the table, and writes the model. Press Ctrl-C to stop early: the best
    model so far is saved.

    Cells may be missing (empty, NA, NaN, null, none or ?): a row counts by those that are there,
    and rows without any are left out. Columns named with --noise-columns hold standard deviations
    (not variances) of the values' errors; the mixture is then that of the values without errors.

    A table that is large against the free memory is read pass by pass, and CSV once, to a temporary
    file of numbers beside the model.

    [bold]Examples[/bold]

    \b
      mixtura fit data.csv
      mixtura fit data.parquet --report report.html
      mixtura fit data.tsv.gz --components 2..12 --covariance full
      mixtura fit data.csv --covariance EEE,VEV,VVV,lowrank --rank auto
      mixtura fit data.csv --columns height,weight --weights survey_weight
      mixtura fit stars.csv --columns pmRA,pmDE --noise-columns e_pmRA,e_pmDE
      mixtura fit large.parquet --components 32 --memory 500MB
      mixtura fit data.npy --components 5 --json --quiet > summary.json
    """
    names = options.names(columns)
    factors = None if rank is None else "auto" if rank == "auto" else int(rank)
    if rank is not None and covariance != "auto" and "lowrank" not in covariance.split(","):
        raise typer.BadParameter(
            f"expected --rank with the lowrank structure, got --covariance {covariance}; "
            "use --covariance lowrank",
            param_hint="'--rank'",
        )
    if weights is not None and names is not None and weights in names:
        raise typer.BadParameter(
            f"expected a column that is not fitted, got {weights!r}, which --columns lists too",
            param_hint="'--weights'",
        )
    errors = options.errors(noise_columns)
    if weights is not None and errors is not None and weights in errors:
        raise typer.BadParameter(
            f"expected columns of errors, got {weights!r}, which --weights names too",
            param_hint="'--noise-columns'",
        )
    from mixtura.cli import page
    from mixtura.report import check_extras
    from mixtura.sources import tables

    tables.check(data)
    model = output or Path(stem(data) + ".safetensors")
    check_target("--output", model, [("the data", data)])
    if report is not None:
        check_target("--report", report, [("the data", data), ("the model", model)])
        check_extras()
    counts = options.components(components)
    job = fitting.prepare_stream(
        data, memory, counts, covariance, factors, names, weights, seed, model.resolve().parent,
        quiet, errors,
    )  # fmt: skip
    if job is None:
        job = fitting.prepare(data, counts, covariance, factors, names, weights, quiet, errors)
    outcome = fitting.search(job, covariance, factors, seed, quiet, precision)
    info, rest = fitting.finish(
        job, outcome, {"components": components, "covariance": covariance, "rank": factors,
                       "precision": precision, "seed": seed, "weights": weights},
    )  # fmt: skip
    fitting.save(outcome.mixture, model, info)
    if outcome.interrupted:
        complain(_said(outcome, model, report), kind="interrupted")
    elif report is not None:
        try:
            told = {**info, "model": model.name}
            page.write(report, outcome.mixture, job.rows, told, quiet=quiet, fitted=True)
        except KeyboardInterrupt:
            said = f"the model was saved to {model}; the report was not written"
            complain(said, kind="interrupted")
            raise typer.Exit(130) from None
    for text in rest:
        note(text, quiet=quiet)
    if as_json:
        emit(_machine(outcome, info, model, report))
    elif not quiet:
        _print(job, outcome, info, model, report)
    if outcome.interrupted:
        raise typer.Exit(130)


# ------------------------------------------------------------------ what is said


def _said(outcome: fitting.Outcome, model: Path, report: Path | None) -> str:
    k, structure = outcome.mixture.k, outcome.best["covariance_type"]
    what = f"{k} component{'s' * (k != 1)}, structure {structure}"
    if outcome.best["bic"] is None:
        what += f", iteration {outcome.best['n_iter']}, not converged"
    else:
        what += f", BIC {outcome.best['bic']:,.1f}"
    skipped = "; the report was not written" if report is not None else ""
    return f"the best model so far ({what}) was saved to {model}{skipped}"


def _machine(
    outcome: fitting.Outcome, info: dict[str, Any], model: Path, report: Path | None
) -> Any:
    """The summary for machines."""
    from mixtura.cli.describe import parameters

    written = str(report) if report is not None and not outcome.interrupted else None
    return {
        **info,
        "model": str(model),
        "report": written,
        "components": parameters(outcome.mixture),
    }


def _print(
    job: fitting.Job,
    outcome: fitting.Outcome,
    info: dict[str, Any],
    model: Path,
    report: Path | None,
) -> None:
    from mixtura.cli import measuring, summary

    d = len(job.picked.columns)
    weighed = f", weighted by {info['weights_column']}" if info["weights_column"] else ""
    say(f"{job.table.source}: {job.n:,} rows, {d:,} column{'s' * (d != 1)}{weighed}")
    say(*measuring.said(info), *summary.headline(outcome.mixture, info))
    if table := summary.bic_table(info):
        say("", *table)
    tables = summary.component_tables(outcome.mixture, job.picked.columns, terminal_width())
    say("", *tables)
    say("", f"model   {model}")
    if report is not None and not outcome.interrupted:
        say(f"report  {report}")
