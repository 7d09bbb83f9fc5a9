"""``python -m benchmarks.stream``: fits to files that are read pass by pass, and fits in memory.

Iterations of EM from one model, in memory, from NPY and from Parquet, are timed by turns in one
process, so that what else the machine does meets all alike. The peak of resident memory is that of
a whole fit in a process of its own. Files are written by pieces, into ``benchmarks/.cache``.
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

import mixtura as mx

__all__ = ["main"]

CACHE = Path(__file__).parent / ".cache"
#: Rows written at a time.
PIECE = 1_000_000
#: Rows of a chunk where all would fit into the memory.
MOST_CHUNK = 1_000_000


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


def passes(paths: dict[str, Path], d: int, k: int, rounds: int, memory: str) -> dict[str, Any]:
    """Seconds of EM iterations from one model, in memory and from the files by turns."""
    from mixtura.fit.budget import plan
    from mixtura.fit.engines import Chunked, Dense
    from mixtura.fit.steps import batch_step
    from mixtura.sources import Rows
    from mixtura.sources.budget import as_bytes
    from mixtura.sources.streamed import Streamed
    from mixtura.sources.streams import stream

    held = Rows(np.load(paths["npy"]))
    rows: dict[str, Any] = {"memory": held}
    for kind, path in paths.items():
        found = stream(path)
        divided = plan(found, as_bytes(memory), k)
        chunk = min(divided.chunk, MOST_CHUNK) if divided.whole else divided.chunk
        rows[kind] = Streamed.of(found, chunk=chunk, sample=1000)
    gm = mx.GaussianMixture(k, max_iter=1, **start_of(d, k)).fit(held.x[:100_000])
    engine, model = Chunked(Dense()), gm._model
    seconds: dict[str, list[float]] = {kind: [] for kind in rows}
    heights = {}
    for i in range(rounds + 1):
        for kind, one in rows.items():
            began = time.perf_counter()
            _, _, heights[kind], _ = batch_step(model, one, engine, None)
            if i:  # the first compiles, and fills the system's cache of the files
                seconds[kind].append(time.perf_counter() - began)
    return {"seconds": seconds, "heights": heights}


def fitted(path: Path, k: int, memory: str) -> dict[str, Any]:
    """A whole fit of this process: how long it took, and the peak of resident memory."""
    began = time.perf_counter()
    gm = mx.GaussianMixture(k, memory=memory, max_iter=2, random_state=0).fit(path)
    spent = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"seconds": spent, "peak": peak, "height": gm.lower_bound_}


def child(what: str, kind: str, options: argparse.Namespace) -> dict[str, Any]:
    """Work in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.stream", "--work", what, "--kind", kind]
    for name in ("rows", "columns", "components", "rounds", "memory", "folder"):
        command += [f"--{name}", str(getattr(options, name))]
    environment = dict(os.environ)
    if options.threads:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            environment[name] = str(options.threads)
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stream", description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--columns", type=int, default=8)
    parser.add_argument("--components", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5, help="iterations timed of each")
    parser.add_argument("--memory", default="500MB")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=CACHE)
    parser.add_argument("--only", choices=("passes", "fitted"), help="one half of it")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    parser.add_argument("--kind", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    d, k = options.columns, options.components
    paths = prepare(options.rows, d, k, options.folder)
    if options.work:
        warnings.simplefilter("ignore")
        if options.work == "passes":
            answer = passes(paths, d, k, options.rounds, options.memory)
        else:
            answer = fitted(paths[options.kind], k, options.memory)
        print(json.dumps(answer))
        return
    print(f"{options.rows:,} rows, {d} columns (float32), {k} components, {options.memory}")
    if options.only != "fitted":
        found = child("passes", "", options)
        held = np.array(found["seconds"]["memory"])
        print("EM iterations by turns: ns per row (median), speed against memory (of each turn)")
        for kind, seconds in found["seconds"].items():
            each = np.array(seconds)
            speed = held / each
            print(
                f"  {kind:8} {np.median(each) / options.rows * 1e9:7.1f}  {np.median(speed):5.0%}"
                f"  ({speed.min():.0%} to {speed.max():.0%})  {found['heights'][kind]:.10f}"
            )
    if options.only != "passes":
        print("whole fits of their own process, 2 iterations at most: peak of resident memory")
        for kind in paths:
            found = child("fitted", kind, options)
            print(f"  {kind:8} {found['peak'] / 1e6:5.0f} MB in {found['seconds']:.0f} s")


if __name__ == "__main__":
    main()
