"""OpenTelemetry metrics declared once, recorded cheaply, served to Prometheus exactly.

The names below load on first use: importing a definition does not import the SDK, and a service with a catalogue of its
own loads nothing of ``telemetry.agentos``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from telemetry.agentos.catalogue import AGENTOS as AGENTOS
    from telemetry.agentos.default import current as current
    from telemetry.agentos.default import install as install
    from telemetry.agentos.recorder import Recorder as Recorder
    from telemetry.agentos.telemetry import AgentOSTelemetry as AgentOSTelemetry
    from telemetry.exposition import Exposition as Exposition
    from telemetry.exposition import PrometheusReader as PrometheusReader
    from telemetry.exposition import make_wsgi_app as make_wsgi_app
    from telemetry.exposition import metrics_app as metrics_app
    from telemetry.exposition import start_http_server as start_http_server
    from telemetry.metric import Catalogue as Catalogue
    from telemetry.metric import CatalogueError as CatalogueError
    from telemetry.metric import Label as Label
    from telemetry.metric import Metric as Metric
    from telemetry.metric import Native as Native
    from telemetry.metric import closed_label as closed_label
    from telemetry.metric import counter as counter
    from telemetry.metric import gauge as gauge
    from telemetry.metric import histogram as histogram
    from telemetry.metric import info as info
    from telemetry.metric import observable_counter as observable_counter
    from telemetry.metric import observable_gauge as observable_gauge
    from telemetry.metric import open_label as open_label
    from telemetry.metric import up_down_counter as up_down_counter
    from telemetry.metric.label_values import LabelError as LabelError
    from telemetry.pipeline import Telemetry as Telemetry
    from telemetry.runtime import RUNTIME as RUNTIME
    from telemetry.runtime import runtime_metrics as runtime_metrics
    from telemetry.tracing.timer import RequestTimer as RequestTimer

    __version__: str
    """The library's version."""

_MODULES = {
    "AGENTOS": "telemetry.agentos.catalogue",
    "AgentOSTelemetry": "telemetry.agentos.telemetry",
    "Catalogue": "telemetry.metric",
    "CatalogueError": "telemetry.metric",
    "Exposition": "telemetry.exposition",
    "Label": "telemetry.metric",
    "LabelError": "telemetry.metric.label_values",
    "Metric": "telemetry.metric",
    "Native": "telemetry.metric",
    "PrometheusReader": "telemetry.exposition",
    "RUNTIME": "telemetry.runtime",
    "Recorder": "telemetry.agentos.recorder",
    "RequestTimer": "telemetry.tracing.timer",
    "Telemetry": "telemetry.pipeline",
    "closed_label": "telemetry.metric",
    "counter": "telemetry.metric",
    "current": "telemetry.agentos.default",
    "gauge": "telemetry.metric",
    "histogram": "telemetry.metric",
    "info": "telemetry.metric",
    "install": "telemetry.agentos.default",
    "make_wsgi_app": "telemetry.exposition",
    "metrics_app": "telemetry.exposition",
    "observable_counter": "telemetry.metric",
    "observable_gauge": "telemetry.metric",
    "open_label": "telemetry.metric",
    "runtime_metrics": "telemetry.runtime",
    "start_http_server": "telemetry.exposition",
    "up_down_counter": "telemetry.metric",
}
_SOURCE_VERSION = "0.0.0.dev0"
"""The version of a source tree that is not installed: the git tag, which names a release, is not known there."""

__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        value = globals()[name] = _version()
        return value
    from telemetry._base.lazy import load_name  # here: importing the package alone loads no module of it

    return load_name(globals(), _MODULES, name)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # takes longer than the rest of this module

    try:
        return version("agentos-telemetry")
    except PackageNotFoundError:
        return _SOURCE_VERSION


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
