"""FastAPI: counts and times orders, and serves /metrics beside its routes.

Start it with ``uvicorn fastapi_app:app`` in this folder, or with ``python examples/fastapi_app.py``.
"""

import os

import uvicorn
from fastapi import FastAPI

from telemetry import Catalogue, RequestTimer, Telemetry
from telemetry.exposition import metrics_app
from telemetry.metric import closed_label, counter, histogram, open_label

SHOP = open_label("shop", "which shop", limit=20)
RESULT = closed_label("result", "how it ended", "paid", "refused")
ORDERS = counter("orders", "{order}", "Orders taken", SHOP, RESULT)
CHECKOUT = histogram("checkout.duration", "s", "Time a checkout takes", SHOP, bounds=(0.1, 0.5, 1, 5))

telemetry = Telemetry.from_environment(Catalogue([ORDERS, CHECKOUT]), service_name="shop")
app = FastAPI()
metrics_app(telemetry.reader).add_to(app)


@app.post("/shops/{shop}/orders")
async def order(shop: str, price: float) -> dict[str, str]:
    """Takes an order; one that costs more than 100 is refused."""
    with RequestTimer(telemetry[CHECKOUT], shop=shop):
        result = "paid" if price <= 100 else "refused"
    telemetry[ORDERS].labels(shop=shop, result=result).inc()
    return {"result": result}


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ.get("PORT", "8000")))
