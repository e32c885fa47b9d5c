"""An application that has OpenTelemetry already: our metrics join its providers, its metrics join our /metrics.

``OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 python examples/opentelemetry_app.py``
"""

import os

import uvicorn
from fastapi import FastAPI
from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from telemetry import Catalogue, RequestTimer, Telemetry
from telemetry.exposition import metrics_app
from telemetry.metric import histogram, open_label

SHOP = open_label("shop", "which shop", limit=20)
CHECKOUT = histogram("checkout.duration", "s", "Time a checkout takes", SHOP, bounds=(0.1, 0.5, 1, 5))

# The application's own traces: RequestTimer's spans go to the global provider.
tracer_provider = TracerProvider()
tracer_provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(tracer_provider)

# Its own metrics: the provider is built with our reader and Views beside its own.
mine = PeriodicExportingMetricReader(OTLPMetricExporter())
telemetry = Telemetry(
    Catalogue([CHECKOUT]), meter_provider=lambda readers, views: MeterProvider([*readers, mine], views=[*views])
)
metrics.set_meter_provider(telemetry.meter_provider)

visits = metrics.get_meter("shop").create_counter("visits", "{visit}", "Visits, counted through OpenTelemetry's API")
app = FastAPI()
metrics_app(telemetry.reader).add_to(app)


@app.post("/shops/{shop}/orders")
async def order(shop: str) -> dict[str, str]:
    """Takes an order, in a span of the application's own."""
    visits.add(1)
    with trace.get_tracer("shop").start_as_current_span("order"), RequestTimer(telemetry[CHECKOUT], shop=shop):
        return {"result": "paid"}


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")))
