"""An application as type checkers see it: a line that ends in a mark, E, is an error to each of them, and no other line is.

It is checked, never run.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, assert_type

from opentelemetry.sdk.metrics import MeterProvider

from telemetry import (
    AgentOSTelemetry,
    Catalogue,
    Label,
    Metric,
    RequestTimer,
    Telemetry,
    __version__,
    closed_label,
    counter,
    gauge,
    histogram,
    info,
    make_wsgi_app,
    metrics_app,
    observable_counter,
    observable_gauge,
    open_label,
    start_http_server,
    up_down_counter,
)
from telemetry.agentos import agent_invocation, tool_call, workflow
from telemetry.instruments.gauge import Gauge
from telemetry.instruments.instrument import Counter, Histogram, UpDownCounter
from telemetry.instruments.observable import Info, Observed
from telemetry.metric import CounterKind, HistogramKind

SHOP: Label = open_label("shop", "the shop", limit=20)
STATUS = closed_label("status", "how it ended", "success", "error")

ORDERS = counter("shop.orders", "{order}", "Orders", SHOP)
CHECKOUT = histogram("shop.checkout.duration", "s", "Duration", SHOP, STATUS, bounds=[0.1, 1])
OPEN = up_down_counter("shop.open", "{basket}", "Open baskets", SHOP)
STOCK = gauge("shop.stock", "{item}", "Stock", SHOP)
BUILD = info("shop.build.info", "The build", STATUS)
VISITS = observable_counter("shop.visits", "{visit}", "Visits")
QUEUE = observable_gauge("shop.queue", "{order}", "Waiting orders")

ROWS: list[Metric] = [ORDERS, CHECKOUT, OPEN, STOCK, BUILD, VISITS, QUEUE]
telemetry = Telemetry.from_environment(Catalogue(ROWS), service_name="shop", known={"shop": ["north"]}, max_series=500)
Telemetry.from_environment(Catalogue(ROWS), meter_provider=lambda readers, views: MeterProvider(readers, views=views))
Telemetry.from_environment(Catalogue(ROWS), sevice_name="shop")  # E
Telemetry.from_environment(Catalogue(ROWS), knwon={"shop": ["north"]})  # E
Telemetry.from_environment(Catalogue(ROWS), max_series="500")  # E
Telemetry.from_environment(Catalogue(ROWS), resource=None)  # E
Telemetry(Catalogue(ROWS), strikt=True)  # E
AgentOSTelemetry(strict=True, metric_readers=[])
AgentOSTelemetry(strikt=True)  # E
AgentOSTelemetry.from_environment(service_name="agents", limits={"agent": 5})
AgentOSTelemetry.from_environment(limit={"agent": 5})  # E

assert_type(telemetry[ORDERS], Counter)
assert_type(telemetry[CHECKOUT], Histogram)
assert_type(telemetry[OPEN], UpDownCounter)
assert_type(telemetry[STOCK], Gauge)
assert_type(telemetry[BUILD], Info)
assert_type(telemetry[VISITS], Observed)
assert_type(telemetry[QUEUE], Observed)
assert_type(telemetry[ROWS[0]], Any)
assert_type(telemetry[ORDERS], Histogram)  # E

telemetry[ORDERS].labels(shop="north").inc()
telemetry[ORDERS].labels("north").inc(2, {"order_id": "1"})
telemetry[ORDERS].add(1, {"shop": "north"})
telemetry[ORDERS].observe(1)  # E
telemetry[ORDERS].labels(shop="north").observe(1)  # E
telemetry[ORDERS].labels(shop="north").dec()  # E
telemetry[ORDERS].labels(shop="north").set(1)  # E
telemetry[ORDERS].record(1, {"shop": "north"})  # E
with telemetry[ORDERS].labels("north").count_exceptions(ValueError):
    pass

telemetry[CHECKOUT].labels("north", "success").observe(0.2)
telemetry[CHECKOUT].record(0.2, {"shop": "north", "status": "success"})
telemetry[CHECKOUT].inc()  # E
telemetry[CHECKOUT].labels("north", "success").inc()  # E
telemetry[CHECKOUT].add(1)  # E
with telemetry[CHECKOUT].labels("north", "success").time():
    pass
with RequestTimer(telemetry[CHECKOUT], shop="north") as timer:
    assert_type(timer, RequestTimer)
with RequestTimer(telemetry[ORDERS], shop="north"):  # E
    pass
with RequestTimer(telemetry[STOCK], shop="north"):  # E
    pass
with RequestTimer(CHECKOUT, shop="north"):  # E
    pass


@RequestTimer(telemetry[CHECKOUT], shop="north")
async def pay(amount: float) -> str:
    """Keeps its type when decorated."""
    return f"{amount}"


async def main() -> str:
    """Runs the decorated function."""
    await pay(amount="1")  # E
    wrong: int = await pay(1.0)  # E
    async with RequestTimer(telemetry[CHECKOUT], shop="north", span_name="pay"):
        return f"{wrong}" + await pay(1.0)


asyncio.run(main())


@tool_call(type="datastore")
def find(what: str) -> list[str]:
    """Keeps its type when it is a measured tool."""
    return [what]


@agent_invocation("clerk", model="local-1")
async def answer(question: str) -> AsyncIterator[str]:
    """Keeps its type when it is a measured generator."""
    yield find(question)[0]
    yield find(1)[0]  # E


async def report() -> None:
    """Reads a measured generator in a measured workflow."""
    async with workflow("report") as run, agent_invocation("far", remote=True) as call:
        assert_type(call.agent, str)
        run.fail("no_answer")
        run.failed("no_answer")  # E
        assert_type([piece async for piece in answer("q")], list[str])
    with tool_call("find", content=True) as execution, tool_call("find", contents=True):  # E
        execution.record_result([1])


telemetry[OPEN].labels("north").inc()
telemetry[OPEN].labels("north").dec()
telemetry[OPEN].labels("north").observe(1)  # E

telemetry[STOCK].labels("north").set(3)
telemetry[STOCK].labels("north").dec(2)
telemetry[STOCK].labels("north").set_to_current_time()
telemetry[STOCK].labels("north").set_function(lambda: 3.0)
telemetry[STOCK].labels("north").observe(3)  # E
telemetry[STOCK].labels("north").sett(3)  # E
telemetry[STOCK].watch(lambda: 3.0)  # E

telemetry[BUILD].info({"status": "success"})
telemetry[BUILD].inc()  # E
telemetry[VISITS].watch(lambda: 3)
telemetry[QUEUE].watch(lambda: {("north",): 3.0})
telemetry[QUEUE].watch(3)  # E
telemetry[QUEUE].set(3)  # E


def count(metric: Metric[CounterKind], shop: str) -> None:
    """Takes counters only."""
    telemetry[metric].labels(shop).inc()
    telemetry[metric].labels(shop).observe(1)  # E


def names(metrics: Catalogue) -> list[str]:
    """Takes metrics of any kind."""
    return [metric.prometheus_name for metric in metrics]


durations: list[Metric[HistogramKind]] = [CHECKOUT]
count(ORDERS, "north")
count(CHECKOUT, "north")  # E
telemetry["shop.orders"].labels("north")  # E
telemetry.start_at_zero(CHECKOUT, shop="north")
names(telemetry.catalogue)[0].upper()
for row in ROWS:
    telemetry[row].labels("north")

metrics_app(telemetry.reader, compress=False)
make_wsgi_app(telemetry.reader)
start_http_server(telemetry.reader, port="9464")  # E
start_http_server(telemetry.reader, port=9464).close()
telemetry.shutdown()
__version__.split(".")
__version__ + 1  # E
