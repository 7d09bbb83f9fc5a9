"""Floor 9: the report, one HTML page that carries all it shows."""

from mixtura.report.page import check_extras, render

__all__ = ["check_extras", "render"]
