"""The telemetry of this process.

``current()`` builds a default on its first call. It is only scraped (no thread, no exporter, safe before a fork), so that a
module may import a metric and record before an application exists. ``install()`` puts the configured telemetry in its place:
bound instruments that were made before follow, and the default's counts are transferred.
"""

from __future__ import annotations

from collections.abc import Iterator
from threading import RLock
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Family

from telemetry._base.fork import register_after_fork
from telemetry.metric import Metric

if TYPE_CHECKING:
    from telemetry.agentos.telemetry import AgentOSTelemetry

__all__ = ["REGISTRY", "MetricProxy", "current", "install"]


_lock = RLock()
_current: AgentOSTelemetry | None = None
_is_default = False


def _replace_lock() -> None:
    global _lock
    _lock = RLock()  # a thread of the parent may have held it


register_after_fork(_replace_lock)


def current() -> AgentOSTelemetry:
    """Returns the process's telemetry. The first call builds the default."""
    global _current, _is_default
    if _current is None:
        with _lock:
            if _current is None:
                from telemetry.agentos.telemetry import AgentOSTelemetry  # loads the SDK and the exposition at first use

                made = AgentOSTelemetry()
                if _current is None:  # a signal handler may have come here meanwhile
                    _is_default = True
                    _current = made
    return _current


def install(telemetry: AgentOSTelemetry) -> None:
    """Makes ``telemetry`` the process's own. The default's counts are transferred to it; those of another one are not."""
    global _current, _is_default
    with _lock:
        default = _current if _is_default else None
        _current = telemetry
        _is_default = False
        if default is not None and default is not telemetry:
            from telemetry.pipeline.transfer import transfer

            transfer(default, telemetry)


class MetricProxy:
    """The instrument that the process's telemetry has for a metric at the time of use; a module can export it as a name."""

    def __init__(self, metric: Metric) -> None:
        self.metric = metric

    def __getattr__(self, name: str) -> Any:
        return getattr(current()[self.metric], name)

    def __repr__(self) -> str:
        return f"<{self.metric.kind.value} {self.metric.prometheus_name}>"


class _CurrentCollector:
    """Collects the process's telemetry for prometheus_client."""

    def collect(self) -> Iterator[Family]:
        yield from current().registry.collect()


REGISTRY = CollectorRegistry(auto_describe=False)
"""For ``prometheus_client.generate_latest(REGISTRY)``: agrees with ``current().reader.expose()``."""
REGISTRY.register(_CurrentCollector())
