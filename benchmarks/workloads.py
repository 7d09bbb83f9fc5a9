"""The workloads: rows of real structure at any size, and starts that all libraries share.

Rows are a smoothed bootstrap of scikit-learn's handwritten digits (pixels / 16): a random image is
blended with a random one of its 12 nearest neighbours, x = (1 − u) xᵢ + u xⱼ + noise, u uniform.
Below 64 columns they are projected on the principal components of the originals; at 784 the images
are zoomed to 28 × 28 and rolled by −2 … 2 pixels each way. The start has weights 1 / k, means from
five Lloyd steps on a subset, and the isotropic variance of that clustering.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

__all__ = ["WORKLOADS", "Files", "Start", "Workload", "prepare", "read_start"]

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]

#: Enters the names of cached files; raise it when the recipe changes.
RECIPE = 1
NEIGHBOURS = 12
LLOYD_STEPS = 5
LLOYD_ROWS = 20_000
CHUNK = 20_000


@dataclass(frozen=True)
class Workload:
    """One problem.

    Attributes
    ----------
    name : str
    n, d, k : int
        Rows, columns (at most 64, or 784), components.
    covariance_type : str
        In scikit-learn's words.
    reg_covar : float
        Added to variances.
    iterations : int
        EM iterations that are timed, after a first one.
    quick : int
        Rows in a quick run.
    rank : int
        Factors, of the low-rank workload. Peers, which have no such structure, fit full
        covariances to it.
    """

    name: str
    n: int
    d: int
    k: int
    covariance_type: str
    reg_covar: float
    iterations: int
    quick: int
    rank: int = 0

    @property
    def peer_type(self) -> str:
        """The structure that peers fit."""
        return "full" if self.covariance_type == "lowrank" else self.covariance_type

    def shrunk(self, factor: int | None = None) -> Workload:
        """The same problem with few rows: those of a quick run, or so many times fewer."""
        return replace(self, n=self.quick if factor is None else max(self.n // factor, 2 * self.k))


#: Names -> workloads, as the documentation's tables name them.
WORKLOADS = {
    w.name: w
    for w in (
        Workload("a", 1_000_000, 2, 10, "full", 1e-6, 5, 20_000),
        Workload("b", 200_000, 16, 64, "full", 1e-4, 4, 5_000),
        Workload("c", 60_000, 64, 200, "full", 1e-2, 2, 3_000),
        Workload("d", 100_000, 32, 1_000, "diag", 1e-3, 4, 4_000),
        Workload("e", 20_000, 784, 50, "full", 1e-2, 1, 500),
        Workload("e-lowrank", 20_000, 784, 50, "lowrank", 1e-2, 4, 500, rank=6),
    )
}


class Start(NamedTuple):
    """Where all libraries begin: weights (k,), means (k, d), one variance."""

    weights: Floats
    means: Floats
    variance: float

    def labels(self, x: Floats) -> Any:
        """The component (n,) whose mean is nearest to each row."""
        out = np.empty(len(x), dtype=np.intp)
        squares = np.einsum("ij,ij->i", self.means, self.means)
        for low in range(0, len(x), CHUNK):
            part = slice(low, low + CHUNK)
            out[part] = (squares - 2 * x[part] @ self.means.T).argmin(axis=1)
        return out

    def precisions(self, covariance_type: str) -> Floats:
        """Isotropic precisions in scikit-learn's shape, every byte of them written."""
        k, d = self.means.shape
        if covariance_type == "diag":
            return np.full((k, d), 1 / self.variance)
        if covariance_type != "full":
            raise ValueError(f"expected 'full' or 'diag', got {covariance_type!r}")
        out = np.empty((k, d, d))
        out.fill(0.0)
        out[:, np.arange(d), np.arange(d)] = 1 / self.variance
        return out


class Files(NamedTuple):
    """Where the rows (.npy, float64) and the start (.npz) of a workload lie."""

    rows: Path
    start: Path


def prepare(workload: Workload, cache: Path) -> Files:
    """Make the rows and the start of a workload, unless the cache has them."""
    cache.mkdir(parents=True, exist_ok=True)
    ignore = cache / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", encoding="utf8")
    stem = f"v{RECIPE}-n{workload.n}-d{workload.d}"
    files = Files(cache / f"{stem}.npy", cache / f"{stem}-k{workload.k}.npz")
    if not files.rows.exists():
        np.save(files.rows, bootstrap(workload.n, workload.d, np.random.default_rng(0)))
    if not files.start.exists():
        x = np.load(files.rows, mmap_mode="r")
        np.savez(files.start, **lloyd(x, workload.k, np.random.default_rng(1))._asdict())
    return files


def read_start(path: Path) -> Start:
    """Read a start that ``prepare`` wrote."""
    with np.load(path) as arrays:
        return Start(arrays["weights"], arrays["means"], float(arrays["variance"]))


def bootstrap(n: int, d: int, rng: np.random.Generator) -> Floats:
    """Smoothed bootstrap of the digits: rows (n, d)."""
    from sklearn.datasets import load_digits
    from sklearn.decomposition import PCA
    from sklearn.neighbors import NearestNeighbors

    digits = load_digits().data / 16
    finder = NearestNeighbors(n_neighbors=NEIGHBOURS + 1).fit(digits)
    near = finder.kneighbors(digits, return_distance=False)[:, 1:]
    pca = PCA(d, svd_solver="full").fit(digits) if d < digits.shape[1] else None
    images = digits if d <= digits.shape[1] else zoomed(digits, d)
    out = np.empty((n, d))
    for low in range(0, n, CHUNK):
        size = min(CHUNK, n - low)
        i = rng.integers(len(images), size=size)
        j = near[i, rng.integers(NEIGHBOURS, size=size)]
        u = rng.random((size, 1))
        x = (1 - u) * images[i] + u * images[j]
        if d > digits.shape[1]:
            x = rolled(x, rng) + 0.1 * rng.standard_normal(x.shape)
        else:
            x += 0.05 * rng.standard_normal(x.shape)
        out[low : low + size] = x if pca is None else pca.transform(x)
    return out


def zoomed(digits: Floats, d: int) -> Floats:
    """The 8 × 8 images at √d × √d pixels."""
    from scipy.ndimage import zoom

    side = round(d**0.5)
    if side * side != d:
        raise ValueError(f"expected a square number of columns above 64, got {d}")
    factor = side / 8
    return np.asarray(zoom(digits.reshape(-1, 8, 8), (1, factor, factor), order=1).reshape(-1, d))


def rolled(x: Floats, rng: np.random.Generator) -> Floats:
    """Square images, each rolled by −2 … 2 pixels down and to the right."""
    side = round(x.shape[1] ** 0.5)
    down, right = rng.integers(-2, 3, size=(2, len(x), 1))
    i, j = (np.arange(side) - down) % side, (np.arange(side) - right) % side
    images = x.reshape(-1, side, side)
    each = np.arange(len(x))[:, None, None]
    return np.asarray(images[each, i[:, :, None], j[:, None, :]].reshape(x.shape))


def lloyd(x: Floats, k: int, rng: np.random.Generator) -> Start:
    """Five Lloyd steps on a subset, from random rows."""
    subset = np.sort(rng.choice(len(x), min(len(x), max(LLOYD_ROWS, 20 * k)), replace=False))
    points = np.asarray(x[subset])
    means = points[rng.choice(len(points), k, replace=False)]
    squares = np.einsum("ij,ij->i", points, points)
    for step in range(LLOYD_STEPS + 1):
        distance = np.einsum("ij,ij->i", means, means) - 2 * points @ means.T
        labels = distance.argmin(axis=1)
        if step == LLOYD_STEPS:
            break
        counts = np.bincount(labels, minlength=k)
        sums = np.zeros_like(means)
        np.add.at(sums, labels, points)
        means = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], means)
    within = squares + distance[np.arange(len(points)), labels]
    return Start(np.full(k, 1 / k), means, float(within.mean() / x.shape[1]))
