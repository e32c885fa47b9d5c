"""OpenTelemetry metrics as Prometheus text and OpenMetrics, for any ``MeterProvider``.

A scrape goes ``metrics_app`` -> ``PrometheusReader.expose`` -> snapshot -> families -> text.
"""

from telemetry.exposition.access import AccessMiddleware, Token, TokenError, TokenFile, Tokens
from telemetry.exposition.asgi import MetricsApp, metrics_app
from telemetry.exposition.reader import Exposition, PrometheusReader
from telemetry.exposition.source import ScrapeRefusedError
from telemetry.metric.naming import Translation
from telemetry.metricdata.convert import DeltaError

__all__ = [
    "AccessMiddleware",
    "DeltaError",
    "Exposition",
    "MetricsApp",
    "PrometheusReader",
    "ScrapeRefusedError",
    "Token",
    "TokenError",
    "TokenFile",
    "Tokens",
    "Translation",
    "metrics_app",
]
