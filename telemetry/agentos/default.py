"""The process's telemetry: built on first use, replaced by the configured one, followed by module-level metrics.

``current()`` builds a scrape-only default (no thread, no exporter, safe before a fork), so that importing a metric and
recording works without an app. ``install()`` puts the configured one in its place: handles and metrics that were made before
follow, and what the default had counted is carried over.
"""

from __future__ import annotations

from collections.abc import Iterator
from threading import RLock
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Family

from telemetry.metric.definition import Metric

if TYPE_CHECKING:
    from telemetry.pipeline.telemetry import Telemetry

__all__ = ["REGISTRY", "MetricProxy", "current", "install"]

_lock = RLock()
_current: Telemetry | None = None
_built_here = False


def current() -> Telemetry:
    """The process's telemetry; the first call builds the default."""
    global _current, _built_here
    if _current is None:
        with _lock:
            if _current is None:
                from telemetry.pipeline.telemetry import Telemetry  # providers and exposition load on first use, not on import

                _current, _built_here = Telemetry(), True
    return _current


def install(telemetry: Telemetry) -> None:
    """Make ``telemetry`` the process's own. What the default recorded is carried over; an installed one keeps its numbers."""
    global _current, _built_here
    with _lock:
        before, carries = _current, _built_here
        _current, _built_here = telemetry, False
        if before is not None and carries and before is not telemetry:
            from telemetry.pipeline.transfer import carry_over

            carry_over(before, telemetry)


class MetricProxy:
    """A metric of the process's telemetry, whichever that is at the time: a name that a module can export."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric

    def __getattr__(self, name: str) -> Any:
        return getattr(current()[self.metric], name)

    def __repr__(self) -> str:
        return f"<{self.metric.kind.value} {self.metric.prometheus_name}>"


class _CurrentCollector:
    """Passes on what the process's telemetry shows to prometheus_client."""

    def collect(self) -> Iterator[Family]:
        yield from current().registry.collect()


REGISTRY = CollectorRegistry(auto_describe=False)
"""For ``prometheus_client.generate_latest(REGISTRY)``: agrees with ``current().reader.expose()``."""
REGISTRY.register(_CurrentCollector())
