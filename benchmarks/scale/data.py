"""Rows to fit and rows held out: digits at any number, and Fashion-MNIST.

Fashion-MNIST (Xiao, Rasul & Vollgraf 2017, MIT licence) is read from an ``.npz`` with ``X_train``
and ``X_test``, or from the four ``.gz`` files as they are published (Debian has them in its package
``dataset-fashion-mnist``). Pixels are in [0, 1].
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.workloads import Floats, bootstrap

__all__ = ["FASHION", "Begin", "Table", "begin", "digits", "fashion"]

#: Where Debian's package puts the images.
FASHION = Path("/usr/share/dataset-fashion-mnist")
#: Rows held out of the digits.
HELD_OUT = 10_000
#: Rows on which the spread of a start is taken.
SPREAD_ROWS = 1_000


class Table(NamedTuple):
    """Rows (n, d) to fit and rows held out, in float32."""

    rows: Floats
    held_out: Floats


class Begin(NamedTuple):
    """A start that all libraries share: weights (k,), means (k, d), one variance."""

    weights: Floats
    means: Floats
    variance: float


def digits(n: int, d: int, cache: Path) -> Table:
    """The workloads' smoothed bootstrap of the digits, and further draws of it."""
    cache.mkdir(parents=True, exist_ok=True)
    if not (cache / ".gitignore").exists():
        (cache / ".gitignore").write_text("*\n", encoding="utf8")
    found = []
    for size, seed in ((n, 0), (HELD_OUT, 2)):
        path = cache / f"scale-n{size}-d{d}-s{seed}.npy"
        if not path.exists():
            np.save(path, bootstrap(size, d, np.random.default_rng(seed)).astype(np.float32))
        found.append(np.load(path))
    return Table(*found)


def fashion(path: Path) -> Table:
    """Fashion-MNIST's training and test images, 784 pixels in [0, 1].

    Raises
    ------
    FileNotFoundError
        With where to have them from.
    """
    if path.suffix == ".npz" and path.exists():
        with np.load(path) as arrays:
            parts = [arrays["X_train"], arrays["X_test"]]
    elif (path / "train-images-idx3-ubyte.gz").exists():
        parts = [images(path / f"{name}-images-idx3-ubyte.gz") for name in ("train", "t10k")]
    else:
        raise FileNotFoundError(
            f"expected Fashion-MNIST in {path}, found none; install Debian's package "
            "dataset-fashion-mnist, or give --fashion FILE.npz with X_train and X_test"
        )
    return Table(*(part.reshape(len(part), -1).astype(np.float32) / 255 for part in parts))


def images(path: Path) -> Floats:
    """Pixels (n, 784) of one published file: a header of 16 bytes, then one byte a pixel."""
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), dtype=np.uint8, offset=16).reshape(-1, 784)


def begin(rows: Floats, k: int, seed: int = 1) -> Begin:
    """Random rows as means, and the mean squared distance of some rows to the nearest of them."""
    rng = np.random.default_rng(seed)
    means = rows[np.sort(rng.choice(len(rows), k, replace=False))].astype(np.float64)
    some = rows[rng.choice(len(rows), min(SPREAD_ROWS, len(rows)), replace=False)]
    some = some.astype(np.float64)
    squares = np.einsum("ij,ij->i", means, means) - 2 * some @ means.T
    squares += np.einsum("ij,ij->i", some, some)[:, None]
    squares[squares < 1e-9] = np.inf  # a mean's own row
    return Begin(np.full(k, 1 / k), means, float(squares.min(axis=1).mean() / rows.shape[1]))
