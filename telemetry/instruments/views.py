"""Catalogue -> Views: explicit buckets, label keys, exemplar reservoirs and cardinality limits for the SDK."""

from __future__ import annotations

from opentelemetry.sdk.metrics.view import DefaultAggregation, ExplicitBucketHistogramAggregation, View

from telemetry._base.diagnostics import Diagnostics
from telemetry._sdk.reservoir import reservoir_for
from telemetry.metric.definition import Catalogue, Kind, Metric
from telemetry.metric.label import CatalogueError
from telemetry.metric.label_values import Domains

__all__ = ["MAX_SERIES", "views"]

MAX_SERIES = 500_000
"""How many series one metric may have at the most, unless set otherwise."""
_HTTP_SERVER = "http.server.*"
"""The metrics of OpenTelemetry's instrumentation of HTTP servers, where they are switched on."""
_HTTP_KEYS = {
    *("http.method", "http.scheme", "http.status_code", "http.target"),  # http.target: the route's template, in metrics
    *("http.request.method", "url.scheme", "http.response.status_code", "http.route", "error.type"),
}
"""Their attributes that no client can write at will, by the older and the newer conventions."""


def views(
    catalogue: Catalogue, domains: Domains | None = None, *, scope: str | None = None, max_series: int = MAX_SERIES
) -> list[View]:
    """One View a metric, for ``MeterProvider(views=...)``; a host with a provider of its own adds them to its list.

    ``domains`` bounds the label values; the SDK's own limit follows from it, so that its overflow series is never reached.
    ``scope`` restricts the Views to instruments of that meter. Raises ``CatalogueError`` where a metric could have more than
    ``max_series`` series.

    One more View keeps what a client writes (``Host``, for one) out of the HTTP server's own metrics, and their exemplars.
    """
    domains = domains or Domains(catalogue, Diagnostics())
    ours = [_view(metric, metric.cardinality_limit or domains.series_limit(metric), scope, max_series) for metric in catalogue]
    # What a View leaves out of the labels would come back in the exemplars.
    server = View(instrument_name=_HTTP_SERVER, attribute_keys=_HTTP_KEYS, exemplar_reservoir_factory=reservoir_for(False))
    return [*ours, server]


def _view(metric: Metric, series: int, scope: str | None, max_series: int) -> View:
    if series > max_series:
        raise CatalogueError(
            f"{metric.prometheus_name} could have {series} series by the limits of {', '.join(metric.keys)}; "
            f"at most {max_series} are allowed"
        )
    return View(
        instrument_name=metric.name,
        meter_name=scope,
        attribute_keys=set(metric.keys),
        aggregation=ExplicitBucketHistogramAggregation(metric.bounds) if metric.bounds else DefaultAggregation(),
        exemplar_reservoir_factory=reservoir_for(metric.kind in (Kind.COUNTER, Kind.HISTOGRAM)),
        aggregation_cardinality_limit=series,
    )
