"""A real Prometheus scrapes one process in each format; what it stores equals what was recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import inf, log2
from pathlib import Path
from time import time
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from stack.servers.prometheus import Bucket, Prometheus, scrape_job
from telemetry.exposition import metrics_app
from tests.helpers.asgi_server import serving
from tests.helpers.noted_scrapes import NotedScrapes
from tests.helpers.recorded import BOTHS, LABEL, SIZES, Recorded, buckets, quantile
from tests.helpers.required_servers import built_server

TEXT = "text/plain; version=0.0.4"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"

OPENMETRICS_2 = "application/openmetrics-text; version=2.0.0"
PROTOBUF = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily"

NHCB: Mapping[str, Any] = {"convert_classic_histograms_to_nhcb": True}
NATIVE: Mapping[str, Any] = {"scrape_native_histograms": True}
BOTH: Mapping[str, Any] = {**NATIVE, "always_scrape_classic_histograms": True}


class Job(NamedTuple):
    """A scrape job and the content type that its scrapes must get."""

    protocols: str
    content_type: str
    options: Mapping[str, Any] = MappingProxyType({})


JOBS = {
    "text": Job("PrometheusText0.0.4", TEXT),
    "openmetrics": Job("OpenMetricsText1.0.0", OPENMETRICS),
    "openmetrics_2": Job("OpenMetricsText2.0.0", OPENMETRICS_2),
    "protobuf": Job("PrometheusProto", PROTOBUF),
    "text_nhcb": Job("PrometheusText0.0.4", TEXT, NHCB),
    "openmetrics_nhcb": Job("OpenMetricsText1.0.0", OPENMETRICS, NHCB),
    "openmetrics_2_nhcb": Job("OpenMetricsText2.0.0", OPENMETRICS_2, NHCB),
    "protobuf_nhcb": Job("PrometheusProto", PROTOBUF, NHCB),
    "openmetrics_2_native": Job("OpenMetricsText2.0.0", OPENMETRICS_2, NATIVE),
    "protobuf_native": Job("PrometheusProto", PROTOBUF, NATIVE),
    "default_native": Job("PrometheusProto OpenMetricsText1.0.0", PROTOBUF, NATIVE),
    "openmetrics_2_both": Job("OpenMetricsText2.0.0", OPENMETRICS_2, BOTH),
    "protobuf_both": Job("PrometheusProto", PROTOBUF, BOTH),
}
native_jobs = pytest.mark.parametrize("job", [job for job in JOBS if job.endswith("_native")])
nhcb_jobs = pytest.mark.parametrize("job", [job for job in JOBS if job.endswith("_nhcb")])
other_jobs = pytest.mark.parametrize("job", [job for job in JOBS if not job.endswith("_nhcb")])
started_jobs = pytest.mark.parametrize("job", [job for job in JOBS if job.startswith(("openmetrics_2", "protobuf"))])
started_protocols = pytest.mark.parametrize(
    ("protocol", "content_type"),
    [("OpenMetricsText2.0.0", OPENMETRICS_2), ("PrometheusProto", PROTOBUF)],
    ids=["openmetrics_2", "protobuf"],
)
exemplar_jobs = pytest.mark.parametrize("job", [job for job in JOBS if not job.startswith("text")])
FEATURES = ("openmetrics2", "st-storage", "use-start-timestamps", "promql-experimental-functions")


@dataclass(frozen=True)
class Scraped:
    """A Prometheus that has scraped the process by every job."""

    store: Prometheus
    notes: NotedScrapes
    recorded: Recorded

    def exemplars(self, series: str) -> set[tuple[int, float, float]]:
        """Returns trace id, value and time in seconds of each exemplar that is stored for the series."""
        now = time()
        return {
            (int(one["labels"]["trace_id"], 16), float(one["value"]), one["timestamp"])
            for row in self.store.exemplars(series, now - 600, now + 600)
            for one in row["exemplars"]
        }


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scraped]:
    """A process with each kind of metric, and a Prometheus that has scraped it by every job."""
    recorded = Recorded()
    notes = NotedScrapes(metrics_app(recorded.reader))
    with serving(notes, lifespan="off") as url:
        target = urlsplit(url).netloc
        jobs = [
            scrape_job(
                name, target, interval="2s", metrics_path=f"/{name}", scrape_protocols=job.protocols.split(), **job.options
            )
            for name, job in JOBS.items()
        ]
        folder = tmp_path_factory.mktemp("prometheus")
        with Prometheus(built_server("prometheus"), folder, jobs, features=FEATURES) as store:
            for name in JOBS:
                store.await_scrape(name)
            yield Scraped(store, notes, recorded)


def exemplars_of(point: Any) -> set[tuple[int, float, float]]:
    """Returns trace id, value and time in seconds, to the millisecond, of each exemplar of a data point."""
    return {(one.trace_id, one.value, one.time_unix_nano // 10**6 / 1000) for one in point.exemplars}


def split(found: list[Bucket]) -> tuple[float, list[Bucket]]:
    """Returns the count of the zero bucket, and the buckets above it."""
    zeros = [bucket for bucket in found if (bucket.lower, bucket.upper) == (-1e-128, 1e-128)]
    return sum(bucket.count for bucket in zeros), found[len(zeros) :]


def started(point: Any) -> float:
    """Returns the start of a data point in seconds since the epoch, to the millisecond."""
    return int(point.start_time_unix_nano) // 10**6 / 1000


@pytest.mark.parametrize("job", JOBS)
def test_each_job_gets_the_format_that_it_asks_for(scraped: Scraped, job: str) -> None:
    """The answer has the content type of the one protocol that the job asks for, gzipped."""
    note = scraped.notes.by_path[f"/{job}"]
    assert (note.status, note.format, note.content_encoding) == (200, JOBS[job].content_type, "gzip")
    assert note.accept.count(",") == len(JOBS[job].protocols.split())  # the protocols, and */*


@pytest.mark.parametrize("job", JOBS)
def test_counters_and_gauges(scraped: Scraped, job: str) -> None:
    """A counter and an up-down counter have the same name, labels and value in every format."""
    (work,) = scraped.store.query(f'work_done_bytes_total{{job="{job}"}}')
    assert (work.labels["k"], work.value) == (LABEL, 5.0)
    assert scraped.store.value(f'level{{job="{job}"}}') == -2.0


@pytest.mark.parametrize("job", ["openmetrics_2", "protobuf", "protobuf_native"])
def test_type_help_and_unit(scraped: Scraped, job: str) -> None:
    """Prometheus knows type, help and unit of each family by the name of its samples."""
    rows = scraped.store.get("targets/metadata", match_target=f'{{job="{job}"}}')
    assert {row["metric"]: (row["type"], row["help"], row["unit"]) for row in rows} == {
        "work_done_bytes_total": ("counter", "Work done", "bytes"),
        "level": ("gauge", "Level", ""),
        "wait_seconds": ("histogram", "Wait", "seconds"),
        "size_bytes": ("histogram", "Size", "bytes"),
        "both_seconds": ("histogram", "Both", "seconds"),
        "target_info": ("info" if job == "openmetrics_2" else "gauge", "Target metadata", ""),
    }


@other_jobs
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


@nhcb_jobs
def test_classic_histograms_as_native_ones_with_custom_buckets(scraped: Scraped, job: str) -> None:
    """Converted by Prometheus, an explicit histogram is one native series with our bounds and counts."""
    found = scraped.store.histogram(f'wait_seconds{{job="{job}"}}')
    assert (found.count, found.sum) == (6, 8)
    assert found.buckets == [Bucket(-inf, 0.5, 2), Bucket(0.5, 1, 2), Bucket(1, inf, 2)]
    assert scraped.store.query(f'{{__name__=~"wait_seconds_.*", job="{job}"}}') == []
    assert scraped.store.value(f'histogram_quantile(0.5, wait_seconds{{job="{job}"}})') == 0.75


@pytest.mark.parametrize("how", SIZES)
@native_jobs
def test_the_buckets_of_native_histograms(scraped: Scraped, job: str, how: str) -> None:
    """A native histogram has count, sum and each bucket as recorded, at the finest schema that Prometheus knows."""
    schema, values = SIZES[how]
    found = scraped.store.histogram(f'size_bytes{{job="{job}",how="{how}"}}')
    assert (found.count, found.sum) == (len(values), sum(values))
    zeros, rest = split(found.buckets)
    assert zeros == values.count(0.0)
    assert {round(log2(bucket.upper) * 2.0**schema): bucket.count for bucket in rest} == buckets(schema, values)


@native_jobs
def test_the_functions_of_native_histograms(scraped: Scraped, job: str) -> None:
    """``histogram_count``, ``_sum``, ``_fraction`` and ``_quantile`` equal what the recorded values give."""
    schema, values = SIZES["wide"]
    series = f'size_bytes{{job="{job}",how="wide"}}'
    value = scraped.store.value
    assert value(f"histogram_count({series})") == len(values)
    assert value(f"histogram_sum({series})") == sum(values)
    assert value(f"histogram_fraction(0, 1, {series})") == 3 / 8
    assert value(f"histogram_fraction(1, 8, {series})") == 2 / 8
    for q in (0.3, 0.55, 0.7, 0.9, 0.99):
        assert value(f"histogram_quantile({q}, {series})") == pytest.approx(quantile(q, schema, values), rel=1e-12)


@pytest.mark.parametrize("how", SIZES)
@pytest.mark.parametrize("job", ["openmetrics_2_native", "default_native"])
def test_the_exemplars_of_native_histograms(scraped: Scraped, job: str, how: str) -> None:
    """Prometheus has the exemplars of a native histogram with trace id, value and time to the millisecond."""
    expected = exemplars_of(scraped.recorded.point("size", how=how))
    assert scraped.exemplars(f'size_bytes{{job="{job}",how="{how}"}}') == expected
    assert len(expected) == len([value for value in SIZES[how][1] if value])  # the SDK keeps none of a zero


def test_prometheus_reads_exemplars_of_the_first_native_histogram(scraped: Scraped) -> None:
    """A fault of Prometheus 3.16: of several native histograms in one protobuf message it has the first one's exemplars alone.

    Its parser goes on in their lists where the first one's ended. It begins anew after classic buckets
    (``always_scrape_classic_histograms``), and with a message; but a family is one message where OpenMetrics is not accepted.
    """
    stored = {how: len(scraped.exemplars(f'size_bytes{{job="protobuf_native",how="{how}"}}')) for how in SIZES}
    assert stored == {"wide": 7, "narrow": 0, "huge": 0}


@exemplar_jobs
def test_the_exemplars_of_counters(scraped: Scraped, job: str) -> None:
    """Prometheus has the exemplar of a counter."""
    expected = exemplars_of(scraped.recorded.point("work.done", k=LABEL))
    assert scraped.exemplars(f'work_done_bytes_total{{job="{job}"}}') == expected
    assert len(expected) == 1


@exemplar_jobs
def test_the_exemplars_of_explicit_histograms(scraped: Scraped, job: str) -> None:
    """Prometheus has the exemplar of each bucket, also where it converts the buckets."""
    name = "wait_seconds" if job.endswith("_nhcb") else "wait_seconds_bucket"
    expected = exemplars_of(scraped.recorded.point("wait"))
    assert scraped.exemplars(f'{name}{{job="{job}"}}') == expected
    assert len(expected) == 3


@started_jobs
def test_start_timestamps(scraped: Scraped, job: str) -> None:
    """The start of each counter and histogram is stored with its samples, to the millisecond, and is no series of its own."""
    point = scraped.recorded.point
    wait = ["wait_seconds"] if job.endswith("_nhcb") else ["wait_seconds_count", "wait_seconds_sum", "wait_seconds_bucket"]
    size = ["size_bytes"] if JOBS[job].options else ["size_bytes_count", "size_bytes_sum"]
    expected = {
        "work_done_bytes_total": {started(point("work.done", k=LABEL))},
        **{name: {started(point("wait"))} for name in wait},
        **{name: {started(point("size", how=how)) for how in SIZES} for name in size},
    }
    ask = scraped.store.query
    assert {
        name: {one.value for one in ask(f'start_timestamp({{__name__="{name}",job="{job}"}})')} for name in expected
    } == expected
    assert ask(f'{{__name__=~".*_created",job="{job}"}}') == []


@pytest.mark.parametrize("job", [job for job in JOBS if not job.endswith("_native")])
def test_the_classic_form_of_a_histogram_with_both(scraped: Scraped, job: str) -> None:
    """A histogram with both forms has its buckets wherever native ones are not scraped, and beside them where both are."""
    found = scraped.store.query(f'{{__name__=~"both_seconds_.*",job="{job}",how="first"}}')
    converted = job.endswith("_nhcb")
    assert {(sample.labels["__name__"], sample.labels.get("le")): sample.value for sample in found} == (
        {}
        if converted
        else {
            ("both_seconds_bucket", "1.0"): 2.0,
            ("both_seconds_bucket", "8.0"): 4.0,
            ("both_seconds_bucket", "+Inf"): 5.0,
            ("both_seconds_count", None): 5.0,
            ("both_seconds_sum", None): 112.5,
        }
    )


@pytest.mark.parametrize("job", [job for job in JOBS if job.endswith(("_native", "_both"))])
def test_the_native_form_of_a_histogram_with_both(scraped: Scraped, job: str) -> None:
    """A histogram with both forms is a native one where these are scraped."""
    schema, values = BOTHS
    found = scraped.store.histogram(f'both_seconds{{job="{job}",how="second"}}')
    assert (found.count, found.sum) == (len(values), sum(values))
    assert {round(log2(bucket.upper) * 2.0**schema): bucket.count for bucket in found.buckets} == buckets(schema, values)
    rest = scraped.store.query(f'{{__name__=~"both_seconds_.*",job="{job}"}}')
    assert bool(rest) == job.endswith("_both")


@pytest.mark.parametrize("how", ["first", "second"])
@pytest.mark.parametrize("job", ["openmetrics_2_native", "openmetrics_2_both", "default_native", "protobuf_both"])
def test_the_exemplars_of_a_histogram_with_both(scraped: Scraped, job: str, how: str) -> None:
    """The native form of each series has the exemplars of the explicit buckets."""
    expected = exemplars_of(scraped.recorded.point("both", how=how))
    assert scraped.exemplars(f'both_seconds{{job="{job}",how="{how}"}}') == expected
    assert len(expected) == 3


@started_protocols
def test_zeros_at_the_start(tmp_path: Path, protocol: str, content_type: str) -> None:
    """With ``created-timestamp-zero-ingestion`` counters and native histograms begin with a zero at their start."""
    recorded = Recorded()
    notes = NotedScrapes(metrics_app(recorded.reader))
    features = ["created-timestamp-zero-ingestion", "openmetrics2"]
    with serving(notes, lifespan="off") as url:
        job = scrape_job("zeros", urlsplit(url).netloc, scrape_protocols=[protocol], **NATIVE)
        with Prometheus(built_server("prometheus"), tmp_path, [job], features=features) as store:
            store.await_scrape("zeros")
            (work,) = store.get("query", query="work_done_bytes_total[5m]")["result"]
            (size,) = store.get("query", query='size_bytes{how="wide"}[5m]')["result"]
    assert work["values"][0] == [started(recorded.point("work.done", k=LABEL)), "0"]
    assert work["values"][1][1] == "5"
    assert size["histograms"][0] == [started(recorded.point("size", how="wide")), {"count": "0", "sum": "0"}]
    assert size["histograms"][1][1]["count"] == str(len(SIZES["wide"][1]))
    assert notes.by_path["/metrics"].format == content_type
