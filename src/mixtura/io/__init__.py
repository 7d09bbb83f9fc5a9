"""Floor 7: models out and in."""

from mixtura.io.files import FORMAT_VERSION, load, read, save
from mixtura.io.onnx import export_onnx
from mixtura.mixture.mixture import DOORS

__all__ = ["FORMAT_VERSION", "export_onnx", "load", "read", "save"]

DOORS["save"], DOORS["load"] = save, load
