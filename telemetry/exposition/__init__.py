"""OpenTelemetry metrics as Prometheus text and OpenMetrics, for any ``MeterProvider``.

A scrape goes ``metrics_app`` -> ``PrometheusReader.expose`` -> snapshot -> families -> text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from telemetry._base.lazy import names_on_first_use

if TYPE_CHECKING:
    from telemetry.exposition.access import Access as Access
    from telemetry.exposition.access import AccessMiddleware as AccessMiddleware
    from telemetry.exposition.access import Token as Token
    from telemetry.exposition.access import TokenError as TokenError
    from telemetry.exposition.access import TokenFile as TokenFile
    from telemetry.exposition.access import Tokens as Tokens
    from telemetry.exposition.asgi import MetricsApp as MetricsApp
    from telemetry.exposition.asgi import metrics_app as metrics_app
    from telemetry.exposition.reader import Exposition as Exposition
    from telemetry.exposition.reader import Pieces as Pieces
    from telemetry.exposition.reader import PrometheusReader as PrometheusReader
    from telemetry.exposition.serve import MetricsServer as MetricsServer
    from telemetry.exposition.serve import ServeError as ServeError
    from telemetry.exposition.serve import make_wsgi_app as make_wsgi_app
    from telemetry.exposition.serve import start_http_server as start_http_server
    from telemetry.exposition.source import BrokenScrapeError as BrokenScrapeError
    from telemetry.exposition.source import ScrapeRefusedError as ScrapeRefusedError
    from telemetry.metric.naming import Translation as Translation
    from telemetry.metricdata.convert import DeltaError as DeltaError

_MODULES = {
    "Access": "telemetry.exposition.access",
    "AccessMiddleware": "telemetry.exposition.access",
    "BrokenScrapeError": "telemetry.exposition.source",
    "DeltaError": "telemetry.metricdata.convert",
    "Exposition": "telemetry.exposition.reader",
    "MetricsApp": "telemetry.exposition.asgi",
    "MetricsServer": "telemetry.exposition.serve",
    "Pieces": "telemetry.exposition.reader",
    "PrometheusReader": "telemetry.exposition.reader",
    "ScrapeRefusedError": "telemetry.exposition.source",
    "ServeError": "telemetry.exposition.serve",
    "Token": "telemetry.exposition.access",
    "TokenError": "telemetry.exposition.access",
    "TokenFile": "telemetry.exposition.access",
    "Tokens": "telemetry.exposition.access",
    "Translation": "telemetry.metric.naming",
    "make_wsgi_app": "telemetry.exposition.serve",
    "metrics_app": "telemetry.exposition.asgi",
    "start_http_server": "telemetry.exposition.serve",
}

__all__ = [*_MODULES]

__getattr__, __dir__ = names_on_first_use(globals(), _MODULES)
