"""AgentOS' telemetry, and the one of this process.

``current()`` builds a default on its first call. It is only scraped (no thread, no exporter, safe before a fork), so that a
module may import a metric and record before an application exists. ``install()`` puts the configured telemetry in its place:
bound instruments that were made before follow, and the default's counts are transferred.
"""

from __future__ import annotations

from collections.abc import Iterator
from threading import RLock
from typing import Any, Self

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Family

from telemetry.agentos.catalogue import AGENTOS
from telemetry.agentos.recorder import Recorder
from telemetry.metric import Catalogue, Metric
from telemetry.pipeline.telemetry import Telemetry
from telemetry.pipeline.transfer import transfer

__all__ = ["REGISTRY", "AgentOSTelemetry", "MetricProxy", "current", "install"]


class AgentOSTelemetry(Telemetry):
    """A ``Telemetry`` with AgentOS' catalogue and the recorder of its events."""

    def __init__(self, catalogue: Catalogue = AGENTOS, **options: Any) -> None:
        """See ``Telemetry``. The ``catalogue`` must have the rows of ``AGENTOS``."""
        super().__init__(catalogue, **options)
        self._recorder: Recorder | None = None

    @classmethod
    def from_environment(cls, catalogue: Catalogue = AGENTOS, *, service_name: str = "agentos", **options: Any) -> Self:
        """See ``Telemetry.from_environment``."""
        return super().from_environment(catalogue, service_name=service_name, **options)

    @property
    def recorder(self) -> Recorder:
        """Records AgentOS' events. It is made at first use, and then starts the counters of the cache at 0."""
        if self._recorder is None:
            with self._lock:
                self._recorder = self._recorder or Recorder(self)
        return self._recorder


_lock = RLock()
_current: AgentOSTelemetry | None = None
_is_default = False


def current() -> AgentOSTelemetry:
    """Returns the process's telemetry. The first call builds the default."""
    global _current, _is_default
    if _current is None:
        with _lock:
            if _current is None:
                _is_default = True
                _current = AgentOSTelemetry()
    return _current


def install(telemetry: AgentOSTelemetry) -> None:
    """Makes ``telemetry`` the process's own. The default's counts are transferred to it; those of another one are not."""
    global _current, _is_default
    with _lock:
        default = _current if _is_default else None
        _current = telemetry
        _is_default = False
        if default is not None and default is not telemetry:
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
