"""Content negotiation: a table of headers and the expected formats."""

from __future__ import annotations

import pytest

from telemetry.exposition import negotiation
from telemetry.exposition.negotiation import Choice, Format, accepts_gzip, choose, prefers

TEXT, OM = Format.TEXT, Format.OPENMETRICS
OMT = "application/openmetrics-text"
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROTOBUF = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"

ACCEPT = [
    (None, TEXT),
    ("", TEXT),
    ("*/*", TEXT),
    ("text/*", TEXT),
    ("text/plain", TEXT),
    ("text/plain;version=0.0.4", TEXT),
    ("text/plain; version=0.0.4; charset=utf-8", TEXT),
    ("TEXT/PLAIN", TEXT),
    ("application/*", OM),
    (OMT, OM),
    (f"{OMT};version=1.0.0", OM),
    (f"{OMT}; version=1.0.0; charset=utf-8", OM),
    (f'{OMT};version="1.0.0"', OM),
    (OMT.upper(), OM),
    (f"{OMT};VERSION=1.0.0;Q=0.5", OM),
    (PROMETHEUS_3, OM),
    (PROMETHEUS_2, OM),
    (f"{PROTOBUF},{PROMETHEUS_3}", OM),
    (BROWSER, TEXT),
    (f"{OMT};version=0.0.1", TEXT),
    (f"{OMT};version=2.0.0", TEXT),
    (f"{OMT};version=2.0.0,{OMT};version=1.0.0;q=0.1", OM),
    (f"{OMT};version=", TEXT),
    ("text/plain;version=1.0.0", TEXT),
    (f"{OMT},text/plain", OM),
    (f"text/plain,{OMT}", OM),
    (f"{OMT};q=0.5,text/plain;q=0.6", TEXT),
    (f"{OMT};q=0.6,text/plain;q=0.5", OM),
    (f"{OMT};q=0.001,text/plain;q=0", OM),
    (f"{OMT};q=0", TEXT),
    (f"{OMT};q=0,*/*", TEXT),
    ("text/plain;q=0", TEXT),
    ("text/plain;q=0,*/*;q=0.5", OM),
    ("*/*;q=0", TEXT),
    (f"*/*,{OMT};q=0.5", TEXT),
    (f"*/*;q=0.5,{OMT}", OM),
    (f"{OMT},*/*", OM),
    (f"{OMT};q=1.5", TEXT),
    (f"{OMT};q=-1", TEXT),
    (f"{OMT};q=nan", TEXT),
    (f"{OMT};q=0.1234", TEXT),
    (f"{OMT};q=", TEXT),
    (f"{OMT};q=0.9;ext=1", OM),
    (f"{OMT};unknown=1", OM),
    (f'{OMT};unknown="a,b;q=0"', OM),
    (f'{OMT};unknown="open', TEXT),
    (f"{OMT};;", OM),
    (f"{OMT} ; version = 1.0.0", OM),
    (f",,{OMT},,", OM),
    ("application", TEXT),
    ("/", TEXT),
    (";;;===,,,", TEXT),
    ("\x00\x01\xff", TEXT),
    ("a/b" * 5000, TEXT),
    (f"application/json,{OMT};q=0.1", OM),
    ("application/json", TEXT),
]


def test_the_table_is_long_enough() -> None:
    """The table holds at least forty headers, no two alike."""
    headers = [header for header, _ in ACCEPT]
    assert len(headers) == len(set(headers)) == 56


@pytest.mark.parametrize(("header", "expected"), ACCEPT, ids=[repr(header)[:60] for header, _ in ACCEPT])
def test_format(header: str | None, expected: Format) -> None:
    """An Accept header gets the format by RFC 9110, an invalid one the default."""
    assert choose(header).format is expected


@pytest.mark.parametrize(
    ("header", "separators"),
    [
        ('"' + '\\"' * 4000, 0),
        ('"\\' * 2700, 0),
        ("\\" * 8000, 0),
        ('"' * 8001, 0),
        (f'{OMT};x="' + "\\a" * 4000, 0),
        (";" * 8000, 0),
        ("a/b" + " ;" * 4000, 0),
        ('",' * 4000, 2000),
    ],
)
def test_no_header_is_read_again_and_again(header: str, separators: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A header made to be slow is split once, every character into one element, and means the default."""
    read: list[str] = []
    parse = negotiation._range

    def counting(element: str) -> object:
        read.append(element)
        return parse(element)

    monkeypatch.setattr(negotiation, "_range", counting)
    assert choose(header).format is TEXT
    assert not accepts_gzip(header)
    assert len(read) == max(1, separators)
    assert sum(map(len, read)) == len(header) - separators


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (PROMETHEUS_3, True),
        (PROMETHEUS_2, False),
        (f"{OMT};escaping=allow-utf-8", True),
        (f"{OMT};escaping=underscores", False),
        (f"{OMT},text/plain;escaping=allow-utf-8", False),
        (f"{OMT};escaping=allow-utf-8;q=0,text/plain", False),
    ],
)
def test_utf8(header: str, expected: bool) -> None:
    """UTF-8 names are accepted where the range of the chosen format says so."""
    assert choose(header).utf8 is expected


def test_content_types_are_fixed() -> None:
    """There are four content types."""
    assert [Choice(format_, utf8).content_type for format_ in (TEXT, OM) for utf8 in (False, True)] == [
        "text/plain; version=0.0.4; charset=utf-8",
        "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8",
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8",
    ]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, False),
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("gzip;q=1.0", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("gzip;q=0.001", True),
        ("gzip;q=2", False),
        ("gzip;q=", False),
        ("*", True),
        ("*;q=0", False),
        ("*,gzip;q=0", False),
        ("gzip;q=0.5,identity;q=0.6", False),
        ("gzip;q=0.5,identity;q=0.5", True),
        ("identity", False),
        ("identity;q=0,gzip", True),
        ("identity;q=0", False),
        ("br, deflate", False),
        ("br, gzip;q=0.8", True),
        ("gzipped", False),
        ("notgzip;q=1, gzip;q=0", False),
        ("gzip" * 3000, False),
    ],
)
def test_gzip(header: str | None, expected: bool) -> None:
    """gzip is used where the client accepts it and does not prefer identity."""
    assert accepts_gzip(header) is expected


EVENTS, JSON = "text/event-stream", "application/json"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, False),
        ("", False),
        (EVENTS, True),
        ("TEXT/Event-Stream", True),
        (f"{EVENTS};q=0", False),
        (f"{EVENTS}; q=0.000", False),
        (f"{EVENTS};q=0.001", True),
        (f"{EVENTS};q=0, {EVENTS}", True),
        (f"{EVENTS};q=0, text/*", False),
        (f"{EVENTS};q=0, */*", False),
        (f"{EVENTS};q=0.5", True),
        (f"{EVENTS};q=2", False),
        (f"{EVENTS};q=-1", False),
        (f"{EVENTS};q=", False),
        (f"{EVENTS};q=nan", False),
        (f"{EVENTS}; charset=utf-8", True),
        (f'{EVENTS}; note="a, b;q=0"', True),
        (f'{EVENTS}; note="a', False),
        (f"{JSON}, {EVENTS}", True),
        (f"{EVENTS}, {JSON}", True),
        (f"{EVENTS};q=0.5, {JSON};q=0.9", False),
        (f"{EVENTS};q=0.9, {JSON};q=0.5", True),
        (f"{EVENTS}, */*;q=0.1", True),
        (f"{EVENTS};q=0.1, */*", False),
        (f"{EVENTS};q=0.1, {JSON};q=0, */*", True),
        (f"{EVENTS}, */*", True),
        (f"{JSON};q=0, {EVENTS};q=0", False),
        ("text/*", True),
        ("text/*, */*", False),
        ("text/*;q=0.5, application/*;q=0.4", True),
        ("*/*", False),
        ("*", False),
        ("text", False),
        ("text/event-stream2", False),
        ("x-text/event-stream", False),
        ("text/ event-stream", False),
        (f'x/y; z="{EVENTS}"', False),
        (f"x/y;z={EVENTS}", False),
        (EVENTS + " " * 9000, False),
    ],
)
def test_a_type_is_preferred(header: str | None, expected: bool) -> None:
    """A type is preferred by its weight; of equal weights, where it is named exactly."""
    assert prefers(header, EVENTS, JSON) is expected
