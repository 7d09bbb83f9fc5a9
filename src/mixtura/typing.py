"""Names for shapes, and the protocols through which the floors of the house meet.

One alphabet everywhere: n rows, d columns, k components, r rank, b rows of a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Columns", "FloatArray", "Model", "Seed", "Statistics", "View"]

#: A floating point array: NumPy on the fitting side, any array-API array on the value side.
Array: TypeAlias = Any
#: A NumPy array, floating unless the docstring says otherwise.
FloatArray: TypeAlias = NDArray[Any]
#: Positions or names of columns.
Columns: TypeAlias = int | str | Sequence[int] | Sequence[str]
#: What a random draw accepts.
Seed: TypeAlias = int | np.random.Generator | None


class Statistics(Protocol):
    """Additive sufficient statistics: a batch is a sum, a cluster a tree of sums."""

    def __add__(self, other: Any) -> Any: ...


class View(Protocol):
    """A model held against one batch of rows."""

    @property
    def log_joint(self) -> FloatArray:
        """Log weight plus log density, (b, k)."""

    def statistics(self, resp: FloatArray) -> Any:
        """Sufficient statistics of the batch under responsibilities (b, k)."""


class Model(Protocol):
    """What the EM driver knows of a model: nothing else."""

    def ready(self, rows: Any) -> None:
        """Prepare what all batches of the rows share."""

    def at(self, rows: Any) -> View:
        """Hold the model against a batch."""

    def maximise(self, stats: Any, step: float = 1.0) -> Model:
        """The model that maximises the expected complete log-likelihood."""

    def penalty(self) -> float:
        """Log prior, in nats; 0 for maximum likelihood."""

    def row_bytes(self, rows: Any) -> int:
        """Bytes of working memory that one row of a batch takes."""
