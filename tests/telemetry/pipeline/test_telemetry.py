"""One ``Telemetry`` a process: its providers and readers, a host's own, and the shutdown."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor

from telemetry import Catalogue, PrometheusReader, Telemetry
from telemetry.instruments.views import views
from telemetry.metric import counter, histogram, open_label
from tests.helpers.samples import read, samples_of

ORDERS = counter("shop.orders", "{order}", "Orders", open_label("shop", "shop", limit=3))
VISITS = counter("shop.visits", "{visit}", "Visits")
WAIT = histogram("shop.wait", "s", "Time at the till", bounds=(1, 5))
SHOP = Catalogue([ORDERS, VISITS, WAIT])


def test_scrape_shows_the_catalogue_and_nothing_else() -> None:
    """A service's own catalogue is all that its /metrics shows, beside ``target_info``."""
    telemetry = Telemetry(SHOP, resource=Resource({"service.name": "shop"}))
    telemetry[ORDERS].labels(shop="north").inc()
    telemetry[VISITS].inc(2)
    assert telemetry.reader.expose().body.decode() == (
        "# HELP target_info Target metadata\n"
        "# TYPE target_info gauge\n"
        'target_info{service_name="shop"} 1\n'
        "# HELP shop_orders_total Orders\n"
        "# TYPE shop_orders_total counter\n"
        'shop_orders_total{shop="north"} 1\n'
        "# HELP shop_visits_total Visits\n"
        "# TYPE shop_visits_total counter\n"
        "shop_visits_total 2\n"
    )


def test_metric_of_another_catalogue_is_named_in_the_error() -> None:
    """A metric that the catalogue lacks raises ``KeyError`` with its Prometheus name."""
    with pytest.raises(KeyError, match="shop_visits_total is not recorded here"):
        Telemetry(Catalogue([ORDERS]))[VISITS]


def test_host_with_a_provider_of_its_own() -> None:
    """A host adds our Views and our reader to its own MeterProvider, and has its own metrics beside ours."""
    from prometheus_client import CollectorRegistry

    reader = PrometheusReader(scope_info_enabled=False, disable_target_info=True, registry=CollectorRegistry())
    provider = MeterProvider([reader], views=views(SHOP), shutdown_on_exit=False)
    telemetry = Telemetry(SHOP, meter_provider=provider)
    telemetry[ORDERS].labels("north").inc()
    telemetry[WAIT].observe(2)
    provider.get_meter("host").create_counter("host.things").add(1)
    samples = samples_of(reader.expose().body.decode())
    assert samples["shop_orders_total", (("shop", "north"),)] == 1.0
    assert samples["shop_wait_seconds_bucket", (("le", "5.0"),)] == 1.0
    assert samples["host_things_total", ()] == 1.0
    telemetry.shutdown()
    provider.get_meter("host").create_counter("host.things").add(1)
    assert samples_of(reader.expose().body.decode())["host_things_total", ()] == 2.0
    provider.shutdown()


def test_readers_beside_the_prometheus_reader_see_the_same() -> None:
    """The same state can be pushed: another reader gets the same series."""
    reader = InMemoryMetricReader()
    telemetry = Telemetry(SHOP, metric_readers=[reader])
    telemetry[ORDERS].labels("north").inc(3)
    data = reader.get_metrics_data()
    (metric,) = data.resource_metrics[0].scope_metrics[0].metrics  # type: ignore[union-attr]
    assert [(metric.name, p.value) for p in metric.data.data_points] == [("shop.orders", 3)]
    assert read(telemetry) == {("shop_orders_total", (("shop", "north"),)): 3.0}


class FailsToStop(SpanProcessor):
    def shutdown(self) -> None:
        raise RuntimeError("stuck")


def test_shutdown_that_fails_is_logged_and_not_raised(caplog: pytest.LogCaptureFixture) -> None:
    """A processor whose shutdown raises keeps neither the others nor the service from stopping; a second shutdown is none."""
    telemetry = Telemetry(SHOP, span_processors=[FailsToStop()])
    with caplog.at_level(logging.WARNING, "telemetry"):
        telemetry.shutdown()
        telemetry.shutdown()
    assert [r.getMessage() for r in caplog.records] == ["telemetry: shutdown failed: RuntimeError('stuck')"]


@pytest.mark.parametrize(("already", "ours"), [(False, True), (True, False)])
def test_global_tracer_provider_is_set_only_where_none_is(already: bool, ours: bool) -> None:
    """A host's global provider stays; where there is none, ours becomes it."""
    code = (
        "from opentelemetry import trace; from opentelemetry.sdk.trace import TracerProvider;"
        "from telemetry import Catalogue, Telemetry;"
        f"{already} and trace.set_tracer_provider(TracerProvider()); t = Telemetry(Catalogue([])); t.offer_globally();"
        "print(trace.get_tracer_provider() is t.tracer_provider)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(ours)
