"""The rows about the process and its runtime."""

from __future__ import annotations

from telemetry.metric import Catalogue
from telemetry.runtime import RUNTIME


def test_the_rows_have_the_names_of_prometheus_client() -> None:
    """Rows that prometheus_client shows too have its names."""
    assert {metric.prometheus_name for metric in Catalogue(RUNTIME)} >= {
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
        "python_gc_collections_total",
    }
