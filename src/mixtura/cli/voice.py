"""What the command line says: results on standard output, notes and complaints on standard error.

Names of columns and files come from anywhere, so every line passes ``plain`` on its way out.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import re
import shutil
import sys
from typing import Any

from mixtura.errors import InputError

__all__ = [
    "ClosedOutput",
    "complain",
    "emit",
    "note",
    "plain",
    "say",
    "stderr",
    "terminal_width",
]

#: Characters that would move the cursor, start a new line, or turn the direction of writing.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


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


def plain(text: str) -> str:
    """The text with control characters as escapes, such as ``\\n`` and ``\\x1b``."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def say(*lines: str) -> None:
    """Lines on standard output."""
    for line in lines:
        print(plain(line))


def emit(value: Any) -> None:
    """A value as JSON on standard output; null stands for numbers that JSON has not."""
    print(json.dumps(_finite(value), allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    return [_finite(inner) for inner in value] if isinstance(value, list | tuple) else value


def _say(kind: str, text: str, style: str) -> None:
    from rich.text import Text

    if sys.stdout is not None:
        with contextlib.suppress(OSError):
            sys.stdout.flush()  # what was printed before stays before
    stderr().print(Text.assemble((f"{kind}: ", style), plain(text)), soft_wrap=True)


def terminal_width() -> int:
    """Columns to write in: the terminal's, or 100 where there is none."""
    return shutil.get_terminal_size((100, 24)).columns if sys.stdout.isatty() else 100
