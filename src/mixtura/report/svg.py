"""Matplotlib figures as SVG inside a page: its fonts, and colours that follow its theme.

A figure is drawn with a palette of stand-ins; in the SVG each becomes a CSS variable, so that
light and dark are the page's affair and the figure need not be drawn twice.
"""

from __future__ import annotations

import io
import re
from html import escape
from typing import Any
from warnings import catch_warnings, filterwarnings

import numpy as np

from mixtura.plot import Palette

__all__ = ["N_COLOURS", "PALETTE", "figure", "inline", "sized"]

#: Colours that tell components apart; further components repeat them.
N_COLOURS = 10
#: Stand-ins for ``var(--ink)`` … and ``var(--c0)`` … ``var(--c9)``.
PALETTE = Palette(
    ink="#010101",
    muted="#020202",
    grid="#030303",
    surface="#040404",
    accent="#050505",
    components=tuple(f"#0a00{k:02x}" for k in range(N_COLOURS)),
)
_NAMES = {getattr(PALETTE, name): name for name in ("ink", "muted", "grid", "surface", "accent")}
_NAMES |= {colour: f"c{k}" for k, colour in enumerate(PALETTE.components)}


def figure(width: float, height: float) -> Any:
    """A figure of that size in inches, without any global state of pyplot."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout=None)


def sized(ax: Any) -> None:
    """Text of the axes in sizes that suit the page."""
    ax.tick_params(labelsize=9.5)
    for axis in (ax.xaxis, ax.yaxis):
        axis.label.set_fontsize(10)


def inline(fig: Any, name: str, label: str) -> str:
    """The figure as an ``<svg>`` element for a page.

    Parameters
    ----------
    fig : matplotlib Figure
        It is changed: its markers become dots of a few bytes each.
    name : str
        Prefix of the ids, different for each figure of a page.
    label : str
        What the figure shows, for readers who do not see it.
    """
    import matplotlib as mpl

    for ax in fig.axes:
        _light_dots(ax)
    buffer = io.StringIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}), catch_warnings():
        # Text stays text, in the fonts of whoever reads the page; Matplotlib's lack some scripts.
        filterwarnings("ignore", "Glyph .* missing from", UserWarning)
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
    text = re.sub(f"(?<=: )({'|'.join(_NAMES)})", lambda found: f"var(--{_NAMES[found[0]]})", text)
    head = f'<svg viewBox="{view[1]}" role="img" aria-label="{escape(label)}">'
    return head + text.strip()


def _light_dots(ax: Any) -> None:
    """Discs without an edge become lines of no length with round ends: a few bytes each."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    for line in list(ax.lines):
        disc = line.get_marker() == "o" and line.get_linestyle() == "None"
        if not disc or line.get_markeredgewidth() > 0:
            continue
        at = np.asarray(line.get_xydata())
        path = Path(np.repeat(at, 2, axis=0), np.tile([Path.MOVETO, Path.LINETO], len(at)))
        path.should_simplify = False
        dots = PathPatch(
            path, fill=False, edgecolor=line.get_markerfacecolor(), alpha=line.get_alpha(),
            linewidth=line.get_markersize(), capstyle="round", zorder=line.get_zorder(),
        )  # fmt: skip
        line.remove()
        ax.add_patch(dots)


def _short(path: str) -> str:
    """Path data to a tenth of a point, with dots as lines of no length."""
    path = re.sub(r"-?\d+\.\d+", lambda found: f"{float(found[0]):.1f}".removesuffix(".0"), path)
    path = re.sub(r"M (\S+) (\S+) *\n?L \1 \2 *\n?", r"M\1 \2h0", path)
    return re.sub(r" *\n *", " ", path).strip()
