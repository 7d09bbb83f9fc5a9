"""``python -m benchmarks``: time ours against peers and print the tables.

Three parts: the speed of an iteration (by default), whole fits (``--whole``) and passes to the end
(``--passes``). ``--results FOLDER`` runs all three, or those named, and keeps what they find.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import files, readme
from benchmarks.measure import ROOT, WorkerError, described, measure
from benchmarks.passes import LONG, Passes, passes
from benchmarks.peers import ENTRANTS, OURS
from benchmarks.report import Result, markdown, stamp
from benchmarks.whole import WHOLE, Whole, whole
from benchmarks.workloads import WORKLOADS, Workload, prepare

__all__ = ["main", "run"]

CACHE = Path(__file__).parent / ".cache"
RESULTS = Path(__file__).parent / "results"


def run(
    workloads: Sequence[Workload],
    *,
    entrants: Sequence[str] | None = None,
    repeats: int = 5,
    limit: float = 60.0,
    cache: Path = CACHE,
    coretype: str | None = None,
    threads: int | None = None,
    keep: Callable[[list[Result]], None] = lambda results: None,
    quiet: bool = False,
) -> list[Result]:
    """Measure entrants on workloads, one at a time.

    What peers took for the full structure on the same rows is not measured again for the low-rank
    one. ``keep`` is given all results so far after each workload.
    """
    say = silent if quiet else tell
    names = [n for n in entrants or ENTRANTS if ENTRANTS[n].per_iteration]
    results: list[Result] = []
    for workload in workloads:
        say(f"{workload.name}: data")
        marks = stamp(coretype, threads, repeats)
        theirs = borrowed(workload, results)
        found, failures, machine = measure(
            workload,
            prepare(workload, cache),
            [n for n in names if theirs is None or n.startswith(OURS)],
            repeats=repeats,
            coretype=coretype,
            threads=threads,
            limit=limit,
            say=say,
        )
        more = () if theirs is None else tuple(theirs.peers)
        results.append(Result(workload, (*found, *more), tuple(failures), marks | machine))
        keep(results)
    return results


def borrowed(workload: Workload, results: Sequence[Result]) -> Result | None:
    """Results in which peers did what they do on this workload."""
    size = (workload.n, workload.d, workload.k, workload.peer_type)
    for result in results if workload.rank else ():
        w = result.workload
        if (w.n, w.d, w.k, w.covariance_type) == size:
            kept = tuple(m for m in result.peers if m.judged is not None)
            return Result(w, kept)
    return None


#: Columns from which passes are counted on fewer rows.
WIDE = 100


def tell(line: str) -> None:
    """Progress, to standard error."""
    print(line, file=sys.stderr, flush=True)


def silent(line: str) -> None:
    """No progress."""


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options, checked."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", help=f"workloads, of {','.join(WORKLOADS)}")
    parser.add_argument("--entrants", help=f"of {', '.join(ENTRANTS)}")
    parser.add_argument("--speed", action="store_true", help="seconds per iteration and memory")
    parser.add_argument("--whole", action="store_true", help=f"whole fits of {','.join(WHOLE)}")
    parser.add_argument("--passes", action="store_true", help="passes to the end, accelerated")
    parser.add_argument("--results", type=Path, metavar="FOLDER", help="keep tables and pictures")
    parser.add_argument("--readme", action="store_true", help="README's table from the results")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each (%(default)s)")
    parser.add_argument("--iterations", type=int, help="timed iterations, for all workloads")
    parser.add_argument(
        "--limit", type=float, default=60.0, help="seconds of a fit after which one turn is enough"
    )
    parser.add_argument("--quick", action="store_true", help="few rows: a trial, not a measurement")
    parser.add_argument(
        "--shrink", type=int, help="so many times fewer rows for passes (10 on e, else 1)"
    )
    parser.add_argument("--long", type=int, default=LONG, help="passes of the long run")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where data are kept")
    parser.add_argument("--coretype", help="OPENBLAS_CORETYPE to measure under (else unset)")
    parser.add_argument("--threads", type=int, help="threads of BLAS (else all processors)")
    options = parser.parse_args(arguments)
    for what, known in (("only", WORKLOADS), ("entrants", ENTRANTS)):
        given = getattr(options, what)
        names = None if given is None else [name.strip() for name in given.split(",")]
        if unknown := [name for name in names or () if name not in known]:
            kind = "workloads" if what == "only" else what
            parser.error(f"expected {kind} among {','.join(known)}, got {','.join(unknown)}")
        setattr(options, what, names)
    if min(options.repeats, options.iterations or 1, options.shrink or 1, options.long) < 1:
        parser.error("expected numbers of repeats, iterations and passes of at least one")
    if not (options.speed or options.whole or options.passes):
        options.speed = True
        options.whole = options.passes = options.results is not None
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    options = parsed(arguments)
    if options.readme:
        return write_readme(options.results or RESULTS)
    for part, wanted in (
        (speed_part, options.speed),
        (whole_part, options.whole),
        (passes_part, options.passes),
    ):
        if wanted:
            print(part(options))
    return 0


def chosen(options: argparse.Namespace, names: Sequence[str]) -> list[Workload]:
    """The workloads asked for, at their size."""
    found = [WORKLOADS[name] for name in options.only or names if name in names]
    return [workload.shrunk() for workload in found] if options.quick else found


def speed_part(options: argparse.Namespace) -> str:
    """Seconds per iteration; returns the tables."""
    workloads = chosen(options, list(WORKLOADS))
    if options.iterations is not None:
        workloads = [replace(workload, iterations=options.iterations) for workload in workloads]

    def keep(results: list[Result]) -> None:
        if options.results is not None:
            files.write_speed(options.results, results)

    results = run(
        workloads,
        entrants=options.entrants,
        repeats=options.repeats,
        limit=options.limit,
        cache=options.cache,
        coretype=options.coretype,
        threads=options.threads,
        keep=keep,
    )
    return markdown(results)


def whole_part(options: argparse.Namespace) -> str:
    """Whole fits; returns the table."""
    found: list[Whole] = []
    for workload in chosen(options, WHOLE):
        data = prepare(workload, options.cache)
        marks = stamp(options.coretype, options.threads, options.repeats)
        marks |= described(workload, data, options.coretype, options.threads)
        tell(f"{workload.name}: whole fits")
        settings = {"coretype": options.coretype, "threads": options.threads, "say": tell}
        settings |= {"repeats": options.repeats, "limit": options.limit}
        settings |= {"entrants": options.entrants}
        found.append(replace(whole(workload, options.cache, **settings), marks=marks))
        if options.results is not None:
            files.write_whole(options.results, found)
    return files.whole_markdown(found)


def passes_part(options: argparse.Namespace) -> str:
    """Passes to the end; returns the table."""
    found: list[Passes] = []
    for workload in chosen(options, [name for name, w in WORKLOADS.items() if not w.rank]):
        factor = options.shrink or (10 if workload.d > WIDE else 1)
        few = workload if options.quick or factor == 1 else workload.shrunk(factor)
        marks = stamp(None, options.threads, 1)
        marks |= described(few, prepare(few, options.cache), None, options.threads)
        try:
            settings = {"long": options.long, "threads": options.threads, "say": tell}
            found.append(replace(passes(few, options.cache, **settings), marks=marks))
        except WorkerError as error:
            tell(f"{workload.name}: {error}")
            continue
        if options.results is not None:
            files.write_passes(options.results, found)
    return files.passes_markdown(found)


def write_readme(folder: Path) -> int:
    """Put the table between README's marks, or print it where there are none."""
    path, lines = ROOT / "README.md", readme.table(folder)
    text = path.read_text(encoding="utf8")
    if readme.between(text) is None:
        print("\n".join([readme.BEGIN, *lines, readme.END]))
    else:
        path.write_text(readme.replaced(text, lines), encoding="utf8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
