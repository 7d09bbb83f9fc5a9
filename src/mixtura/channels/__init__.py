"""Floor 2: values that say how a row was measured."""

from mixtura.channels.channel import Channel, Diagonal, Linear

__all__ = ["Channel", "Diagonal", "Linear"]
