"""Parquet and Arrow (Feather) files as tables, through PyArrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mixtura.errors import InputError, MissingExtraError
from mixtura.sources.tables import Table

__all__ = ["arrow", "read"]


def arrow(purpose: str) -> Any:
    """The ``pyarrow`` package, or an error that names the extra to install."""
    try:
        import pyarrow
    except ImportError:
        raise MissingExtraError("pyarrow", "cli", purpose) from None
    return pyarrow


def read(path: Path, kind: str) -> Table:
    """Read a whole Parquet or Arrow file."""
    pa = arrow(f"reading {path.name}")
    try:
        table = _parquet(path) if kind == "parquet" else _ipc(pa, path)
    except (pa.ArrowException, OSError, ValueError) as error:
        what = "Parquet" if kind == "parquet" else "Arrow"
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "unreadable"
        raise InputError(
            f"expected a whole {what} file, got a damaged one: {path} ({reason}); write it again"
        ) from None
    if not table.num_columns:
        raise InputError(f"expected columns in {path}, got none; check how it was written")
    if not table.num_rows:
        raise InputError(
            f"expected rows in {path}, got {table.num_columns} column"
            f"{'s' * (table.num_columns != 1)} without any row; "
            "check how it was written"
        )
    return Table(path.name, kind, tuple(table.column_names), tuple(table.columns))


def _parquet(path: Path) -> Any:
    from pyarrow import parquet

    # ParquetFile, not read_table: a folder called year=2020 must not add a column.
    with parquet.ParquetFile(path) as file:
        return file.read()


def _ipc(pa: Any, path: Path) -> Any:
    with path.open("rb") as file:
        head = file.read(4)
    if head == b"FEA1":
        from pyarrow import feather

        return feather.read_table(path, memory_map=False)
    with pa.OSFile(str(path), "rb") as source:
        if head == b"ARRO":
            return pa.ipc.open_file(source).read_all()
        return pa.ipc.open_stream(source).read_all()
