"""``python -m benchmarks.real``: ours against four peers on public data, in one run."""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.measure import environment
from benchmarks.real.cases import CASES, GROUPS, Case
from benchmarks.real.compare import Outcome, compare
from benchmarks.real.fitters import PEERS
from benchmarks.real.report import LATE, markdown, to_json
from benchmarks.report import stamp

__all__ = ["main", "present", "run"]

GAIA = (
    "The case `gaia` is left out: its file is not part of the project. Members of NGC 2516 with "
    "Gaia's columns Plx, pmRA, pmDE and their errors come with ASteCA (github.com/asteca/ASteCA); "
    "give the file with `--gaia PATH`."
)


def present() -> tuple[str, ...]:
    """Peers that are installed."""

    def here(name: str) -> bool:
        module = PEERS[name].module
        if module is not None:
            return find_spec(module) is not None
        if shutil.which("Rscript") is None:
            return False
        ask = ["Rscript", "-e", "quit(status = !requireNamespace('mclust', quietly = TRUE))"]
        return subprocess.run(ask, check=False, capture_output=True).returncode == 0

    return tuple(name for name in PEERS if here(name))


def run(
    cases: Sequence[Case],
    *,
    repeats: int = 5,
    threads: int | None = None,
    files: dict[str, Path] | None = None,
    peers: Sequence[str] | None = None,
    minutes: float | None = None,
    keep: Callable[[list[Outcome], dict[str, Any]], None] = lambda outcomes, marks: None,
    quiet: bool = False,
) -> tuple[list[Outcome], dict[str, Any]]:
    """Measure cases, one at a time; outcomes and stamp, which ``keep`` is given after each case.

    No case begins after so many minutes; those that are left out are named in the stamp.
    """
    began = time.monotonic()

    def say(line: str) -> None:
        if not quiet:
            print(line, file=sys.stderr, flush=True)

    files = files or {}
    found = present() if peers is None else tuple(peers)
    wanted = {peer for case in cases for peer in case.peers}
    marks = stamp(None, threads, repeats) | {
        "python": platform.python_version(),
        "absent": [name for name in PEERS if name in wanted and name not in found],
        "left_out": [],
        "versions": {},
    }
    for name in marks["absent"]:
        say(f"{name} is absent and left out; to have it: {PEERS[name].install}")
    outcomes = []
    for case in cases:
        if minutes is not None and time.monotonic() - began > 60 * minutes:
            marks["left_out"].append(f"{LATE}{case.name}.")
        elif case.data == "gaia" and "gaia" not in files:
            marks["left_out"].append(GAIA)
            say(GAIA)
        elif any(peer in found for peer in case.peers):
            env = environment(None, threads)
            outcome, versions = compare(
                case, files, present=found, repeats=repeats, env=env, say=say
            )
            marks["versions"] |= versions
            outcomes.append(outcome)
            keep(outcomes, marks)
    return outcomes, marks


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real", description=__doc__)
    parser.add_argument("--groups", default=",".join(GROUPS), help="of cases (%(default)s)")
    parser.add_argument("--data", help="only cases of these data, for example iris,thyroid")
    parser.add_argument("--repeats", type=int, default=5, help="timed turns (%(default)s)")
    parser.add_argument("--threads", type=int, help="threads of BLAS (else all processors)")
    parser.add_argument("--minutes", type=float, help="after which no further case begins")
    parser.add_argument("--limit", type=int, help="most EM steps on the way to convergence")
    parser.add_argument("--gaia", type=Path, help="a table of stars that the project lacks")
    parser.add_argument("--output", type=Path, help="folder for real.json and real.md")
    options = parser.parse_args(arguments)
    groups = [group.strip() for group in options.groups.split(",")]
    if unknown := [group for group in groups if group not in GROUPS]:
        parser.error(f"expected groups among {', '.join(GROUPS)}, got {', '.join(unknown)}")
    if options.repeats < 1:
        parser.error(f"expected at least one repeat, got {options.repeats}")
    cases = [case for case in CASES if case.group in groups]
    if options.data is not None:
        cases = [case for case in cases if case.data in options.data.split(",")]
    if not cases:
        parser.error(f"expected data among {', '.join({c.data for c in CASES})}")
    if options.limit is not None:
        cases = [replace(c, limit=min(c.limit, options.limit)) for c in cases]
    files = {} if options.gaia is None else {"gaia": options.gaia}
    cases.sort(key=lambda case: case.group == "structures")  # the many small ones last

    def keep(outcomes: list[Outcome], marks: dict[str, Any]) -> None:
        if options.output is not None:
            options.output.mkdir(parents=True, exist_ok=True)
            text = markdown(outcomes, marks)
            (options.output / "real.md").write_text(text, encoding="utf8")
            numbers = json.dumps(to_json(outcomes, marks), indent=1)
            (options.output / "real.json").write_text(numbers + "\n", encoding="utf8")

    outcomes, marks = run(
        cases,
        repeats=options.repeats,
        threads=options.threads,
        files=files,
        minutes=options.minutes,
        keep=keep,
    )
    keep(outcomes, marks)
    print(markdown(outcomes, marks))
    return 0


if __name__ == "__main__":
    sys.exit(main())
