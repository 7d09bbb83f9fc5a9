"""Floor 2: where rows come from."""

from mixtura.sources.rows import Rows

__all__ = ["Rows"]
