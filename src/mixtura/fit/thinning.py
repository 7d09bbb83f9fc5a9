r"""Kernel thinning: half of the rows that stands for all, again and again.

Rows are taken in pairs; of each, one is kept and one dropped, s = ±1, by a coin that leans against
what the pairs before have left of Σ s k(x, ·), k a Gaussian kernel: with f = k(x, ·) − k(x', ·),
α = ⟨Σ, f⟩ and the threshold a, x is kept with probability (1 − α / a) / 2, clipped to [0, 1]
(Dwivedi & Mackey 2021, 2024, kt-split). Blocks of a fixed number of rows are halved side by side,
and mixed anew before the next round, much as in compress (Shetty, Dwivedi & Mackey 2022), so that a
round costs time linear in the rows. Of the two halves of a block the one whose mean in the kernel's
space is nearer to the block's is kept, the first part of kt-swap.
"""

from __future__ import annotations

import numpy as np

from mixtura.arrays.parallel import each_batch
from mixtura.fit.nearest import Cloud
from mixtura.typing import FloatArray

__all__ = ["halved", "thinned"]

#: Rows of a block, blocks that are halved side by side, and rounds at most.
BLOCK, ABREAST, ROUNDS = 512, 8, 4
#: Probability with which the threshold may be passed, as kernel thinning counts it.
DELTA = 0.5


def thinned(
    x: FloatArray,
    weight: FloatArray | None,
    size: int,
    k: int,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Thin rows to so many; parameters and results as of ``coreset.sensitivity``.

    All rows get one weight. Where there are more than 2⁴ times ``size`` of them, a random part is
    thinned.
    """
    cloud = Cloud(x, weight)
    rounds = int(np.clip(np.floor(np.log2(cloud.n / size)), 0, ROUNDS))
    index = _first(cloud, size << rounds, rng)
    scale = cloud.x.std(axis=0, dtype=np.float64)
    points = ((cloud.x - cloud.mean) / np.where(scale > 0, scale, 1.0)).astype(np.float32)
    width = _width(points[index], rng)
    for _ in range(rounds):
        index = halved(points, index, width, rng)
    found, times = np.unique(index, return_counts=True)
    return found, times * (cloud.mass.sum() / len(index))


def _first(cloud: Cloud, count: int, rng: np.random.Generator) -> FloatArray:
    """Rows in random order, in proportion to their weights."""
    if cloud.weight is None:
        return rng.choice(cloud.n, min(count, cloud.n), replace=False)
    cumulative = np.cumsum(cloud.mass)
    level = (np.arange(count) + rng.random()) / count * cumulative[-1]  # systematic
    places = np.searchsorted(cumulative, level, side="right")
    return rng.permutation(np.minimum(places, cloud.n - 1))


def _width(points: FloatArray, rng: np.random.Generator) -> float:
    """Median squared distance between rows: the kernel is exp(−‖x − y‖² / width)."""
    some = points[rng.choice(len(points), min(len(points), 500), replace=False)]
    other = some[rng.permutation(len(some))]
    return max(float(np.median(((some - other) ** 2).sum(axis=1))), 1e-30)


def halved(
    points: FloatArray, index: FloatArray, width: float, rng: np.random.Generator
) -> FloatArray:
    """One round: half of the rows that ``index`` names, in random order."""
    index = rng.permutation(index)
    block = min(BLOCK, len(index) // 2 * 2)
    blocks = len(index) // block
    body, rest = index[: blocks * block].reshape(blocks, block), index[blocks * block :]
    coins = rng.random((blocks, block // 2), dtype=np.float32)
    keep = np.empty((blocks, block // 2), dtype=np.int64)

    def work(start: int, stop: int) -> None:
        keep[start:stop] = _split(points[body[start:stop]], width, coins[start:stop])

    each_batch(work, blocks, ABREAST)
    chosen = np.take_along_axis(body, keep, axis=1).ravel()
    return np.concatenate([chosen, rest[::2]])


def _split(x: FloatArray, width: float, coins: FloatArray) -> FloatArray:
    """Places (g, b / 2) that are kept in blocks of rows (g, b, d)."""
    norm = np.einsum("gbd,gbd->gb", x, x)
    kernel = 2 * np.matmul(x, x.swapaxes(1, 2))
    kernel -= norm[:, :, None]
    kernel -= norm[:, None, :]
    kernel /= width
    np.minimum(kernel, 0, out=kernel)
    np.exp(kernel, out=kernel)
    g, b = norm.shape
    left = np.zeros((g, b), dtype=np.float32)  # Σ s k(·, x) over the pairs so far
    sign = np.empty((g, b // 2), dtype=np.float32)
    for i in range(b // 2):
        f = kernel[:, 2 * i] - kernel[:, 2 * i + 1]
        alpha = left[:, 2 * i] - left[:, 2 * i + 1]
        square = np.maximum(f[:, 2 * i] - f[:, 2 * i + 1], 1e-12)  # ‖f‖² in the kernel's space
        threshold = np.maximum(square, np.sqrt(2 * square * np.log(2 / DELTA)))
        sign[:, i] = np.where(coins[:, i] < 0.5 * (1 - alpha / threshold), 1, -1)
        left += sign[:, i, None] * f
    first = 2 * np.arange(b // 2) + (sign < 0)
    other = 2 * np.arange(b // 2) + (sign > 0)
    mean = kernel.mean(axis=2)
    nearer = _discrepancy(kernel, mean, first) <= _discrepancy(kernel, mean, other)
    return np.asarray(np.where(nearer[:, None], first, other))


def _discrepancy(kernel: FloatArray, mean: FloatArray, places: FloatArray) -> FloatArray:
    """Squared MMD (g,) between part of a block and all of it, but for a constant."""
    each = np.arange(len(kernel))[:, None]
    within = kernel[each[:, :, None], places[:, :, None], places[:, None, :]]
    return np.asarray(within.mean(axis=(1, 2)) - 2 * mean[each, places].mean(axis=1))
