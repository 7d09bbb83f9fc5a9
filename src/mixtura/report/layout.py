"""Which columns a figure or a card shows when there are more than fit."""

from __future__ import annotations

from mixtura.plot.layout import separation, telling

__all__ = ["separation", "telling"]
