"""Floor 9: the report, one HTML page that carries all it shows."""

from mixtura.report.fitcheck import FitCheck, fit_check
from mixtura.report.page import check_extras, render
from mixtura.report.verdict import brief

__all__ = ["FitCheck", "brief", "check_extras", "fit_check", "render"]
