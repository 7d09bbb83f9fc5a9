"""The application: its commands, and what every failure looks like from outside."""

from __future__ import annotations

import inspect
import io
import os
import signal
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mixtura.cli.compare import compare
from mixtura.cli.condition import condition
from mixtura.cli.describe import describe
from mixtura.cli.fit import fit
from mixtura.cli.impute import impute
from mixtura.cli.predict import predict
from mixtura.cli.report import report
from mixtura.cli.sample import sample
from mixtura.cli.score import score
from mixtura.cli.voice import ClosedOutput, complain
from mixtura.errors import MixturaError

__all__ = ["app", "run"]


class Commands(TyperGroup):
    """Commands whose failures are sentences and exit codes, never tracebacks."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except MixturaError as error:
            complain(str(error))
            raise typer.Exit(1) from None
        except BrokenPipeError:
            raise typer.Exit(0) from None  # who read us has seen enough
        except MemoryError:
            complain(
                "expected the data to fit in memory, got more; use fewer columns or rows, or a "
                "machine with more memory"
            )
            raise typer.Exit(1) from None
        except OSError as error:
            where = f": {error.filename}" if error.filename else ""
            complain(f"{error.strerror or error}{where}; check the path and the space left")
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            complain("nothing was saved", kind="interrupted")
            raise typer.Exit(130) from None


def _prose(text: str) -> str:
    """A docstring as help: each paragraph on one line, but for those that start with ``\\b``."""
    parts = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(
        part.replace(r"\b", "\b", 1) if part.startswith(r"\b") else part.replace("\n", " ")
        for part in parts
    )


app = typer.Typer(
    cls=Commands,
    name="mixtura",
    help="Fit Gaussian mixtures to tables, and use them.",
    epilog="Start with: mixtura fit data.csv --report report.html",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (fit, report, score, condition, predict, impute, compare, sample, describe):
    app.command(no_args_is_help=True, help=_prose(command.__doc__ or ""))(command)


def _version(wanted: bool) -> None:
    if wanted:
        import mixtura

        print(f"mixtura {mixtura.__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Fit Gaussian mixtures to tables, and use them.

    A table is CSV or TSV (also .gz), Parquet, Arrow/Feather or NPY.
    """


def run() -> int:
    """Run the application on ``sys.argv``; the exit code."""
    signal.signal(signal.SIGTERM, _terminated)
    if sys.stdout is None:
        sys.stdout = ClosedOutput()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without ± is no reason to fail
    try:
        app(prog_name="mixtura")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except (MixturaError, OSError) as error:
        # Before any command began: --help that has nowhere to go.
        complain(str(getattr(error, "strerror", None) or error))
        code = 1
    except KeyboardInterrupt:
        complain("nothing was saved", kind="interrupted")
        code = 130
    try:
        sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            complain(f"standard output: {error.strerror}; check the space left")
            code = code or 1
        _hush()
    return code


def _hush() -> None:
    """Point standard output at nothing: Python would flush again on its way out, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _terminated(*_: Any) -> None:
    """SIGTERM ends the run like any failure: temporary files go."""
    sys.exit(143)
