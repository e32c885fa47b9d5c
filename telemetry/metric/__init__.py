"""The types of a catalogue: labels with their domains, metrics as frozen definitions, and the list that holds them."""

from telemetry.metric.definition import (
    Catalogue,
    Kind,
    Metric,
    Together,
    counter,
    histogram,
    info,
    observable_counter,
    observable_gauge,
    up_down_counter,
)
from telemetry.metric.label import CatalogueError, Label, closed, opened

__all__ = [
    "Catalogue",
    "CatalogueError",
    "Kind",
    "Label",
    "Metric",
    "Together",
    "closed",
    "counter",
    "histogram",
    "info",
    "observable_counter",
    "observable_gauge",
    "opened",
    "up_down_counter",
]
