"""Checks of a table before a fit: what would make the likelihood unbounded or the fit pointless.

Columns are centred and scaled before they are judged, so neither an offset of 1e12 nor scales
that differ by 1e12 count against them: only columns that carry no information of their own do.
Where cells are missing, columns are judged by those that are there, and combinations of columns by
the rows that are whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixtura.errors import InputError
from mixtura.sources.picking import as_option

__all__ = ["check_rows"]

Floats = NDArray[np.floating[Any]]

#: Structures without correlations, for which collinear columns are not singular.
UNCORRELATED = {"spherical", "diag", "EII", "VII", "EEI", "VEI", "EVI", "VVI"}
#: Rows that usually suffice to show that columns are independent.
ENOUGH = 20_000
CHUNK = 65_536


def check_rows(
    x: Floats, columns: Sequence[str], covariance: str = "auto", *, n_components: int = 1
) -> None:
    """Refuse rows from which no mixture can be fitted.

    Parameters
    ----------
    x : array (n, d)
        Finite values, or NaN where a cell is missing; rows of zero weight left out.
    columns : sequence of str
        Names of the d columns.
    covariance : str
        Structures asked for, separated by commas, or "auto". Collinear columns are refused only
        where one of them has correlations.
    n_components : int
        The smallest number of components asked for.

    Raises
    ------
    InputError
        Too few rows, columns without any value, constant columns, equal or exactly collinear
        columns; the message names the columns and those to keep.
    """
    n, d = x.shape
    if n < 2:
        raise InputError(f"expected at least 2 rows, got {n}: a single row has no spread; add rows")
    if n < n_components:
        raise InputError(
            f"expected at least as many rows as components, got {n} rows for {n_components} "
            f"components; ask for at most {n} components or add rows"
        )
    gaps = np.isnan(x)
    bare: NDArray[np.bool_] = np.asarray(gaps.all(axis=0))
    if bare.any():
        names = [name for name, dead in zip(columns, bare, strict=True) if dead]
        raise InputError(
            f"expected at least one value in every column, got none in {', '.join(names[:6])}"
            f"{', …' if len(names) > 6 else ''}; leave {_it(names)} out: "
            + as_option([name for name, dead in zip(columns, bare, strict=True) if not dead])
        )
    constant = _constant(x)
    first = x[np.argmax(~gaps, axis=0), np.arange(d)]
    if constant.all():
        what = f"{n} equal rows" if d > 1 else f"{n} times the same value"
        raise InputError(
            f"expected rows that differ, got {what} ({_values(first, columns)}); "
            "check how the table was written"
        )
    if constant.any():
        names = [name for name, dead in zip(columns, constant, strict=True) if dead]
        raise InputError(
            f"expected columns that vary, got {_count(names, 'constant column')} "
            f"({_values(first[constant], names)}); leave {_it(names)} out: "
            + as_option([name for name, dead in zip(columns, constant, strict=True) if not dead])
        )
    if d == 1 or UNCORRELATED.issuperset(covariance.split(",")):
        return
    _check_copies(x, columns)
    whole = x[~gaps.any(axis=1)] if gaps.any() else x
    if len(whole) > d and not _constant(whole).any():
        _check_collinear(whole, columns)


def _constant(x: Floats) -> NDArray[np.bool_]:
    """Columns whose spread is no more than rounding at their size."""
    low = np.fmin.reduce(x, axis=0).astype(np.float64)
    high = np.fmax.reduce(x, axis=0).astype(np.float64)
    size = np.maximum(np.abs(low), np.abs(high))
    return np.asarray(high - low <= 4 * np.finfo(x.dtype).eps * size)


def _check_copies(x: Floats, columns: Sequence[str]) -> None:
    """Refuse columns that repeat another one cell by cell."""
    seen: dict[bytes, int] = {}
    copies: list[tuple[int, int]] = []
    for j in range(x.shape[1]):
        # Equal columns have equal starts; the rest is compared only where those agree.
        key = np.ascontiguousarray(x[:64, j]).tobytes()
        first = seen.setdefault(key, j)
        if first != j and np.array_equal(x[:, first], x[:, j], equal_nan=True):
            copies.append((first, j))
    if not copies:
        return
    said = ", ".join(f"{columns[j]!r} repeats {columns[i]!r}" for i, j in copies[:6])
    more = f" and {len(copies) - 6} more" if len(copies) > 6 else ""
    dropped = {j for _, j in copies}
    kept = [name for j, name in enumerate(columns) if j not in dropped]
    raise InputError(
        f"expected columns that are not copies of each other, got {said}{more}; "
        f"leave {_it(copies)} out: {as_option(kept)}"
    )


def _check_collinear(x: Floats, columns: Sequence[str]) -> None:
    """Refuse columns that are exact linear combinations of others, up to rounding."""
    n, d = x.shape
    if n > ENOUGH + d:  # full rank on some rows is full rank on all
        sample = x[:: n // (ENOUGH + d)]
        if not _constant(sample).any() and not _dependent(sample):
            return
    combinations = _dependent(x)
    if not combinations:
        return
    said = []
    for j, parts in combinations[:4]:
        names = [repr(columns[i]) for i in parts[:6]] + (["…"] if len(parts) > 6 else [])
        said.append(f"{columns[j]!r} follows from {', '.join(names)}")
    more = f" and {len(combinations) - 4} more" if len(combinations) > 4 else ""
    dropped = {j for j, _ in combinations}
    kept = [name for j, name in enumerate(columns) if j not in dropped]
    raise InputError(
        f"expected linearly independent columns, got {'; '.join(said)}{more} exactly; "
        f"leave {_it(combinations)} out: {as_option(kept)}, or fit without correlations: "
        "--covariance diag"
    )


def _dependent(x: Floats) -> list[tuple[int, list[int]]]:
    """Columns that the earlier ones determine, each with those that enter it.

    With Z = QR the centred and scaled columns, column j of R holds the coordinates of column j
    on the earlier ones and R_jj what is left of it, so dependence shows without squaring Z.
    """
    r, rounding = _triangle(x)
    tolerance = np.maximum(1e-9 if x.dtype != np.float32 else 3e-6, rounding)
    basis: list[int] = []
    found: list[tuple[int, list[int]]] = []
    q = np.zeros((r.shape[0], r.shape[1]))
    for j in range(r.shape[1]):
        rest = r[:, j].copy()
        span = q[:, : len(basis)]
        for _ in range(2):
            rest -= span @ (span.T @ rest)
        size = float(np.linalg.norm(rest))
        if size > tolerance[j]:
            q[:, len(basis)] = rest / size
            basis.append(j)
            continue
        share = np.linalg.lstsq(r[:, basis], r[:, j], rcond=None)[0]
        found.append((j, [basis[i] for i in np.flatnonzero(np.abs(share) > 1e-6)]))
    return found


def _triangle(x: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """R of the columns centred and scaled to length 1, and each one's rounding error."""
    n, d = x.shape
    shift = x[0].astype(np.float64)

    def chunks() -> Iterator[NDArray[np.float64]]:
        return (x[start : start + CHUNK] - shift for start in range(0, n, CHUNK))

    span = np.max([np.abs(chunk).max(axis=0) for chunk in chunks()], axis=0)
    mean = np.sum([(chunk / span).sum(axis=0) for chunk in chunks()], axis=0) / n
    r: Any = np.zeros((0, d))
    for chunk in chunks():
        r = np.linalg.qr(np.vstack([r, chunk / span - mean]), mode="r")
    length = np.linalg.norm(r, axis=0)
    size = np.abs(x).max(axis=0).astype(np.float64)
    rounding = 2 * np.finfo(x.dtype).eps * (size / span) * np.sqrt(n) / length
    return r / length, rounding


def _count(items: Sequence[object], noun: str) -> str:
    return f"a {noun}" if len(items) == 1 else f"{len(items)} {noun}s"


def _it(items: Sequence[object]) -> str:
    return "it" if len(items) == 1 else "them"


def _values(row: Floats, columns: Sequence[str]) -> str:
    said = [f"{name} = {value:g}" for name, value in zip(columns[:6], row[:6], strict=True)]
    return ", ".join(said) + (", …" if len(row) > 6 else "")
