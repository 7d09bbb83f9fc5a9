"""The table at the door of an estimator: NaN is a missing cell, operators tell columns apart."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from mixtura.typing import FloatArray

__all__ = ["converted", "table"]


def converted(X: Any) -> tuple[str, ...]:
    """A sentence if the rows have to be converted, which takes a copy of them; else nothing.

    It is a note on the fit and no warning: whole numbers are ordinary data.
    """
    kind = getattr(X, "dtype", None)
    if not isinstance(kind, np.dtype) or kind in (np.float64, np.float32):
        return ()
    return (f"rows of {kind} were converted to float64; float64 and float32 rows are not copied",)


def table(
    estimator: Any, X: Any, operators: Any = None, *, reset: bool = False, min_rows: int = 1
) -> FloatArray:
    """X (n, p) checked in scikit-learn's words; float32 stays float32.

    Parameters
    ----------
    operators : array (p, d) or (n, p, d), optional
        Where they are given, the mixture has d columns, and those of X have no names.
    reset : bool
        Whether this is the table of a fit, which says how many columns there are.
    """
    options: dict[str, Any] = {
        "dtype": [np.float64, np.float32],
        "ensure_all_finite": "allow-nan",
        "ensure_min_samples": min_rows,
    }
    if operators is None:
        return np.asarray(validate_data(estimator, X, reset=reset, **options))
    x = np.asarray(check_array(X, input_name="X", **options))
    if reset and np.ndim(operators) > 1:
        estimator.n_features_in_ = int(np.shape(operators)[-1])
        estimator.__dict__.pop("feature_names_in_", None)
    return x
