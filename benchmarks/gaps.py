"""What missing cells cost: seconds per EM iteration, against the same fit of whole rows.

``python -m benchmarks.gaps`` fits 50,000 × 10 rows with and without 30% of their cells missing (a
thousand patterns), from equal starts, in turns, and prints the ratio of (T(1 + m) − T(1)) / m.
"""

from __future__ import annotations

import argparse
import gc
import time
from typing import Any

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]


def rows(n: int, d: int, rng: np.random.Generator) -> Floats:
    """Rows of eight correlated clusters."""
    centres = 3 * rng.standard_normal((8, d))
    maps = rng.standard_normal((8, d, d)) / np.sqrt(d)
    labels = rng.integers(8, size=n)
    return centres[labels] + np.einsum("nij,nj->ni", maps[labels], rng.standard_normal((n, d)))


def seconds(x: Floats, k: int, covariance_type: str, iterations: int, noise: Any = None) -> float:
    """Of a fit of so many iterations, start included."""
    import mixtura as mx

    d = x.shape[1]
    variance = np.nanvar(x, axis=0).mean()
    precisions = {
        "full": np.tile(np.eye(d) / variance, (k, 1, 1)),
        "tied": np.eye(d) / variance,
        "diag": np.full((k, d), 1 / variance),
        "spherical": np.full(k, 1 / variance),
    }
    whole = np.nan_to_num(x[np.random.default_rng(1).choice(len(x), k, replace=False)])
    model = mx.GaussianMixture(
        k,
        covariance_type=covariance_type,
        weights_init=np.full(k, 1 / k),
        means_init=whole,
        precisions_init=precisions[covariance_type],
        tol=0.0,
        max_iter=iterations,
    )
    gc.collect()
    began = time.perf_counter()
    model.fit(x, noise=noise)
    return time.perf_counter() - began


def per_iteration(x: Floats, k: int, covariance_type: str, m: int) -> float:
    """(T(1 + m) − T(1)) / m."""
    return (seconds(x, k, covariance_type, 1 + m) - seconds(x, k, covariance_type, 1)) / m


def main() -> None:
    """Print the table."""
    import warnings

    from threadpoolctl import threadpool_info

    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--columns", type=int, default=10)
    parser.add_argument("--missing", type=float, default=0.3)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=20)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    x = rows(options.rows, options.columns, rng)
    gone = rng.random(x.shape) < options.missing
    gone[gone.all(axis=1), 0] = False
    gappy = np.where(gone, np.nan, x)
    patterns = len(np.unique(np.packbits(gone, axis=1), axis=0))
    threads = {lib["num_threads"] for lib in threadpool_info() if lib["user_api"] == "blas"}
    print(
        f"{len(x)} x {x.shape[1]}, {gone.mean():.0%} missing, {patterns} patterns; BLAS {threads}"
    )
    print("k, structure: ms per iteration whole, with gaps, ratio of medians")
    for covariance_type in ("full", "tied", "diag", "spherical"):
        for k in (5, 10):
            spent = [
                [
                    per_iteration(table, k, covariance_type, options.iterations)
                    for table in (x, gappy)
                ]
                for _ in range(options.repeats)
            ]
            a, b = 1e3 * np.median(spent, axis=0)
            print(f"{k:3d} {covariance_type:10s} {a:8.2f} {b:8.2f} {b / a:6.2f}", flush=True)


if __name__ == "__main__":
    main()
