"""What a version of the SDK must have for a test."""

from __future__ import annotations

from importlib.metadata import version
from inspect import getsource, signature

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics._internal import instrument
from opentelemetry.sdk.metrics._internal.aggregation import _LastValueAggregation
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.trace import TracerProvider

__all__ = [
    "adds_readers_later",
    "bounds_streams",
    "drops_non_finite",
    "keeps_gauges",
    "names_of_newest_exporter",
    "stock_reader_has_scope_labels",
    "switches_meters",
    "switches_tracers",
]

adds_readers_later = pytest.mark.skipif(
    not hasattr(MeterProvider, "add_metric_reader"), reason="this SDK takes readers only in the provider's constructor"
)
bounds_streams = pytest.mark.skipif(
    "aggregation_cardinality_limit" not in signature(View.__init__).parameters, reason="this SDK bounds no stream"
)
keeps_gauges = pytest.mark.skipif(
    "instrument_is_synchronous" not in signature(_LastValueAggregation).parameters,
    reason="this SDK forgets at each collect what a gauge was set to; the direct path keeps it",
)
switches_meters = pytest.mark.skipif(
    not hasattr(MeterProvider, "_apply_meter_configurator"), reason="this SDK cannot switch meters off"
)
switches_tracers = pytest.mark.skipif(
    not hasattr(TracerProvider, "_set_tracer_configurator"), reason="this SDK cannot switch tracers off"
)
drops_non_finite = pytest.mark.skipif(
    "isfinite" not in getsource(instrument), reason="this SDK takes observations that are not finite; the direct path does not"
)
stock_reader_has_scope_labels = pytest.mark.skipif(
    "scope_info_enabled" not in signature(PrometheusMetricReader).parameters, reason="this stock reader shows no scopes"
)
names_of_newest_exporter = pytest.mark.skipif(
    version("opentelemetry-exporter-prometheus").split(".")[:2] < ["0", "66"], reason="older exporters have other names"
)
