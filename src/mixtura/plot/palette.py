"""Colours as one value: what is drawn in ink, what recedes, and what tells components apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mixtura.errors import InputError

__all__ = ["LIGHT", "Palette", "palette_of"]


@dataclass(frozen=True)
class Palette:
    """The colours of a figure, each as matplotlib takes them.

    Attributes
    ----------
    ink : str
        Text and main lines.
    muted : str
        Text and lines that recede.
    grid : str
        Frames, grids and the bars of histograms.
    surface : str
        The paper.
    accent : str
        What a figure points at.
    components : tuple of str
        Colours that tell components apart; further components repeat them.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from mixtura.plot import LIGHT
    >>> night = replace(LIGHT, ink="#e8e6e0", muted="#9da1ab", grid="#3a3f49", surface="#14161a")
    >>> night.component(12) == night.component(2)
    True
    """

    ink: str
    muted: str
    grid: str
    surface: str
    accent: str
    components: tuple[str, ...]

    def component(self, k: int) -> str:
        """The colour of component k."""
        return self.components[k % len(self.components)]


#: The default, for paper. Every colour of a component has a contrast of 3 to white or more, so that
#: thin lines and white numbers on it can be read. In simulated red and green blindness any two of
#: the first six stay more than 20 apart in CIE L*a*b*, and any two of the ten more than 12. Nobody
#: tells ten apart with certainty, so that figures also number the components.
LIGHT = Palette(
    ink="#1c1f26",
    muted="#5f646e",
    grid="#d9d6cf",
    surface="#ffffff",
    accent="#24588f",
    components=(
        "#2266aa", "#cc5522", "#882255", "#0099aa", "#664422",
        "#229966", "#7777ee", "#881188", "#ee6677", "#dd4499",
    ),
)  # fmt: skip


def palette_of(palette: Any) -> Palette:
    """The palette asked for, or ``LIGHT``.

    Raises
    ------
    InputError
        For anything but a palette with at least one colour for components.
    """
    if palette is None:
        return LIGHT
    if not isinstance(palette, Palette):
        raise InputError(
            f"expected palette as a mixtura.plot.Palette, got {palette!r}; change single colours "
            "with dataclasses.replace(mixtura.plot.LIGHT, accent=...)"
        )
    if not palette.components:
        raise InputError("expected at least one colour in palette.components, got none")
    return palette
