"""The exact text of each kind of metric in both formats."""

from __future__ import annotations

import math

import pytest
from opentelemetry.metrics import Observation
from opentelemetry.sdk.metrics import Histogram
from opentelemetry.sdk.metrics.view import ExplicitBucketHistogramAggregation, ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from telemetry._base.diagnostics import Diagnostics
from telemetry.exposition import Translation
from telemetry.exposition.encoding import Style
from telemetry.exposition.families import Families, NamingConfig
from telemetry.exposition.negotiation import Escaping, choose
from telemetry.exposition.render import render
from telemetry.metricdata.stream import Snapshot, Stream, StreamKind
from tests.helpers.providers import OPENMETRICS, Resource, provider, text

BOUNDS = View(instrument_type=Histogram, aggregation=ExplicitBucketHistogramAggregation([0.01, 1, 100, 1_000_000]))


def test_counter_in_text() -> None:
    """A counter's HELP, TYPE and samples have ``_total`` in text 0.0.4."""
    meters, reader = provider()
    counter = meters.get_meter("m").create_counter("a.requests", "{request}", "Requests")
    counter.add(2, {"agent": "navi"})
    counter.add(0.5, {"agent": "herald"})
    assert text(reader) == (
        "# HELP a_requests_total Requests\n"
        "# TYPE a_requests_total counter\n"
        'a_requests_total{agent="navi"} 2\n'
        'a_requests_total{agent="herald"} 0.5\n'
    )


def test_counter_in_openmetrics() -> None:
    """In OpenMetrics the samples have ``_total``, the family does not, and the body ends with EOF."""
    meters, reader = provider()
    meters.get_meter("m").create_counter("a.time", "s", "Time").add(3)
    assert text(reader, OPENMETRICS) == (
        "# HELP a_time_seconds Time\n# TYPE a_time_seconds counter\n# UNIT a_time_seconds seconds\n"
        "a_time_seconds_total 3\n# EOF\n"
    )


def test_histogram_in_both_formats() -> None:
    """Buckets are cumulative with ``le`` as Prometheus writes floats, followed by +Inf, count and sum."""
    meters, reader = provider(views=[BOUNDS])
    histogram = meters.get_meter("m").create_histogram("d", "s", "Duration")
    for value in (0.01, 0.5, 1, 99.5, 1e7):
        histogram.record(value, {"a": "x"})
    lines = (
        'd_seconds_bucket{a="x",le="0.01"} 1\n'
        'd_seconds_bucket{a="x",le="1.0"} 3\n'
        'd_seconds_bucket{a="x",le="100.0"} 4\n'
        'd_seconds_bucket{a="x",le="1e+06"} 4\n'
        'd_seconds_bucket{a="x",le="+Inf"} 5\n'
        'd_seconds_count{a="x"} 5\n'
        'd_seconds_sum{a="x"} 10000101.01\n'
    )
    assert text(reader) == f"# HELP d_seconds Duration\n# TYPE d_seconds histogram\n{lines}"
    assert text(reader, OPENMETRICS) == (
        f"# HELP d_seconds Duration\n# TYPE d_seconds histogram\n# UNIT d_seconds seconds\n{lines}# EOF\n"
    )


def test_series_without_labels() -> None:
    """Without labels there are no empty braces."""
    meters, reader = provider(views=[View(instrument_name="d", aggregation=ExplicitBucketHistogramAggregation([1]))])
    meters.get_meter("m").create_histogram("d").record(1)
    meters.get_meter("m").create_up_down_counter("u").add(-1)
    assert text(reader) == (
        '# TYPE d histogram\nd_bucket{le="1.0"} 1\nd_bucket{le="+Inf"} 1\nd_count 1\nd_sum 1\n# TYPE u gauge\nu -1\n'
    )


def test_info() -> None:
    """An instrument named in ``info`` is an OpenMetrics info, and a gauge in text 0.0.4."""
    meters, reader = provider(info=["agentos.info"])
    meters.get_meter("m").create_observable_gauge(
        "agentos.info", [lambda _: [Observation(7, {"version": "1"})]], description="About"
    )
    assert text(reader) == '# HELP agentos_info About\n# TYPE agentos_info gauge\nagentos_info{version="1"} 1\n'
    assert text(reader, OPENMETRICS) == ('# HELP agentos About\n# TYPE agentos info\nagentos_info{version="1"} 1\n# EOF\n')


def test_target_info() -> None:
    """The resource is target_info, first in the body."""
    _, reader = provider(resource=Resource({"service.name": "x", "a.b": 1, "a/b": ["x", 'q"']}), disable_target_info=False)
    assert text(reader, OPENMETRICS) == (
        "# HELP target Target metadata\n# TYPE target info\n"
        'target_info{a_b="1;[\\"x\\", \\"q\\\\\\"\\"]",service_name="x"} 1\n# EOF\n'
    )


def test_escaping() -> None:
    """Each format escapes quotes, backslashes and newlines by its own rules; other characters stay."""
    meters, reader = provider()
    meters.get_meter("m").create_gauge("g", description='say "hi"\\\nü').set(1, {"k": 'a"b\\c\nd é 😀'})
    sample = 'g{k="a\\"b\\\\c\\nd é 😀"} 1\n'
    assert text(reader) == '# HELP g say "hi"\\\\\\nü\n# TYPE g gauge\n' + sample
    assert text(reader, OPENMETRICS) == '# HELP g say \\"hi\\"\\\\\\nü\n# TYPE g gauge\n' + sample + "# EOF\n"


def test_what_utf8_cannot_carry() -> None:
    """Half a surrogate pair or a null byte becomes a question mark, so that the scrape can be parsed."""
    meters, reader = provider()
    meters.get_meter("m").create_gauge("g").set(1, {"k": "a\ud800b\0c"})
    assert text(reader) == '# TYPE g gauge\ng{k="a?b?c"} 1\n'


def test_infinite_sums() -> None:
    """Infinities and NaN, to which sums may overflow, are written as Prometheus parses them."""
    meters, reader = provider()
    meter = meters.get_meter("m")
    meter.create_counter("c").add(1e308)
    meter.create_counter("c").add(1e308)
    change = meter.create_up_down_counter("u")
    for value in (-1e308, -1e308):
        change.add(value, {"a": "b"})
    for value in (1e308, 1e308):
        change.add(value, {"a": "c"})
    assert text(reader) == ('# TYPE c_total counter\nc_total +Inf\n# TYPE u gauge\nu{a="b"} -Inf\nu{a="c"} +Inf\n')


def test_gauges_that_are_not_finite() -> None:
    """Infinities and NaN of a snapshot that is not the SDK's are written as Prometheus parses them."""
    values = [math.nan, math.inf, -math.inf]
    stream = Stream(
        InstrumentationScope("m"), "g", "", "", StreamKind.GAUGE, (), [{"n": str(n)} for n in range(3)], [None] * 3, values
    )
    families = Families(NamingConfig(scope_labels=False, target_info=False), Diagnostics(None))
    body = b"".join(render(families, Snapshot(None, [stream]), Style()))
    assert body == b'# TYPE g gauge\ng{n="0"} NaN\ng{n="1"} +Inf\ng{n="2"} -Inf\n'


def test_numbers_of_other_types() -> None:
    """Booleans and number types of other libraries are written as numbers."""

    class Odd(float):
        def __repr__(self) -> str:
            return "Odd(1.5)"

    meters, reader = provider()
    gauge = meters.get_meter("m").create_gauge("g")
    gauge.set(True, {"a": "1"})
    gauge.set(Odd(1.5), {"a": "2"})
    gauge.set(2**70, {"a": "3"})
    assert text(reader) == '# TYPE g gauge\ng{a="1"} 1\ng{a="2"} 1.5\ng{a="3"} 1180591620717411303424\n'


def test_integers_beyond_every_float() -> None:
    """A sum of another library's integers that no float holds is infinite: Prometheus refuses a scrape with such a number."""
    meters, reader = provider()
    counter = meters.get_meter("m").create_up_down_counter("many")
    for sign, kind in ((1, "a"), (-1, "b")):
        for _ in range(2):
            counter.add(sign * 10**308, {"kind": kind})
    assert text(reader).splitlines()[-2:] == ['many{kind="a"} +Inf', 'many{kind="b"} -Inf']


def test_negative_bounds_have_no_sum() -> None:
    """A histogram that can have negative values has no ``_sum`` and ``_count``, because they could fall."""
    view = View(instrument_name="u", aggregation=ExplicitBucketHistogramAggregation([-1, 1]))
    meters, reader = provider(views=[view])
    meters.get_meter("m").create_up_down_counter("u").add(-5)
    assert text(reader) == ('# TYPE u histogram\nu_bucket{le="-1.0"} 1\nu_bucket{le="1.0"} 1\nu_bucket{le="+Inf"} 1\n')


def test_exponential_histogram() -> None:
    """Exponential buckets become explicit ones with exact bounds; zero has its own bucket."""
    view = View(instrument_name="e", aggregation=ExponentialBucketHistogramAggregation(max_size=4, max_scale=0))
    meters, reader = provider(views=[view])
    histogram = meters.get_meter("m").create_histogram("e")
    for value in (0, 1.5, 3, 4):
        histogram.record(value)
    assert text(reader) == (
        '# TYPE e histogram\ne_bucket{le="0.0"} 1\ne_bucket{le="1.0"} 1\ne_bucket{le="2.0"} 2\n'
        'e_bucket{le="4.0"} 4\ne_bucket{le="+Inf"} 4\ne_count 4\ne_sum 8.5\n'
    )


def test_created_times_are_in_openmetrics_only() -> None:
    """With ``created`` each counter and histogram series has its start as ``_created``, in OpenMetrics."""
    meters, reader = provider(
        created=True, views=[View(instrument_name="h", aggregation=ExplicitBucketHistogramAggregation([]))]
    )
    meter = meters.get_meter("m")
    meter.create_counter("c").add(1, {"a": "x"})
    meter.create_histogram("h").record(1)
    meter.create_up_down_counter("u").add(1)
    reader.collect()
    data = reader.state()
    assert data is not None
    starts = [m.data.data_points[0].start_time_unix_nano for m in data.resource_metrics[0].scope_metrics[0].metrics]
    written = [f"{start // 10**9}.{start % 10**9:09d}" for start in starts]
    assert text(reader, OPENMETRICS) == (
        f'# TYPE c counter\nc_total{{a="x"}} 1\nc_created{{a="x"}} {written[0]}\n'
        f'# TYPE h histogram\nh_bucket{{le="+Inf"}} 1\nh_count 1\nh_sum 1\nh_created {written[1]}\n'
        "# TYPE u gauge\nu 1\n# EOF\n"
    )
    assert "_created" not in text(reader)


@pytest.mark.parametrize(
    ("translation", "accept", "expected"),
    [
        (
            Translation.UNDERSCORES,
            f"{OPENMETRICS};escaping=allow-utf-8",
            '# TYPE a_b_seconds counter\n# UNIT a_b_seconds seconds\na_b_seconds_total{k_x="v"} 1\n# EOF\n',
        ),
        (Translation.UNDERSCORES_WITHOUT_SUFFIXES, None, '# TYPE a_b counter\na_b{k_x="v"} 1\n'),
        (Translation.UNDERSCORES_WITHOUT_SUFFIXES, OPENMETRICS, '# TYPE a_b counter\na_b_total{k_x="v"} 1\n# EOF\n'),
        (
            Translation.UTF8,
            OPENMETRICS,
            '# TYPE a_b_seconds counter\n# UNIT a_b_seconds seconds\na_b_seconds_total{k_x="v"} 1\n# EOF\n',
        ),
        (
            Translation.UTF8,
            f"{OPENMETRICS};escaping=allow-utf-8",
            '# TYPE "a.b_seconds" counter\n# UNIT "a.b_seconds" seconds\n{"a.b_seconds_total","k.x"="v"} 1\n# EOF\n',
        ),
        (Translation.NONE, "text/plain;escaping=allow-utf-8", '# TYPE "a.b" counter\n{"a.b","k.x"="v"} 1\n'),
        (Translation.NONE, None, '# TYPE a_b counter\na_b{k_x="v"} 1\n'),
    ],
)
def test_translation(translation: Translation, accept: str | None, expected: str) -> None:
    """UTF-8 names are written only where ``translation`` allows them and the scraper accepts them."""
    meters, reader = provider(translation=translation)
    meters.get_meter("m").create_counter("a.b", "s").add(1, {"k.x": "v"})
    assert text(reader, accept) == expected


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (
            "text/plain;version=1.0.0;escaping=allow-utf-8",
            '# HELP "a.b_seconds_total" A "b"\n# TYPE "a.b_seconds_total" counter\n{"a.b_seconds_total","k.x"="v"} 1\n'
            '# TYPE "h.i" histogram\n{"h.i_bucket","l:m"="\\"",le="5.0"} 1\n{"h.i_bucket","l:m"="\\"",le="+Inf"} 1\n'
            '{"h.i_count","l:m"="\\""} 1\n{"h.i_sum","l:m"="\\""} 1\n'
            "# TYPE plain_total counter\nplain_total 1\n",
        ),
        (
            "text/plain;version=1.0.0",
            '# HELP a_b_seconds_total A "b"\n# TYPE a_b_seconds_total counter\na_b_seconds_total{k_x="v"} 1\n'
            '# TYPE h_i histogram\nh_i_bucket{l_m="\\"",le="5.0"} 1\nh_i_bucket{l_m="\\"",le="+Inf"} 1\n'
            'h_i_count{l_m="\\""} 1\nh_i_sum{l_m="\\""} 1\n'
            "# TYPE plain_total counter\nplain_total 1\n",
        ),
        (
            "text/plain;version=1.0.0;escaping=dots",
            '# HELP a_dot_b__seconds__total A "b"\n# TYPE a_dot_b__seconds__total counter\n'
            'a_dot_b__seconds__total{k_dot_x="v"} 1\n'
            '# TYPE h_dot_i histogram\nh_dot_i_bucket{l__m="\\"",le="5.0"} 1\nh_dot_i_bucket{l__m="\\"",le="+Inf"} 1\n'
            'h_dot_i_count{l__m="\\""} 1\nh_dot_i_sum{l__m="\\""} 1\n'
            "# TYPE plain_total counter\nplain_total 1\n",
        ),
        (
            "text/plain;version=1.0.0;escaping=values",
            '# HELP U__a_2e_b__seconds__total A "b"\n# TYPE U__a_2e_b__seconds__total counter\n'
            'U__a_2e_b__seconds__total{U__k_2e_x="v"} 1\n'
            '# TYPE U__h_2e_i histogram\nU__h_2e_i_bucket{U__l_3a_m="\\"",le="5.0"} 1\n'
            'U__h_2e_i_bucket{U__l_3a_m="\\"",le="+Inf"} 1\nU__h_2e_i_count{U__l_3a_m="\\""} 1\n'
            'U__h_2e_i_sum{U__l_3a_m="\\""} 1\n# TYPE plain_total counter\nplain_total 1\n',
        ),
        (
            f"{OPENMETRICS};escaping=dots",
            '# HELP a_dot_b__seconds_ A \\"b\\"\n# TYPE a_dot_b__seconds_ counter\na_dot_b__seconds__total{k_dot_x="v"} 1\n'
            '# TYPE h_dot_i histogram\nh_dot_i_bucket{l__m="\\"",le="5.0"} 1\nh_dot_i_bucket{l__m="\\"",le="+Inf"} 1\n'
            'h_dot_i_count{l__m="\\""} 1\nh_dot_i_sum{l__m="\\""} 1\n'
            "# TYPE plain counter\nplain_total 1\n# EOF\n",
        ),
    ],
)
def test_escaping_of_names(accept: str, expected: str) -> None:
    """Text 1.0.0 and OpenMetrics write UTF-8 names in the escaping asked for, in quotes where they are unchanged."""
    bounds = View(instrument_name="h.i", aggregation=ExplicitBucketHistogramAggregation([5]))
    meters, reader = provider(translation=Translation.UTF8, views=[bounds])
    meter = meters.get_meter("m")
    meter.create_counter("a.b", "s", 'A "b"').add(1, {"k.x": "v"})
    meter.create_histogram("h.i").record(1, {"l:m": '"'})
    meter.create_counter("plain").add(1)
    exposition = reader.expose(accept)
    assert exposition.body.decode() == expected
    assert exposition.content_type == choose(accept).content_type


@pytest.mark.parametrize("escaping", ["allow-utf-8", "underscores", "dots", "values"])
@pytest.mark.parametrize("translation", [each for each in Translation if not each.utf8])
def test_names_with_underscores_need_no_escaping(translation: Translation, escaping: str) -> None:
    """Where all names have underscores, the body is the same in each escaping, and the answer names the one asked for."""
    meters, reader = provider(translation=translation)
    meters.get_meter("m").create_counter("a.b", "s").add(1, {"k.x": "v"})
    exposition = reader.expose(f"text/plain;version=1.0.0;escaping={escaping}")
    assert exposition.body == reader.expose().body
    assert exposition.content_type == f"text/plain; version=1.0.0; charset=utf-8; escaping={escaping}"
    assert len(reader._families) == 1


def test_one_set_of_families_an_escaping() -> None:
    """However often and in which format an escaping is asked for, the reader keeps one set of names for it."""
    meters, reader = provider(translation=Translation.UTF8)
    meters.get_meter("m").create_counter("a.b").add(1)
    for _ in range(2):
        for escaping in ("allow-utf-8", "underscores", "dots", "values", "other"):
            for type_ in ("text/plain;version=1.0.0", OPENMETRICS):
                reader.expose(f"{type_};escaping={escaping}")
    assert set(reader._families) == set(Escaping)


def test_keys_that_utf8_cannot_encode() -> None:
    """A lone surrogate and a null byte in a label key become question marks, as in values; other series stay."""
    meters, reader = provider(translation=Translation.UTF8)
    meters.get_meter("m").create_gauge("g").set(1, {"a\ud800\0": "v"})
    assert text(reader, f"{OPENMETRICS};escaping=allow-utf-8") == '# TYPE g gauge\ng{"a??"="v"} 1\n# EOF\n'


def test_names_restrict_the_body() -> None:
    """``names`` restricts the body to these samples and the comments of their families."""
    meters, reader = provider(views=[BOUNDS])
    meter = meters.get_meter("m")
    meter.create_counter("c").add(1, {"a": "x"})
    meter.create_histogram("h").record(1, {"a": "x"})
    assert text(reader, names=["h_sum", "c"]) == '# TYPE h histogram\nh_sum{a="x"} 1\n'
    assert text(reader, OPENMETRICS, names=["c_total"]) == '# TYPE c counter\nc_total{a="x"} 1\n# EOF\n'
    assert text(reader, names=["nothing"]) == ""


def test_nothing_recorded() -> None:
    """A reader without metrics has an empty body, which ends with EOF in OpenMetrics."""
    _, reader = provider()
    assert (text(reader), text(reader, OPENMETRICS)) == ("", "# EOF\n")
