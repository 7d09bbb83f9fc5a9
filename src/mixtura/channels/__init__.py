"""Floor 2: values that say how rows were measured."""

from mixtura.channels.channel import Channel, Diagonal, Linear
from mixtura.channels.door import Arrival, measured
from mixtura.channels.grouped import Grouped
from mixtura.channels.measured import Measured, Run
from mixtura.channels.rowwise import Rowwise

__all__ = [
    "Arrival",
    "Channel",
    "Diagonal",
    "Grouped",
    "Linear",
    "Measured",
    "Rowwise",
    "Run",
    "measured",
]
