"""Numbers as people read them: as many digits as the spread makes meaningful."""

from __future__ import annotations

import math

__all__ = ["number", "pair", "percent", "seconds"]

_RAISED = str.maketrans("0123456789-+", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺")


def number(value: float | None, digits: int = 4, *, raised: bool = False) -> str:
    """``1,234``, ``0.01235`` or ``1.235e12``: about ``digits`` significant digits.

    ``raised`` writes ``1.235×10¹²``.
    """
    if value is None or not math.isfinite(value):
        return "–" if value is None or math.isnan(value) else str(value)
    size = abs(value)
    if size != 0 and not 1e-3 <= size < 1e7:
        unit, _, power = f"{value:.{digits - 1}e}".partition("e")
        return unit + _power(int(power), raised)
    places = 0 if size == 0 else max(0, digits - 1 - math.floor(math.log10(size)))
    text = f"{value:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def pair(mean: float, sd: float, *, raised: bool = False) -> str:
    """``2.04 ± 0.27``: the spread to two digits, the mean to the same place.

    Parameters
    ----------
    mean, sd : float
        In the user's units.
    raised : bool
        Write powers of ten as ``×10¹²`` instead of ``e12``.
    """
    if not (math.isfinite(mean) and math.isfinite(sd)) or sd <= 0:
        return f"{number(mean)} ± {number(sd)}"
    size = max(abs(mean), sd)
    exponent = math.floor(math.log10(size))
    places = 1 - math.floor(math.log10(float(f"{sd:.1e}")))
    if exponent + places > 17:  # the spread lies below the last digit of the mean
        return f"{number(mean, raised=raised)} ± {number(sd, 2, raised=raised)}"
    if 1e-3 <= size < 1e7 or exponent + places > 9:
        places = min(max(places, 0), 20)
        return f"{_plain(mean, places)} ± {_plain(sd, places)}"
    unit = 10.0**exponent
    places = max(places + exponent, 0)
    inside = f"({_plain(mean / unit, places)} ± {_plain(sd / unit, places)})"
    return inside + _power(exponent, raised)


def _power(exponent: int, raised: bool) -> str:
    return f"×10{str(exponent).translate(_RAISED)}" if raised else f"e{exponent}"


def _plain(value: float, places: int) -> str:
    text = f"{value:,.{places}f}"
    return text.removeprefix("-") if float(text.replace(",", "")) == 0 else text


def percent(share: float) -> str:
    """``35.6%``; small shares keep two digits, and the smallest are ``<0.001%``."""
    if share >= 0.0995 or share == 0:
        return f"{100 * share:.1f}%"
    return f"{100 * share:.2g}%" if share >= 1e-5 else "<0.001%"


def seconds(time: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min 20 s`` or ``2 h 5 min``."""
    if time < 10:
        return f"{time:.1f} s"
    if time < 100:
        return f"{time:.0f} s"
    if time < 3600:
        return f"{int(time // 60)} min {int(time % 60)} s"
    return f"{int(time // 3600)} h {int(time % 3600 // 60)} min"
