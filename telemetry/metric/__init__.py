"""Metrics as data: labels with their domains, definitions of metrics, and the catalogue that holds them."""

from telemetry.metric.definition import (
    Catalogue,
    Kind,
    Metric,
    MultiprocessMode,
    counter,
    gauge,
    histogram,
    info,
    observable_counter,
    observable_gauge,
    up_down_counter,
)
from telemetry.metric.label import CatalogueError, Label, closed_label, open_label

__all__ = [
    "Catalogue",
    "CatalogueError",
    "Kind",
    "Label",
    "Metric",
    "MultiprocessMode",
    "closed_label",
    "counter",
    "gauge",
    "histogram",
    "info",
    "observable_counter",
    "observable_gauge",
    "open_label",
    "up_down_counter",
]
