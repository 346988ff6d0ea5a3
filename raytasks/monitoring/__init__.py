"""How far extraction and training are: a progress bar, metrics for Ray's dashboard, `status`."""

from raytasks.monitoring.progress import Progress
from raytasks.monitoring.status import Activity, announced, running

__all__ = ["Activity", "Progress", "announced", "running"]
