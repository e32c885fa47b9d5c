"""A ``Telemetry`` beside a user's own ``prometheus_client`` registry."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from telemetry import Catalogue, Telemetry
from telemetry.metric import counter
from tests.helpers.samples import read, samples_of

VISITS = counter("shop.visits", "{visit}", "Visits")
SHOP = Catalogue([VISITS])


def test_a_users_registry_is_shown_beside_the_catalogue() -> None:
    """/metrics shows the registry's collectors too, and the registry shows the catalogue: each sample once."""
    registry = CollectorRegistry()
    Gauge("shelves", "Shelves", registry=registry).set(4)
    telemetry = Telemetry(SHOP, registry=registry)
    telemetry[VISITS].inc(2)
    assert read(telemetry) == {("shop_visits_total", ()): 2, ("shelves", ()): 4}
    assert telemetry.registry is registry
    shown = generate_latest(registry).decode()
    assert samples_of(shown) == samples_of(telemetry.reader.expose().body.decode())
    assert shown.count("shop_visits_total 2.0\n") == 1


def test_without_a_registry_the_telemetry_has_its_own() -> None:
    """``telemetry.registry`` serves ``generate_latest`` and ``push_to_gateway`` without one that is given."""
    telemetry = Telemetry(SHOP)
    telemetry[VISITS].inc()
    assert b"shop_visits_total 1.0\n" in generate_latest(telemetry.registry)
    assert telemetry.reader.beside is None
