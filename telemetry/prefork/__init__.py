"""Several workers behind one /metrics: any of them answers a scrape with the totals of all.

There is no master and no extra service. Each worker keeps its state in a private directory and hands it out over a Unix socket
there. ``docs/workers.md`` has the reasons, and says what is kept when a worker ends, hangs or is killed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from telemetry._base.lazy import names_on_first_use

if TYPE_CHECKING:
    from telemetry.prefork.parent import is_worker as is_worker
    from telemetry.prefork.run import StateDirectoryError as StateDirectoryError
    from telemetry.prefork.run import Supervisor as Supervisor
    from telemetry.prefork.run_directory import missing_on_this_platform as missing_on_this_platform
    from telemetry.prefork.workers import Workers as Workers

_MODULES = {
    "StateDirectoryError": "telemetry.prefork.run",
    "Supervisor": "telemetry.prefork.run",
    "Workers": "telemetry.prefork.workers",
    "is_worker": "telemetry.prefork.parent",
    "missing_on_this_platform": "telemetry.prefork.run_directory",
}

__all__ = [*_MODULES]

__getattr__, __dir__ = names_on_first_use(globals(), _MODULES)
