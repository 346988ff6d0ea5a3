"""Reports: the results of runs as one HTML page with figures."""

from avcmr.evaluation.report.page import Report, render

__all__ = ["Report", "render"]
