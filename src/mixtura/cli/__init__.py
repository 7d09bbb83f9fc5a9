"""Floor 9: the command line, ``mixtura COMMAND``; ``app`` lists the commands.

Exit codes: 0; 1 when data, a model or a file is at fault; 2 for usage; 130 after Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from mixtura.errors import MissingExtraError

__all__ = ["main"]


def main() -> None:
    """Run the command that ``sys.argv`` holds, and exit with its code."""
    try:
        import rich  # noqa: F401  (Typer looks for it only when it has something to say)

        from mixtura.cli.app import run
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in ("typer", "rich"):
            raise
        print(f"error: {MissingExtraError(package, 'cli', 'the command line')}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted before anything was done", file=sys.stderr)
        sys.exit(130)
    code = run()
    # Everything is written. PyArrow's threads may still be starting, and would abort a process that
    # takes its libraries down under them.
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.flush()
    os._exit(code)
