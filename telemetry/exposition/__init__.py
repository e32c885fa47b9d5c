"""OpenTelemetry metrics as Prometheus text and OpenMetrics, for any ``MeterProvider``.

A scrape goes ``collect -> Reading -> families -> text``; ``state.py`` describes the seam between collecting and
encoding.
"""

from telemetry.exposition.app import metrics_app
from telemetry.exposition.bearer import Token, TokenError, TokenFile, Tokens
from telemetry.exposition.guard import Guard
from telemetry.exposition.names import Translation
from telemetry.exposition.points import DeltaError
from telemetry.exposition.reader import Exposition, PrometheusReader
from telemetry.exposition.source import ScrapeRefusedError

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
