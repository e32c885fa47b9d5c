"""A real Prometheus scrapes one process in each format; what it stores equals what was recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from stack.servers.process import until
from stack.servers.prometheus import Prometheus, scrape_job
from telemetry.exposition import metrics_app
from tests.helpers.asgi_server import serving
from tests.helpers.noted_scrapes import NotedScrapes
from tests.helpers.recorded import LABEL, Recorded
from tests.helpers.required_servers import built_server

TEXT = "text/plain; version=0.0.4"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"

NHCB = {"convert_classic_histograms_to_nhcb": True}


class Job(NamedTuple):
    """A scrape job and the content type that its scrapes must get."""

    protocol: str
    content_type: str
    options: Mapping[str, Any] = MappingProxyType({})


JOBS = {
    "text": Job("PrometheusText0.0.4", TEXT),
    "openmetrics": Job("OpenMetricsText1.0.0", OPENMETRICS),
    "text_nhcb": Job("PrometheusText0.0.4", TEXT, NHCB),
    "openmetrics_nhcb": Job("OpenMetricsText1.0.0", OPENMETRICS, NHCB),
}
FEATURES = ("openmetrics2", "st-storage", "use-start-timestamps")


@dataclass(frozen=True)
class Scraped:
    """A Prometheus that has scraped the process by every job."""

    store: Prometheus
    notes: NotedScrapes
    recorded: Recorded


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    """A process with each kind of metric, and a Prometheus that has scraped it by every job."""
    recorded = Recorded()
    notes = NotedScrapes(metrics_app(recorded.reader))
    with serving(notes, lifespan="off") as url:
        target = urlsplit(url).netloc
        jobs = [
            scrape_job(name, target, metrics_path=f"/{name}", scrape_protocols=[job.protocol], **job.options)
            for name, job in JOBS.items()
        ]
        folder = tmp_path_factory.mktemp("prometheus")
        with Prometheus(built_server("prometheus"), folder, jobs, features=FEATURES) as store:
            for name in JOBS:
                until(f"{name} to be scraped", lambda name=name: store.health(name) == "up")  # type: ignore[misc]
            yield Scraped(store, notes, recorded)


@pytest.mark.parametrize("job", JOBS)
def test_each_job_gets_the_format_that_it_asks_for(scraped: Scraped, job: str) -> None:
    """The answer has the content type of the one protocol that the job asks for, gzipped."""
    note = scraped.notes.by_path[f"/{job}"]
    assert (note.status, note.format, note.content_encoding) == (200, JOBS[job].content_type, "gzip")
    assert note.accept.count(",") == 1  # the protocol, and */*


@pytest.mark.parametrize("job", JOBS)
def test_counters_and_gauges(scraped: Scraped, job: str) -> None:
    """A counter and an up-down counter have the same name, labels and value in every format."""
    (work,) = scraped.store.query(f'work_done_bytes_total{{job="{job}"}}')
    assert (work.labels["k"], work.value) == (LABEL, 5.0)
    assert scraped.store.value(f'level{{job="{job}"}}') == -2.0


@pytest.mark.parametrize("job", [job for job in JOBS if not JOBS[job].options.get("convert_classic_histograms_to_nhcb")])
def test_classic_histograms(scraped: Scraped, job: str) -> None:
    """The buckets, count and sum of an explicit histogram have the same names and values in every format."""
    found = scraped.store.query(f'{{__name__=~"wait_seconds.*", job="{job}"}}')
    assert {(sample.labels["__name__"], sample.labels.get("le")): sample.value for sample in found} == {
        ("wait_seconds_bucket", "0.5"): 2.0,
        ("wait_seconds_bucket", "1.0"): 4.0,
        ("wait_seconds_bucket", "+Inf"): 6.0,
        ("wait_seconds_count", None): 6.0,
        ("wait_seconds_sum", None): 8.0,
    }


@pytest.mark.parametrize("job", [job for job in JOBS if JOBS[job].options.get("convert_classic_histograms_to_nhcb")])
def test_classic_histograms_as_native_ones_with_custom_buckets(scraped: Scraped, job: str) -> None:
    """Converted by Prometheus, an explicit histogram is one native series with our bounds and counts."""
    (row,) = scraped.store.get("query", query=f'wait_seconds{{job="{job}"}}')["result"]
    histogram = row["histogram"][1]
    assert (histogram["count"], histogram["sum"]) == ("6", "8")
    assert [bucket[1:] for bucket in histogram["buckets"]] == [["-Inf", "0.5", "2"], ["0.5", "1", "2"], ["1", "+Inf", "2"]]
    assert scraped.store.query(f'{{__name__=~"wait_seconds_.*", job="{job}"}}') == []
    assert scraped.store.value(f'histogram_quantile(0.5, wait_seconds{{job="{job}"}})') == 0.75
