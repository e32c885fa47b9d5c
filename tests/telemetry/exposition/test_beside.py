"""Collectors of a ``prometheus_client`` registry on the same /metrics."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from threading import Event

import prometheus_client
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.samples import Timestamp

from telemetry._base.diagnostics import Diagnostics
from telemetry.exposition import Translation
from telemetry.exposition.negotiation import Escaping
from telemetry.metric import telemetry_metrics
from tests.helpers.openmetrics2 import parse
from tests.helpers.providers import OPENMETRICS, OPENMETRICS_2, families, provider, samples, text

UTF8 = {None: "text/plain;version=0.0.4;escaping=allow-utf-8", OPENMETRICS: f"{OPENMETRICS};escaping=allow-utf-8"}
CLASHES = telemetry_metrics.CLASHES.name
FAILURES = telemetry_metrics.CALLBACK_FAILURES.name


class Given(Collector):
    """Collects the given families; raises an error that stands among them."""

    def __init__(self, *found: Metric | Exception) -> None:
        self._found = found

    def collect(self) -> Iterator[Metric]:
        for each in self._found:
            if isinstance(each, Exception):
                raise each
            yield each


def registry_of(*collectors: Collector) -> CollectorRegistry:
    """Returns a registry with these collectors."""
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    return registry


@pytest.fixture
def registry() -> CollectorRegistry:
    """A registry of its own for each test."""
    return CollectorRegistry()


@pytest.fixture
def users(registry: CollectorRegistry) -> CollectorRegistry:
    """A registry with one metric of each kind."""
    prometheus_client.Counter("jobs", "Jobs", ["queue"], registry=registry).labels("a").inc(2, {"trace_id": "1"})
    prometheus_client.Gauge("temperature", "Now", registry=registry).set(3.5)
    prometheus_client.Summary("wait", "Wait", registry=registry).observe(2)
    prometheus_client.Histogram("size", "Size", buckets=[1, 2], registry=registry).observe(1.5, {"trace_id": "2"})
    prometheus_client.Info("build", "Build", registry=registry).info({"version": "1"})
    prometheus_client.Enum("state", "State", states=["up", "down"], registry=registry).state("down")
    return registry


@pytest.mark.parametrize("accept", [None, OPENMETRICS])
def test_every_kind_is_shown_as_prometheus_client_shows_it(users: CollectorRegistry, accept: str | None) -> None:
    """Behind the reader's families stand exactly the lines that prometheus_client writes for the registry."""
    meters, reader = provider()
    meters.get_meter("m").create_counter("ours").add(1)
    theirs = prometheus_client.generate_latest(users).decode()
    if accept:
        theirs = prometheus_client.openmetrics.exposition.generate_latest(users).decode()
    assert text(reader, accept, beside=users) == text(reader, accept).removesuffix("# EOF\n") + theirs


def test_the_exemplars_are_shown(users: CollectorRegistry) -> None:
    """OpenMetrics has the exemplars of the registry's counters and histograms."""
    _, reader = provider()
    found = {
        sample.name: sample.exemplar.labels
        for family in families(text(reader, OPENMETRICS, beside=users), openmetrics=True)
        for sample in family.samples
        if sample.exemplar
    }
    assert found == {"jobs_total": {"trace_id": "1"}, "size_bucket": {"trace_id": "2"}}


def test_the_process_and_the_garbage_collector_are_shown(registry: CollectorRegistry) -> None:
    """``process_*`` and ``python_gc_*`` stand beside the reader's families."""
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    _, reader = provider(beside=registry)
    names = {family.name for family in families(text(reader, OPENMETRICS), openmetrics=True)}
    assert {"process_cpu_seconds", "python_gc_collections"} <= names


def test_the_readers_own_registry_is_used_where_none_is_given(users: CollectorRegistry, registry: CollectorRegistry) -> None:
    """``expose(beside=)`` takes the place of the reader's ``beside``."""
    _, reader = provider(beside=users)
    assert "temperature 3.5\n" in text(reader)
    assert text(reader, beside=CollectorRegistry()) == ""


@pytest.mark.parametrize("accept", [None, OPENMETRICS])
@pytest.mark.parametrize("name", ["jobs", "jobs_created", "latency_count", "latency"])
def test_a_name_of_ours_is_left_out(accept: str | None, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """A family whose name, or a sample's, is one of ours is left out, counted once a scrape and logged once."""
    diagnostics = Diagnostics()
    meters, reader = provider(diagnostics=diagnostics)
    meters.get_meter("m").create_counter("jobs").add(1)
    meters.get_meter("m").create_histogram("latency").record(1)
    registry = registry_of(Given(GaugeMetricFamily(name, "", 7), GaugeMetricFamily("free", "", 1)))
    with caplog.at_level(logging.WARNING):
        bodies = {text(reader, accept, beside=registry) for _ in range(2)}
    alone = text(reader, accept)
    assert bodies == {
        alone.removesuffix("# EOF\n") + "# HELP free \n# TYPE free gauge\nfree 1.0\n" + ("# EOF\n" if accept else "")
    }
    assert diagnostics.values(CLASHES) == {(name,): 2}
    assert [r.getMessage() for r in caplog.records] == [f"{name} of a registry is left out of the scrape: its name is taken"]


def test_two_collectors_of_one_family_are_one_family() -> None:
    """Families of one name and type become one, without the series that another collector has already."""
    one, two = GaugeMetricFamily("g", "help", labels=["k"]), GaugeMetricFamily("g", "help", labels=["k"])
    one.add_metric(["a"], 1)
    two.add_metric(["a"], 2)
    two.add_metric(["b"], 3)
    diagnostics = Diagnostics()
    _, reader = provider(diagnostics=diagnostics)
    body = text(reader, OPENMETRICS, beside=registry_of(Given(one), Given(two)))
    assert body == '# HELP g help\n# TYPE g gauge\ng{k="a"} 1.0\ng{k="b"} 3.0\n# EOF\n'
    assert diagnostics.values(CLASHES) == {("g",): 1}


def test_two_types_of_one_name_in_the_registry() -> None:
    """Of two families of one name and different types the first is shown."""
    diagnostics = Diagnostics()
    _, reader = provider(diagnostics=diagnostics)
    registry = registry_of(Given(GaugeMetricFamily("x", "", 1)), Given(CounterMetricFamily("x", "", 2)))
    assert text(reader, beside=registry) == "# HELP x \n# TYPE x gauge\nx 1.0\n"
    assert diagnostics.values(CLASHES) == {("x",): 1}


@pytest.mark.parametrize("accept", [None, OPENMETRICS])
def test_names_restrict_both(users: CollectorRegistry, accept: str | None) -> None:
    """``name[]`` restricts the reader's samples and the registry's."""
    meters, reader = provider(beside=users)
    meters.get_meter("m").create_counter("ours").add(1)
    meters.get_meter("m").create_counter("others").add(1)
    body = text(reader, accept, names=["ours_total", "wait_sum", "absent"])
    assert set(samples(families(body, openmetrics=accept is not None))) == {
        ("ours_total", frozenset()),
        ("wait_sum", frozenset()),
    }


def test_a_collector_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """What a collector gave before it raised is shown, and all others; it is counted each time and logged once."""
    diagnostics = Diagnostics()
    _, reader = provider(diagnostics=diagnostics)
    broken = Given(GaugeMetricFamily("before", "", 1), RuntimeError("gone"), GaugeMetricFamily("after", "", 1))
    registry = registry_of(broken, Given(GaugeMetricFamily("other", "", 2)))
    with caplog.at_level(logging.WARNING):
        bodies = [samples(families(text(reader, beside=registry), openmetrics=False)) for _ in range(2)]
    assert bodies == [{("before", frozenset()): 1, ("other", frozenset()): 2}] * 2
    assert diagnostics.values(FAILURES) == {("Given", "raised"): 2}
    assert [r.getMessage() for r in caplog.records] == [
        "a callback of Given raised RuntimeError: gone; its series are left out"
    ]


def test_a_collector_that_hangs() -> None:
    """A collector that does not return is left out, and not started again before it returns."""
    released, calls = Event(), []

    class Hanging(Collector):
        def collect(self) -> Iterable[Metric]:
            calls.append(1)
            released.wait()
            return []

    diagnostics = Diagnostics()
    _, reader = provider(diagnostics=diagnostics, callback_timeout=0.05)
    registry = registry_of(Given(GaugeMetricFamily("before", "", 1)))
    registry._collector_to_names[Hanging()] = []
    try:
        assert [text(reader, beside=registry).count("before 1.0") for _ in range(2)] == [1, 1]
        assert (diagnostics.values(FAILURES), len(calls)) == ({("Hanging", "hung"): 1}, 1)
    finally:
        released.set()


@pytest.mark.parametrize("accept", [None, OPENMETRICS])
def test_a_family_that_cannot_be_written(accept: str | None, caplog: pytest.LogCaptureFixture) -> None:
    """A family with a value that is no number is left out alone, counted and logged."""
    diagnostics = Diagnostics()
    _, reader = provider(diagnostics=diagnostics)
    wrong: object = "many"
    registry = registry_of(Given(GaugeMetricFamily("wrong", "", wrong), GaugeMetricFamily("right", "", 1)))  # type: ignore[arg-type]
    body = text(reader, accept, beside=registry)
    assert set(samples(families(body, openmetrics=accept is not None))) == {("right", frozenset())}
    assert diagnostics.values(FAILURES) == {("wrong", "raised"): 1}
    assert "wrong of a registry is left out of the scrape: ValueError" in caplog.text


@pytest.mark.parametrize("accept", [None, OPENMETRICS])
def test_a_reader_in_the_registry_is_not_shown_twice(registry: CollectorRegistry, accept: str | None) -> None:
    """A registry that the reader serves is shown beside it without the reader, and with other readers."""
    meters, reader = provider(registry=registry, beside=registry)
    others, _ = provider(registry=registry)
    meters.get_meter("m").create_counter("ours").add(1)
    others.get_meter("m").create_counter("theirs").add(2)
    found = samples(families(text(reader, accept), openmetrics=accept is not None))
    found = {key: value for key, value in found.items() if not key[0].endswith("_created")}
    assert found == {("ours_total", frozenset()): 1, ("theirs_total", frozenset()): 2}
    assert prometheus_client.generate_latest(registry).count(b"ours_total 1.0") == 1


def test_the_registrys_target_info_stands_where_the_reader_has_none() -> None:
    """``target_info`` of the registry is shown; beside the reader's own it is a clash."""
    registry = CollectorRegistry(target_info={"version": "2"})
    _, without = provider()
    assert (
        text(without, beside=registry)
        == '# HELP target_info Target metadata\n# TYPE target_info gauge\ntarget_info{version="2"} 1.0\n'
    )
    diagnostics = Diagnostics()
    meters, reader = provider(disable_target_info=False, diagnostics=diagnostics)
    meters.get_meter("m").create_counter("c").add(1)
    assert text(reader, beside=registry) == text(reader)
    assert diagnostics.values(CLASHES) == {("target_info",): 1}


@pytest.mark.parametrize("accept", [None, OPENMETRICS])
def test_utf8_names_follow_the_negotiated_escaping(accept: str | None) -> None:
    """A client that accepts UTF-8 names gets them; others get underscores, and one value where two keys become one."""
    family = GaugeMetricFamily("disk.free:now", "", labels=["a.b", "a_b"])
    family.add_metric(["x", "y"], 1)
    _, reader = provider(translation=Translation.UTF8, beside=registry_of(Given(family)))
    end = "# EOF\n" if accept else ""
    assert text(reader, accept) == f'# HELP disk_free:now \n# TYPE disk_free:now gauge\ndisk_free:now{{a_b="x;y"}} 1.0\n{end}'
    assert text(reader, UTF8[accept]) == (
        '# HELP "disk.free:now" \n# TYPE "disk.free:now" gauge\n{"disk.free:now","a.b"="x",a_b="y"} 1.0\n' + end
    )


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (
            "text/plain;version=1.0.0;escaping=dots",
            '# HELP a_dot_b__total \n# TYPE a_dot_b__total counter\na_dot_b__total{k_dot_x="v"} 1.0\n'
            '# HELP h_dot_i \n# TYPE h_dot_i histogram\nh_dot_i_bucket{le="+Inf"} 2.0\nh_dot_i_count 2.0\nh_dot_i_sum 3.0\n'
            "# HELP g_dot_x__seconds \n# TYPE g_dot_x__seconds gauge\ng_dot_x__seconds 1.0\n",
        ),
        (
            f"{OPENMETRICS};escaping=dots",
            '# HELP a_dot_b_ \n# TYPE a_dot_b_ counter\na_dot_b__total{k_dot_x="v"} 1.0\n'
            '# HELP h_dot_i \n# TYPE h_dot_i histogram\nh_dot_i_bucket{le="+Inf"} 2.0\nh_dot_i_count 2.0\nh_dot_i_sum 3.0\n'
            "# HELP g_dot_x__seconds \n# TYPE g_dot_x__seconds gauge\n# UNIT g_dot_x__seconds seconds\n"
            "g_dot_x__seconds 1.0\n# EOF\n",
        ),
        (
            "text/plain;version=1.0.0;escaping=values",
            '# HELP U__a_2e_b__total \n# TYPE U__a_2e_b__total counter\nU__a_2e_b__total{U__k_2e_x="v"} 1.0\n'
            "# HELP U__h_2e_i \n# TYPE U__h_2e_i histogram\n"
            'U__h_2e_i_bucket{le="+Inf"} 2.0\nU__h_2e_i_count 2.0\nU__h_2e_i_sum 3.0\n'
            "# HELP U__g_2e_x__seconds \n# TYPE U__g_2e_x__seconds gauge\nU__g_2e_x__seconds 1.0\n",
        ),
    ],
)
def test_names_follow_the_escaping_as_the_readers_do(accept: str, expected: str) -> None:
    """A registry's names are escaped as the reader's: with ``_total``, and before a histogram's suffixes."""
    counted = CounterMetricFamily("a.b", "", labels=["k.x"])
    counted.add_metric(["v"], 1)
    histogram = HistogramMetricFamily("h.i", "", buckets=[("+Inf", 2)], sum_value=3)
    gauge = GaugeMetricFamily("g.x", "", 1, unit="seconds")
    _, reader = provider(translation=Translation.UTF8, beside=registry_of(Given(counted, histogram, gauge)))
    assert text(reader, accept) == expected


def test_names_that_no_prometheus_reads() -> None:
    """A null byte and a lone surrogate in a name or a label key of a registry become question marks."""
    family = GaugeMetricFamily("g\0.x", "", labels=["k\udcff\0"])
    family.add_metric(["v"], 1)
    _, reader = provider(translation=Translation.UTF8, beside=registry_of(Given(family)))
    body = text(reader, "text/plain;version=1.0.0;escaping=allow-utf-8")
    assert body == '# HELP "g?.x" \n# TYPE "g?.x" gauge\n{"g?.x","k??"="v"} 1.0\n'


def test_a_unit_that_the_escaped_name_does_not_end_in_is_left_out() -> None:
    """OpenMetrics demands that the family's name ends in the unit, which a counter's escaped name does not."""
    counted = CounterMetricFamily("a.b", "", 1, unit="seconds")
    _, reader = provider(translation=Translation.UTF8, beside=registry_of(Given(counted)))
    body = text(reader, f"{OPENMETRICS};escaping=dots")
    assert body == "# HELP a_dot_b__seconds_ \n# TYPE a_dot_b__seconds_ counter\na_dot_b__seconds__total 1.0\n# EOF\n"


def test_names_of_a_registry_that_an_escaping_makes_one() -> None:
    """A family whose escaped name the reader has is left out and counted."""
    diagnostics = Diagnostics()
    family = GaugeMetricFamily("a.b", "", 1)
    options = {"translation": Translation.UTF8, "diagnostics": diagnostics}
    meters, reader = provider(beside=registry_of(Given(family)), **options)
    meters.get_meter("m").create_gauge("a_dot_b").set(2)
    assert text(reader, "text/plain;version=1.0.0;escaping=dots") == "# TYPE a_dot_b gauge\na_dot_b 2\n"
    assert diagnostics.values(CLASHES) == {("a_dot_b",): 1}


def test_what_utf8_cannot_encode_becomes_a_question_mark() -> None:
    """A lone surrogate in a label value or a help text does not end the scrape."""
    family = GaugeMetricFamily("g", "\udcff", labels=["k"])
    family.add_metric(["a\udcffb"], 1)
    _, reader = provider(beside=registry_of(Given(family)))
    assert text(reader) == '# HELP g ?\n# TYPE g gauge\ng{k="a?b"} 1.0\n'


NAMES = st.sampled_from(["a", "a_total", "a_count", "b", "b_bucket", "b_sum", "c.d", "c_d", "c:d", "é", "e_created", "e_info"])
LABELS = st.lists(st.sampled_from(["k", "l.m", "l_m", "lö"]), max_size=3, unique=True)
VALUES = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)


@st.composite
def registries(draw: st.DrawFn) -> CollectorRegistry:
    """A registry with metrics of random kinds, names, labels and values."""
    registry = CollectorRegistry()
    for name in draw(st.lists(NAMES, max_size=5, unique=True)):
        kinds = [prometheus_client.Counter, prometheus_client.Gauge, prometheus_client.Histogram, prometheus_client.Summary]
        kind = draw(st.sampled_from(kinds))
        keys = draw(LABELS)
        try:
            metric = kind(name, draw(VALUES), keys, registry=registry)
        except ValueError:  # the registry has the name
            continue
        for _ in range(draw(st.integers(1, 3)) if keys else 1):
            child = metric.labels(*[draw(VALUES) for _ in keys]) if keys else metric
            value = draw(st.floats(0, 1e6))
            child.inc(value) if kind in kinds[:2] else child.observe(value)  # type: ignore[union-attr]
    return registry


@given(registry=registries(), ours=st.lists(NAMES, max_size=3), escaping=st.sampled_from(Escaping), openmetrics=st.booleans())
def test_any_registry_beside_any_reader_can_be_parsed(
    registry: CollectorRegistry, ours: list[str], escaping: Escaping, openmetrics: bool
) -> None:
    """The body has each family and each series once, and ours unchanged; prometheus_client's parsers read all of it."""
    meters, reader = provider(translation=Translation.UTF8, diagnostics=Diagnostics(logging.getLogger("unread")))
    for position, name in enumerate(ours):
        name = name if name.isascii() and ":" not in name else "o"
        if position % 2:
            meters.get_meter("m").create_counter(name).add(1)
        else:
            meters.get_meter("m").create_histogram(name).record(1)
    accept = f"{OPENMETRICS if openmetrics else 'text/plain;version=1.0.0'};escaping={escaping.value}"
    alone = samples(families(text(reader, accept), openmetrics=openmetrics))
    parsed = families(text(reader, accept, beside=registry), openmetrics=openmetrics)
    found = samples(parsed)
    assert len({family.name for family in parsed}) == len(parsed)
    assert {key: found[key] for key in alone} == alone


@given(registry=registries(), escaping=st.sampled_from(Escaping))
def test_any_registry_beside_a_reader_in_openmetrics2(registry: CollectorRegistry, escaping: Escaping) -> None:
    """In OpenMetrics 2.0 the whole body is of the format's grammar, with the families that OpenMetrics 1.0 shows."""
    _, reader = provider(translation=Translation.UTF8, diagnostics=Diagnostics(logging.getLogger("unread")))
    found = parse(text(reader, f"{OPENMETRICS_2};escaping={escaping.value}", beside=registry))
    before = families(text(reader, f"{OPENMETRICS};escaping={escaping.value}", beside=registry), openmetrics=True)
    assert len(found) == len([family for family in before if family.samples])


@pytest.mark.parametrize("accept", [None, OPENMETRICS, OPENMETRICS_2])
def test_samples_with_timestamps(accept: str | None) -> None:
    """A sample's time may be an object of ``prometheus_client``; the same series at another time is no clash."""
    gauge = GaugeMetricFamily("g", "", labels=["k"])
    gauge.add_metric(["a"], 1, Timestamp(1, 5))
    gauge.add_metric(["a"], 2, Timestamp(2, 0))
    _, reader = provider(beside=registry_of(Given(gauge)))
    assert text(reader, accept).count("g{") == 2


def test_the_files_of_prometheus_clients_multiprocess_mode(tmp_path: Path) -> None:
    """A registry with a ``MultiProcessCollector`` shows the sums of all processes that write files."""
    script = "import sys; from prometheus_client import Counter; Counter('jobs', 'Jobs').inc(int(sys.argv[1]))"
    variables = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for count in ("2", "3"):
        subprocess.run([sys.executable, "-c", script, count], env=variables, check=True, timeout=60)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(tmp_path))
    _, reader = provider(beside=registry)
    assert samples(families(text(reader), openmetrics=False)) == {("jobs_total", frozenset()): 5}
