"""OpenTelemetry metrics declared once, recorded cheaply, served to Prometheus exactly.

The names below load on first use: importing a definition does not import the SDK, and a service with a catalogue of its
own loads nothing of ``telemetry.agentos``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from telemetry.agentos.catalogue import AGENTOS as AGENTOS
    from telemetry.agentos.default import current as current
    from telemetry.agentos.default import install as install
    from telemetry.agentos.recorder import Recorder as Recorder
    from telemetry.agentos.telemetry import AgentOSTelemetry as AgentOSTelemetry
    from telemetry.exposition import Exposition as Exposition
    from telemetry.exposition import PrometheusReader as PrometheusReader
    from telemetry.metric import Catalogue as Catalogue
    from telemetry.metric import CatalogueError as CatalogueError
    from telemetry.metric.label_values import LabelError as LabelError
    from telemetry.pipeline import Telemetry as Telemetry
    from telemetry.tracing.timer import RequestTimer as RequestTimer

_MODULES = {
    "AGENTOS": "telemetry.agentos.catalogue",
    "AgentOSTelemetry": "telemetry.agentos.telemetry",
    "Catalogue": "telemetry.metric",
    "CatalogueError": "telemetry.metric",
    "Exposition": "telemetry.exposition",
    "LabelError": "telemetry.metric.label_values",
    "PrometheusReader": "telemetry.exposition",
    "Recorder": "telemetry.agentos.recorder",
    "RequestTimer": "telemetry.tracing.timer",
    "Telemetry": "telemetry.pipeline",
    "current": "telemetry.agentos.default",
    "install": "telemetry.agentos.default",
}

__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = globals()[name] = getattr(import_module(_MODULES[name]), name)
    except AttributeError as error:  # which ``from telemetry import ...`` would hide: "cannot import name"
        raise ImportError(f"{_MODULES[name]} cannot be imported: {error}") from error
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
