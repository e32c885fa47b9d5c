"""gunicorn: any worker answers /metrics with the totals of all workers.

``gunicorn --workers 4 --worker-class uvicorn_worker.UvicornWorker gunicorn_app:app`` in this folder.
"""

import os

from fastapi import FastAPI

from telemetry import Catalogue, Telemetry
from telemetry.exposition import metrics_app
from telemetry.metric import counter, open_label
from telemetry.prefork import Workers

SHOP = open_label("shop", "which shop", limit=20)
ORDERS = counter("orders", "{order}", "Orders taken", SHOP)

telemetry = Telemetry.from_environment(Catalogue([ORDERS]), service_name="shop", workers=Workers.detect())
app = FastAPI()
metrics_app(telemetry.reader).add_to(app)


@app.post("/shops/{shop}/orders")
async def order(shop: str) -> dict[str, int]:
    """Takes an order, and says which worker took it."""
    telemetry[ORDERS].labels(shop=shop).inc()
    return {"worker": os.getpid()}
