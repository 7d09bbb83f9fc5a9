"""What the command line says beside its results: notes and complaints, on standard error."""

from __future__ import annotations

import contextlib
import io
import shutil
import sys
from typing import Any

from mixtura.errors import InputError

__all__ = ["ClosedOutput", "complain", "note", "stderr", "terminal_width"]


class ClosedOutput(io.TextIOBase):
    """Stands for a standard output that was closed before the start: to write there is an error.

    Python puts None there, to which ``print`` says nothing and which has no ``write``.
    """

    #: What libraries ask for before they write.
    encoding = "utf-8"

    @property
    def buffer(self) -> ClosedOutput:
        """Where bytes would go."""
        return self

    def write(self, content: Any) -> int:
        """Refuse.

        Raises
        ------
        InputError
        """
        raise InputError(
            "expected an open standard output, got a closed one; leave >&- out, and send what is "
            "printed to a file with > or, where the command has it, --output"
        )


def stderr() -> Any:
    """A console on standard error that takes text literally."""
    from rich.console import Console

    return Console(stderr=True, markup=False, highlight=False, emoji=False)


def complain(text: str, *, kind: str = "error") -> None:
    """``error: …`` on standard error."""
    _say(kind, text, "bold red")


def note(text: str, *, quiet: bool = False) -> None:
    """``note: …`` on standard error, unless quiet."""
    if not quiet:
        _say("note", text, "bold yellow")


def _say(kind: str, text: str, style: str) -> None:
    from rich.text import Text

    if sys.stdout is not None:
        with contextlib.suppress(OSError):
            sys.stdout.flush()  # what was printed before stays before
    stderr().print(Text.assemble((f"{kind}: ", style), text), soft_wrap=True)


def terminal_width() -> int:
    """Columns to write in: the terminal's, or 100 where there is none."""
    return shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else 100
