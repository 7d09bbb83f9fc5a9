"""``python -m benchmarks.scale``: fits with many components, ours and scikit-learn's.

Three parts. ``growth``: seconds per iteration from 10 to 10,000 components, diagonal, from equal
starts; scikit-learn, whose memory grows with rows × components, has fewer rows where it must, and
its seconds are given in proportion. ``time``: log-likelihood of rows held out against time.
``images``: whole fits of factor analysers to Fashion-MNIST, and the pairs that they evaluate.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.__main__ import CACHE, tell
from benchmarks.measure import WorkerError, described, environment
from benchmarks.report import stamp
from benchmarks.scale.data import FASHION, fashion
from benchmarks.scale.fits import Fit, Job, made
from benchmarks.scale.report import PARTS, markdown, write
from benchmarks.workloads import WORKLOADS, prepare

__all__ = ["growth", "images", "main", "timed"]

#: Bytes that scikit-learn holds for each pair of a row and a component, measured on workload d.
PAIR_BYTES = 49
#: Share of the machine's memory that a fit may take.
MEMORY_SHARE = 0.6
#: Components of the first part; those from which truncation takes part.
COMPONENTS, LEAST = (10, 30, 100, 300, 1_000, 3_000, 10_000), 100
#: Components, factors and candidates of the images; iterations of dense fits that are not whole.
IMAGES, RANK, CANDIDATES, FEW = (200, 500, 1_000, 2_000), 5, 16, 9


def growth(n: int, d: int, components: Sequence[int], iterations: int) -> list[Job]:
    """Seconds per iteration against k."""
    jobs = []
    for k in components:
        job = Job("truncated", "digits", n, d, k, iterations=iterations)
        jobs += [job] if k >= LEAST else []
        few = min(iterations, 5)
        jobs.append(replace(job, entrant="dense", iterations=few))
        memory = MEMORY_SHARE * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        most = int(memory // (PAIR_BYTES * k))
        jobs.append(replace(job, entrant="scikit-learn", n=min(n, most), iterations=min(few, 3)))
    return jobs


def timed(n: int, d: int, large: int, small: int, iterations: int) -> list[Job]:
    """Log-likelihood against time: a tenth of the rows for all, all rows for ours."""
    first = Job("truncated", "digits", n // 10, d, small, iterations=iterations, judged=True)
    entrants = ("truncated", "dense", "scikit-learn")
    few = [replace(first, entrant=entrant) for entrant in entrants]
    many = [replace(first, n=n, k=k) for k in (small, large)]
    return [*few, *many]


def images(
    path: Path, n: int, components: Sequence[int], rank: int, candidates: int, dense: int
) -> list[Job]:
    """Whole fits of factor analysers; of the dense engine a few steps beyond so many components."""
    d = fashion(path).rows.shape[1]
    job = Job("truncated", "fashion", n, d, 0, "lowrank", rank, candidates)
    jobs = []
    for k in components:
        few = 0 if k <= dense else FEW
        jobs.append(replace(job, k=k, after=few))
        jobs.append(replace(job, k=k, entrant="dense", iterations=few or None))
    return jobs


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", help=f"parts, of {','.join(PARTS)}")
    parser.add_argument("--results", type=Path, metavar="FOLDER", help="keep table and pictures")
    parser.add_argument("--fashion", type=Path, default=FASHION, help="images (%(default)s)")
    parser.add_argument(
        "--dense", type=int, default=500, help="components to which dense fits of images run whole"
    )
    parser.add_argument("--quick", action="store_true", help="few rows: a trial, no measurement")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where rows are kept")
    options = parser.parse_args(arguments)
    options.only = list(PARTS) if options.only is None else options.only.split(",")
    if unknown := [part for part in options.only if part not in PARTS]:
        parser.error(f"expected parts among {','.join(PARTS)}, got {','.join(unknown)}")
    return options


def jobs_of(part: str, options: argparse.Namespace) -> list[Job]:
    """What a part fits."""
    quick = options.quick
    if part == "growth":
        sizes = (2_000, 8, (10, 100), 4) if quick else (1_000_000, 32, COMPONENTS, 8)
        return growth(*sizes)
    if part == "time":
        return timed(*((20_000, 8, 200, 100, 3) if quick else (1_000_000, 32, 10_000, 1_000, 25)))
    sizes = (1_000, (20, 40), 2, 8) if quick else (60_000, IMAGES, RANK, CANDIDATES)
    return images(options.fashion, *sizes, options.dense)


def fits_of(
    jobs: Sequence[Job], cache: Path, images: Path, say: Callable[[str], None]
) -> list[Fit]:
    """All fits, one after another; one that fails is said and left out."""
    tiny = WORKLOADS["a"].shrunk()
    marks: dict[str, Any] = stamp(None, None, 1) | described(tiny, prepare(tiny, cache))
    env, found = environment(None), []
    for job in jobs:
        name = f"{job.entrant}, {job.n:,} × {job.d}, k = {job.k:,}"
        try:
            fit = replace(made(job, cache, env, images), marks=marks)
        except WorkerError as error:
            say(f"{name}: {error}")
            continue
        found.append(fit)
        say(f"{name}: {fit.settled:.4g} s an iteration, {fit.held_out[-1]:.4f} nats held out")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    options = parsed(arguments)
    found: dict[str, list[Fit]] = {}
    for part in options.only:
        try:
            jobs = jobs_of(part, options)
        except FileNotFoundError as error:
            tell(f"{part}: {error}")
            continue
        found[part] = fits_of(jobs, options.cache, options.fashion, tell)
        if options.results is not None and found[part]:
            write(options.results, part, found[part])
    print(markdown({part: fits for part, fits in found.items() if fits}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
