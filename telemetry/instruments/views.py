"""Views of a catalogue: buckets, label keys, exemplar reservoirs and cardinality limits for the SDK."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType

from opentelemetry.sdk.metrics.view import Aggregation, DefaultAggregation, View

from telemetry._base.diagnostics import Diagnostics
from telemetry._sdk.compatibility import new_view
from telemetry._sdk.native import histogram_aggregation
from telemetry._sdk.reservoir import reservoir_for
from telemetry.metric.definition import Catalogue, Kind, Metric, Native
from telemetry.metric.label import CatalogueError
from telemetry.metric.label_values import Domains

__all__ = ["MAX_SERIES", "views"]

MAX_SERIES = 500_000
"""How many series one metric may have, unless set otherwise."""
_HTTP_SERVER = "http.server.*"
"""Names of the metrics that OpenTelemetry's instrumentation of HTTP servers records."""
_HTTP_KEYS = {
    *("http.method", "http.scheme", "http.status_code", "http.target"),  # http.target: the route's template, in metrics
    *("http.request.method", "url.scheme", "http.response.status_code", "http.route", "error.type"),
}
"""Their attributes whose values a client cannot choose, by the older and the newer conventions."""


def views(
    catalogue: Catalogue,
    domains: Domains | None = None,
    *,
    known: Mapping[str, Collection[str]] = MappingProxyType({}),
    limits: Mapping[str, int] = MappingProxyType({}),
    scope: str | None = None,
    max_series: int = MAX_SERIES,
    native_histograms: Native | bool = False,
) -> list[View]:
    """Returns one View for each metric, for ``MeterProvider(views=...)``.

    The SDK's cardinality limits follow from ``domains``, or from ``known`` and ``limits``. Without any of them they are
    ``max_series``: the instruments of a telemetry bound the labels themselves, and a lower limit here would send series that
    its own ``known`` and ``limits`` allow to the SDK's overflow series.

    One more View keeps what a client can choose (``Host``, for example) out of the metrics of the HTTP server, and drops their
    exemplars.

    Args:
        catalogue: The metrics.
        domains: Bounds the label values.
        known: Values that an open label has beside its limit, by label key, as given to ``Telemetry``.
        limits: How many other values an open label may take, by label key, as given to ``Telemetry``.
        scope: Restricts the Views to instruments of the meter with this name.
        max_series: How many series one metric may have.
        native_histograms: Native buckets beside the explicit ones of every histogram that does not define its own; True for
            those of ``Native()``.

    Raises:
        CatalogueError: A metric could have more than ``max_series`` series.
        TypeError: ``native_histograms`` is something else.
    """
    if domains is None and (known or limits):
        domains = Domains(catalogue, Diagnostics(), known=known, limits=limits)
    beside = Native() if native_histograms is True else native_histograms or None
    if not isinstance(beside, Native | None):
        raise TypeError(f"native_histograms is {native_histograms!r}: True, False or a Native is needed")
    ours = []
    for metric in catalogue:
        series = metric.cardinality_limit or (domains.series_limit(metric) if domains else max_series)
        ours.append(_view(metric, series, scope, max_series, metric.native or beside))
    # Attributes that a View leaves out of the labels would show in the exemplars.
    server = View(instrument_name=_HTTP_SERVER, attribute_keys=_HTTP_KEYS, exemplar_reservoir_factory=reservoir_for(False))
    return [*ours, server]


def _view(metric: Metric, series: int, scope: str | None, max_series: int, native: Native | None) -> View:
    if series > max_series:
        raise CatalogueError(
            f"{metric.prometheus_name} could have {series} series by the limits of {', '.join(metric.keys)}; "
            f"at most {max_series} are allowed"
        )
    aggregation: Aggregation = DefaultAggregation()
    if metric.kind is Kind.HISTOGRAM:
        aggregation = histogram_aggregation(metric.bounds, native)
    return new_view(
        instrument_name=metric.name,
        meter_name=scope,
        attribute_keys=set(metric.keys),
        aggregation=aggregation,
        exemplar_reservoir_factory=reservoir_for(metric.kind in (Kind.COUNTER, Kind.HISTOGRAM)),
        aggregation_cardinality_limit=series,
    )
