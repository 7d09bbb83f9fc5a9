"""Results on disk: JSON with all numbers, Markdown, and pictures, one set for each part."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import passes, plots, whole
from benchmarks.measure import Failure
from benchmarks.report import Result, from_json, heading, markdown, to_json
from benchmarks.workloads import Workload

__all__ = [
    *("passes_markdown", "read_passes", "read_speed", "read_whole", "whole_markdown"),
    *("write_passes", "write_speed", "write_whole"),
]

Marks = dict[str, Any]


def write_speed(folder: Path, results: Sequence[Result], marks: Marks) -> None:
    """``speed.json``, ``speed.md``, ``speed.png`` and ``memory.png``."""
    text = "# Speed and memory\n\n" + markdown(results, marks)
    text += "\n![Times as fast as scikit-learn](speed.png)\n\n![Peak memory](memory.png)\n"
    _write(folder, "speed", text, to_json(results, marks))
    plots.draw(results, folder)


def read_speed(path: Path) -> tuple[list[Result], Marks]:
    """Results and stamp."""
    return from_json(json.loads(path.read_text(encoding="utf8")))


def whole_markdown(found: Sequence[whole.Whole], marks: Marks) -> str:
    """The table with its stamp."""
    notes = (
        "Whole calls of `fit` with default settings, each library's own start and stopping rule; "
        "seconds are medians of turns. *Judged* is the mean log density of all rows, by one scorer "
        "in float64."
    )
    return "\n".join([heading(marks), "", notes, "", *whole.table(found), ""])


def write_whole(folder: Path, found: Sequence[whole.Whole], marks: Marks) -> None:
    """``whole.json`` and ``whole.md``."""
    text = "# Whole fits\n\n" + whole_markdown(found, marks)
    ratios = [{fit.entrant: each.ratio(fit.entrant) for fit in each.fits} for each in found]
    results = [asdict(e) | {"ratios": r} for e, r in zip(found, ratios, strict=True)]
    _write(folder, "whole", text, {"stamp": marks, "results": results})


def read_whole(path: Path) -> tuple[list[whole.Whole], Marks]:
    """Fits and stamp."""
    numbers = json.loads(path.read_text(encoding="utf8"))
    found = []
    for entry in numbers["results"]:
        fits = [whole.Fit(**_tuples(each)) for each in entry["fits"]]
        failures = tuple(Failure(**each) for each in entry["failures"])
        found.append(whole.Whole(Workload(**entry["workload"]), tuple(fits), failures))
    return found, numbers["stamp"]


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()}


def passes_markdown(found: Sequence[passes.Passes], marks: Marks) -> str:
    """The table with its stamp."""
    notes = (
        f"Passes over all rows until the log-likelihood is within {passes.CLOSE:g} nats a row of "
        "what a long run of plain EM reaches, from equal starts."
    )
    return "\n".join([heading(marks), "", notes, "", *passes.table(found), ""])


def write_passes(folder: Path, found: Sequence[passes.Passes], marks: Marks) -> None:
    """``passes.json`` and ``passes.md``."""
    text = "# Passes to the end\n\n" + passes_markdown(found, marks)
    _write(folder, "passes", text, {"stamp": marks, "results": [asdict(each) for each in found]})


def read_passes(path: Path) -> tuple[list[passes.Passes], Marks]:
    """Counts and stamp."""
    numbers = json.loads(path.read_text(encoding="utf8"))
    found = [
        passes.Passes(**entry | {"workload": Workload(**entry["workload"])})
        for entry in numbers["results"]
    ]
    return found, numbers["stamp"]


def _write(folder: Path, stem: str, text: str, numbers: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.md").write_text(text.rstrip("\n") + "\n", encoding="utf8")
    dumped = json.dumps(numbers, indent=1, ensure_ascii=False)
    (folder / f"{stem}.json").write_text(dumped + "\n", encoding="utf8")
