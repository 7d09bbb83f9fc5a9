"""How certain the assignments are: 1 − E[maxₖ rₖ(x)] is the share of rows assigned wrongly.

That share splits over pairs of components: a and b are confused by as much as rows assigned to a
belong to b, and the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mixtura.report.reading import Reading

__all__ = ["LEVELS", "Certainty", "certainty"]

#: Levels of the greatest responsibility.
LEVELS = (0.99, 0.9, 0.5)
#: Pairs listed, and the share of the rows below which a pair is not worth a line.
MOST_PAIRS, LEAST = 6, 5e-4


@dataclass(frozen=True)
class Certainty:
    """How certain the assignments of some rows are.

    Attributes
    ----------
    above : dict of float to float
        Level -> share of the rows whose greatest responsibility is above it.
    wrong : float
        Share of the rows that, under the model, is assigned to a component it is not of.
    pairs : tuple of (int, int, float)
        Components and the share of the rows confused between them, most confused first.
    """

    above: dict[float, float]
    wrong: float
    pairs: tuple[tuple[int, int, float], ...]


def certainty(reading: Reading) -> Certainty:
    """From the responsibilities of every row."""
    above = {level: float(reading.weight @ (reading.certainty > level)) for level in LEVELS}
    wrong = float(reading.weight @ (1 - reading.certainty))
    both = reading.moved + reading.moved.T
    first, second = np.triu_indices(len(both), 1)
    order = np.argsort(-both[first, second], kind="stable")[:MOST_PAIRS]
    pairs = tuple(
        (int(first[i]), int(second[i]), float(both[first[i], second[i]]))
        for i in order
        if both[first[i], second[i]] >= LEAST
    )
    return Certainty(above, wrong, pairs)
