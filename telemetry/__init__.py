"""OpenTelemetry metrics declared once, recorded cheaply, served to Prometheus exactly.

The names below load on first use, so that importing a definition does not import the SDK.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from telemetry.catalogue import AGENTOS as AGENTOS
    from telemetry.default import current as current
    from telemetry.default import install as install
    from telemetry.exposition import Exposition as Exposition
    from telemetry.exposition import PrometheusReader as PrometheusReader
    from telemetry.labels import LabelError as LabelError
    from telemetry.metric import Catalogue as Catalogue
    from telemetry.metric import CatalogueError as CatalogueError
    from telemetry.pipeline import Telemetry as Telemetry
    from telemetry.recording import Recorder as Recorder
    from telemetry.timer import RequestTimer as RequestTimer

_HOMES = {
    "AGENTOS": "telemetry.catalogue",
    "Catalogue": "telemetry.metric",
    "CatalogueError": "telemetry.metric",
    "Exposition": "telemetry.exposition",
    "LabelError": "telemetry.labels",
    "PrometheusReader": "telemetry.exposition",
    "Recorder": "telemetry.recording",
    "RequestTimer": "telemetry.timer",
    "Telemetry": "telemetry.pipeline",
    "current": "telemetry.default",
    "install": "telemetry.default",
}

__all__ = list(_HOMES)  # kept beside the homes


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
