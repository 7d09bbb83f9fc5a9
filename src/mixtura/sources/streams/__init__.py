"""Streams: rows from files, iterables and mapped arrays, read pass by pass. One kind per file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from mixtura.errors import InputError
from mixtura.sources.streams.stream import Stream
from mixtura.sources.tables import kind_of

__all__ = ["KINDS", "Stream", "kind", "stream"]

#: Kinds of files -> modules of this folder, and in them (path, columns, weight) -> stream.
KINDS: dict[str, str] = {
    "npy": "npy.npy_stream",
    "parquet": "columnar.parquet_stream",
    "arrow": "columnar.arrow_stream",
    "text": "text.text_stream",
}


def kind(name: str) -> Callable[..., Stream]:
    """What opens files of a kind, imported when it is asked for."""
    module, function = KINDS[name].split(".")
    return getattr(import_module(f"{__name__}.{module}"), function)  # type: ignore[no-any-return]


def stream(
    source: Any,
    *,
    columns: Sequence[str] | None = None,
    weights: str | None = None,
    folder: str | os.PathLike[str] | None = None,
) -> Stream:
    """Rows that a fit reads pass by pass, in memory of a bounded size.

    Parameters
    ----------
    source : path, open file, or iterable of batches
        An NPY, Parquet, Arrow (Feather), CSV or TSV file; arrays (b, d), data frames or Arrow
        record batches, one after the other; or what gives such (PyArrow's ``Dataset``,
        ``ParquetFile`` and ``RecordBatchReader``, pandas' readers); or an array that is mapped, or
        of which slices are read (HDF5, Zarr).
    columns : sequence of str, optional
        By default all but the weights.
    weights : str, optional
        The column that holds the rows' weights.
    folder : path, optional
        Where text and what can be read only once is spilled, as float32 or float64 numbers; the
        folder of temporary files by default. The file goes when the stream is closed.

    Raises
    ------
    InputError
        For what cannot be read, and columns that are not numbers.

    Examples
    --------
    >>> import numpy as np
    >>> batches = [np.zeros((3, 2)), np.ones((2, 2))]
    >>> rows = stream(batches)
    >>> rows.n, rows.d
    (5, 2)
    >>> [len(x) for x, weight in rows.chunks(4)]
    [4, 1]
    """
    if isinstance(source, Stream):
        return source
    where = None if folder is None else Path(folder)
    if hasattr(source, "read") and hasattr(source, "seek"):
        source = _path_of(source)
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        found = kind_of(path)
        how = {"folder": where} if found == "text" else {}
        return kind(found)(path, columns, weights, **how)
    if isinstance(getattr(source, "dtype", None), np.dtype) and hasattr(source, "shape"):
        if columns is not None or weights is not None:
            raise InputError("expected no names of columns with an array, which has none")
        from mixtura.sources.streams.arrays import array_stream

        return array_stream(source)
    if not hasattr(source, "__iter__") and not any(
        hasattr(source, method) for method in ("iter_batches", "to_batches")
    ):
        raise InputError(
            "expected a path or an iterable of batches (arrays, data frames, Arrow batches), got "
            f"{type(source).__name__}"
        )
    from mixtura.sources.streams.batches import iterated

    return iterated(source, columns, weights, where)


def _path_of(file: Any) -> Path:
    name = getattr(file, "name", None)
    if isinstance(name, str | os.PathLike) and Path(name).is_file():
        return Path(name)
    raise InputError(
        "expected a path, or an open file that has one, got a file without a name "
        f"({type(file).__name__}); write it to disk, or pass an iterable of batches"
    )
