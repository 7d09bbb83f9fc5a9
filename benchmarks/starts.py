"""What starts and subsamples are worth: held-out log-likelihood against time.

``python -m benchmarks.starts`` makes two tables on rows of real structure (the digits' smoothed
bootstrap, and a table of one's own, as a CSV), and writes them to ``results/starts.md`` and
``.json``. *Starts*: one start, one EM iteration after it, and the fit to its end, against
scikit-learn's starts on the same data. *Subsamples*: the mixture that EM fits on a weighted
subsample alone, by the way it was drawn, from an equal start; the loss is against the fit of all
rows, with its standard error over seeds. Seconds are processor time over all threads, medians over
seeds; log-likelihoods are nats a row on rows held out, means over seeds.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import stamp
from benchmarks.workloads import bootstrap

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]

RESULTS = Path(__file__).parent / "results"
HELD = 20_000


def digits(n: int, d: int) -> tuple[Floats, Floats]:
    """Rows to fit and rows held out."""
    x = bootstrap(n + HELD, d, np.random.default_rng(0))
    return x[:n], x[n:]


def table(path: Path) -> tuple[Floats, Floats]:
    """The columns of a CSV with a header whose values are all numbers; a fifth is held out."""
    with gzip.open(path, "rt", encoding="utf8") as file:
        cells = np.genfromtxt(file, delimiter=",", skip_header=1)
    x = cells[:, ~np.isnan(cells).any(axis=0)]
    x = x + np.random.default_rng(1).uniform(-0.5, 0.5, x.shape)  # whole numbers would collapse
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    held = np.random.default_rng(0).random(len(x)) < 0.2
    return x[~held], x[held]


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """A result, and the processor time that it took."""
    began = time.process_time()
    found = work()
    return found, time.process_time() - began


def starts(x: Floats, held: Floats, k: int, kind: str, floor: float, seeds: int) -> list[Any]:
    """One row per start: seconds of the start and of an iteration, log-likelihoods held out."""
    from sklearn.cluster import KMeans, kmeans_plusplus

    from mixtura.covariance import Added, structure
    from mixtura.fit import run
    from mixtura.fit.engines import Dense
    from mixtura.fit.initialise import STARTS, model_from_start
    from mixtura.sources import Rows

    def single(seed: int) -> Any:
        labels = np.full(len(x), -1)
        labels[kmeans_plusplus(x, k, random_state=seed)[1]] = np.arange(k)
        return labels

    rows, rule = Rows(x), structure(kind, None, x.shape[1])
    ways: dict[str, Callable[[int], Any]] = {
        "k-means++": lambda seed: STARTS["k-means++"](rows, k, seed),
        "scikit-learn's k-means++": single,
        "kmeans": lambda seed: STARTS["kmeans"](rows, k, seed),
        "scikit-learn's kmeans": lambda seed: KMeans(k, n_init=1, random_state=seed).fit(x).labels_,
    }
    out = []
    for name, way in ways.items():
        spent, ends = [], []
        for seed in range(seeds):
            labels, first = timed(lambda way=way, seed=seed: way(seed))
            model, second = timed(
                lambda labels=labels: model_from_start(rows, labels, k, rule, Added(floor))
            )
            fit, third = timed(
                lambda model=model: run(model, rows, Dense(), max_iter=100, tol=1e-3)
            )
            spent.append((first + second, third / fit.n_iter, first + second + third, fit.n_iter))
            mixture = fit.model.mixture()
            ends.append((fit.objective, float(mixture.log_density(held).mean())))
        out.append({"start": name, "seconds": np.median(spent, axis=0), "ends": np.array(ends)})
    return out


def subsamples(
    x: Floats, held: Floats, k: int, kind: str, floor: float, sizes: list[int], seeds: int
) -> list[Any]:
    """One row per way and size: seconds of the draw and of the fit, and what the sample loses.

    All fits of a seed start from the groups of one k-means of all rows; the loss is the held-out
    log-likelihood of the fit of all rows less that of the sample's.
    """
    from mixtura.covariance import Added, structure
    from mixtura.fit import run
    from mixtura.fit.engines import Dense
    from mixtura.fit.initialise import STARTS, model_from_start, nearest
    from mixtura.fit.subsample import SUBSAMPLES, subsampled
    from mixtura.sources import Rows

    rows, rule = Rows(x), structure(kind, None, x.shape[1])
    ways: list[Any] = [("all rows", len(x))]
    ways += [(name, size) for size in sizes for name in SUBSAMPLES]
    spent: dict[Any, list[Any]] = {way: [] for way in ways}
    ends: dict[Any, list[float]] = {way: [] for way in ways}
    for seed in range(seeds):
        labels = STARTS["kmeans"](rows, k, seed)
        centres = np.stack([x[labels == j].mean(axis=0) for j in range(k)])
        for way in ways:
            wanted = None if way[0] == "all rows" else way
            some, first = timed(lambda wanted=wanted, seed=seed: subsampled(rows, wanted, k, seed))

            def fitted(some: Any = some, centres: Any = centres) -> Any:
                model = model_from_start(some, nearest(some.x, centres), k, rule, Added(floor))
                return run(model, some, Dense(), max_iter=100, tol=1e-3)

            fit, second = timed(fitted)
            spent[way].append((first, second))
            ends[way].append(float(fit.model.mixture().log_density(held).mean()))
    best = np.array(ends[ways[0]])
    return [
        {
            "way": way[0],
            "rows": way[1],
            "seconds": np.median(spent[way], axis=0),
            "ends": ends[way],
            "loss": best - np.array(ends[way]),
        }
        for way in ways
    ]


def spread(values: Any) -> str:
    """Mean and standard error."""
    values = np.asarray(values)
    error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return f"{values.mean():.4f} ± {error:.4f}"


def main() -> None:
    """Measure, print and write."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(prog="python -m benchmarks.starts", description=__doc__)
    parser.add_argument("--table", type=Path, help="a CSV (.gz) of numbers, the second data set")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="few rows: a trial")
    options = parser.parse_args()
    n = 20_000 if options.quick else 40_000
    marks = stamp(None, None, options.seeds)
    lines = [f"Measured on {marks['date']} at commit {marks['commit']}; {marks['cpu']}.", ""]
    data: dict[str, Any] = {"stamp": marks, "starts": [], "subsamples": []}
    lines += [
        "| data | k, structure | start | start, s | iteration, s | whole fit, s | iterations "
        "| fitted rows | held out |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    cells = [("digits, 16 columns", digits(n, 16), 64, "full", 1e-4)]
    cells += [
        ("digits, 32 columns", digits(n // 2, 32), 50 if options.quick else 500, "diag", 1e-3)
    ]
    for name, (x, held), k, kind, floor in cells:
        for row in starts(x, held, k, kind, floor, options.seeds):
            a, b, c, its = row["seconds"]
            data["starts"].append({"data": name, "k": k, **row})
            lines.append(
                f"| {name}, {len(x)} rows | {k} {kind} | {row['start']} | {a:.3g} | {b:.3g} "
                f"| {c:.3g} | {its:.0f} | {spread(row['ends'][:, 0])} "
                f"| {spread(row['ends'][:, 1])} |"
            )
            print(lines[-1], flush=True)
    lines += ["", "| data | k, structure | drawn | rows | draw, s | fit, s | held out | loss |"]
    lines += ["|---|---|---|---|---|---|---|---|"]
    more: list[Any] = [("digits, 8 columns", digits(n, 8), 10, "full", 1e-4, [1000, 4000])]
    more += [("digits, 32 columns", digits(n, 32), 20, "diag", 1e-3, [1000, 4000])]
    if options.table is not None:
        more += [
            (options.table.name.split(".")[0], table(options.table), 10, "full", 1e-4, [1000, 4000])
        ]
    for name, (x, held), k, kind, floor, sizes in more:
        for row in subsamples(x, held, k, kind, floor, sizes, 3 * options.seeds):
            a, b = row["seconds"]
            data["subsamples"].append({"data": name, "k": k, **row})
            lines.append(
                f"| {name}, {len(x)} rows | {k} {kind} | {row['way']} | {row['rows']} | {a:.3g} "
                f"| {b:.3g} | {np.mean(row['ends']):.4f} | {spread(row['loss'])} |"
            )
            print(lines[-1], flush=True)
    print("\n".join(lines))
    if not options.quick:
        RESULTS.joinpath("starts.md").write_text("\n".join(lines) + "\n", encoding="utf8")
        text = json.dumps(data, indent=1, default=lambda value: np.asarray(value).tolist())
        RESULTS.joinpath("starts.json").write_text(text + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
