r"""What ``mixtura condition`` answers: p(rest | given), and how unlikely the condition is.

The given values x are held against the model's own rows: the share of draws z of their marginal
law with p(z) < p(x), and the distance of x from the nearest component,
√minₖ (x − μₖ)ᵀ Σₖ⁻¹ (x − μₖ).
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixtura.cli import options
from mixtura.errors import InputError
from mixtura.report.numbers import number, percent
from mixtura.report.wording import plural

__all__ = ["Answer", "condition", "record"]

#: Draws against which the given values are held.
DRAWS = 20_000
#: A condition is called unlikely below this share of draws, unless the model's record has another.
FAR = 0.01


@dataclass(frozen=True, eq=False)
class Answer:
    """The law of the rest.

    Attributes
    ----------
    rest : Mixture
        In the remaining columns, which always have names.
    given : dict of str to float
    level : float
        Probability of the intervals.
    log_density : float
        Of the given values, in nats.
    share : float
        Of the model's rows whose given columns are less likely.
    distance : float
        From the nearest component, in its standard deviations.
    """

    rest: Any
    given: dict[str, float]
    level: float
    log_density: float
    share: float
    distance: float

    def lines(self) -> list[tuple[Any, ...]]:
        """Name, mean, sd, low, median and high of each remaining column."""
        tails = [(1 - self.level) / 2, 0.5, (1 + self.level) / 2]
        found = []
        for j, name in enumerate(self.rest.columns):
            law = self.rest.marginal([j])
            numbers = law.mean[0], np.sqrt(law.cov[0, 0]), *law.quantile(tails)
            found.append((name, *map(float, numbers)))
        return found

    def rarity(self) -> str:
        """``12.3%``, or that it is less than draws can tell."""
        return percent(self.share) if self.share > 0 else f"fewer than 1 in {DRAWS:,}"

    def warning(self, info: dict[str, Any]) -> str:
        """What to say of an unlikely condition; empty if it is none."""
        least = float(info.get("outlier_quantile") or FAR)
        if self.share >= least:
            return ""
        only = "only " if self.share > 0 else ""
        return (
            f"the given values are unlikely: {only}{self.rarity()} of the model's rows are less "
            f"so, and the nearest component is {number(self.distance, 3)} standard deviations "
            "away; the answer rests on the shape of the model more than on rows like these"
        )


def condition(mixture: Any, given: dict[str, float], level: float) -> Answer:
    """The answer for a model and what was typed.

    Raises
    ------
    InputError
        For columns that the model does not have, all of them, or values beyond all numbers.
    """
    places = [options.place(mixture, name, "--given") for name in given]
    if len(set(places)) < len(places):
        raise InputError(f"expected every column once after --given, got {', '.join(given)}")
    if mixture.d == 1:
        raise InputError(
            "expected a model of several columns, got one that has one column only: nothing is "
            "left to describe; mixtura describe tells its law"
        )
    if len(places) == mixture.d:
        raise InputError(
            f"expected at most {plural(mixture.d - 1, 'column')} after --given, "
            f"got all {mixture.d} of the "
            "model: nothing is left to describe; mixtura score tells the density at a point"
        )
    values = np.array(list(given.values()))
    names = mixture.columns or tuple(f"x{j}" for j in range(mixture.d))
    part = mixture.marginal(places)
    rest = mixture.condition(places, values)
    delta = part.covariance.mahalanobis((values - part.means)[:, :, None])[:, 0]
    rest = _named(rest, [name for j, name in enumerate(names) if j not in set(places)])
    height = float(part.log_density(values[None])[0])
    draws = part.log_density(part.sample(DRAWS, 0))
    return Answer(
        rest=rest,
        given={names[j]: float(value) for j, value in zip(places, values, strict=True)},
        level=level,
        log_density=height,
        share=float((draws < height).mean()),
        distance=float(np.sqrt(delta[part.weights > 0].min())),
    )


def _named(mixture: Any, names: list[str]) -> Any:
    """The same mixture with names: a rest counted anew from x0 would be misread."""
    from mixtura import Mixture

    if mixture.columns is not None:
        return mixture
    return Mixture(mixture.weights, mixture.means, mixture.covariance, columns=names)


def record(answer: Answer, info: dict[str, Any], model: str) -> dict[str, Any]:
    """What the written model says of itself; conditions add up."""
    import mixtura

    return {
        "made_by": "mixtura condition",
        "mixtura": mixtura.__version__,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "model": model,
        "conditioned_on": {**(info.get("conditioned_on") or {}), **answer.given},
        "columns": list(answer.rest.columns),
        "n_components": int(answer.rest.k),
        "joint_fitted_to": info.get("data") or info.get("joint_fitted_to"),
    }
