"""The alerts of the telemetry itself: full labels and the Collector's queue, each with its test cases."""

from __future__ import annotations

from dashboards.alerting.alert import Alert, Case, series
from dashboards.alerting.slo import QUERY
from telemetry.metric import telemetry_metrics

__all__ = ["TELEMETRY_ALERTS"]

_OVERFLOW = QUERY.series(telemetry_metrics.OVERFLOW)
_BY = ("job", *telemetry_metrics.OVERFLOW.keys)
_FULL = series(telemetry_metrics.OVERFLOW, metric="rate_limit_hits_total", label="workspace_id")
_QUEUE = 'otelcol_exporter_queue_{}{{job="collector", instance="otel:8888", exporter="otlp_grpc/jaeger"{}}}'
_SIZE = _QUEUE.format("size", ', data_type="traces"')
_CAPACITY = _QUEUE.format("capacity", "")

TELEMETRY_ALERTS = (
    Alert(
        "TelemetryLabelOverflow",
        severity="ticket",
        wait="1m",
        # The counter has no zero to start from: a series that was not there before counts in full.
        expr=f"{QUERY.increase(telemetry_metrics.OVERFLOW, '15m', *_BY)} > 0\n"
        f"or\nsum by ({', '.join(_BY)}) ({_OVERFLOW} unless {_OVERFLOW} offset 15m) > 0",
        summary="Label {{ $labels.label }} of {{ $labels.metric }} is full",
        description=(
            'About {{ $value | printf "%.0f" }} measurements of the last 15 minutes are counted under {{ $labels.label }} '
            '"other": the label has reached its limit.'
        ),
        cases=(
            Case(
                "fires when a full label is first seen",
                {_FULL: "_x5 3x30"},
                6,
                {"metric": "rate_limit_hits_total", "label": "workspace_id"},
                "3",
            ),
            Case(
                "fires when one that was full before takes more",
                {_FULL: "3x40 4+1x30"},
                42,
                {"metric": "rate_limit_hits_total", "label": "workspace_id"},
                "2",
            ),
            Case("is silent when nothing was added for long", {_FULL: "3x60"}, 40),
        ),
    ),
    Alert(
        "ExporterQueueFilling",
        severity="ticket",
        wait="5m",
        # The Collector's own metrics: https://opentelemetry.io/docs/collector/internal-telemetry/
        expr="otelcol_exporter_queue_size\n/ on (job, instance, exporter) group_left ()\n"
        "max by (job, instance, exporter) (otelcol_exporter_queue_capacity)\n> 0.8",
        summary="The collector's queue to {{ $labels.exporter }} is nearly full",
        description=(
            "{{ $value | humanizePercentage }} of the queue of {{ $labels.exporter }} on {{ $labels.instance }} is taken. "
            "When it is full, traces and pushed metrics are lost."
        ),
        cases=(
            Case(
                "fires when nine tenths are taken",
                {_SIZE: "0x5 900x20", _CAPACITY: "1000x25"},
                11,
                {"job": "collector", "instance": "otel:8888", "exporter": "otlp_grpc/jaeger", "data_type": "traces"},
                "90%",
            ),
            Case("is silent when half is taken", {_SIZE: "500x25", _CAPACITY: "1000x25"}, 20),
        ),
    ),
)
