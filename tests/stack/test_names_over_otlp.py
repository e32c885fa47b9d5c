"""One Prometheus scrapes /metrics and is pushed the same instruments by OTLP: both give one name."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricExportResult
from opentelemetry.sdk.resources import Resource

from stack.servers.process import until
from stack.servers.prometheus import Prometheus, scrape_job
from telemetry import Catalogue, Telemetry
from telemetry.exposition import start_http_server
from telemetry.metric import Metric, counter, gauge, histogram, up_down_counter
from telemetry.metric.naming import UNIT_WORDS

UNITS = (*UNIT_WORDS, "", "{call}", "{call}/s", "By/s", "By/{call}", "m/h", "1/s", "1/min", "kBy", "USD")
NAMES = ("in.seconds", "seconds.gone", "done.total", "bytes")
KINDS: dict[str, Callable[[str, str], Metric]] = {
    "counter": lambda name, unit: counter(name, unit, "h"),
    "up_down_counter": lambda name, unit: up_down_counter(name, unit, "h"),
    "histogram": lambda name, unit: histogram(name, unit, "h", bounds=(1,)),
    "gauge": lambda name, unit: gauge(name, unit, "h"),
}


def catalogue() -> Catalogue:
    """Returns each kind in each unit, and names that have a unit or ``total`` already, in seconds."""
    units = [make(f"{kind}.u{at}.x", unit) for kind, make in KINDS.items() for at, unit in enumerate(UNITS)]
    return Catalogue([*units, *(make(f"{kind}.named.{name}", "s") for kind, make in KINDS.items() for name in NAMES)])


def record(telemetry: Telemetry) -> None:
    """Records 1 in every metric."""
    for instrument in telemetry.instruments:
        measure = {"histogram": "record", "gauge": "set"}.get(instrument.metric.kind.value, "add")
        getattr(instrument, measure)(1)


def series_names(store: Prometheus, job: str) -> set[str]:
    """Returns the names of the job's series, without those that Prometheus adds to a scrape."""
    names = {sample.labels["__name__"] for sample in store.query(f'count by (__name__) ({{job="{job}"}})')}
    return {name for name in names if name != "up" and not name.startswith(("scrape_", "target_info"))}


@pytest.fixture(name="names")
def scraped_and_pushed(prometheus: Callable[..., Prometheus]) -> Iterator[tuple[set[str], set[str]]]:
    """The names of the scraped series, and those of the pushed ones."""
    reader = InMemoryMetricReader()
    telemetry = Telemetry(catalogue(), resource=Resource({"service.name": "pushed"}), metric_readers=[reader])
    record(telemetry)
    data = reader.get_metrics_data()
    assert data is not None
    with start_http_server(telemetry.reader, 0, "127.0.0.1") as server:
        store = prometheus([scrape_job("scraped", f"127.0.0.1:{server.port}")])
        assert OTLPMetricExporter(f"{store.url}/api/v1/otlp/v1/metrics").export(data) is MetricExportResult.SUCCESS
        yield (
            until("the scrape", lambda: series_names(store, "scraped")),
            until("the push", lambda: series_names(store, "pushed")),
        )
    telemetry.shutdown()


def test_scraped_and_pushed_names_are_equal(names: tuple[set[str], set[str]]) -> None:
    """In every unit and of every kind a series has one name; only an up-down counter in ``1`` is no ratio when pushed."""
    scraped, pushed = names
    ratio = f"up_down_counter_u{UNITS.index('1')}_x"
    print(f"{len(scraped)} scraped names, {len(scraped & pushed)} of them pushed")
    assert (scraped - pushed, pushed - scraped) == ({f"{ratio}_ratio"}, {ratio})
    assert len(scraped) == (len(UNITS) + len(NAMES)) * 6  # a histogram has three names
