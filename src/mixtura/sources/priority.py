"""Priority sampling: a weighted sample of rows that pass by once (Duffield, Lund & Thorup 2007).

With u uniform, the m rows of largest w / u are kept, and each stands for max(w, τ) rows, τ the
largest priority that was not kept: sums over them are unbiased, and without weights it is a uniform
draw. The sample depends on the rows and the seed, not on the parts in which they come.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mixtura.typing import FloatArray

__all__ = ["STEP", "Priorities"]

#: Rows that are looked at a time.
STEP = 16_384


class Priorities:
    """The rows of largest priority so far."""

    def __init__(self, size: int, d: int, seed: Any) -> None:
        self._size, self._rng = size, np.random.default_rng(seed)
        self._parts: list[tuple[Any, ...]] = []
        self._held, self._threshold = 0, 0.0

    def add(self, x: FloatArray, weight: FloatArray | None, first: int) -> None:
        """Rows from number ``first`` on."""
        u = 1.0 - self._rng.random(len(x))  # in (0, 1]
        priority = (1.0 if weight is None else weight) / u
        chosen = np.flatnonzero(priority > self._threshold)
        if not len(chosen):
            return
        w = np.ones(len(chosen)) if weight is None else weight[chosen]
        self._parts.append((priority[chosen], chosen + first, x[chosen], w))
        self._held += len(chosen)
        if self._held > self._size + max(self._size // 4, STEP):
            self._prune()

    def _prune(self) -> None:
        """Keep the largest, and the next one, whose priority is the threshold."""
        priority, place, x, w = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        if len(priority) > self._size + 1:
            at = len(priority) - self._size - 1
            keep = np.argpartition(priority, at)[at:]
            priority, place, x, w = priority[keep], place[keep], x[keep], w[keep]
            self._threshold = float(priority.min())
            # Equal to the threshold, it would be lost to the next comparison: it stays here.
        self._parts, self._held = [(priority, place, x, w)], len(priority)

    def kept(self) -> tuple[FloatArray, FloatArray]:
        """Rows in the order in which they came, and how many each stands for."""
        self._prune()
        priority, place, x, w = self._parts[0]
        if len(priority) <= self._size:
            order = np.argsort(place)
            return x[order], w[order]
        last = int(np.argmin(priority))
        threshold = float(priority[last])
        order = np.argsort(place)
        order = order[order != last]
        return x[order], np.maximum(w[order], threshold)
