"""The exact text of each kind of metric in OpenMetrics 2.0."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource

from telemetry._base.diagnostics import Diagnostics
from telemetry.exposition import Translation
from telemetry.exposition.encoding import Style
from telemetry.exposition.families import Families, NamingConfig
from telemetry.exposition.negotiation import Format
from telemetry.exposition.render import render
from telemetry.metricdata.stream import ExemplarPoint, ExponentialState, Snapshot, Stream, StreamKind
from tests.helpers.openmetrics2 import parse
from tests.helpers.streams import stream

COUNTER, GAUGE, HISTOGRAM, EXPONENTIAL = StreamKind
ST = "st@1520430000.123456789"
STATE = ExponentialState(
    scale=3, sum=12.5, zero_count=2, positive_offset=-3, positive=[1, 0, 0, 0, 2, 3], negative_offset=4, negative=[1]
)
NATIVE = (
    "schema:3,zero_threshold:1e-128,zero_count:2,"
    "negative_spans:[5:1],negative_buckets:[1],positive_spans:[-2:1,3:2],positive_buckets:[1,2,3]"
)
TRACE = 'trace_id="00000000000000000000000000000005",span_id="0000000000000007"'


def exemplar(value: float, **attributes: Any) -> ExemplarPoint:
    """Returns an exemplar of trace 5 and span 7."""
    return ExemplarPoint(value, 1_520_879_607_789_000_001, 5, 7, attributes or None)


def body(*streams: Stream, names: Sequence[str] = (), exemplars: bool = True, **naming: Any) -> str:
    """Returns the streams' body, which the grammar admits."""
    text = rendered(streams, Style(Format.OPENMETRICS_2, exemplars=exemplars, names=frozenset(names)), **naming)
    parse(text)
    return text


def rendered(streams: Sequence[Stream], style: Style, **naming: Any) -> str:
    """Returns the streams' body in any format."""
    rules = NamingConfig(**{"scope_labels": False, "target_info": False, **naming})
    snapshot = Snapshot(Resource({"service.name": "x"}), streams)
    return b"".join(render(Families(rules, Diagnostics(None)), snapshot, style)).decode()


def test_counter() -> None:
    """A counter's family has the name of its samples; each has its start, and no ``_created``."""
    counter = stream("a.time", COUNTER, 2, 0.5, unit="s", text="Time", attributes=[{"agent": "navi"}, {"agent": "herald"}])
    assert body(counter) == (
        "# TYPE a_time_seconds_total counter\n"
        "# UNIT a_time_seconds_total seconds\n"
        "# HELP a_time_seconds_total Time\n"
        f'a_time_seconds_total{{agent="navi"}} 2 {ST}\n'
        f'a_time_seconds_total{{agent="herald"}} 0.5 {ST}\n'
        "# EOF\n"
    )


def test_gauge() -> None:
    """A gauge has neither a start nor an exemplar."""
    gauge = stream("u", GAUGE, -1, exemplars={0: [exemplar(1)]})
    assert body(gauge) == "# TYPE u gauge\nu -1\n# EOF\n"


def test_info() -> None:
    """The name of an info ends in ``_info``, and it has no unit."""
    info = stream("agentos", GAUGE, 7, unit="s", text="About", attributes=[{"version": "1"}])
    named = {"info": ["agentos"]}
    assert body(info, **named) == (
        '# TYPE agentos_seconds_info info\n# HELP agentos_seconds_info About\nagentos_seconds_info{version="1"} 1\n# EOF\n'
    )
    assert body(info, **named, translation=Translation.UNDERSCORES_WITHOUT_SUFFIXES) == (
        '# TYPE agentos_info info\n# HELP agentos_info About\nagentos_info{version="1"} 1\n# EOF\n'
    )


def test_target_info_is_first() -> None:
    """The resource is ``target_info``, an info, and the first family."""
    assert body(stream("u", GAUGE, 1), target_info=True) == (
        '# TYPE target_info info\n# HELP target_info Target metadata\ntarget_info{service_name="x"} 1\n'
        "# TYPE u gauge\nu 1\n# EOF\n"
    )


def test_classic_histogram() -> None:
    """A histogram is one line: count, sum and cumulative buckets, with the bounds as Prometheus writes floats."""
    histogram = stream("d", HISTOGRAM, ([1, 0, 2, 3], 7.25), unit="s", text="D", bounds=[0.1, 1, 1e6], attributes=[{"a": "x"}])
    assert body(histogram) == (
        "# TYPE d_seconds histogram\n# UNIT d_seconds seconds\n# HELP d_seconds D\n"
        f'd_seconds{{a="x"}} {{count:6,sum:7.25,bucket:[0.1:1,1.0:1,1e+06:3,+Inf:6]}} {ST}\n# EOF\n'
    )


def test_native_histogram() -> None:
    """Exponential buckets are native ones: absolute counts, each side where it has buckets, and no classic ones."""
    histogram = stream("n", EXPONENTIAL, STATE, STATE._replace(negative=[], sum=-1))
    assert body(histogram) == (
        "# TYPE n histogram\n"
        f'n{{i="0"}} {{count:9,sum:12.5,{NATIVE}}} {ST}\n'
        'n{i="1"} {count:8,sum:-1,schema:3,zero_threshold:1e-128,zero_count:2,'
        f"positive_spans:[-2:1,3:2],positive_buckets:[1,2,3]}} {ST}\n"
        "# EOF\n"
    )


def test_native_histogram_without_measurements() -> None:
    """Without measurements neither side has fields."""
    empty = ExponentialState(20, 0.0, 0, 0, (), 0, (), zero_threshold=0.5)
    assert body(stream("n", EXPONENTIAL, empty)) == (
        f"# TYPE n histogram\nn {{count:0,sum:0.0,schema:8,zero_threshold:0.5,zero_count:0}} {ST}\n# EOF\n"
    )


def test_both_forms() -> None:
    """A histogram in both forms has the native fields before its classic buckets, in one line."""
    histogram = stream("b", HISTOGRAM, ([2, 7, 0], 12.5, STATE), bounds=[0.1, 10], native=True)
    assert body(histogram) == (
        f"# TYPE b histogram\nb {{count:9,sum:12.5,{NATIVE},bucket:[0.1:2,10.0:9,+Inf:9]}} {ST}\n# EOF\n"
    )


@pytest.mark.parametrize(("counts", "buckets"), [([2, 8, 0], "0.1:2,10.0:9,+Inf:9"), ([2, 5, 1], "0.1:2,10.0:7,+Inf:9")])
def test_a_measurement_that_one_form_lacks(counts: list[int], buckets: str) -> None:
    """Where a measurement is in one form alone, the native buckets and +Inf still are the count: else the scrape is refused."""
    histogram = stream("b", HISTOGRAM, (counts, 12.5, STATE), bounds=[0.1, 10], native=True)
    assert f"b {{count:9,sum:12.5,{NATIVE},bucket:[{buckets}]}} {ST}\n" in body(histogram)


def test_a_scale_without_schema() -> None:
    """A scale below -4 has no schema: the buckets are classic ones."""
    coarse = ExponentialState(-5, 7.5, 1, 0, [2], 0, [])
    assert f"n {{count:3,sum:7.5,bucket:[0.0:1,1.0:1,4.294967296e+09:3,+Inf:3]}} {ST}\n" in body(
        stream("n", EXPONENTIAL, coarse)
    )
    both = stream("b", HISTOGRAM, ([2, 1], 7.5, coarse), bounds=[10], native=True)
    assert f"b {{count:3,sum:7.5,bucket:[10.0:2,+Inf:3]}} {ST}\n" in body(both)


def test_count_and_sum_of_negative_values() -> None:
    """Count and sum are there also where values may be negative: the format demands them."""
    histogram = stream("d", HISTOGRAM, ([1, 0], -3.5), ([0, 0], math.nan), bounds=[-1])
    assert body(histogram) == (
        f'# TYPE d histogram\nd{{i="0"}} {{count:1,sum:-3.5,bucket:[-1.0:1,+Inf:1]}} {ST}\n'
        f'd{{i="1"}} {{count:0,sum:NaN,bucket:[-1.0:0,+Inf:0]}} {ST}\n# EOF\n'
    )


@pytest.mark.parametrize(
    ("bounds", "counts", "buckets"),
    [
        ([], [3], "+Inf:3"),
        ([1, math.inf], [1, 2, 3], "1.0:1,+Inf:6"),
        ([-math.inf, 1, 1, 0.5, math.nan], [1, 2, 0, 4, 5, 6], "-Inf:1,1.0:3,+Inf:18"),
    ],
)
def test_bounds_that_the_parser_refuses(bounds: list[float], counts: list[int], buckets: str) -> None:
    """A bound that is not above the one before it is left out: the parser would refuse the whole scrape."""
    assert f"d {{count:{sum(counts)},sum:1,bucket:[{buckets}]}} {ST}\n" in body(
        stream("d", HISTOGRAM, (counts, 1), bounds=bounds)
    )


def test_start_times() -> None:
    """A start is exact to the nanosecond; where it is not known, there is none."""
    counter = stream("c", COUNTER, 1, 2, 3, starts=[None, 0, 7])
    assert body(counter) == (
        '# TYPE c_total counter\nc_total{i="0"} 1\nc_total{i="1"} 2\nc_total{i="2"} 3 st@0.000000007\n# EOF\n'
    )
    assert body(stream("d", HISTOGRAM, ([1], 1), starts=[0])) == (
        "# TYPE d histogram\nd {count:1,sum:1,bucket:[+Inf:1]}\n# EOF\n"
    )


def test_exemplars_of_a_counter() -> None:
    """Exemplars stand behind the start, with their times exact to the nanosecond."""
    counter = stream("c", COUNTER, 1, exemplars={0: [exemplar(0.5)]})
    assert f"c_total 1 {ST} # {{{TRACE}}} 0.5 1520879607.789000001\n" in body(counter)
    assert f"c_total 1 {ST}\n" in body(counter, exemplars=False)


def test_exemplars_of_a_histogram() -> None:
    """The exemplars of all buckets stand on the line, by rising value."""
    classic = stream("d", HISTOGRAM, ([1, 1, 1], 9), bounds=[1, 2], exemplars={0: [exemplar(0.5), None, exemplar(7)]})
    ends = f" {ST} # {{{TRACE}}} 0.5 1520879607.789000001 # {{{TRACE}}} 7 1520879607.789000001\n"
    assert f"d {{count:3,sum:9,bucket:[1.0:1,2.0:2,+Inf:3]}}{ends}" in body(classic)
    native = stream("n", EXPONENTIAL, STATE, exemplars={0: [exemplar(7), None, exemplar(0.5)]})
    assert f"n {{count:9,sum:12.5,{NATIVE}}}{ends}" in body(native)


def test_long_exemplars() -> None:
    """An exemplar's labels have no limit of length."""
    long = "x" * 300
    counter = stream("c", COUNTER, 1, exemplars={0: [exemplar(1, **{"a b": long, "q": 'a"\\\n\0'})]})
    assert f' # {{{TRACE},a_b="{long}",q="a\\"\\\\\\n?"}} 1 1520879607.789000001\n' in body(counter)


def test_an_exemplar_beyond_a_float() -> None:
    """An exemplar's value that no float can hold is infinite: the parser would refuse the whole scrape."""
    counter = stream("c", COUNTER, 10**400, exemplars={0: [exemplar(10**400)]})
    assert f"c_total +Inf {ST} # {{{TRACE}}} +Inf 1520879607.789000001\n" in body(counter)


def test_units() -> None:
    """The unit is named where it is known, whether the name ends in it or not."""
    streams = [
        stream("c", COUNTER, 1, unit="By"),
        stream("n", COUNTER, 1, unit="{request}"),
        stream("r", COUNTER, 1, unit="1"),
        stream("g", GAUGE, 1, unit="1"),
    ]
    assert [(name, family.unit) for name, family in parse(body(*streams)).items()] == [
        ("c_bytes_total", "bytes"), ("n_total", ""), ("r_total", ""), ("g_ratio", "ratio"),
    ]  # fmt: skip
    without = parse(body(*streams, translation=Translation.UNDERSCORES_WITHOUT_SUFFIXES))
    assert [(name, family.unit) for name, family in without.items()] == [
        ("c", "bytes"), ("n", ""), ("r", ""), ("g", "ratio"),
    ]  # fmt: skip


def test_strings() -> None:
    """Quotes, backslashes and newlines are escaped; what UTF-8 cannot encode and null bytes become question marks."""
    gauge = stream("g", GAUGE, 1, text='say "hi"\\\nü\0\ud800', attributes=[{"k": 'a"b\\c\nd é 😀\0\ud800'}])
    assert body(gauge) == ('# TYPE g gauge\n# HELP g say \\"hi\\"\\\\\\nü??\ng{k="a\\"b\\\\c\\nd é 😀??"} 1\n# EOF\n')


def test_carriage_returns() -> None:
    """A carriage return stays in a label value and within a help; at the help's end the parser would refuse it."""
    gauge = stream("g", GAUGE, 1, text="a\rb\r\r", attributes=[{"k": "\r"}])
    assert body(gauge) == '# TYPE g gauge\n# HELP g a\rb\ng{k="\r"} 1\n# EOF\n'
    assert body(stream("g", GAUGE, 1, text="\r")) == "# TYPE g gauge\ng 1\n# EOF\n"


def test_numbers() -> None:
    """Integers have no point, floats their shortest text; what is beyond a float is infinite."""
    values = [1, 2**60, 0.1, 1e22, 1e-320, math.inf, -math.inf, math.nan, 10**400, -(10**400)]
    shown = ["1", "1152921504606846976", "0.1", "1e+22", "1e-320", "+Inf", "-Inf", "NaN", "+Inf", "-Inf"]
    lines = body(stream("g", GAUGE, *values)).splitlines()[1:-1]
    assert [line.split(" ")[1] for line in lines] == shown


def test_a_counter_that_is_no_number() -> None:
    """A counter without a number, which a callback may give, is left out: the parser would refuse the whole scrape."""
    assert body(stream("c", COUNTER, math.nan, 1)) == f'# TYPE c_total counter\nc_total{{i="1"}} 1 {ST}\n# EOF\n'


def test_families_without_series() -> None:
    """A family none of whose series has a state has no lines."""
    assert body(stream("c", COUNTER, None), stream("d", HISTOGRAM, bounds=[1]), stream("e", COUNTER, math.nan)) == "# EOF\n"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("c_total", ["c_total"]),
        ("c_created", ["c_total"]),
        ("d", ["d"]),
        ("d_bucket", ["d"]),
        ("d_count", ["d"]),
        ("d_sum", ["d"]),
        ("i_info", ["i_info"]),
        ("target_info", ["target_info"]),
        ("absent", []),
    ],
)
def test_names_restrict_the_families(name: str, shown: list[str]) -> None:
    """A family is shown whole where its name, or that of a sample in another format, is asked for."""
    streams = [stream("c", COUNTER, 1), stream("d", HISTOGRAM, ([1], 1)), stream("i", GAUGE, 1)]
    assert list(parse(body(*streams, names=[name], info=["i"], target_info=True))) == shown


def test_many_series() -> None:
    """Series of several pieces stand under one metadata."""
    counter = stream("c", COUNTER, *range(1000), exemplars={999: [exemplar(1)]})
    (family,) = parse(body(counter)).values()
    assert [sample.value for sample in family.samples] == list(range(1000))
    assert [len(sample.exemplars) for sample in family.samples] == [0] * 999 + [1]


def test_the_size_of_histograms() -> None:
    """Ten buckets and a start take less than a sixth of the bytes that they take in OpenMetrics 1.0."""
    bounds = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
    attributes = [{"agent": f"agent-{i}", "operation": "query", "status": "success"} for i in range(1000)]
    histogram = stream("a2a.request.duration", HISTOGRAM, *[([1] * 10, 7.5)] * 1000, bounds=bounds, attributes=attributes)
    before = rendered([histogram], Style(Format.OPENMETRICS, created=True))
    assert len(body(histogram)) < len(before) / 6
