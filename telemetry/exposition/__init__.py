"""OpenTelemetry metrics as Prometheus text and OpenMetrics, for any ``MeterProvider``.

A scrape goes ``metrics_app`` -> ``PrometheusReader.expose`` -> snapshot -> families -> text.
"""

from telemetry.exposition.access import Access, AccessMiddleware, Token, TokenError, TokenFile, Tokens
from telemetry.exposition.asgi import MetricsApp, metrics_app
from telemetry.exposition.reader import Exposition, Pieces, PrometheusReader
from telemetry.exposition.serve import MetricsServer, ServeError, make_wsgi_app, start_http_server
from telemetry.exposition.source import BrokenScrapeError, ScrapeRefusedError
from telemetry.metric.naming import Translation
from telemetry.metricdata.convert import DeltaError

__all__ = [
    "Access",
    "AccessMiddleware",
    "BrokenScrapeError",
    "DeltaError",
    "Exposition",
    "MetricsApp",
    "MetricsServer",
    "Pieces",
    "PrometheusReader",
    "ScrapeRefusedError",
    "ServeError",
    "Token",
    "TokenError",
    "TokenFile",
    "Tokens",
    "Translation",
    "make_wsgi_app",
    "metrics_app",
    "start_http_server",
]
