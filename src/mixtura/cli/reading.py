"""Models as commands read them: a mixture, and a record whose facts are of their kinds.

The record is whatever JSON was saved with a model, by ``mixtura fit`` or by anyone. What it says
under a name that commands use is kept where it is what they expect, and is ignored, with a note,
where it is not: a model is not worth less for a damaged remark.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mixtura.cli.voice import note
from mixtura.sources.tables import told

__all__ = ["FACTS", "read", "usable"]

Test = Callable[[Any], bool]


def _number(value: Any) -> bool:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    return plain and -1e300 < value < 1e300


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _share(value: Any) -> bool:
    return _number(value) and 0 < value < 1


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _truth(value: Any) -> bool:
    return isinstance(value, bool)


def _or_none(test: Test) -> Test:
    return lambda value: value is None or test(value)


def _list(test: Test) -> Test:
    return lambda value: isinstance(value, list) and all(map(test, value))


def _numbers(value: Any) -> bool:
    """Numbers by name."""
    return isinstance(value, dict) and all(map(_number, value.values()))


def _quantiles(value: Any) -> bool:
    if not _numbers(value):
        return False
    try:
        return all(_share(float(name)) for name in value)
    except ValueError:
        return False


def _rank(value: Any) -> bool:
    return value == "auto" or _count(value)


def _columns_of_errors(value: Any) -> bool:
    """Names of columns with errors by the name of the column that they are of."""
    return isinstance(value, dict) and all(map(_text, value.values()))


def _missing(value: Any) -> bool:
    """What was missing: cells, rows, rows without any value, and cells by column."""
    counts = ("cells", "rows", "empty_rows")
    if not (isinstance(value, dict) and value.keys() >= {*counts, "columns"}):
        return False
    each = value["columns"]
    by_column = isinstance(each, dict) and all(map(_count, each.values()))
    return by_column and all(_count(value[name]) for name in counts)


def _pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_text, value))


#: What is told of a fit that was tried.
TRIAL: dict[str, Test] = {
    "n_components": _count,
    "covariance_type": _text,
    "bic": _or_none(_number),
    "log_likelihood": _or_none(_number),
    "n_parameters": _count,
    "n_iter": _count,
    "converged": _truth,
    "error": _or_none(_text),
}


def _trial(value: Any) -> bool:
    if not (isinstance(value, dict) and TRIAL.keys() <= value.keys()):
        return False
    if value["bic"] is not None and value["log_likelihood"] is None:
        return False
    return all(test(value[name]) for name, test in TRIAL.items())


def _trace(value: Any) -> bool:
    if not (isinstance(value, dict) and value.keys() >= {"n_iter", "log_likelihood"}):
        return False
    at, heights = value["n_iter"], value["log_likelihood"]
    return _list(_count)(at) and _list(_number)(heights) and len(at) == len(heights)


#: The facts that commands use, and what each of them is.
FACTS: dict[str, Test] = {
    "bic": _or_none(_number),
    "columns": _list(_text),
    "conditioned_on": _numbers,
    "converged": _truth,
    "covariance_type": _text,
    "created": _text,
    "data": _text,
    "interrupted": _truth,
    "joint_fitted_to": _or_none(_text),
    "left_out": _list(_pair),
    "log_likelihood": _or_none(_number),
    "missing": _or_none(_missing),
    "mixtura": _text,
    "model": _text,
    "n_components": _count,
    "n_parameters": _or_none(_count),
    "n_rows": _count,
    "noise_columns": _or_none(_columns_of_errors),
    "notes": _list(_text),
    "outlier_quantile": _share,
    "outlier_quantiles": _quantiles,
    "outlier_threshold": _or_none(_number),
    "precision": _text,
    "rank": _or_none(_rank),
    "seed": _count,
    "trace": _trace,
    "trials": _list(_trial),
    "weight_sum": _or_none(_number),
    "weights_column": _or_none(_text),
}


def usable(info: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The record without the facts that are not of their kinds, and the names of these."""
    bad = [name for name, test in FACTS.items() if name in info and not _holds(test, info[name])]
    return {name: value for name, value in info.items() if name not in bad}, bad


def _holds(test: Test, value: Any) -> bool:
    return not (isinstance(value, float) and math.isnan(value)) and test(value)


def read(path: Path, *, quiet: bool = False) -> tuple[Any, dict[str, Any]]:
    """The mixture of a model file, and its record.

    Raises
    ------
    FormatError
    """
    from mixtura.io import read as read_file

    mixture, info = read_file(path)
    info, bad = usable(info)
    if bad:
        note(f"the record in {path.name} says nothing usable of {told(bad)}: ignored", quiet=quiet)
    return mixture, info
