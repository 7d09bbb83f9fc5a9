"""Numbers that stand side by side, and lists, as sentences carry them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mixtura.report.numbers import number, pair

__all__ = ["fixed", "listed", "minus", "plural", "to_place"]


def minus(text: str) -> str:
    """With the minus sign that figures use."""
    return text.replace("-", "−")


def listed(parts: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else list(parts))


def plural(count: int, noun: str) -> str:
    """``1 row``, ``2,000 rows``."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def fixed(value: float, places: int = 4) -> str:
    """So many decimals, or a power of ten where they would follow a row of digits."""
    return f"{value:,.{places}f}" if abs(value) < 1e6 else f"{value:.6g}"


def to_place(value: float, sd: float) -> str:
    """A number to the place of the second digit of ``sd``: ``54.5`` where the spread is 5.8.

    Numbers that ``pair`` would write with a power of ten get their own: ``3.00×10⁹``.
    """
    if not (math.isfinite(value) and math.isfinite(sd)) or sd <= 0:
        return minus(number(value, raised=True))
    text = pair(value, sd, raised=True)
    if text.startswith("("):
        head, _, power = text[1:].partition(")")
        text = head.partition(" ± ")[0] + power
    return minus(text.partition(" ± ")[0])
