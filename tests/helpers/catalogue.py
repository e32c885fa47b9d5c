"""A small catalogue, a shop's, for tests whose subject is not the catalogue of AgentOS."""

from __future__ import annotations

from telemetry.metric import Catalogue, closed_label, counter, histogram, info, open_label, telemetry_metrics, up_down_counter

SHOP = open_label("shop", "name of the shop", limit=50, pattern=r"[A-Za-z0-9_.-]{1,64}")
OPERATION = open_label("operation", "what the customer does", limit=50, pattern=r"[A-Za-z0-9_.-]{1,64}")
STATUS = closed_label("status", "how it ended", "success", "error")
DIRECTION = closed_label("direction", "which way the goods went", "in", "out", "unknown", late=("unknown",))

INFO = info("shop.info", "Shop", open_label("version", "v", limit=1), open_label("environment", "e", limit=1))
DURATION = histogram(
    "shop.request.duration",
    "s",
    "Request duration",
    SHOP,
    OPERATION,
    STATUS,
    bounds=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
REQUESTS = counter("shop.requests", "{request}", "Requests", SHOP, OPERATION, STATUS)
ACTIVE = up_down_counter("shop.active_requests", "{request}", "Active requests", SHOP)
LOOKUP = histogram("shop.lookup.duration", "s", "Lookup duration", OPERATION, bounds=(0.001, 0.01, 0.1))
GOODS = counter("shop.goods", "{item}", "Goods moved", SHOP, DIRECTION)

CATALOGUE = Catalogue([INFO, DURATION, REQUESTS, ACTIVE, LOOKUP, GOODS, *telemetry_metrics.TELEMETRY])

LABELS = {"shop": "north", "operation": "pay", "status": "success"}
"""Labels of a series of ``DURATION`` and of ``REQUESTS``."""

SERIES = tuple(sorted(LABELS.items()))
"""The same as ``tests.helpers.readings`` has them."""
