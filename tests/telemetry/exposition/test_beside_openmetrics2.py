"""The exact text of ``prometheus_client``'s families in OpenMetrics 2.0."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import prometheus_client
import pytest
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeHistogramMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
    StateSetMetricFamily,
    SummaryMetricFamily,
    UnknownMetricFamily,
)
from prometheus_client.registry import Collector
from prometheus_client.samples import BucketSpan, Exemplar, NativeHistogram, Timestamp

from telemetry._base.diagnostics import Diagnostics
from telemetry.exposition import Translation
from telemetry.exposition.beside_openmetrics2 import family_text
from telemetry.metric import telemetry_metrics
from tests.helpers.openmetrics2 import parse
from tests.helpers.providers import OPENMETRICS_2, provider, text

NATIVE = NativeHistogram(
    *(9, 12.5, 3, 0.001, 2),
    pos_spans=[BucketSpan(-2, 1), BucketSpan(3, 2)],
    neg_spans=[BucketSpan(5, 1)],
    pos_deltas=[1, 1, 1],
    neg_deltas=[1],
    nh_exemplars=[Exemplar({"trace_id": "n"}, 1, 7.5), Exemplar({"trace_id": "o"}, 2)],
)
NATIVE_TEXT = (
    "schema:3,zero_threshold:0.001,zero_count:2,"
    "negative_spans:[5:1],negative_buckets:[1],positive_spans:[-2:1,3:2],positive_buckets:[1,2,3]"
)


def body(*metrics: Metric) -> str:
    """Returns the families' lines, which the grammar admits."""
    text = "".join(map(family_text, metrics))
    parse(f"{text}# EOF\n")
    return text


def family(type_: str, *samples: Iterable[Any], name: str = "x") -> Metric:
    """Returns a family of these samples."""
    metric = Metric(name, "", type_)
    for sample in samples:
        metric.add_sample(*sample)
    return metric


def histogram(type_: str, *buckets: tuple[str, Any], count: Any = 3, total: Any = 4.5) -> Metric:
    """Returns a histogram of one series; without a count or a sum where it is None."""
    gauge = "g" if type_ == "gaugehistogram" else ""
    rest = [(suffix, value) for suffix, value in ((f"x_{gauge}count", count), (f"x_{gauge}sum", total)) if value is not None]
    return family(
        type_, *(("x_bucket", {"le": le}, value) for le, value in buckets), *((name, {}, value) for name, value in rest)
    )


def test_counter() -> None:
    """A counter's ``_created`` is its start; its family has the name of its samples."""
    counter = CounterMetricFamily("jobs", 'Jobs "now"\r', labels=["queue"], unit="seconds")
    counter.add_metric(["a"], 2, created=1.5, exemplar=Exemplar({"trace_id": 'a"b'}, 1, Timestamp(7, 5)))
    counter.add_metric(["b"], 0.5, timestamp=Timestamp(8, 250_000_000), exemplar=Exemplar({"trace_id": "without a time"}, 1))
    assert body(counter) == (
        "# TYPE jobs_seconds_total counter\n"
        "# UNIT jobs_seconds_total seconds\n"
        '# HELP jobs_seconds_total Jobs \\"now\\"\n'
        'jobs_seconds_total{queue="a"} 2 st@1.5 # {trace_id="a\\"b"} 1 7.000000005\n'
        'jobs_seconds_total{queue="b"} 0.5 8.250000000\n'
    )


def test_a_counter_without_total() -> None:
    """A counter whose samples have no ``_total`` keeps their name."""
    assert body(family("counter", ("x", {}, 1))) == "# TYPE x counter\nx 1\n"


def test_gauge_and_unknown() -> None:
    """Gauges and metrics of unknown type have a number, and no exemplar."""
    gauge = family("gauge", ("x", {"k": "a\nb"}, math.nan, 1.5, Exemplar({}, 1, 1.0)))
    assert body(gauge) == '# TYPE x gauge\nx{k="a\\nb"} NaN 1.5\n'
    assert body(UnknownMetricFamily("y", "Y", 2.5)) == "# TYPE y unknown\n# HELP y Y\ny 2.5\n"


def test_info_and_stateset() -> None:
    """The name of an info ends in ``_info``; a stateset has one line a state."""
    assert body(InfoMetricFamily("build", "", {"version": "1"})) == '# TYPE build_info info\nbuild_info{version="1"} 1\n'
    assert body(StateSetMetricFamily("state", "", {"up": True, "down": False})) == (
        '# TYPE state stateset\nstate{state="down"} 0\nstate{state="up"} 1\n'
    )


def test_summary() -> None:
    """Count, sum and quantiles are one value; without quantiles the list is empty."""
    assert body(SummaryMetricFamily("s", "", 2, 3.5)) == "# TYPE s summary\ns {count:2,sum:3.5,quantile:[]}\n"
    quantiles = family(
        "summary",
        ("x", {"quantile": "0.9", "k": "v"}, 7), ("x", {"quantile": "0.5", "k": "v"}, math.nan),
        ("x_count", {"k": "v"}, 4.0), ("x_sum", {"k": "v"}, 12), ("x_created", {"k": "v"}, 1.25),
    )  # fmt: skip
    assert body(quantiles) == '# TYPE x summary\nx{k="v"} {count:4,sum:12,quantile:[0.5:NaN,0.9:7]} st@1.25\n'


def test_classic_histogram() -> None:
    """A histogram is one line; its buckets' exemplars stand behind it where they have a time."""
    metric = HistogramMetricFamily("h", "", labels=["k"])
    buckets = [("0.5", 1.0, Exemplar({"a": "1"}, 0.25, 7.5)), ("1", 2.0, Exemplar({}, 0.75)), ("+Inf", 3.0)]
    metric.add_metric(["v"], buckets, 4.5)
    assert body(metric) == ('# TYPE h histogram\nh{k="v"} {count:3,sum:4.5,bucket:[0.5:1,1.0:2,+Inf:3]} # {a="1"} 0.25 7.5\n')


def test_histogram_without_sum() -> None:
    """A histogram of which the library shows no sum, since its values may be negative, has the count of ``+Inf`` and NaN."""
    assert body(HistogramMetricFamily("h", "", buckets=[("-1.0", 1), ("+Inf", 3)])) == (
        "# TYPE h histogram\nh {count:3,sum:NaN,bucket:[-1.0:1,+Inf:3]}\n"
    )


def test_gauge_histogram() -> None:
    """A gauge histogram has ``gcount`` and ``gsum``, and no start; its counts may be fractions, and fall."""
    assert body(GaugeHistogramMetricFamily("g", "", [("1", 2.5), ("+Inf", 0.5)], -1)) == (
        "# TYPE g gaugehistogram\ng {gcount:0.5,gsum:-1,bucket:[1.0:2.5,+Inf:0.5]}\n"
    )


def test_native_histogram() -> None:
    """The deltas of native buckets become absolute counts; exemplars without a time are left out."""
    native = ("x", {"k": "v"}, None, None, None, NATIVE)
    assert body(family("histogram", native)) == (
        f'# TYPE x histogram\nx{{k="v"}} {{count:9,sum:12.5,{NATIVE_TEXT}}} # {{trace_id="n"}} 1 7.5\n'
    )


def test_both_forms() -> None:
    """Native and classic buckets of one label set are one line, with the exemplars of the classic ones."""
    metric = histogram("histogram", ("1", 4), ("+Inf", 9), count=9, total=12.5)
    metric.add_sample("x", {}, 0, native_histogram=NATIVE)
    assert body(metric) == (
        f'# TYPE x histogram\nx {{count:9,sum:12.5,{NATIVE_TEXT},bucket:[1.0:4,+Inf:9]}} # {{trace_id="n"}} 1 7.5\n'
    )
    metric.samples[0] = metric.samples[0]._replace(exemplar=Exemplar({"trace_id": "c"}, 0.5, 8.0))
    assert body(metric).endswith(' # {trace_id="c"} 0.5 8.0\n')


def test_samples_with_times() -> None:
    """The samples of one label set stand behind one another, each with its time."""
    gauge = GaugeMetricFamily("g", "", labels=["k"])
    for value, labels, time in ((1, "a", 1), (2, "b", 1), (3, "a", 2)):
        gauge.add_metric([labels], value, time)
    assert body(gauge) == '# TYPE g gauge\ng{k="a"} 1 1.0\ng{k="a"} 3 2.0\ng{k="b"} 2 1.0\n'


def test_utf8_names() -> None:
    """Names beyond letters, digits and ``_:`` stand in quotes."""
    gauge = family("gauge", ("disk.free", {"a.b": "x"}, 1), name="disk.free")
    assert body(gauge) == '# TYPE "disk.free" gauge\n{"disk.free","a.b"="x"} 1\n'


def test_families_without_samples() -> None:
    """A family without samples has no lines."""
    assert body(GaugeMetricFamily("g", "help")) == ""


REFUSED = {
    "no +Inf": histogram("histogram", ("1", 3)),
    "no buckets": histogram("histogram"),
    "no count": histogram("histogram", ("+Inf", 3), count=None),
    "no sum": histogram("histogram", ("+Inf", 3), total=None),
    "another count": histogram("histogram", ("+Inf", 2)),
    "falling buckets": histogram("histogram", ("1", 4), ("+Inf", 3)),
    "negative bucket": histogram("histogram", ("1", -1), ("+Inf", 3)),
    "a bucket twice": histogram("histogram", ("1", 1), ("1.0", 1), ("+Inf", 3)),
    "a bound that is no number": histogram("histogram", ("NaN", 1), ("+Inf", 3)),
    "a bound that is no text of a number": histogram("histogram", ("low", 1), ("+Inf", 3)),
    "a bucket without bound": family("histogram", ("x_bucket", {}, 1)),
    "no gauge sum": histogram("gaugehistogram", ("+Inf", 3), total=None),
    "no quantile's count": family("summary", ("x", {"quantile": "0.5"}, 1), ("x_sum", {}, 1)),
    "a quantile above 1": family("summary", ("x", {"quantile": "5"}, 1), ("x_sum", {}, 1), ("x_count", {}, 1)),
    "a counter that is no number": family("counter", ("x_total", {}, math.nan)),
    "an info of 2": family("info", ("x_info", {}, 2)),
    "an info without its ending": family("info", ("x", {}, 1)),
    "a state of 2": family("stateset", ("x", {"x": "up"}, 2)),
    "a state without name": family("stateset", ("x", {}, 1)),
    "another sample": family("gauge", ("x", {}, 1), ("x_max", {}, 2)),
    "a sample twice": family("gauge", ("x", {}, 1), ("x", {}, 2)),
    "no time": family("gauge", ("x", {}, 1, math.inf)),
    "no start": family("counter", ("x_total", {}, 1), ("x_created", {}, math.nan)),
    "a value that is no number": family("gauge", ("x", {}, "many")),
    "a null character": family("gauge", ("x", {"a\0": "v"}, 1)),
    "schema": family("histogram", ("x", {}, 0, None, None, NATIVE._replace(schema=9))),
    "zero threshold": family("histogram", ("x", {}, 0, None, None, NATIVE._replace(zero_threshold=math.inf))),
    "zero count": family("histogram", ("x", {}, 0, None, None, NATIVE._replace(zero_count=-1))),
    "native count": family("histogram", ("x", {}, 0, None, None, NATIVE._replace(count_value=8))),
    "native fraction": family("histogram", ("x", {}, 0, None, None, NATIVE._replace(pos_deltas=[1, 1.5, 0.5]))),
    "native negative": family("histogram", ("x", {}, 0, None, None, NATIVE._replace(pos_deltas=[1, -2, 8]))),
    "span length": family("histogram", ("x", {}, 0, None, None, NATIVE._replace(pos_spans=[BucketSpan(0, 2)]))),
    "span offset": family("histogram", ("x", {}, 0, None, None, NATIVE._replace(neg_spans=[BucketSpan(2**31, 1)]))),
    "native count beyond an integer": family(
        "histogram", ("x", {}, 0, None, None, NATIVE._replace(count_value=2**63 + 7, zero_count=2**63))
    ),
    "span overlap": family(
        "histogram", ("x", {}, 0, None, None, NATIVE._replace(pos_spans=[BucketSpan(0, 1), BucketSpan(-1, 2)]))
    ),
}


@pytest.mark.parametrize("metric", REFUSED.values(), ids=REFUSED)
def test_what_makes_no_line_is_refused(metric: Metric) -> None:
    """A family of which one line could cost the whole scrape is refused with the reason."""
    with pytest.raises(ValueError, match=r".+"):
        family_text(metric)


class Given(Collector):
    """Collects the given families."""

    def __init__(self, *found: Metric) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        return self._found


def registry_of(*metrics: Metric) -> CollectorRegistry:
    """Returns a registry of these families."""
    registry = CollectorRegistry()
    registry.register(Given(*metrics))
    return registry


def test_beside_a_reader() -> None:
    """The registry's families stand behind the reader's, before the end of the body."""
    meters, reader = provider(beside=registry_of(CounterMetricFamily("theirs", "", 2)))
    meters.get_meter("m").create_up_down_counter("ours").add(1)
    assert text(reader, OPENMETRICS_2) == "# TYPE ours gauge\nours 1\n# TYPE theirs_total counter\ntheirs_total 2\n# EOF\n"


def test_native_histograms_beside_a_reader() -> None:
    """Native histograms of a registry are shown, which other text formats leave out."""
    registry = registry_of(family("histogram", ("x", {}, None, None, None, NATIVE)))
    _, reader = provider(beside=registry)
    assert f"x {{count:9,sum:12.5,{NATIVE_TEXT}}}" in text(reader, OPENMETRICS_2)
    assert "schema" not in text(reader)


def test_a_family_that_makes_no_line_is_left_out_alone(caplog: pytest.LogCaptureFixture) -> None:
    """A family that is refused is left out, counted and logged; the others are shown."""
    diagnostics = Diagnostics()
    broken = histogram("histogram", ("1", 3))
    _, reader = provider(diagnostics=diagnostics, beside=registry_of(broken, GaugeMetricFamily("right", "", 1)))
    assert text(reader, OPENMETRICS_2) == "# TYPE right gauge\nright 1\n# EOF\n"
    assert diagnostics.values(telemetry_metrics.CALLBACK_FAILURES.name) == {("x", "raised"): 1}
    why = "x of a registry is left out of the scrape: ValueError: the series {} has no bucket +Inf of its count 3"
    assert [record.getMessage() for record in caplog.records] == [why]


@pytest.mark.parametrize(
    ("name", "shown"), [("x", ["x"]), ("x_bucket", ["x"]), ("x_sum", ["x"]), ("jobs_total", ["jobs_total"]), ("absent", [])]
)
def test_names_restrict_the_families(name: str, shown: list[str]) -> None:
    """A family is shown whole where its name, or that of a sample in another format, is asked for."""
    _, reader = provider(beside=registry_of(histogram("histogram", ("+Inf", 3)), CounterMetricFamily("jobs", "", 1)))
    assert list(parse(text(reader, OPENMETRICS_2, names=[name]))) == shown


@pytest.mark.parametrize(
    ("escaping", "line"),
    [
        ("underscores", 'disk_free_total{a_b="x"} 1'),
        ("allow-utf-8", '{"disk.free_total","a.b"="x"} 1'),
        ("dots", 'disk_dot_free__total{a_dot_b="x"} 1'),
        ("values", 'U__disk_2e_free__total{U__a_2e_b="x"} 1'),
    ],
)
def test_names_follow_the_escaping(escaping: str, line: str) -> None:
    """Names are escaped as the scraper asks, ``_total`` with them."""
    counter = family("counter", ("disk.free_total", {"a.b": "x"}, 1), name="disk.free")
    _, reader = provider(translation=Translation.UTF8, beside=registry_of(counter))
    assert text(reader, f"{OPENMETRICS_2};escaping={escaping}").splitlines()[1:] == [line, "# EOF"]


def test_prometheus_clients_own_collectors() -> None:
    """Every kind of instrument, and the collectors of the process, the platform and the garbage collector, make lines."""
    registry = CollectorRegistry(target_info={"version": "2"})
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    prometheus_client.Counter("jobs", "Jobs", ["queue"], registry=registry).labels("a").inc(2, {"trace_id": "1"})
    prometheus_client.Gauge("temperature", "Now", registry=registry).set(3.5)
    prometheus_client.Summary("wait", "Wait", registry=registry).observe(2)
    prometheus_client.Histogram("size", "Size", buckets=[1, 2], registry=registry).observe(1.5, {"trace_id": "2"})
    prometheus_client.Info("build", "Build", registry=registry).info({"version": "1"})
    prometheus_client.Enum("state", "State", states=["up", "down"], registry=registry).state("down")
    found = parse(body(*registry.collect()) + "# EOF\n")
    assert found["size"].samples[0].value == {"count": 1, "sum": 1.5, "bucket": [(1, 0), (2, 1), (math.inf, 1)]}
    assert [exemplar[0] for exemplar in found["size"].samples[0].exemplars] == [{"trace_id": "2"}]
    assert found["wait"].samples[0].value == {"count": 1, "sum": 2, "quantile": []}
    assert all(found[name].samples[0].start for name in ("jobs_total", "wait", "size"))
    assert {"process_cpu_seconds_total", "python_info", "python_gc_collections_total", "target_info"} <= set(found)
