"""Floor 2: values that say how rows were measured."""

from mixtura.channels.censored import Censored
from mixtura.channels.channel import Channel, Diagonal, Linear
from mixtura.channels.door import Arrival, measured
from mixtura.channels.grouped import Grouped
from mixtura.channels.measured import Measured, Run
from mixtura.channels.rowwise import Rowwise
from mixtura.channels.selection import Inclusion, Selection, Window, as_selection

__all__ = [
    "Arrival",
    "Censored",
    "Channel",
    "Diagonal",
    "Grouped",
    "Inclusion",
    "Linear",
    "Measured",
    "Rowwise",
    "Run",
    "Selection",
    "Window",
    "as_selection",
    "measured",
]
