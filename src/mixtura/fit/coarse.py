"""Where truncated EM begins: owners of rows and lists of components, by a search on two levels.

A row belongs to a component whose mean is near, and a list has the components with the largest log
joints at its own component's mean, of those in the groups next to it (``fit.groups``): neither
costs n k, nor k². What this misses, the passes that follow mend.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mixtura.arrays.parallel import each_batch, single_threaded_blas
from mixtura.fit.groups import Groups
from mixtura.fit.nearest import lifted
from mixtura.fit.neighbourhoods import Neighbourhoods
from mixtura.sources import Rows
from mixtura.typing import FloatArray

__all__ = ["neighbourhoods"]

#: Log joints of a batch of components with components.
NUMBERS = 2**21
#: Components from which a list is chosen, at least, for each place in it.
CHOICE = 4


def neighbourhoods(model: Any, rows: Rows, width: int) -> tuple[Neighbourhoods, int]:
    """Owners and lists of so many components, and the pairs that were evaluated for them."""
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        scale = 1 / np.sqrt(model.weights @ model.covariance.diagonal())  # their own spread
        groups = Groups.of((model.means - model.anchor) * scale, CHOICE * width)

    def near(places: Any) -> FloatArray:
        return lifted((rows.x[places] - model.anchor) * scale, np.float32)

    owner, met = groups.nearest(rows.n, near)
    lists, chosen = _lists(model, rows, groups, min(width, model.k))
    return Neighbourhoods(owner, lists, np.concatenate(groups.own)), groups.pairs + met + chosen


def _lists(model: Any, rows: Rows, groups: Groups, width: int) -> tuple[FloatArray, int]:
    """Lists (k, width), and the log joints that were evaluated."""
    k, pairs = model.k, 0
    if width == k:
        return _led(np.broadcast_to(np.arange(k, dtype=np.int32), (k, k)).copy()), 0
    lists = np.empty((k, width), dtype=np.int32)
    dtype, form = model.kernel(rows.x.dtype)
    means = (model.means - model.anchor).astype(dtype)
    for own, near in zip(groups.own, groups.near, strict=True):
        part = form if len(near) == k else form.among(near)
        size = max(16, NUMBERS // len(near))
        pairs += len(own) * len(near)

        def work(start: int, stop: int, own: Any = own, near: Any = near, part: Any = part) -> None:
            some = own[start:stop]
            joint = part.log_joint(means[some])
            joint[near == some[:, None]] = np.inf
            lists[some] = near[_largest(joint, width)]

        if len(own):
            with single_threaded_blas():
                each_batch(work, len(own), size)
    return _led(lists), pairs


def _largest(values: FloatArray, width: int) -> FloatArray:
    """Places (b, width) of the largest values of each row, largest first."""
    places = np.argpartition(-values, width - 1, axis=1)[:, :width]
    places.sort(axis=1)  # ties go by place
    kept = np.take_along_axis(values, places, axis=1)
    return np.take_along_axis(places, np.argsort(-kept, axis=1, kind="stable"), axis=1)


def _led(lists: FloatArray) -> FloatArray:
    """The same lists, each with its own component first."""
    k = len(lists)
    own = np.argmax(lists == np.arange(k)[:, None], axis=1)
    lists[np.arange(k), own] = lists[:, 0]
    lists[:, 0] = np.arange(k)
    return lists
