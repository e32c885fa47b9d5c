"""OpenTelemetry metrics as Prometheus text and OpenMetrics, for any ``MeterProvider``.

A scrape goes ``collect -> Snapshot -> families -> text``; ``state.py`` describes the seam between collecting and
encoding.
"""

from telemetry.exposition.access import AccessMiddleware
from telemetry.exposition.asgi import metrics_app
from telemetry.exposition.bearer import Token, TokenError, TokenFile, Tokens
from telemetry.exposition.reader import Exposition, PrometheusReader
from telemetry.exposition.source import ScrapeRefusedError
from telemetry.metric.naming import Translation
from telemetry.metricdata.convert import DeltaError

__all__ = [
    "AccessMiddleware",
    "DeltaError",
    "Exposition",
    "PrometheusReader",
    "ScrapeRefusedError",
    "Token",
    "TokenError",
    "TokenFile",
    "Tokens",
    "Translation",
    "metrics_app",
]
