"""Flask, or any other WSGI application: /metrics beside it, in the same server.

Start it with ``flask --app flask_app run`` in this folder, or with ``python examples/flask_app.py``.
"""

import os

from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from telemetry import Catalogue, Telemetry
from telemetry.exposition import make_wsgi_app
from telemetry.metric import counter, histogram, open_label

SHOP = open_label("shop", "which shop", limit=20)
ORDERS = counter("orders", "{order}", "Orders taken", SHOP)
CHECKOUT = histogram("checkout.duration", "s", "Time a checkout takes", SHOP, bounds=(0.1, 0.5, 1, 5))

telemetry = Telemetry.from_environment(Catalogue([ORDERS, CHECKOUT]), service_name="shop")
app = Flask(__name__)
app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/metrics": make_wsgi_app(telemetry.reader)})  # type: ignore[method-assign]


@app.post("/shops/<shop>/orders")
def order(shop: str) -> dict[str, str]:
    """Takes an order."""
    with telemetry[CHECKOUT].labels(shop=shop).time():
        telemetry[ORDERS].labels(shop=shop).inc()
    return {"result": "paid"}


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "5000")))
