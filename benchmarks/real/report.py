"""The tables in Markdown, and all numbers as JSON."""

from __future__ import annotations

import statistics
from dataclasses import asdict
from typing import Any

from benchmarks.real.cases import GROUPS, Case
from benchmarks.real.compare import Measured, Outcome
from benchmarks.real.fitters import PEERS

__all__ = ["LATE", "from_json", "markdown", "to_json"]

#: How the stamp names a case that was not begun.
LATE = "Left out for want of time: "
#: Differences of log-likelihoods below this (nats, in total) count as none.
EVEN = 1e-4
HEAD = (
    *("data", "n × d", "k", "structure", "peer", "log-likelihood", "ahead, equal steps"),
    *("ahead, converged", "ours, ms", "ratio", "processor ratio", "memory, ours", "peer's", "load"),
)


def to_json(outcomes: list[Outcome], marks: dict[str, Any]) -> dict[str, Any]:
    """Everything that was measured."""
    results = []
    for outcome in outcomes:
        entry = asdict(outcome)
        entry["comparisons"] = [outcome.summary(peer) for peer in outcome.measured[1:]]
        results.append(entry)
    return {"stamp": marks, "results": results}


def from_json(numbers: dict[str, Any]) -> tuple[list[Outcome], dict[str, Any]]:
    """Outcomes and stamp, of which ``to_json`` made the numbers."""
    outcomes = []
    for entry in numbers["results"]:
        case = Case(**entry["case"] | {"peers": tuple(entry["case"]["peers"])})
        measured = [Measured(**each) for each in entry["measured"]]
        outcomes.append(Outcome(case, entry["rows"], entry["columns"], entry["load"], measured))
    return outcomes, numbers["stamp"]


def markdown(outcomes: list[Outcome], marks: dict[str, Any]) -> str:
    """A table for each group, with the stamp above and an account of what is worse below."""
    lines = [
        f"Measured on {marks['date']} at commit {marks['commit']}; {marks['cpu']}, "
        f"{marks['cores']} cores, {marks['system']}, load {marks['load_average'][0]} at the start, "
        f"{marks['threads'] or 'as many as it likes'} threads of BLAS; "
        f"medians of {marks['repeats']} turns; Python {marks['python']}, "
        + ", ".join(f"{name} {version}" for name, version in marks["versions"].items())
        + ".",
        "",
        "*Log-likelihood* is ours at the end, a total in nats. *Ahead* is ours less the peer's: "
        "after equal numbers of EM steps from the equal start, and after both went on to "
        "convergence; both are scored by the same code, which is neither's. *Ratio* is the peer's "
        "time over ours for a whole call of equal steps (median, least to greatest): below 1 the "
        "peer is faster. *Memory* is the peak of the first fit above library and data, in MB (ours "
        "with the compiled kernels that it loads; pygmmis without its child processes), and of the "
        "whole process. *Load* is the machine's when the case began.",
        "",
    ]
    lines += [f"{name} is absent: `{PEERS[name].install}`." for name in marks["absent"]]
    late = [what.removeprefix(LATE) for what in marks["left_out"] if what.startswith(LATE)]
    lines += [what for what in marks["left_out"] if not what.startswith(LATE)]
    if late:
        lines += [f"{LATE}{len(late)} cases, from {late[0]} to {late[-1]}"]
    for group in GROUPS:
        mine = [outcome for outcome in outcomes if outcome.case.group == group]
        if mine:
            steps = sorted({outcome.case.iterations for outcome in mine})
            told = " or ".join(map(str, steps))
            lines += ["", f"### {group.capitalize()} ({told} timed EM steps)", "", *table(mine)]
    lines += ["", "### Where ours is behind", "", *behind(outcomes), "", "### Peers cannot", ""]
    lines += [f"- {name}: {peer.cannot}." for name, peer in PEERS.items()]
    return "\n".join(lines) + "\n"


def table(outcomes: list[Outcome]) -> list[str]:
    """A row for each case and peer."""
    lines = ["| " + " | ".join(HEAD) + " |", "|---" * len(HEAD) + "|"]
    for outcome in outcomes:
        case, ours = outcome.case, outcome.ours
        for peer in outcome.measured[1:]:
            apart = outcome.summary(peer)
            best = ours.converged if ours.converged is not None else ours.equal
            cells = [case.data, f"{outcome.rows:,} × {outcome.columns}", str(case.k)]
            cells += [case.structure, peer.entrant]
            cells += ["fails" if best is None else f"{best:,.3f}"]
            cells += [ahead(apart["equal_difference"], peer)]
            cells += [ahead(apart["converged_difference"], peer) if case.limit else "–"]
            cells += [f"{1e3 * statistics.median(ours.seconds):.3g}" if ours.seconds else "–"]
            if apart["median_ratio"] is None:
                cells += ["–", "–"]
            else:
                low, high = apart["least_ratio"], apart["greatest_ratio"]
                cells += [f"**{apart['median_ratio']:.3g}** ({low:.3g} to {high:.3g})"]
                cells += [f"{apart['median_cpu_ratio']:.3g}"]
            cells += [memory(ours), memory(peer), f"{outcome.load:.1f}"]
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def ahead(difference: float | None, peer: Measured) -> str:
    """A difference of log-likelihoods, or why there is none."""
    if difference is None:
        return f"fails: {peer.failed}" if peer.failed else "–"
    return "0" if abs(difference) < EVEN else f"{difference:+.3g}"


def memory(one: Measured) -> str:
    """Peak memory above the process's own, and altogether."""
    return f"{one.peak_bytes / 1e6:.1f}, {one.whole_bytes / 1e6:.0f}"


def behind(outcomes: list[Outcome]) -> list[str]:
    """Lines on lower log-likelihoods and longer times, peer by peer."""
    lines = []
    for name in PEERS:
        pairs = [(o, m) for o in outcomes for m in o.measured[1:] if m.entrant == name]
        if not pairs:
            continue
        found = [(o, o.summary(m)) for o, m in pairs]
        apart = [
            (o, s["converged_difference" if o.case.limit else "equal_difference"]) for o, s in found
        ]
        lower, higher = (
            [
                f"{o.case.data} {o.case.structure} by {abs(by):.3g}"
                + ("" if o.case.limit else " after equal steps")
                for o, by in apart
                if by is not None and sign * by > EVEN
            ]
            for sign in (-1, 1)
        )
        timed = [s["median_ratio"] for _, s in found if s["median_ratio"] is not None]
        slower = sum(ratio < 1 for ratio in timed)
        failed = [f"{o.case.data} {o.case.structure}" for o, m in pairs if m.failed]
        ours = [f"{o.case.data} {o.case.structure}" for o, _ in pairs if o.ours.failed]
        lines.append(
            f"- {name}: ours ends lower in {len(lower)} of {len(found)} cases"
            + (f" ({'; '.join(lower)})" if lower else "")
            + f" and higher in {len(higher)}"
            + (f" ({'; '.join(higher)})" if higher else "")
            + f"; ours is slower in {slower} of {len(timed)}"
            + (f", by {1 / min(timed):.3g} times at worst" if slower else "")
            + (f"; {name} fails on {', '.join(failed)}" if failed else "")
            + (f"; ours fails on {', '.join(ours)}" if ours else "")
            + "."
        )
    return lines
