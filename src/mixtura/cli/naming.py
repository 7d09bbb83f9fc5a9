"""Names of files that are made from the names of others."""

from __future__ import annotations

from pathlib import Path

__all__ = ["stem"]

_SUFFIXES = (
    ".gz", ".csv", ".tsv", ".txt", ".dat", ".tab", ".parquet", ".pq", ".feather", ".arrow",
    ".ipc", ".npy",
)  # fmt: skip


def stem(path: Path) -> str:
    """``data.csv.gz`` → ``data``."""
    name = path.name
    for suffix in reversed(path.suffixes):
        if suffix.lower() not in _SUFFIXES:
            break
        name = name[: -len(suffix)]
    return name or "model"
