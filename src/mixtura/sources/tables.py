"""Tables: what a file of columns holds, as read, before any column is taken as numbers.

``read`` looks at a file's first bytes, not only at its name, and hands it to the reader that
knows the format: delimited text (plain or gzipped), Parquet, Arrow (Feather) or NPY.
"""

from __future__ import annotations

import difflib
import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mixtura.errors import InputError

__all__ = ["FORMATS", "Table", "check", "kind_of", "near", "read", "told"]

FORMATS = "CSV or TSV (also .gz), Parquet, Arrow/Feather or NPY"

#: First bytes of a file, and what they say it is.
SIGNATURES = {
    b"PAR1": "parquet",
    b"ARROW1": "arrow",
    b"FEA1": "arrow",
    b"\x93NUMPY": "npy",
}

#: First bytes of files that are not tables for us, with the way out.
FOREIGN = {
    b"PK\x03\x04": (
        "a zip archive (.xlsx, .npz, .zip?)",
        "save the sheet as CSV or the array as NPY",
    ),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", "save the sheet as CSV"),
    b"\x89HDF": ("an HDF5 file", "write the table as Parquet or CSV"),
    b"SIMPLE  =": ("a FITS file", "write the table as Parquet or CSV"),
    b"SQLite format": ("an SQLite database", "write the table as Parquet or CSV"),
    b"BZh": ("a bzip2 archive", "unpack it, or compress with gzip instead"),
    b"\xfd7zXZ": ("an xz archive", "unpack it, or compress with gzip instead"),
    b"\x28\xb5\x2f\xfd": ("a zstd archive", "unpack it, or compress with gzip instead"),
    b"%PDF": ("a PDF", "write the table as CSV"),
    b"\x80\x04\x95": (
        "a Python pickle, which is never opened",
        "write the table as Parquet or CSV",
    ),
    b"\x80\x05\x95": (
        "a Python pickle, which is never opened",
        "write the table as Parquet or CSV",
    ),
}

BY_SUFFIX = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".feather": "arrow",
    ".arrow": "arrow",
    ".ipc": "arrow",
    ".npy": "npy",
}


@dataclass(frozen=True, eq=False)
class Table:
    """Columns as read.

    Attributes
    ----------
    source : str
        The file's name, without its folder.
    kind : str
        "text", "parquet", "arrow" or "npy".
    names : tuple of str
        Column names, all different.
    columns : tuple
        One NumPy vector or Arrow ``ChunkedArray`` of n cells for each name. Text files give
        strings: what the file says, nothing guessed.
    notes : tuple of str
        What the reader had to decide (no header, encoding, decimal commas).
    """

    source: str
    kind: str
    names: tuple[str, ...]
    columns: tuple[Any, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        twice = [name for name, count in Counter(self.names).items() if count > 1]
        if twice:
            places = {
                name: [i + 1 for i, other in enumerate(self.names) if other == name]
                for name in twice
            }
            said = "; ".join(f"{name!r} in columns {told(at)}" for name, at in places.items())
            raise InputError(
                f"expected every column of {self.source} to have a name of its own, got {said}; "
                "rename or remove one of each"
            )

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.columns[0]) if self.columns else 0

    def column(self, name: str) -> Any:
        """The column of that name.

        Raises
        ------
        InputError
            With the nearest names, if there is none.
        """
        if name not in self.names:
            raise InputError(
                f"expected a column of {self.source}, got {name!r}; "
                + (near(name, self.names) or f"its columns are {told(self.names)}")
            )
        return self.columns[self.names.index(name)]

    def rows(self, start: int, stop: int) -> Table:
        """Rows start … stop − 1, without copying."""
        return replace(self, columns=tuple(column[start:stop] for column in self.columns))


def told(items: Any, most: int = 12) -> str:
    """``a, b, c and 4 more``."""
    items = [str(item) for item in items]
    if len(items) <= most:
        return ", ".join(items)
    return ", ".join(items[:most]) + f" and {len(items) - most} more"


def near(name: str, names: Any) -> str:
    """A question that offers the names most like ``name``; empty if none is."""
    by_lower = {str(other).lower(): str(other) for other in names}
    found = difflib.get_close_matches(str(name).lower(), by_lower, n=3, cutoff=0.6)
    return f"did you mean {' or '.join(repr(by_lower[key]) for key in found)}?" if found else ""


def read(path: str | os.PathLike[str]) -> Table:
    """Read a table from a file, whatever its format.

    Parameters
    ----------
    path : path
        CSV or TSV (``.gz`` accepted, delimiter detected), Parquet, Arrow/Feather or NPY.

    Raises
    ------
    InputError
        If there is no such file, or it is not a table; the message says what to do.
    MissingExtraError
        If PyArrow is not installed (NPY needs none).
    """
    from mixtura.sources import columnar, delimited, npy

    path = Path(path)
    kind = kind_of(path)
    if kind == "npy":
        return npy.read(path)
    if kind == "text":
        return delimited.read(path)
    return columnar.read(path, kind)


def kind_of(path: Path) -> str:
    """What a file is: "text", "parquet", "arrow" or "npy".

    Raises
    ------
    InputError
        If there is no such file, or its first bytes say that it is not a table.
    """
    head = check(path)
    for signature, (what, mend) in FOREIGN.items():
        if head.startswith(signature):
            raise InputError(f"expected a table ({FORMATS}), got {what}: {path}; {mend}")
    kind = next((kind for mark, kind in SIGNATURES.items() if head.startswith(mark)), "text")
    promised = BY_SUFFIX.get(path.suffix.lower(), "")
    if kind == "text" and promised == "arrow":
        return "arrow"  # a stream of Arrow batches starts with no signature
    if kind == "text" and promised:
        got = "an empty file" if not head else "other contents"
        raise InputError(
            f"expected {path} to be the {promised.capitalize()} file that its name promises, got "
            f"{got}; the file may be damaged or misnamed: write it again"
        )
    return kind


def check(path: Path) -> bytes:
    """The first bytes of a file (none of a pipe), or an error if it is not one to be read.

    Raises
    ------
    InputError
        Missing (with the nearest names beside it), a directory, or not readable.
    """
    if path.is_dir():
        raise InputError(f"expected a file, got the directory {path}; name one table in it")
    if not path.exists():
        mend = "check the path"
        if path.parent.is_dir():
            with os.scandir(path.parent) as entries:
                mend = near(path.name, [entry.name for entry in entries if entry.is_file()]) or mend
        raise InputError(f"expected a file, got {path}, which does not exist; {mend}")
    if not path.is_file():
        return b""  # a pipe: what is read of it is gone, so it must be text
    try:
        with path.open("rb") as file:
            return file.read(16)
    except OSError as error:
        raise InputError(
            f"expected a file that can be read, got {path} ({error.strerror}); "
            "check its permissions"
        ) from None
