"""The parser program of the tests reads bodies as Prometheus does."""

from __future__ import annotations

import math

import pytest

from tests.helpers.prometheus_parser import ParsedExemplar, ParsedHistogram, PrometheusParser, RefusedError

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
OPENMETRICS_2 = "application/openmetrics-text; version=2.0.0; charset=utf-8"
PROTOBUF = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"


def test_a_body_is_read_whole(prometheus_parser: PrometheusParser) -> None:
    """Type, help, series, labels and value of a sample are there."""
    body = prometheus_parser.parse(b'# HELP a_total Some\\nhelp\n# TYPE a_total counter\na_total{b="\\"\xc3\xa9"} 0.1\n', TEXT)
    assert body.types == {"a_total": "counter"}
    assert body.helps == {"a_total": "Some\nhelp"}
    (sample,) = body.samples
    assert (sample.series, sample.name, sample.labels) == ('a_total{b="\\"é"}', "a_total", {"b": '"é'})
    assert (sample.value, sample.timestamp, sample.start, sample.exemplars) == (0.1, None, None, ())


def test_numbers_are_exact(prometheus_parser: PrometheusParser) -> None:
    """The smallest and the largest float, infinities and NaN come back as they are."""
    texts = ["5e-324", "1.7976931348623157e+308", "-0.0", "+Inf", "-Inf"]
    body = "".join(f"a{i} {text}\n" for i, text in enumerate([*texts, "NaN"]))
    *numbers, nan = (sample.value for sample in prometheus_parser.parse(body.encode(), TEXT).samples)
    assert numbers == [5e-324, 1.7976931348623157e308, 0.0, math.inf, -math.inf]
    assert isinstance(numbers[2], float)
    assert math.copysign(1, numbers[2]) == -1
    assert isinstance(nan, float)
    assert math.isnan(nan)


def test_starts_and_exemplars_of_openmetrics_1(prometheus_parser: PrometheusParser) -> None:
    """``_created`` is the series' start in milliseconds, and an exemplar has labels, value and time."""
    text = '# TYPE a counter\n# UNIT a seconds\na_total 1 # {trace_id="f"} 0.5 1.25\na_created 1.5\n# EOF\n'
    body = prometheus_parser.parse(text.replace("a_", "a_seconds_").replace(" a ", " a_seconds ").encode(), OPENMETRICS)
    (sample,) = body.samples
    assert (sample.start, sample.exemplars) == (1500, (ParsedExemplar({"trace_id": "f"}, 0.5, 1250),))
    assert body.units == {"a_seconds": "seconds"}


def test_native_histograms_of_openmetrics_2(prometheus_parser: PrometheusParser) -> None:
    """Buckets have their index, and the start its milliseconds."""
    text = (
        "# TYPE a histogram\n"
        "a {count:7,sum:3.5,schema:2,zero_threshold:1e-128,zero_count:1,"
        "negative_spans:[3:1],negative_buckets:[1],positive_spans:[-2:2,1:1],positive_buckets:[2,0,3]} st@1.5\n# EOF\n"
    )
    (sample,) = prometheus_parser.parse(text.encode(), OPENMETRICS_2).samples
    assert sample.start == 1500
    assert sample.value == ParsedHistogram(
        2, 1e-128, 1, 7, 3.5, {-2: 2, -1: 0, 1: 3}, {3: 1}, ((-2, 2), (1, 1)), ((3, 1),), (), False, False
    )


@pytest.mark.parametrize(
    ("body", "content_type", "reason"),
    [
        (b"a{ 1\n", TEXT, "expected label name"),
        (b"a 1\na 2\n", TEXT, 'duplicate sample: {__name__="a"}'),
        (b"a 1\n", OPENMETRICS, "data does not end with # EOF"),
        (b"a 1\n", "text/html", 'received unsupported Content-Type "text/html"'),
        (b"a 1\n", "", "non-compliant scrape target sending blank Content-Type"),
        (b"# TYPE a counter\n# TYPE a gauge\na 1\n", TEXT, "two lines of metadata"),
        (b"\x01", PROTOBUF, "insufficient length of buffer"),
        (b'a{b="\xff"} 1\n', TEXT, "invalid UTF-8 label value"),
        (
            b"# TYPE a histogram\na {count:2,sum:3,schema:0,zero_threshold:0,zero_count:1}\n# EOF\n",
            OPENMETRICS_2,
            "histogram's observation count should equal the number of observations found in the buckets",
        ),
    ],
)
def test_what_prometheus_refuses_is_an_error(
    prometheus_parser: PrometheusParser, body: bytes, content_type: str, reason: str
) -> None:
    """The error has Prometheus' reason, and the next body is read."""
    with pytest.raises(RefusedError) as refused:
        prometheus_parser.parse(body, content_type)
    assert reason in str(refused.value)
    assert prometheus_parser.parse(b"a 1\n", TEXT).values() == {("a", frozenset()): 1.0}


def test_names_need_the_utf8_scheme(prometheus_parser: PrometheusParser) -> None:
    """A quoted name is valid, but not under the legacy scheme."""
    body = b'{"a.b"} 1\n'
    assert prometheus_parser.parse(body, TEXT).samples[0].name == "a.b"
    with pytest.raises(RefusedError, match="invalid metric name or label names"):
        prometheus_parser.parse(body, TEXT, legacy=True)
