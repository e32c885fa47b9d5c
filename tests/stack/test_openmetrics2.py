"""Prometheus' own parser reads our OpenMetrics 2.0, and in it what it reads in our other formats."""

from __future__ import annotations

import math

import pytest

from telemetry.exposition.negotiation import Choice, Escaping, Format
from tests.helpers.every_kind import body
from tests.helpers.prometheus_parser import ParsedBody, ParsedHistogram, PrometheusParser, RefusedError

START = 1_520_430_000_123
OPENMETRICS_2 = "application/openmetrics-text; version=2.0.0"


def read(parser: PrometheusParser, format_: Format, escaping: Escaping = Escaping.ALLOW_UTF8, **options: bool) -> ParsedBody:
    """Returns the state of every kind as Prometheus reads it in a format."""
    choice = Choice(format_, escaping)
    return parser.parse(body(choice), choice.content_type, **options)


@pytest.mark.parametrize("escaping", Escaping)
def test_the_samples_are_those_of_openmetrics_1(prometheus_parser: PrometheusParser, escaping: Escaping) -> None:
    """The classic samples have the same names, labels, values and starts in both versions.

    The new one has count and sum also where values may be negative. Of native buckets alone it has no classic ones.
    """
    before = _classic(read(prometheus_parser, Format.OPENMETRICS, escaping))
    now = _classic(read(prometheus_parser, Format.OPENMETRICS_2, escaping, classic=True))
    assert {name for name, _ in now.keys() - before.keys()} == {"change_bytes_count", "change_bytes_sum"}
    assert {key: now[key] for key in now.keys() & before.keys()} == {
        key: value for key, value in before.items() if "size" not in key[0]
    }


def _classic(found: ParsedBody) -> dict[tuple[str, frozenset[tuple[str, str]]], tuple[float, int | None]]:
    return {
        (sample.name, frozenset(sample.labels.items())): (sample.value, sample.start)
        for sample in found.samples
        if not isinstance(sample.value, ParsedHistogram)
    }


def test_native_histograms(prometheus_parser: PrometheusParser) -> None:
    """Native buckets are read with their indexes, the start and the exemplars, with and without classic buckets."""
    found = read(prometheus_parser, Format.OPENMETRICS_2)
    natives = {
        (sample.name, *sample.labels.values()): sample for sample in found.samples if isinstance(sample.value, ParsedHistogram)
    }
    full, empty, both = natives.values()
    assert list(natives) == [
        ("response.size_bytes", "ok"),
        ("response.size_bytes", "error"),
        ("model.latency_seconds", "openai"),
    ]
    assert full.value == both.value
    assert isinstance(full.value, ParsedHistogram)
    assert isinstance(empty.value, ParsedHistogram)
    assert (full.value.schema, full.value.count, full.value.sum, full.value.zero_count) == (3, 9, 12.5, 2)
    assert ({k: v for k, v in full.value.positive.items() if v}, full.value.negative) == ({-2: 1, 2: 2, 3: 3}, {5: 1})
    assert (empty.value.schema, empty.value.count, empty.value.zero_threshold) == (8, 0, 0.001)
    assert (full.start, empty.start) == (START, START + 1000)
    assert [exemplar.value for exemplar in full.exemplars] == [0.8, 1.25]
    assert [exemplar.labels["trace_id"][-2:] for exemplar in both.exemplars] == ["a6", "a7"]


def test_exemplars_of_classic_buckets(prometheus_parser: PrometheusParser) -> None:
    """Each bucket gets the exemplar of its range, with its time in milliseconds."""
    found = read(prometheus_parser, Format.OPENMETRICS_2)
    buckets = [sample for sample in found.samples if sample.name == "request.duration_seconds_bucket"][:3]
    assert [[exemplar.value for exemplar in bucket.exemplars] for bucket in buckets] == [[0.05], [], [2.25]]
    assert buckets[0].exemplars[0].timestamp == 1_520_879_609_789


def test_long_exemplars(prometheus_parser: PrometheusParser) -> None:
    """An exemplar of more than 128 characters is read whole."""
    found = read(prometheus_parser, Format.OPENMETRICS_2)
    lengths = [
        sum(len(key) + len(value) for key, value in exemplar.labels.items())
        for sample in found.samples
        if sample.name == "http.server.requests_total"
        for exemplar in sample.exemplars
    ]
    assert lengths == [63, 175]


@pytest.mark.parametrize("native", [True, False])
def test_classic_histograms_become_native_ones_of_their_own_bounds(prometheus_parser: PrometheusParser, native: bool) -> None:
    """``convert_classic_histograms_to_nhcb`` refuses no histogram of ours, whether native buckets are read or not."""
    found = read(prometheus_parser, Format.OPENMETRICS_2, native=native, custom=True)
    duration = next(sample for sample in found.samples if sample.name == "request.duration_seconds")
    assert isinstance(duration.value, ParsedHistogram)
    assert (duration.value.custom, list(duration.value.positive.values())) == ((0.1, 1.0), [3, 0, 2])


REFUSED = {
    "a carriage return at the end of HELP": "# HELP a b\r\n# EOF\n",
    "a null character in a name": '{"a\0b"} 1\n# EOF\n',
    "a number beyond a float": f"a {10**400}\n# EOF\n",
    "an exemplar without a time": "# TYPE a counter\na 1 # {} 1\n# EOF\n",
    "a composite value of unknown type": "a {count:1,sum:1,bucket:[+Inf:1]}\n# EOF\n",
    "a negative count of native gauges": (
        "# TYPE a gaugehistogram\na {gcount:-1,gsum:1,schema:0,zero_threshold:0,zero_count:-1}\n# EOF\n"
    ),
    "a counter that is no number": "# TYPE a counter\na NaN\n# EOF\n",
    "an info without its ending": "# TYPE a info\na 1\n# EOF\n",
    "a bucket twice": "# TYPE a histogram\na {count:1,sum:1,bucket:[1:1,1.0:1,+Inf:1]}\n# EOF\n",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_the_parser_refuses(prometheus_parser: PrometheusParser, text: str) -> None:
    """The parser refuses what ``telemetry.exposition.openmetrics2`` writes in another way or leaves out for it."""
    with pytest.raises(RefusedError):
        prometheus_parser.parse(text.encode(), OPENMETRICS_2)


ADMITTED = {
    "a carriage return in strings": ('# HELP a b\rc\na{b="\r"} 1\n# EOF\n', ("\r", 1)),
    "a null character in a label value": ('a{b="\0"} 1\n# EOF\n', ("\0", 1)),
    "fields in another order": ('# TYPE a histogram\na{b=""} {bucket:[+Inf:1],sum:1,count:7}\n# EOF\n', ("", 7)),
    "a summary of a negative sum": ('# TYPE a summary\na{b=""} {count:1,sum:-1,quantile:[]}\n# EOF\n', ("", 1)),
}


@pytest.mark.parametrize(("text", "expected"), ADMITTED.values(), ids=ADMITTED)
def test_what_the_parser_admits(prometheus_parser: PrometheusParser, text: str, expected: tuple[str, float]) -> None:
    """The parser reads what the specification's text forbids, or ours avoids."""
    sample = prometheus_parser.parse(text.encode(), OPENMETRICS_2).samples[0]
    assert (sample.labels.get("b", ""), sample.value) == expected


def test_times_are_cut_to_milliseconds(prometheus_parser: PrometheusParser) -> None:
    """The parser keeps milliseconds of a time that is written to the nanosecond."""
    (sample,) = prometheus_parser.parse(b"# TYPE a counter\na 1 st@1.999999999\n# EOF\n", OPENMETRICS_2).samples
    assert sample.start == 1999


def test_values_beyond_a_float_are_infinite(prometheus_parser: PrometheusParser) -> None:
    """A gauge beyond a float is read as infinity."""
    found = read(prometheus_parser, Format.OPENMETRICS_2)
    assert [sample.value for sample in found.samples if sample.name == "disk.free_ratio"] == [0.25, math.inf]
