"""Names that are not plain, as Prometheus asks for them and stores them: allowed, or escaped in one of three ways."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry

from stack.servers.prometheus import Prometheus, scrape_job
from telemetry.exposition import PrometheusReader, Translation, metrics_app
from tests.helpers.asgi_server import serving
from tests.helpers.noted_scrapes import NotedScrapes
from tests.helpers.required_servers import built_server

FORMATS = {
    "PrometheusText1.0.0": "text/plain; version=1.0.0",
    "OpenMetricsText1.0.0": "application/openmetrics-text; version=1.0.0",
    "OpenMetricsText2.0.0": "application/openmetrics-text; version=2.0.0",
}
NAMES = {
    Translation.UTF8: {
        "allow-utf-8": "work.done_bytes_total",
        "underscores": "work_done_bytes_total",
        "dots": "work_dot_done__bytes__total",
        "values": "U__work_2e_done__bytes__total",
    },
    Translation.NONE: {
        "allow-utf-8": "work.done",
        "underscores": "work_done",
        "dots": "work_dot_done",
        "values": "U__work_2e_done",
    },
}
"""The counter ``work.done``: https://prometheus.io/docs/instrumenting/escaping_schemes/"""
LABELS = {"allow-utf-8": "a.key", "underscores": "a_key", "dots": "a_dot_key", "values": "U__a_2e_key"}
"""Its label ``a.key``."""


@dataclass(frozen=True)
class Stored:
    """A Prometheus that has scraped the counter by each text format and escaping scheme."""

    translation: Translation
    store: Prometheus
    notes: NotedScrapes


@pytest.fixture(scope="module", params=NAMES, ids=lambda translation: translation.name)
def stored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    """A process with a counter, and a Prometheus."""
    reader = PrometheusReader(registry=CollectorRegistry(), scope_info_enabled=False, translation=request.param)
    provider = MeterProvider([reader], shutdown_on_exit=False)
    provider.get_meter("m").create_counter("work.done", "By").add(5, {"a.key": "v"})
    notes = NotedScrapes(metrics_app(reader))
    with serving(notes, lifespan="off") as url:
        target = urlsplit(url).netloc
        jobs = [
            scrape_job(
                f"{protocol}-{scheme}",
                target,
                interval="2s",
                metrics_path=f"/{protocol}-{scheme}",
                scrape_protocols=[protocol],
                metric_name_escaping_scheme=scheme,
            )
            for protocol in (*FORMATS, "PrometheusProto")
            for scheme in LABELS
        ]
        folder = tmp_path_factory.mktemp("prometheus")
        with Prometheus(built_server("prometheus"), folder, jobs, features=["openmetrics2"]) as store:
            for job in jobs:
                store.await_scrape(str(job["job_name"]))
            yield Stored(request.param, store, notes)


@pytest.mark.parametrize("scheme", LABELS)
@pytest.mark.parametrize("protocol", FORMATS)
def test_each_scheme_gives_its_names(stored: Stored, protocol: str, scheme: str) -> None:
    """Prometheus stores metric and label under the names of the scheme that it asked for, which the answer's type names."""
    name = NAMES[stored.translation][scheme]
    if stored.translation is Translation.NONE and protocol == "OpenMetricsText1.0.0":
        name += "_total"  # OpenMetrics 1.0 demands it of a counter
    job = f"{protocol}-{scheme}"
    (sample,) = stored.store.query(f'{{job="{job}",__name__!~"up|scrape_.*|target_info"}}')
    assert (sample.labels["__name__"], sample.labels[LABELS[scheme]], sample.value) == (name, "v", 5.0)
    assert stored.notes.by_path[f"/{job}"].content_type == f"{FORMATS[protocol]}; charset=utf-8; escaping={scheme}"


@pytest.mark.parametrize("scheme", LABELS)
def test_names_in_protobuf(stored: Stored, scheme: str) -> None:
    """For Protocol Buffers Prometheus asks for no escaping, whatever its configuration says, and gets underscores."""
    job = f"PrometheusProto-{scheme}"
    (sample,) = stored.store.query(f'{{job="{job}",__name__!~"up|scrape_.*|target_info"}}')
    assert (sample.labels["__name__"], sample.labels["a_key"]) == (NAMES[stored.translation]["underscores"], "v")
    note = stored.notes.by_path[f"/{job}"]
    assert "escaping" not in note.accept
    assert note.format == "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily"
