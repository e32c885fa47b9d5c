"""Names in each escaping and format, as Prometheus' own parsers read them."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Counter

from telemetry.exposition import Translation
from tests.helpers.prometheus_parser import PrometheusParser
from tests.helpers.providers import provider

FORMATS = [
    "text/plain;version=0.0.4",
    "text/plain;version=1.0.0",
    "application/openmetrics-text;version=1.0.0",
    "application/openmetrics-text;version=2.0.0",
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited",
]
ESCAPED = {
    "allow-utf-8": ({"a.b_seconds_total", "c-d", "e_total", "x.y_total"}, {"k.x", "l:m", "ö", "n"}),
    "underscores": ({"a_b_seconds_total", "c_d", "e_total", "x_y_total"}, {"k_x", "l_m", "_", "n"}),
    "dots": ({"a_dot_b__seconds__total", "c__d", "e_total", "x_dot_y__total"}, {"k_dot_x", "l__m", "__", "n"}),
    "values": (
        {"U__a_2e_b__seconds__total", "U__c_2d_d", "e_total", "U__x_2e_y__total"},
        {"U__k_2e_x", "U__l_3a_m", "U___f6_", "n"},
    ),
}
"""Names of metrics and of labels by escaping."""


@pytest.mark.parametrize("escaping", ESCAPED)
@pytest.mark.parametrize("format_", FORMATS)
def test_names(format_: str, escaping: str, prometheus_parser: PrometheusParser) -> None:
    """A Prometheus that asks for an escaping reads its names; one without UTF-8 names reads all escapings but that of UTF-8."""
    registry = CollectorRegistry()
    Counter("x.y", "", ["k.x"], registry=registry).labels("v").inc()
    meters, reader = provider(translation=Translation.UTF8, beside=registry)
    meter = meters.get_meter("m")
    meter.create_counter("a.b", "s").add(1, {"k.x": "v", "l:m": "w", "ö": "u"})
    meter.create_gauge("c-d").set(1, {"n": "v"})
    meter.create_counter("e").add(1)
    exposition = reader.expose(f"{format_};escaping={escaping}")
    body = prometheus_parser.parse(exposition.body, exposition.content_type, legacy=escaping != "allow-utf-8")
    names, labels = ESCAPED[escaping]
    assert {sample.name for sample in body.samples if not sample.name.endswith("_created")} == names
    assert {key for sample in body.samples for key in sample.labels} == labels
