"""``python -m benchmarks``: time ours against peers and print the tables."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.measure import measure
from benchmarks.peers import ENTRANTS
from benchmarks.report import Result, markdown, stamp, to_json
from benchmarks.workloads import WORKLOADS, Workload, prepare

__all__ = ["main", "run"]

CACHE = Path(__file__).parent / ".cache"


def run(
    workloads: Sequence[Workload],
    *,
    entrants: Sequence[str] = tuple(ENTRANTS),
    repeats: int = 5,
    cache: Path = CACHE,
    coretype: str | None = None,
    threads: int | None = None,
    quiet: bool = False,
) -> tuple[list[Result], dict[str, object]]:
    """Measure entrants on workloads, one at a time; results and stamp."""

    def say(line: str) -> None:
        if not quiet:
            print(line, file=sys.stderr, flush=True)

    marks = stamp(coretype, threads, repeats)
    results = []
    for workload in workloads:
        say(f"{workload.name}: data")
        files = prepare(workload, cache)
        found, libraries = measure(
            workload,
            files,
            list(entrants),
            repeats=repeats,
            coretype=coretype,
            threads=threads,
            say=say,
        )
        marks |= libraries
        results.append(Result(workload, tuple(found)))
    return results, marks


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="letters (%(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each (%(default)s)")
    parser.add_argument("--iterations", type=int, help="timed iterations, for all workloads")
    parser.add_argument("--quick", action="store_true", help="few rows: a trial, not a measurement")
    parser.add_argument("--json", type=Path, metavar="PATH", help="also write all numbers there")
    parser.add_argument("--cache", type=Path, default=CACHE, help="where data are kept")
    parser.add_argument("--coretype", help="OPENBLAS_CORETYPE to measure under (else unset)")
    parser.add_argument("--threads", type=int, help="threads of BLAS (else all processors)")
    options = parser.parse_args(arguments)
    letters = [letter.strip() for letter in options.workloads.split(",")]
    unknown = [letter for letter in letters if letter not in WORKLOADS]
    if unknown:
        parser.error(f"expected workloads among {','.join(WORKLOADS)}, got {','.join(unknown)}")
    if options.repeats < 1 or (options.iterations is not None and options.iterations < 1):
        parser.error("expected at least one repeat and one iteration")
    workloads = [WORKLOADS[letter] for letter in letters]
    if options.quick:
        workloads = [workload.shrunk() for workload in workloads]
    if options.iterations is not None:
        workloads = [replace(workload, iterations=options.iterations) for workload in workloads]
    results, marks = run(
        workloads,
        repeats=options.repeats,
        cache=options.cache,
        coretype=options.coretype,
        threads=options.threads,
    )
    print(markdown(results, marks))
    if options.json is not None:
        text = json.dumps(to_json(results, marks), indent=1)
        options.json.write_text(text + "\n", encoding="utf8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
