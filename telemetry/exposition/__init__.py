"""OpenTelemetry metrics as Prometheus text and OpenMetrics, for any ``MeterProvider``.

A scrape goes ``collect -> Reading -> families -> text``; ``state.py`` describes the seam between collecting and
encoding.
"""

from telemetry.exposition.access import Guard
from telemetry.exposition.asgi import metrics_app
from telemetry.exposition.bearer import Token, TokenError, TokenFile, Tokens
from telemetry.exposition.reader import Exposition, PrometheusReader
from telemetry.exposition.source import ScrapeRefusedError
from telemetry.metric.naming import Translation
from telemetry.metricdata.convert import DeltaError

__all__ = [
    "DeltaError",
    "Exposition",
    "Guard",
    "PrometheusReader",
    "ScrapeRefusedError",
    "Token",
    "TokenError",
    "TokenFile",
    "Tokens",
    "Translation",
    "metrics_app",
]
