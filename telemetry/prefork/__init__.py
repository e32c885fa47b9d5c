"""Several workers behind one /metrics: any of them answers a scrape with the totals of all.

There is no master and no extra service. Each worker keeps its state in a private directory and hands it out over a Unix socket
there. ``docs/workers.md`` has the reasons, and says what is kept when a worker ends, hangs or is killed.
"""

from telemetry.prefork.run import StateDirectoryError, Supervisor, is_worker
from telemetry.prefork.run_directory import missing_on_this_platform
from telemetry.prefork.workers import Workers

__all__ = ["StateDirectoryError", "Supervisor", "Workers", "is_worker", "missing_on_this_platform"]
