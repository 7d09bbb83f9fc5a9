"""The report's page as a file: the check of fit, with its progress shown, then the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mixtura.cli.files import replacing

__all__ = ["write"]


def write(
    path: Path,
    mixture: Any,
    rows: Any,
    info: dict[str, Any],
    *,
    quiet: bool,
    fitted: bool | None = None,
    data: str | None = None,
) -> Any:
    """Write the page, whole or not at all; returns the check of fit.

    Parameters
    ----------
    path : Path
    mixture : Mixture
    rows : Rows
    info : dict
        The model's record.
    quiet : bool
        Whether no progress is shown.
    fitted : bool, optional
        Whether these are the rows that the model was fitted to; found out by default.
    data : str, optional
        The name of the rows' table, where it is not the one fitted.
    """
    from mixtura import report
    from mixtura.cli.progress import watching

    with watching(quiet=quiet) as watcher:
        check = report.fit_check(mixture, rows, info, fitted=fitted, callback=watcher)
    with replacing(path) as temporary:
        report.render(temporary, mixture, rows, info, data=data, check=check)
    return check
