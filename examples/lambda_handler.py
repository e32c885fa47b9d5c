"""A function that the platform freezes between invocations (AWS Lambda and the like): pushes over OTLP, serves no port.

Each invocation ends with a flush, before the platform freezes the process. No thread pushes in between: one that wakes up
after a freeze would send late, or into a connection that is gone.
"""

import math
from typing import Any

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from telemetry import Catalogue, RequestTimer, Telemetry
from telemetry.metric import closed_label, counter, histogram

STATUS = closed_label("status", "how it ended", "success", "error")
ORDERS = counter("orders", "{order}", "Orders taken")
HANDLING = histogram("handling.duration", "s", "Time an invocation takes", STATUS, bounds=(0.1, 0.5, 1, 5))

tracer_provider = TracerProvider(shutdown_on_exit=False)
tracer_provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))  # sends each span when it ends
reader = PeriodicExportingMetricReader(OTLPMetricExporter(), export_interval_millis=math.inf)  # only when it is flushed
telemetry = Telemetry(
    Catalogue([ORDERS, HANDLING]),
    tracer_provider=tracer_provider,
    meter_provider=lambda _readers, views: MeterProvider([reader], views=views, shutdown_on_exit=False),
)


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Takes one order, and has pushed its span and the totals when it returns."""
    try:
        with RequestTimer(telemetry[HANDLING]):
            telemetry[ORDERS].labels().inc(event["orders"])
        return {"statusCode": 200}
    finally:
        reader.force_flush(timeout_millis=2_000)
