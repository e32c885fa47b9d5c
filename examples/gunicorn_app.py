"""gunicorn: any worker answers /metrics with the totals of all workers, and with their CPU time, memory and event loops.

``gunicorn --workers 4 --worker-class uvicorn_worker.UvicornWorker gunicorn_app:app`` in this folder.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from telemetry import RUNTIME, Catalogue, Telemetry, runtime_metrics
from telemetry.exposition import metrics_app
from telemetry.metric import counter, open_label
from telemetry.prefork import Workers

SHOP = open_label("shop", "which shop", limit=20)
ORDERS = counter("orders", "{order}", "Orders taken", SHOP)

catalogue = Catalogue([ORDERS, *RUNTIME])
telemetry = Telemetry.from_environment(catalogue, service_name="shop", workers=Workers.detect())
runtime = runtime_metrics(telemetry)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Measures the event loop of this worker while it serves."""
    with runtime.watch_loop():
        yield


app = FastAPI(lifespan=lifespan)
metrics_app(telemetry.reader).add_to(app)


@app.post("/shops/{shop}/orders")
async def order(shop: str) -> dict[str, int]:
    """Takes an order, and says which worker took it."""
    telemetry[ORDERS].labels(shop=shop).inc()
    return {"worker": os.getpid()}
