"""Numbers that one telemetry hands to another."""

from __future__ import annotations

from telemetry import Catalogue, Telemetry
from telemetry.metric import counter, histogram, up_down_counter
from telemetry.pipeline.transfer import transfer
from tests.helpers.samples import read

ORDERS = counter("Shop.Orders", "{order}", "Orders")
OPEN = up_down_counter("Shop.Open", "{till}", "Open tills")
WAIT = histogram("Shop.Wait", "s", "Time at the till", bounds=(1,))
SHOP = Catalogue([ORDERS, OPEN, WAIT])


def test_metrics_with_capitals_are_transferred() -> None:
    """The numbers of metrics whose names have capitals, which the SDK lowers, reach the new telemetry."""
    old, new = Telemetry(SHOP), Telemetry(SHOP)
    old[ORDERS].inc(2)
    old[OPEN].add(3)
    old[WAIT].observe(0.5)
    transfer(old, new)
    assert read(new) == {
        ("shop_orders_total", ()): 2.0,
        ("shop_open", ()): 3.0,
        ("shop_wait_seconds_bucket", (("le", "1.0"),)): 1.0,
        ("shop_wait_seconds_bucket", (("le", "+Inf"),)): 1.0,
        ("shop_wait_seconds_sum", ()): 0.5,
        ("shop_wait_seconds_count", ()): 1.0,
    }
