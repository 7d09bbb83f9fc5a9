"""``python -m benchmarks.stream``: fits to files that are read pass by pass, and fits in memory.

For NPY and Parquet, from one start: seconds per row and iteration are (T(1 + m) − T(1)) / (m n), so
that what a fit does once does not count; the peak of resident memory is that of a process of its
own, which makes a start of its own too. Files are written by pieces, into ``benchmarks/.cache``.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["main"]

CACHE = Path(__file__).parent / ".cache"
#: Rows written at a time.
PIECE = 1_000_000


def rows_of(n: int, d: int, k: int, seed: int, start: int) -> np.ndarray:
    """One piece of a table of k overlapping groups (float32)."""
    means = 3.0 * np.random.default_rng(seed).normal(size=(k, d))
    rng = np.random.default_rng([seed, start])
    labels = rng.integers(k, size=n)
    x = rng.standard_normal((n, d), dtype=np.float32)
    return x + means.astype(np.float32)[labels]


def prepare(n: int, d: int, k: int, folder: Path) -> dict[str, Path]:
    """The table as NPY and as Parquet, written once."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / ".gitignore").exists():
        (folder / ".gitignore").write_text("*\n", encoding="utf8")
    paths = {kind: folder / f"stream_{n}_{d}_{k}.{kind}" for kind in ("npy", "parquet")}
    if not paths["npy"].exists():
        part = paths["npy"].with_suffix(".part")
        with part.open("wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (n, d)}
            np.lib.format.write_array_header_1_0(file, header)
            for start in range(0, n, PIECE):
                rows_of(min(PIECE, n - start), d, k, 0, start).tofile(file)
        part.rename(paths["npy"])
    if not paths["parquet"].exists():
        import pyarrow as pa
        from pyarrow import parquet

        part = paths["parquet"].with_suffix(".part")
        schema = pa.schema([(f"x{j}", pa.float32()) for j in range(d)])
        with parquet.ParquetWriter(part, schema, use_dictionary=False) as writer:
            for start in range(0, n, PIECE):
                x = rows_of(min(PIECE, n - start), d, k, 0, start)
                columns = [pa.array(np.ascontiguousarray(x[:, j])) for j in range(d)]
                writer.write_table(pa.Table.from_arrays(columns, schema=schema))
        part.rename(paths["parquet"])
    return paths


def start_of(d: int, k: int) -> dict[str, Any]:
    """The same start for all: near the true means."""
    means = 3.0 * np.random.default_rng(0).normal(size=(k, d)) + 0.3
    return {
        "weights_init": np.full(k, 1 / k),
        "means_init": means,
        "precisions_init": np.stack([np.eye(d)] * k),
    }


def work(how: str, path: Path, d: int, k: int, m: int, memory: str) -> dict[str, Any]:
    """What one process measures."""
    import mixtura as mx

    warnings.simplefilter("ignore")
    x: Any = path
    if how == "memory":
        x = np.load(path)

    def seconds(iterations: int, **more: Any) -> float:
        budget = None if how == "memory" else memory
        gm = mx.GaussianMixture(k, max_iter=iterations, tol=0.0, memory=budget, **more)
        began = time.perf_counter()
        gm.fit(x)
        spent = time.perf_counter() - began
        found.append(float(gm.lower_bound_))
        return spent

    found: list[float] = []
    given = start_of(d, k)
    once = seconds(1, **given)  # compiles
    once = min(once, seconds(1, **given))
    several = seconds(1 + m, **given)
    answer = {"once": once, "each": (several - once) / m, "bound": found[-1]}
    if how != "memory":
        answer["own_start"] = seconds(2, init_params="kmeans", random_state=0)
    answer["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return answer


def child(how: str, path: Path, options: argparse.Namespace) -> dict[str, Any]:
    """``work`` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.stream", "--work", how, "--path", str(path)]
    for name in ("columns", "components", "iterations", "memory"):
        command += [f"--{name}", str(getattr(options, name))]
    environment = dict(os.environ)
    if options.threads:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            environment[name] = str(options.threads)
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stream", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--columns", type=int, default=8)
    parser.add_argument("--components", type=int, default=32)
    parser.add_argument("--iterations", type=int, default=2, help="beyond the first")
    parser.add_argument("--memory", default="500MB")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=CACHE)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    d, k = options.columns, options.components
    if options.work:
        answer = work(options.work, options.path, d, k, options.iterations, options.memory)
        print(json.dumps(answer))
        return
    paths = prepare(options.rows, d, k, options.folder)
    print(f"{options.rows:,} rows, {d} columns (float32), {k} components, {options.memory}")
    runs = [("memory", "npy"), ("streamed", "npy"), ("streamed", "parquet")]
    found: dict[tuple[str, str], list[dict[str, Any]]] = {run: [] for run in runs}
    for _ in range(options.repeats):
        for how, kind in runs:
            found[how, kind].append(child(how, paths[kind], options))
    base = float(np.median([one["each"] for one in found[runs[0]]]))
    print(f"{'':18}  ns per row  speed  once (s)  peak memory  log-likelihood")
    for how, kind in runs:
        all_of = found[how, kind]
        each = float(np.median([one["each"] for one in all_of]))
        peak = max(one["peak"] for one in all_of)
        once = float(np.median([one["once"] for one in all_of]))
        label = "in memory" if how == "memory" else f"streamed {kind}"
        print(
            f"{label:18}  {each / options.rows * 1e9:10.1f}  {base / each:4.0%}  {once:8.1f}  "
            f"{peak / 1e6:8.0f} MB  {all_of[0]['bound']:.12f}"
        )


if __name__ == "__main__":
    main()
