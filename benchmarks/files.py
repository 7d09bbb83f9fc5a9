"""Results on disk: JSON with all numbers, Markdown, and pictures, one set for each part.

Every result has its own stamp, so that one workload can be measured again and the others stay.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from benchmarks import passes, plots, whole
from benchmarks.measure import Failure
from benchmarks.report import Result, from_json, headings, markdown, to_json
from benchmarks.workloads import WORKLOADS, Workload

__all__ = [
    *("passes_markdown", "read_passes", "read_speed", "read_whole", "whole_markdown"),
    *("write_passes", "write_speed", "write_whole"),
]

#: A result of a part: it has a workload and marks.
T = TypeVar("T", Result, whole.Whole, passes.Passes)


def write_speed(folder: Path, results: Sequence[Result]) -> None:
    """``speed.json``, ``speed.md``, ``speed.png`` and ``memory.png``."""
    results = _with_others(results, folder / "speed.json", read_speed)
    text = "# Speed and memory\n\n" + markdown(results)
    text += "\n![Times as fast as scikit-learn](speed.png)\n\n![Peak memory](memory.png)\n"
    _write(folder, "speed", text, to_json(results))
    plots.draw(results, folder)


def read_speed(path: Path) -> list[Result]:
    """The results, with their stamps."""
    return from_json(json.loads(path.read_text(encoding="utf8")))


def whole_markdown(found: Sequence[whole.Whole]) -> str:
    """The table with its stamps."""
    notes = (
        "Whole calls of `fit` with default settings, each library's own start and stopping rule; "
        "seconds are medians of turns. *Judged* is the mean log density of all rows, by one scorer "
        "in float64."
    )
    return _document(found, notes, whole.table(found))


def write_whole(folder: Path, found: Sequence[whole.Whole]) -> None:
    """``whole.json`` and ``whole.md``."""
    found = _with_others(found, folder / "whole.json", read_whole)
    ratios = [{fit.entrant: each.ratio(fit.entrant) for fit in each.fits} for each in found]
    results = [asdict(e) | {"ratios": r} for e, r in zip(found, ratios, strict=True)]
    _write(folder, "whole", "# Whole fits\n\n" + whole_markdown(found), {"results": results})


def read_whole(path: Path) -> list[whole.Whole]:
    """The fits, with their stamps."""
    found = []
    for entry in json.loads(path.read_text(encoding="utf8"))["results"]:
        fits = tuple(whole.Fit(**_tuples(each)) for each in entry["fits"])
        failures = tuple(Failure(**each) for each in entry["failures"])
        workload = Workload(**entry["workload"])
        found.append(whole.Whole(workload, fits, failures, entry["marks"]))
    return found


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}


def passes_markdown(found: Sequence[passes.Passes]) -> str:
    """The table with its stamps."""
    notes = (
        f"Passes over all rows until the log-likelihood is within {passes.CLOSE:g} nats a row of "
        "what a long run of plain EM reaches, from equal starts."
    )
    return _document(found, notes, passes.table(found))


def write_passes(folder: Path, found: Sequence[passes.Passes]) -> None:
    """``passes.json`` and ``passes.md``."""
    found = _with_others(found, folder / "passes.json", read_passes)
    text = "# Passes to the end\n\n" + passes_markdown(found)
    _write(folder, "passes", text, {"results": [asdict(each) for each in found]})


def read_passes(path: Path) -> list[passes.Passes]:
    """The counts, with their stamps."""
    return [
        passes.Passes(**entry | {"workload": Workload(**entry["workload"])})
        for entry in json.loads(path.read_text(encoding="utf8"))["results"]
    ]


def _with_others(found: Sequence[T], path: Path, read: Callable[[Path], list[T]]) -> list[T]:
    """What was found, and what the folder has of other workloads, in the workloads' order."""
    named = {each.workload.name for each in found}
    kept = [each for each in read(path) if each.workload.name not in named] if path.exists() else []
    order = list(WORKLOADS)
    place = {name: order.index(name) if name in order else len(order) for name in named}
    place |= {e.workload.name: order.index(e.workload.name) for e in kept}
    return sorted([*found, *kept], key=lambda each: place[each.workload.name])


def _document(found: Sequence[Any], notes: str, table: list[str]) -> str:
    return "\n".join(["\n\n".join(headings(found)), "", notes, "", *table, ""])


def _write(folder: Path, stem: str, text: str, numbers: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.md").write_text(text.rstrip("\n") + "\n", encoding="utf8")
    dumped = json.dumps(numbers, indent=1, ensure_ascii=False)
    (folder / f"{stem}.json").write_text(dumped + "\n", encoding="utf8")
