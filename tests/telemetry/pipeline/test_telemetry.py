"""One ``Telemetry`` a process: its providers and readers, a host's own, and the shutdown."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricReader
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from telemetry import Catalogue, CatalogueError, PrometheusReader, Telemetry
from telemetry.exposition import ScrapeRefusedError
from telemetry.instruments.views import views
from telemetry.metric import MultiprocessMode, counter, histogram, observable_gauge, open_label
from telemetry.prefork import Workers
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


def test_host_provider_is_built_with_our_reader_and_views() -> None:
    """A function builds the host's provider: our reader, Views and limits beside the host's own."""
    theirs = InMemoryMetricReader()

    def build(readers: list[MetricReader], ours: list[View]) -> MeterProvider:
        mine = View(instrument_name="host.wait", aggregation=ExplicitBucketHistogramAggregation([7]))
        return MeterProvider([*readers, theirs], views=[*ours, mine], shutdown_on_exit=False)

    telemetry = Telemetry(SHOP, meter_provider=build, known={"shop": [f"s{n}" for n in range(10)]})
    for n in range(10):
        telemetry[ORDERS].labels(f"s{n}").inc()
    telemetry.meter_provider.get_meter("host").create_histogram("host.wait").record(1)
    samples = read(telemetry)
    assert {dict(labels)["shop"] for name, labels in samples if name == "shop_orders_total"} == {f"s{n}" for n in range(10)}
    assert samples["host_wait_bucket", (("le", "7.0"),)] == 1.0
    assert not any(key.startswith("otel_scope") for _, labels in samples for key, _ in labels)
    assert theirs.get_metrics_data() is not None
    telemetry.shutdown()
    assert read(telemetry) == samples


@pytest.mark.parametrize("ours", [views(SHOP), [], views(SHOP, known={"shop": [f"s{n}" for n in range(10)]})])
def test_views_leave_the_limits_to_the_telemetry(ours: list[View]) -> None:
    """In a provider that is already built, all values that ``known`` allows have series, and histograms our bounds."""
    reader = PrometheusReader(scope_info_enabled=False, disable_target_info=True, registry=CollectorRegistry())
    provider = MeterProvider([reader], views=ours, shutdown_on_exit=False)
    telemetry = Telemetry(SHOP, meter_provider=provider, known={"shop": [f"s{n}" for n in range(10)]})
    for n in range(10):
        telemetry[ORDERS].labels(f"s{n}").inc()
    telemetry[WAIT].observe(2)
    samples = samples_of(reader.expose().body.decode())
    assert [name for name, _ in samples].count("shop_orders_total") == 10
    assert samples["shop_wait_seconds_bucket", (("le", "5.0"),)] == 1.0


def test_provider_that_keeps_too_few_series_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    """A provider built without our Views is named in one line where the SDK's limit is below what the labels allow."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    Telemetry(SHOP, meter_provider=provider, limits={"shop": 5_000})
    assert [record.getMessage() for record in caplog.records] == [
        "the meter provider keeps fewer series apart than the labels allow, build it with views(catalogue): "
        "shop_orders_total (2000 of 5002)"
    ]
    caplog.clear()
    provider = MeterProvider([InMemoryMetricReader()], views=views(SHOP), shutdown_on_exit=False)
    Telemetry(SHOP, meter_provider=provider, limits={"shop": 5_000})
    assert caplog.records == []


def test_provider_that_is_built_does_not_lift_the_limit_of_series() -> None:
    """Labels that allow more than ``max_series`` are refused, also beside a provider of the host."""
    with pytest.raises(CatalogueError, match="shop_orders_total could have 102 series"):
        Telemetry(SHOP, meter_provider=MeterProvider(shutdown_on_exit=False), limits={"shop": 100}, max_series=100)


def test_function_that_builds_no_provider_is_told() -> None:
    """A function that forgets to return the provider gets one sentence."""
    with pytest.raises(
        TypeError, match=r"^meter_provider\(readers, views\) must return a MeterProvider, it returned NoneType$"
    ):
        Telemetry(SHOP, meter_provider=lambda readers, ours: None)  # type: ignore[arg-type, return-value]


def test_readers_and_processors_that_nothing_reaches_are_refused() -> None:
    """Readers beside a built meter provider, and processors beside a tracer provider, raise: they would get nothing."""
    with pytest.raises(ValueError, match="metric_readers beside a meter_provider get nothing"):
        Telemetry(SHOP, meter_provider=MeterProvider(shutdown_on_exit=False), metric_readers=[InMemoryMetricReader()])
    with pytest.raises(ValueError, match="span_processors beside a tracer_provider get nothing"):
        Telemetry(SHOP, tracer_provider=TracerProvider(shutdown_on_exit=False), span_processors=[SpanProcessor()])


def test_environment_makes_no_reader_that_nothing_reaches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a built meter provider ``from_environment`` starts no reader that pushes."""
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "console")
    before = threading.enumerate()
    Telemetry.from_environment(SHOP, meter_provider=MeterProvider(shutdown_on_exit=False))
    assert threading.enumerate() == before


def test_unattached_reader_leaves_the_registry_readable() -> None:
    """A registry with other collectors stays readable while our reader belongs to no provider."""
    registry = CollectorRegistry()
    Gauge("theirs", "A gauge of the host", registry=registry).set(3)
    PrometheusReader(registry=registry)
    assert b"theirs 3.0" in generate_latest(registry)


def test_host_without_our_reader_is_told() -> None:
    """Where the host's provider lacks our reader, a scrape is refused with a sentence."""
    telemetry = Telemetry(SHOP, meter_provider=MeterProvider(shutdown_on_exit=False))
    telemetry[VISITS].inc()
    with pytest.raises(ScrapeRefusedError, match="the reader belongs to no MeterProvider"):
        telemetry.reader.expose()


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
        "from opentelemetry import trace; from opentelemetry.sdk.trace import SpanProcessor, TracerProvider;"
        "from telemetry import Catalogue, Telemetry;"
        f"{already} and trace.set_tracer_provider(TracerProvider());"
        "t = Telemetry(Catalogue([]), span_processors=[SpanProcessor()]); t.offer_globally();"
        "print(trace.get_tracer_provider() is t.tracer_provider)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(ours)


def test_multiprocess_mode_of_a_metric_with_capitals(tmp_path: Path) -> None:
    """Workers merge a gauge whose name has capitals, which the SDK lowers, as its ``multiprocess_mode`` says."""
    level = observable_gauge("Shop.Level", "", "Level", multiprocess_mode=MultiprocessMode.MAX)
    shops = [Telemetry(Catalogue([level]), workers=Workers(tmp_path / "state", save_every=3600.0)) for _ in range(2)]
    for number, shop in enumerate(shops, start=1):
        shop[level].watch(lambda number=number: number)
    assert read(shops[0]) == {("shop_level", ()): 2.0}
    for shop in shops:
        shop.shutdown()


def test_shutdown_in_a_signal_handler_during_shutdown_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second shutdown, in whatever thread or handler, returns at once."""
    telemetry = Telemetry(SHOP)
    calls: list[str] = []

    def closing(timeout_millis: float) -> None:
        calls.append("provider")
        telemetry.shutdown()

    monkeypatch.setattr(telemetry.meter_provider, "shutdown", closing)
    telemetry.shutdown()
    telemetry.shutdown()
    assert calls == ["provider"]
