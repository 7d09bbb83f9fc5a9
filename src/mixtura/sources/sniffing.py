"""Which character separates the cells of a text table."""

from __future__ import annotations

import csv
from collections import Counter

__all__ = ["WHITESPACE", "sniff"]

#: Stands for one or more spaces or tabs.
WHITESPACE = "white space"
#: In this order: a character that seldom occurs inside cells is the stronger evidence.
CANDIDATES = ("\t", ";", "|", ",", WHITESPACE)


def sniff(sample: str, suffixes: list[str], *, whole: bool = True) -> str:
    """The delimiter that splits most lines of the sample alike.

    Parameters
    ----------
    sample : str
        The table's first lines.
    suffixes : list of str
        The file's, such as ``[".tsv", ".gz"]``; ``.tsv`` settles it.
    whole : bool
        Whether the last line is complete.

    Returns
    -------
    str
        A character, or ``WHITESPACE``; a comma if there is one column only.
    """
    if ".tsv" in [suffix.lower() for suffix in suffixes]:
        return "\t"
    best, best_score = ",", (0.0, 0)
    for candidate in CANDIDATES:
        widths = _widths(sample, candidate, whole)
        if not widths:
            continue
        usual, count = Counter(widths[:1000]).most_common(1)[0]
        if usual < 2:
            continue
        share = count / len(widths[:1000])
        # All lines alike beats everything; else the one that most lines agree on.
        score = (share, 1 if candidate != WHITESPACE else 0)
        if score > best_score:
            best, best_score = candidate, score
        if share == 1.0:
            return candidate
    return best


def _widths(sample: str, delimiter: str, whole: bool) -> list[int]:
    """Cells per line under that delimiter."""
    lines = sample.split("\n")
    if not whole and len(lines) > 1:
        lines.pop()
    lines = [line for line in lines if line.strip()]
    if delimiter == WHITESPACE:
        records = csv.reader(
            (line.strip().replace("\t", " ") for line in lines),
            delimiter=" ",
            skipinitialspace=True,
        )
    else:
        records = csv.reader(lines, delimiter=delimiter)
    try:
        return [len(record) for record in records if record]
    except csv.Error:
        return []
