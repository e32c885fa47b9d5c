"""Shutdown, several providers and readers, several threads."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
from collections.abc import Callable
from threading import Event, Thread
from weakref import ref

import pytest
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest

from telemetry._base.diagnostics import Diagnostics
from telemetry.exposition import PrometheusReader, ScrapeRefusedError
from telemetry.metric import telemetry_metrics
from tests.helpers.providers import OPENMETRICS, families, key, provider, samples, text
from tests.helpers.sdk_versions import adds_readers_later


def test_shutdown_twice_is_quiet(caplog: pytest.LogCaptureFixture) -> None:
    """A second shutdown of the reader does nothing, nor does the provider's after it."""
    meters, reader = provider()
    reader.shutdown()
    reader.shutdown()
    meters.shutdown()
    assert caplog.records == []


def test_scrape_after_shutdown() -> None:
    """After shutdown a scrape is refused with the reason, and the registry no longer collects the reader."""
    registry = CollectorRegistry()
    meters, reader = provider(registry=registry)
    meters.get_meter("m").create_counter("c").add(1)
    assert generate_latest(registry) != b""
    meters.shutdown()
    with pytest.raises(ScrapeRefusedError, match="the metric reader has been shut down") as refused:
        reader.expose()
    assert refused.value.reason == "shutdown"
    assert generate_latest(registry) == b""


def test_recording_after_shutdown_is_quiet() -> None:
    """Instruments may be used after shutdown."""
    meters, _ = provider()
    counter = meters.get_meter("m").create_counter("c")
    meters.shutdown()
    counter.add(1)


def test_two_readers_of_one_provider() -> None:
    """Two readers of a provider show the same, each from its own state."""
    first, second = (
        PrometheusReader(registry=CollectorRegistry(), disable_target_info=True, scope_info_enabled=False) for _ in "ab"
    )
    meters = MeterProvider([first, second], shutdown_on_exit=False)
    meters.get_meter("m").create_counter("c").add(1)
    assert text(first) == text(second) == "# TYPE c_total counter\nc_total 1\n"
    first.shutdown()
    meters.get_meter("m").create_counter("c").add(1)
    assert text(second) == "# TYPE c_total counter\nc_total 2\n"


def test_two_providers_on_one_registry() -> None:
    """Two providers on one registry make one valid body: each name once; a clash is left out and counted."""
    registry, diagnostics = CollectorRegistry(), Diagnostics()
    one, _ = provider(registry=registry, diagnostics=diagnostics)
    two, second = provider(registry=registry, diagnostics=diagnostics)
    one.get_meter("m").create_counter("c").add(1, {"p": "1"})
    two.get_meter("m").create_counter("c").add(2, {"p": "2"})
    two.get_meter("m").create_counter("c").add(9, {"p": "1"})
    one.get_meter("m").create_gauge("x").set(1)
    two.get_meter("m").create_histogram("x").record(1)
    body = generate_latest(registry).decode()
    assert body.count("# TYPE") == 2
    assert samples(families(body, openmetrics=False)) == {
        key("c_total", {"p": "1"}): 1.0,
        key("c_total", {"p": "2"}): 2.0,
        key("x"): 1.0,
    }
    assert diagnostics.values(telemetry_metrics.CLASHES.name) == {("x",): 1}
    one.shutdown()
    assert "# TYPE x histogram" in generate_latest(registry).decode()
    assert samples(families(text(second), openmetrics=False))[key("c_total", {"p": "1"})] == 9.0


def test_readers_of_a_registry_come_and_go() -> None:
    """A registry collects the readers that serve it at the moment, also one that comes after its last one is shut down."""
    registry = CollectorRegistry()
    for name in ("a", "b"):
        meters, _ = provider(registry=registry)
        meters.get_meter("m").create_counter(name).add(1)
        assert generate_latest(registry).decode().endswith(f"{name}_total 1.0\n")
        meters.shutdown()
        assert generate_latest(registry) == b""


def test_the_default_registry() -> None:
    """A reader without a registry serves prometheus_client's default one until shutdown, as its parent does."""
    reader = PrometheusReader(scope_info_enabled=False)
    meters = MeterProvider([reader], shutdown_on_exit=False)
    meters.get_meter("m").create_counter("only.here").add(1)
    assert b"only_here_total 1.0\n" in generate_latest(REGISTRY)
    reader.shutdown()
    assert b"only_here" not in generate_latest(REGISTRY)


def test_nothing_keeps_a_registry_alive() -> None:
    """A registry with its reader and provider can be collected as garbage."""
    registry = CollectorRegistry()
    meters, reader = provider(registry=registry)
    meters.get_meter("m").create_counter("c").add(1)
    assert generate_latest(registry) != b""
    gone = ref(registry), ref(reader)
    del registry, reader, meters
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


@adds_readers_later
def test_added_and_removed_at_run_time() -> None:
    """A reader added to a running provider works, and is shut down when it is removed."""
    reader = PrometheusReader(registry=CollectorRegistry(), disable_target_info=True, scope_info_enabled=False)
    meters = MeterProvider(shutdown_on_exit=False)
    meters.add_metric_reader(reader)
    meters.get_meter("m").create_counter("c").add(1)
    assert text(reader) == "# TYPE c_total counter\nc_total 1\n"
    meters.remove_metric_reader(reader)
    with pytest.raises(ScrapeRefusedError):
        text(reader)


def test_a_reader_without_provider() -> None:
    """A reader without a provider refuses the scrape and says what to do; an empty body would pass for no metrics."""
    reader = PrometheusReader(registry=CollectorRegistry())
    with pytest.raises(
        ScrapeRefusedError, match=r"belongs to no MeterProvider: give it to MeterProvider\(metric_readers="
    ) as error:
        reader.expose()
    assert error.value.reason == "unattached"


def test_asking_for_the_content_type_is_no_scrape() -> None:
    """``content_type`` answers as ``expose`` does, but collects nothing and leaves ``last_scrape`` as it is."""
    calls: list[object] = []

    def observe(options: CallbackOptions) -> list[Observation]:
        calls.append(options)
        return [Observation(1)]

    meters, reader = provider()
    meters.get_meter("m").create_observable_gauge("g", [observe])
    assert [reader.content_type(accept) for accept in (None, OPENMETRICS)] == [
        "text/plain; version=0.0.4; charset=utf-8",
        "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores",
    ]
    assert (reader.last_scrape, calls) == (None, [])
    exposition = reader.expose(OPENMETRICS)
    scrape = reader.last_scrape
    assert reader.content_type(OPENMETRICS) == exposition.content_type
    assert reader.last_scrape is scrape


def at_once(work: Callable[[int], None], threads: int) -> list[BaseException]:
    """Runs ``work`` in several threads; returns what they raised."""
    failures: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    running = [Thread(target=run, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(120)
    return failures


def counter_and_count(body: str) -> tuple[float, float]:
    """The values of the counter and of the histogram's count, which the body must have once."""
    totals = re.findall(r"^c_total (\S+)", body, re.MULTILINE)
    counts = re.findall(r"^h_count (\S+)", body, re.MULTILINE)
    infinite = re.findall(r'^h_bucket\{le="\+Inf"\} (\S+)', body, re.MULTILINE)
    assert len(totals) == len(counts) == len(infinite) == 1
    assert float(counts[0]) == float(infinite[0])
    return float(totals[0]), float(counts[0])


@pytest.mark.parametrize("direct", [True, False], ids=["direct", "public"])
def test_concurrent_scrapes(direct: bool) -> None:
    """Concurrent scrapes, during records, flushes and other collects, are whole and never fall."""
    registry, other = CollectorRegistry(), InMemoryMetricReader()
    reader = PrometheusReader(registry=registry, scope_info_enabled=False, direct=direct)
    meters = MeterProvider([reader, other], shutdown_on_exit=False)
    counter = meters.get_meter("m").create_counter("c")
    histogram = meters.get_meter("m").create_histogram("h")
    counter.add(1)
    histogram.record(1)
    done = Event()

    def record() -> None:
        while not done.is_set():
            counter.add(1)
            histogram.record(1)

    def collect() -> None:
        while not done.is_set():
            meters.force_flush()
            other.get_metrics_data()

    background = [Thread(target=record), Thread(target=collect)]
    for thread in background:
        thread.start()

    def scrape(number: int) -> None:
        last = (0.0, 0.0)
        for i in range(40 if direct else 6):
            body = text(reader, OPENMETRICS if (i + number) % 2 else None) if i % 3 else generate_latest(registry).decode()
            now = counter_and_count(body)
            assert now[0] >= last[0]
            assert now[1] >= last[1]
            last = now

    failures = at_once(scrape, 8)
    done.set()
    for thread in background:
        thread.join(30)
    assert failures == []


def test_shutdown_during_scrapes() -> None:
    """A scrape during shutdown is whole or refused."""
    meters, reader = provider()
    for i in range(500):
        meters.get_meter("m").create_counter("c").add(1, {"i": str(i)})
    whole = text(reader)
    started = Event()

    def scrape(number: int) -> None:
        if number == 0:
            assert started.wait(30)
            meters.shutdown()
            return
        while True:
            try:
                assert text(reader) == whole
            except ScrapeRefusedError:
                return
            started.set()

    assert at_once(scrape, 5) == []


def test_a_forked_child_registers_readers_though_its_parent_was_doing_so() -> None:
    """The lock of the registries is free in a forked child, also where a thread of its parent held it."""
    script = (
        "import os; from telemetry.exposition import PrometheusReader, registry\n"
        "with registry._lock:\n"
        "    pid = os.fork()\n"
        "    if not pid:\n"
        "        PrometheusReader().shutdown(); os._exit(7)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "7\n"
