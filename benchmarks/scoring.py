"""What answers cost once a mixture is there, and what a fit costs before it iterates.

``python -m benchmarks.scoring`` takes mixtures of the sizes of workloads b and d, and prints ratios
of scores, responsibilities and draws to scikit-learn's (float64), of the law of half of the columns
given the others to gmr's, and of the start with one iteration on the workloads' rows to
scikit-learn's; seconds are medians of turns in one process. ``--rows`` takes fewer rows,
``--results FOLDER`` keeps the table.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import heading, stamp
from benchmarks.workloads import WORKLOADS, prepare

#: What, beside whom, our seconds and theirs.
Row = tuple[str, str, float, float]
CACHE = Path(__file__).parent / ".cache"
Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]


def mixture(d: int, k: int, diagonal: bool, rng: np.random.Generator) -> tuple[Any, Any]:
    """The same mixture for Mixtura and for scikit-learn."""
    from sklearn.mixture import GaussianMixture

    import mixtura as mx

    weights, means = rng.dirichlet(np.full(k, 5.0)), 1.5 * rng.standard_normal((k, d))
    peer = GaussianMixture(k, covariance_type="diag" if diagonal else "full")
    peer.weights_, peer.means_ = weights, means
    if diagonal:
        covariances = rng.uniform(0.3, 1.5, (k, d))
        peer.precisions_cholesky_ = 1 / np.sqrt(covariances)
    else:
        a = rng.standard_normal((k, d, d)) / np.sqrt(d)
        covariances = 0.5 * a @ np.swapaxes(a, 1, 2) + 0.3 * np.eye(d)
        inverse = np.linalg.inv(np.linalg.cholesky(covariances))
        peer.precisions_cholesky_ = np.swapaxes(inverse, 1, 2)
    peer.covariances_ = covariances
    return mx.Mixture(weights, means, covariances), peer


def seconds(work: Callable[[], Any], turns: int) -> float:
    """Median of some turns, after one that is not counted."""
    work()
    spent = []
    for _ in range(turns):
        began = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began)
    return float(np.median(spent))


def scores(name: str, rows: int | None, turns: int) -> list[Row]:
    """Rows of the table for a workload: what, beside whom, our seconds and theirs."""
    case = next(w for w in WORKLOADS.values() if w.name == name)
    rng, n = np.random.default_rng(0), min(rows or case.n, case.n)
    mix, peer = mixture(case.d, case.k, case.covariance_type == "diag", rng)
    x = np.asarray(mix.sample(n, rng=0))
    assert np.allclose(mix.log_density(x[:100]), peer.score_samples(x[:100]), rtol=1e-9)
    tasks = {
        "log density": (lambda: mix.log_density(x), lambda: peer.score_samples(x)),
        "responsibilities": (lambda: mix.responsibilities(x), lambda: peer.predict_proba(x)),
        "draws": (lambda: mix.sample(n, rng=0), lambda: peer.sample(n)),
    }
    what = f"{name}: {n:,} × {case.d}, k = {case.k}"
    return [
        (f"{what}, {task}", "scikit-learn", seconds(ours, turns), seconds(theirs, turns))
        for task, (ours, theirs) in tasks.items()
    ]


def conditionals(rows: int | None, turns: int) -> list[Row]:
    """Conditional and imputed means of 100,000 rows beside gmr's."""
    import gmr

    n, d, k = min(rows or 100_000, 100_000), 16, 64
    mix, _ = mixture(d, k, False, np.random.default_rng(0))
    x = np.asarray(mix.sample(n, rng=0))
    given = list(range(d // 2))
    law = mix.conditional(given)
    peer = gmr.GMM(k, np.asarray(mix.weights), mix.means, np.asarray(mix.covariance.dense()))
    few = min(n, 20_000)  # gmr's memory grows with the rows; its seconds are scaled
    assert np.allclose(law.mean(x[:50, given]), peer.predict(np.array(given), x[:50, given]))
    theirs = seconds(lambda: peer.predict(np.array(given), x[:few, given]), 1) * n / few
    gaps = x.copy()
    gaps[:, d // 2 :] = np.nan
    mixed = np.where(np.random.default_rng(1).random(x.shape) < 0.05, np.nan, x)
    what = f"{n:,} × {d}, k = {k}"
    return [
        (
            f"{what}, conditional means",
            "gmr",
            seconds(lambda: law.mean(x[:, given]), turns),
            theirs,
        ),
        (f"{what}, imputed, one pattern", "gmr", seconds(lambda: mix.impute(gaps), turns), theirs),
        (f"{what}, imputed, 5% of cells", "gmr", seconds(lambda: mix.impute(mixed), 1), theirs),
    ]


def beginning(name: str, rows: int | None, turns: int, cache: Path) -> Row:
    """A start by default settings and one iteration, on a workload's rows."""
    from sklearn.mixture import GaussianMixture

    import mixtura as mx

    case = WORKLOADS[name]
    x = np.load(prepare(case, cache).rows)[:rows]

    def first(cls: Any) -> Any:
        how = {"covariance_type": case.covariance_type, "reg_covar": case.reg_covar}
        return cls(case.k, max_iter=1, random_state=0, **how).fit(x)

    what = f"{name}: {len(x):,} × {case.d}, k = {case.k}, start and first iteration"
    ours = seconds(lambda: first(mx.GaussianMixture), turns)
    return what, "scikit-learn", ours, seconds(lambda: first(GaussianMixture), 1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=int, help="at most so many rows")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--results", type=Path, metavar="FOLDER", help="keep scoring.md there")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where data are kept")
    chosen = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    marks = stamp(None, None, chosen.turns)
    found = [*scores("b", chosen.rows, chosen.turns), *scores("d", chosen.rows, chosen.turns)]
    found += [beginning(name, chosen.rows, chosen.turns, chosen.cache) for name in "bd"]
    try:
        found += conditionals(chosen.rows, chosen.turns)
    except ImportError:
        print("gmr is not installed: conditioning is left out")
    lines = [heading(marks), "", "| | beside | seconds | theirs | ratio |", "|---|---|---|---|---|"]
    for what, peer, ours, theirs in found:
        lines.append(f"| {what} | {peer} | {ours:.4f} | {theirs:.4f} | {theirs / ours:.1f} |")
    print("\n".join(lines))
    if chosen.results is not None:
        chosen.results.mkdir(parents=True, exist_ok=True)
        text = "\n".join(["# Scores, conditional means and starts", "", *lines, ""])
        (chosen.results / "scoring.md").write_text(text, encoding="utf8")


if __name__ == "__main__":
    main()
