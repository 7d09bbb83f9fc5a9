"""Matplotlib figures as SVG inside a page: its fonts, and colours that follow its theme.

A figure is drawn with stand-in colours; in the SVG each becomes a CSS variable, so that light and
dark are the page's affair and the figure need not be drawn twice.
"""

from __future__ import annotations

import io
import re
from html import escape
from typing import Any

__all__ = ["ACCENT", "GRID", "INK", "MUTED", "N_COLOURS", "SURFACE", "colour", "figure", "inline"]

INK, MUTED, GRID, SURFACE, ACCENT = "#010101", "#020202", "#030303", "#040404", "#050505"
_NAMES = {INK: "ink", MUTED: "muted", GRID: "grid", SURFACE: "surface", ACCENT: "accent"}
#: Colours that tell components apart; further components repeat them.
N_COLOURS = 10


def colour(component: int) -> str:
    """The stand-in for ``var(--c0)`` … ``var(--c9)``."""
    return f"#0a00{component % N_COLOURS:02x}"


def figure(width: float, height: float) -> Any:
    """A figure of that size in inches, without any global state of pyplot."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout=None)


def inline(fig: Any, name: str, label: str) -> str:
    """The figure as an ``<svg>`` element for a page.

    Parameters
    ----------
    fig : matplotlib Figure
    name : str
        Prefix of the ids, different for each figure of a page.
    label : str
        What the figure shows, for readers who do not see it.
    """
    import matplotlib as mpl

    buffer = io.StringIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        fig.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    view = re.search(r'viewBox="([^"]*)"', text)
    assert view is not None
    text = text[text.index(">") + 1 :]
    for noise in (
        r"<!--.*?-->",
        r"<metadata>.*?</metadata>",
        r"<defs>\s*<style.*?</style>\s*</defs>",
    ):
        text = re.sub(noise, "", text, flags=re.DOTALL)
    text = text.replace("xlink:href", "href")
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="|url\()#', rf"\1#{name}-", text)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    text = re.sub(r' d="([^"]*)"', lambda found: f' d="{_short(found[1])}"', text)
    text = re.sub(
        r"#0[1-5]0[1-5]0[1-5]|#0a000[0-9]",
        lambda found: f"var(--{_NAMES.get(found[0]) or 'c' + found[0][-1]})",
        text,
    )
    head = f'<svg viewBox="{view[1]}" role="img" aria-label="{escape(label)}">'
    return head + text.strip()


def _short(path: str) -> str:
    """Path data to a tenth of a point, with dots as lines of no length."""
    path = re.sub(r"-?\d+\.\d+", lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), path)
    path = re.sub(r"M (\S+) (\S+) *\n?L \1 \2 *\n?", r"M\1 \2h0", path)
    return re.sub(r" *\n *", " ", path).strip()
