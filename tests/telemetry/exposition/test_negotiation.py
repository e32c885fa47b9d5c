"""Content negotiation: what real scrapers and made-up headers ask for, and what they get."""

from __future__ import annotations

from itertools import permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.exposition import negotiation
from telemetry.exposition.negotiation import Choice, Escaping, Format, choose, choose_encoding, has_prometheus_parser, prefers

TEXT, TEXT_1, OM, OM_2, PROTOBUF = Format.TEXT, Format.TEXT_1, Format.OPENMETRICS, Format.OPENMETRICS_2, Format.PROTOBUF
UNDERSCORES, UTF8, DOTS, VALUES = Escaping.UNDERSCORES, Escaping.ALLOW_UTF8, Escaping.DOTS, Escaping.VALUES
OMT = "application/openmetrics-text"
PROTO = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
PROTOCOLS = {
    "PrometheusProto": PROTO,
    "OpenMetricsText2.0.0": f"{OMT};version=2.0.0",
    "OpenMetricsText1.0.0": f"{OMT};version=1.0.0",
    "OpenMetricsText0.0.1": f"{OMT};version=0.0.1",
    "PrometheusText1.0.0": "text/plain;version=1.0.0",
    "PrometheusText0.0.4": "text/plain;version=0.0.4",
}
P, O2, O1, O0, T1, T0 = PROTOCOLS
BY_DEFAULT = (O1, O0, T1, T0)


def prometheus(highest: int, *protocols: str, escaping: str = "") -> str:
    """The header of Prometheus for these ``scrape_protocols``: ``acceptHeader`` in its scrape/scrape.go.

    The highest weight is one more than the number of protocols that this version knows. Since 3.4 the escaping is a parameter
    of the versions from 1.0.0 on.
    """
    ranges = []
    for weight, protocol in zip(range(highest, 0, -1), protocols, strict=False):
        asks = escaping and protocol in (O2, O1, T1)
        ranges.append(f"{PROTOCOLS[protocol]}{f';escaping={escaping}' if asks else ''};q=0.{weight}")
    return ",".join([*ranges, f"*/*;q=0.{highest - len(protocols)}"])


def utf8_everywhere(header: str) -> str:
    """Prometheus 2.55 with UTF-8 names, and 3.0 to 3.3: every range but ``*/*`` has the escaping."""
    return header.replace(";q=", ";escaping=allow-utf-8;q=").replace("*/*;escaping=allow-utf-8", "*/*")


def twice(header: str) -> str:
    """Prometheus 3.0 to 3.2: text 1.0.0 has the escaping twice."""
    once = "text/plain;version=1.0.0;escaping=allow-utf-8"
    return header.replace(once, f"{once};escaping=allow-utf-8")


PROMETHEUS_2 = f"{OMT};version=1.0.0,{OMT};version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
PROMETHEUS_3 = prometheus(6, *BY_DEFAULT, escaping="allow-utf-8")
PROMETHEUS_3_16 = prometheus(7, *BY_DEFAULT, escaping="allow-utf-8")

# Client, header, format, escaping. The headers are those of the clients' sources; Prometheus' are of the tags of its repository
# up to 3.14, and of 3.16. prometheus/common 0.70.1 answers 73 of them with the same format and escaping. The others ask for
# text 1.0.0, OpenMetrics 2.0.0 or protobuf as text, of which it or we serve none, for OpenMetrics 0.0.1 (see ``choose``) or
# without a version, or for text 0.0.4 with an escaping, which it names in its answer.
SCRAPERS: list[tuple[str, str | None, Format, Escaping]] = [
    (
        "Prometheus 0.15",
        f'{PROTO};q=0.7,text/plain;version=0.0.4;q=0.3,application/json;schema="prometheus/telemetry";version=0.0.2;q=0.2,*/*;q=0.1',
        *(PROTOBUF, UNDERSCORES),
    ),
    ("Prometheus 1.8, Telegraf, categraf", f"{PROTO};q=0.7,text/plain;version=0.0.4;q=0.3,*/*;q=0.1", PROTOBUF, UNDERSCORES),
    ("Prometheus 2.0 to 2.4, VictoriaMetrics, vmagent, netdata", "text/plain;version=0.0.4;q=1,*/*;q=0.1", TEXT, UNDERSCORES),
    ("Prometheus 2.5 to 2.38", f"{OMT}; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", TEXT, UNDERSCORES),
    ("Prometheus 2.39, 2.43 to 2.48, Datadog Agent 7.46, StatsHouse", PROMETHEUS_2, OM, UNDERSCORES),
    (
        "Prometheus 2.43 to 2.48, native-histograms",
        f"{PROTO},{OMT};version=1.0.0;q=0.8,{OMT};version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        *(PROTOBUF, UNDERSCORES),
    ),
    ("Prometheus 2.40", f"{OMT};version=1.0.0;q=0.75,{OMT};q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", OM, UNDERSCORES),
    (
        "Prometheus 2.40, native-histograms",
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited,"
        f"{OMT};version=1.0.0;q=0.75,{OMT};q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        *(PROTOBUF, UNDERSCORES),
    ),
    # 2.49 writes the weight of */* without "0.": 2 is none, and 1 is the highest.
    ("Prometheus 2.49", prometheus(5, O1, O0, T0).replace("*/*;q=0.2", "*/*;q=2"), OM, UNDERSCORES),
    ("Prometheus 2.49, native", prometheus(5, P, O1, O0, T0).replace("*/*;q=0.1", "*/*;q=1"), PROTOBUF, UNDERSCORES),
    ("Prometheus 2.49, one protocol", prometheus(5, T0).replace("*/*;q=0.4", "*/*;q=4"), TEXT, UNDERSCORES),
    ("Prometheus 2.50 to 2.55", prometheus(5, O1, O0, T0), OM, UNDERSCORES),
    ("Prometheus 2.50 to 2.55, native", prometheus(5, P, O1, O0, T0), PROTOBUF, UNDERSCORES),
    ("Prometheus 2.50 to 2.55, text", prometheus(5, T0), TEXT, UNDERSCORES),
    ("Prometheus 2.50 to 2.55, text first", prometheus(5, T0, O1), TEXT, UNDERSCORES),
    ("Prometheus 2.50 to 2.55, OpenMetrics 0.0.1", prometheus(5, O0), TEXT, UNDERSCORES),
    ("Prometheus 2.50 to 2.55, OpenMetrics", prometheus(5, O1), OM, UNDERSCORES),
    ("Prometheus 2.50 to 2.55, protobuf", prometheus(5, P), PROTOBUF, UNDERSCORES),
    ("Prometheus 2.55, utf8-names", utf8_everywhere(prometheus(5, O1, O0, T0)), OM, UTF8),
    ("Prometheus 2.55, utf8-names, native", utf8_everywhere(prometheus(5, P, O1, O0, T0)), PROTOBUF, UTF8),
    ("Prometheus 2.55, utf8-names, text", utf8_everywhere(prometheus(5, T0)), TEXT, UTF8),
    ("Prometheus 3.0 to 3.2", twice(utf8_everywhere(prometheus(6, *BY_DEFAULT))), OM, UTF8),
    (
        "Prometheus 3.0 to 3.2, legacy names",
        prometheus(6, *BY_DEFAULT).replace("1.0.0;q=0.4", "1.0.0;escaping=allow-utf-8;q=0.4"),
        OM,
        UNDERSCORES,
    ),
    ("Prometheus 3.3", utf8_everywhere(prometheus(6, *BY_DEFAULT)), OM, UTF8),
    ("Prometheus 3.3, legacy names", prometheus(6, *BY_DEFAULT), OM, UNDERSCORES),
    ("Prometheus 3.0 to 3.3, text", utf8_everywhere(prometheus(6, T0)), TEXT, UTF8),
    ("Prometheus 3.3, native", utf8_everywhere(prometheus(6, P, *BY_DEFAULT)), PROTOBUF, UTF8),
    ("Prometheus 3.4 to 3.14, their agent, the Collector's receiver", PROMETHEUS_3, OM, UTF8),
    ("the same, underscores; Alloy", prometheus(6, *BY_DEFAULT, escaping="underscores"), OM, UNDERSCORES),
    ("the same, dots", prometheus(6, *BY_DEFAULT, escaping="dots"), OM, DOTS),
    ("the same, values", prometheus(6, *BY_DEFAULT, escaping="values"), OM, VALUES),
    # Protobuf has no parameter in these versions: its names have underscores.
    ("the same, native or created timestamps", prometheus(6, P, *BY_DEFAULT, escaping="allow-utf-8"), PROTOBUF, UNDERSCORES),
    ("the same, native, underscores; Alloy", prometheus(6, P, *BY_DEFAULT, escaping="underscores"), PROTOBUF, UNDERSCORES),
    ("the same, native, dots", prometheus(6, P, *BY_DEFAULT, escaping="dots"), PROTOBUF, UNDERSCORES),
    ("the same, native, values", prometheus(6, P, *BY_DEFAULT, escaping="values"), PROTOBUF, UNDERSCORES),
    ("the same, protobuf", prometheus(6, P), PROTOBUF, UNDERSCORES),
    ("the same, protobuf last", prometheus(6, *BY_DEFAULT, P, escaping="allow-utf-8"), OM, UTF8),
    ("the same, OpenMetrics 1.0.0", prometheus(6, O1, escaping="allow-utf-8"), OM, UTF8),
    ("the same, OpenMetrics 0.0.1", prometheus(6, O0), TEXT, UNDERSCORES),
    ("the same, OpenMetrics 0.0.1 and text 1.0.0", prometheus(6, O0, T1, escaping="allow-utf-8"), TEXT_1, UTF8),
    ("the same, text 1.0.0", prometheus(6, T1, escaping="allow-utf-8"), TEXT_1, UTF8),
    ("the same, text 1.0.0, underscores", prometheus(6, T1, escaping="underscores"), TEXT_1, UNDERSCORES),
    ("the same, text 1.0.0, dots", prometheus(6, T1, escaping="dots"), TEXT_1, DOTS),
    ("the same, text 1.0.0, values", prometheus(6, T1, escaping="values"), TEXT_1, VALUES),
    ("the same, text 0.0.4", prometheus(6, T0), TEXT, UNDERSCORES),
    ("the same, text 0.0.4 first", prometheus(6, T0, T1, O0, O1, escaping="allow-utf-8"), TEXT, UNDERSCORES),
    ("the same, text 1.0.0 first", prometheus(6, T1, T0, O1, escaping="dots"), TEXT_1, DOTS),
    ("Prometheus 3.16, its agent", PROMETHEUS_3_16, OM, UTF8),
    ("Prometheus 3.16, underscores", prometheus(7, *BY_DEFAULT, escaping="underscores"), OM, UNDERSCORES),
    ("Prometheus 3.16, dots", prometheus(7, *BY_DEFAULT, escaping="dots"), OM, DOTS),
    ("Prometheus 3.16, values", prometheus(7, *BY_DEFAULT, escaping="values"), OM, VALUES),
    (
        "Prometheus 3.16, native or created timestamps",
        prometheus(7, P, *BY_DEFAULT, escaping="allow-utf-8"),
        PROTOBUF,
        UNDERSCORES,
    ),
    ("Prometheus 3.16, native, underscores", prometheus(7, P, *BY_DEFAULT, escaping="underscores"), PROTOBUF, UNDERSCORES),
    ("Prometheus 3.16, native, dots", prometheus(7, P, *BY_DEFAULT, escaping="dots"), PROTOBUF, UNDERSCORES),
    ("Prometheus 3.16, native, values", prometheus(7, P, *BY_DEFAULT, escaping="values"), PROTOBUF, UNDERSCORES),
    ("Prometheus 3.16, openmetrics2", prometheus(7, O2, *BY_DEFAULT, escaping="allow-utf-8"), OM_2, UTF8),
    ("Prometheus 3.16, openmetrics2, underscores", prometheus(7, O2, *BY_DEFAULT, escaping="underscores"), OM_2, UNDERSCORES),
    ("Prometheus 3.16, openmetrics2, dots", prometheus(7, O2, *BY_DEFAULT, escaping="dots"), OM_2, DOTS),
    ("Prometheus 3.16, openmetrics2, values", prometheus(7, O2, *BY_DEFAULT, escaping="values"), OM_2, VALUES),
    ("Prometheus 3.16, openmetrics2 alone", prometheus(7, O2, escaping="allow-utf-8"), OM_2, UTF8),
    ("Prometheus 3.16, all", prometheus(7, O2, P, *BY_DEFAULT, escaping="allow-utf-8"), OM_2, UTF8),
    ("Prometheus 3.16, all, protobuf first", prometheus(7, P, O2, *BY_DEFAULT, escaping="allow-utf-8"), PROTOBUF, UNDERSCORES),
    ("Prometheus 3.16, openmetrics2 last", prometheus(7, *BY_DEFAULT, O2, escaping="allow-utf-8"), OM, UTF8),
    ("Prometheus 3.16, text 1.0.0", prometheus(7, T1, escaping="allow-utf-8"), TEXT_1, UTF8),
    ("Prometheus 3.16, text 0.0.4", prometheus(7, T0), TEXT, UNDERSCORES),
    ("Metricbeat, Splunk's scraper", "text/plain;version=0.0.4;q=0.5,*/*;q=0.1", TEXT, UNDERSCORES),
    ("prom2json, prometheus-to-cloudwatch", f"{PROTO};q=0.7,text/plain;version=0.0.4;q=0.3", PROTOBUF, UNDERSCORES),
    ("Datadog Agent before 7.46", "text/plain", TEXT, UNDERSCORES),
    ("foundations' tests, protobuf", f"{PROTO};q=0.5,{OMT};version=1.0.0;q=0.4,*/*;q=0.1", *(PROTOBUF, UNDERSCORES)),
    ("foundations' tests, text", f"{OMT};version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1", OM, UNDERSCORES),
    ("tests of a Kotlin server", f"{OMT};version=1.0.0;q=0.9,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", OM, UNDERSCORES),
    ("Consul's tests", f"{OMT}, text/plain;version=0.4.0", OM, UNDERSCORES),
    ("client_python's documentation", f"{OMT}; version=1.0.0", OM, UNDERSCORES),
    ("a scraper on aiohttp", f"{OMT};charset=utf-8", OM, UNDERSCORES),
    ("prometheus/common's tests, protobuf", f"{PROTO}; escaping=allow-utf-8;", PROTOBUF, UTF8),
    ("prometheus/common's tests, protobuf as text", PROTO.replace("delimited", "text"), TEXT, UNDERSCORES),
    ("prometheus/common's tests, compact", PROTO.replace("delimited", "compact-text; escaping=underscores"), TEXT, UNDERSCORES),
    ("prometheus/common's tests, text", "text/plain;version=0.0.4; escaping=values;", TEXT, VALUES),
    ("prometheus/common's tests, OpenMetrics", f"{OMT};version=1.0.0; escaping=values;", OM, VALUES),
    ("prometheus/common's tests, 0.0.1", f"{OMT};version=0.0.1; escaping=underscores", TEXT, UNDERSCORES),
    ("prometheus/common's tests, wrong version", f"{OMT};version=0.0.4", TEXT, UNDERSCORES),
    ("client_golang's tests, other types", "foo/bar;q=0.2, dings/bums;q=0.8", TEXT, UNDERSCORES),
    (
        "client_golang's tests, other encoding",
        f"text/plain;q=0.5, {PROTO.replace('delimited', 'bla')};q=0.8",
        TEXT,
        UNDERSCORES,
    ),
    ("client_golang's tests, protobuf", f"text/plain;q=0.2, {PROTO};q=0.8", PROTOBUF, UNDERSCORES),
    ("client_golang's tests, misspelled", "test/plain", TEXT, UNDERSCORES),
    ("Go's net/http", None, TEXT, UNDERSCORES),
    ("curl, wget, requests, kubelet's probes", "*/*", TEXT, UNDERSCORES),
    ("kubectl get --raw", "application/json, */*", TEXT, UNDERSCORES),
    ("Axios", "application/json, text/plain, */*", TEXT, UNDERSCORES),
    ("jQuery", "application/json, text/javascript, */*; q=0.01", TEXT, UNDERSCORES),
    ("Java's HttpURLConnection", "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", TEXT, UNDERSCORES),
    ("Spring's RestTemplate", "text/plain, application/json, application/*+json, */*", TEXT, UNDERSCORES),
    (
        "Chrome",
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
        "application/signed-exchange;v=b3;q=0.7",
        *(TEXT, UNDERSCORES),
    ),
    ("Firefox 92", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8", TEXT, UNDERSCORES),
    ("Firefox 66, Safari", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", TEXT, UNDERSCORES),
    ("Edge 18", "text/html, application/xhtml+xml, image/jxr, */*", TEXT, UNDERSCORES),
    (
        "Internet Explorer 8",
        "image/jpeg, application/x-ms-application, image/gif, application/xaml+xml, image/pjpeg, application/x-ms-xbap, */*",
        *(TEXT, UNDERSCORES),
    ),
]

MADE_UP: list[tuple[str | None, Format]] = [
    ("", TEXT),
    ("text/*", TEXT),
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
    (f"{OMT};version=0.0.1", TEXT),
    (f"{OMT};version=2.0.0", OM_2),
    (f"{OMT};version=2.0.0,{OMT};version=1.0.0;q=0.1", OM_2),
    (f"{OMT};version=", TEXT),
    ("text/plain;version=1.0.0", TEXT_1),
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
    # OpenMetrics 2.0.0: only where it is named.
    (f"{OMT};version=2.0.0-rc", OM_2),
    (f"{OMT};version=2.0.0-rc0", OM_2),
    (f"{OMT};version=2.0.0-RC.1", OM_2),
    (f'{OMT};version="2.0.0"', OM_2),
    (f"{OMT};version=2.0.0-beta", TEXT),
    (f"{OMT};version=2.0", TEXT),
    (f"{OMT};version=2.0.0.0", TEXT),
    (f"{OMT};version=2.0.0;q=0", TEXT),
    (f"{OMT};version=2.0.0;q=0,*/*", TEXT),
    (f"{OMT};version=2.0.0;q=0,{OMT}", OM),
    (f"{OMT};version=2.0.0,{OMT}", OM_2),
    (f"{OMT};version=2.0.0,{OMT};version=1.0.0", OM_2),
    (f"{OMT};version=2.0.0;q=0.4,{OMT};version=1.0.0;q=0.5", OM),
    (f"{OMT};version=2.0.0;q=0.1,text/plain;q=0.2", TEXT),
    (f"{OMT};version=2.0.0;version=1.0.0", OM_2),
    (f"{OMT};version=1.0.0;version=2.0.0", OM),
    (f"{OMT};q=1;version=2.0.0", OM),
    # Text 1.0.0.
    ("text/plain;version=1.0.0,text/plain;version=0.0.4", TEXT_1),
    ("text/plain;version=0.0.4,text/plain;version=1.0.0", TEXT_1),
    ("text/plain,text/plain;version=1.0.0", TEXT_1),
    ("text/plain;version=1.0.0;q=0.9,text/plain", TEXT),
    ("text/plain;version=1.0.0;q=0,text/plain", TEXT),
    ("text/plain;version=1.0.0;q=0,*/*", TEXT),
    ("text/plain;version=0.0.4;q=0,text/plain;version=1.0.0", TEXT_1),
    ("text/plain;version=0.0.4;q=0,text/*", TEXT),
    ("text/plain;version=1.0.0, */*", TEXT_1),
    ("text/plain;version=1.0.0;q=0.5, */*", TEXT),
    ("text/plain;version=1.0.1", TEXT),
    (f"text/plain;version=1.0.0,{OMT}", OM),
    # Protobuf: only with its message and its encoding.
    (PROTO, PROTOBUF),
    ("application/vnd.google.protobuf", TEXT),
    ("application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily", TEXT),
    ("application/vnd.google.protobuf;encoding=delimited", TEXT),
    ("application/vnd.google.protobuf;encoding=delimited;proto=io.prometheus.client.MetricFamily", PROTOBUF),
    ('application/vnd.google.protobuf; proto="io.prometheus.client.MetricFamily"; encoding="delimited"', PROTOBUF),
    ('application/vnd.google.protobuf;proto="io.prometheus.client.Metric\\Family";encoding=delimited', PROTOBUF),
    (PROTO.upper(), PROTOBUF),
    ("Application/Vnd.Google.Protobuf;Encoding=Delimited;Proto=io.prometheus.client.MetricFamily", PROTOBUF),
    (PROTO.replace("delimited", ""), TEXT),
    (PROTO.replace("delimited", '""'), TEXT),
    (PROTO.replace("delimited", "delimited2"), TEXT),
    (PROTO.replace("MetricFamily", "Metric"), TEXT),
    (f"{PROTO};version=0.0.4", PROTOBUF),
    (f"{PROTO};charset=utf-8", PROTOBUF),
    (f"{PROTO};q=0", TEXT),
    (f"{PROTO};q=0,application/*", OM),
    (f"{PROTO};q=0,*/*", TEXT),
    (f"{PROTO.replace('encoding', 'q=1;encoding')}", TEXT),
    (f"{PROTO.replace('delimited', 'text')},{PROTO}", PROTOBUF),
    (f"{PROTO.replace('delimited', 'text')},{OMT};q=0.1", OM),
    (f"{PROTO};q=0.5,{PROTO};q=0.1,text/plain;q=0.3", PROTOBUF),
    (f"{PROTO},{OMT};version=2.0.0,{OMT},text/plain", PROTOBUF),
    (f"{OMT},{PROTO}", PROTOBUF),
    (f"*/*,{PROTO}", PROTOBUF),
    (f"*/*,{PROTO};q=0.9", TEXT),
    # Wildcards do not mean the newer formats; a refusal holds for the named one alone.
    ("application/*;q=0.5,text/*;q=0.4", OM),
    ("application/*;q=0.4,text/*;q=0.5", TEXT),
    ("*/*;q=1,application/*;q=0.5,text/*;q=0.1", OM),
    ("text/plain;q=0,text/*,*/*", OM),
    (f"text/plain;q=0,{OMT};q=0,*/*", TEXT),
    ("*/*;version=1.0.0", TEXT),
    ("*/plain", TEXT),
    ("*", TEXT),
    # Duplicates: the higher weight.
    ("text/plain;q=0,text/plain;q=0.5", TEXT),
    (f"{OMT};q=0,{OMT};q=0.5,text/plain;q=0.4", OM),
    (f"{OMT};q=0.5,{OMT};q=0,text/plain;q=0.4", OM),
    (f"{OMT};version=1.0.0;q=0,{OMT};q=0.5", TEXT),
    # What cannot be read is left out, and the rest counts.
    (f"{OMT};version=1.0.0 extra,text/plain;q=0.1", TEXT),
    (f"text/plain;q=abc,{OMT};q=0.1", OM),
    (f"@@@,{OMT}", OM),
    (f"{OMT}\r\nX-Injected: 1", TEXT),
    (f"{OMT};version=1.0.0\x00", TEXT),
    (f"{OMT};escaping=\u2603", TEXT),
    (f"{OMT};q=0.9, ;q=0.1", OM),
    (f"{OMT};q=1.000", OM),
    (f"{OMT};q=1.001", TEXT),
    (f"{OMT};q=+1", TEXT),
    (f"{OMT};q=1e0", TEXT),
    (f'{OMT};q="1"', OM),
    (f"{OMT};q=0.5;q=0,text/plain;q=0.1", OM),
    (f"{OMT}" + " " * 8192, TEXT),
    ("," * 8192, TEXT),
    (f"{OMT}," * 200, OM),
]
CONTENT_TYPES = {
    "text/plain; version=0.0.4; charset=utf-8",
    *(
        f"{kind}; escaping={escaping}"
        for kind in (
            "text/plain; version=1.0.0; charset=utf-8",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "application/openmetrics-text; version=2.0.0; charset=utf-8",
            "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
        )
        for escaping in ("allow-utf-8", "underscores", "dots", "values")
    ),
}


def test_the_tables_are_long_enough() -> None:
    """The headers of real clients and the made-up ones are many, no two alike."""
    real, made_up = [header for _, header, _, _ in SCRAPERS], [header for header, _ in MADE_UP]
    assert len(set(real)) == len(real) == 97
    assert len({*real, *made_up}) == len(real) + len(made_up) == 229


@pytest.mark.parametrize(
    ("header", "format_", "escaping"), [row[1:] for row in SCRAPERS], ids=[client for client, *_ in SCRAPERS]
)
def test_scraper(header: str | None, format_: Format, escaping: Escaping) -> None:
    """A real client gets the format and the escaping that it prefers of those served."""
    assert choose(header) == (format_, escaping)


@pytest.mark.parametrize(("header", "expected"), MADE_UP, ids=[repr(header)[:60] for header, _ in MADE_UP])
def test_format(header: str | None, expected: Format) -> None:
    """An Accept header gets the format by RFC 9110, an invalid one the default."""
    assert choose(header).format is expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (f"{OMT};escaping=allow-utf-8", UTF8),
        (f"{OMT};escaping=Allow-UTF-8", UTF8),
        (f'{OMT};escaping="dots"', DOTS),
        (f"{OMT};ESCAPING=values", VALUES),
        (f"{OMT};escaping=", UNDERSCORES),
        (f"{OMT};escaping=backslashes", UNDERSCORES),
        (f"{OMT};escaping=allow-utf8", UNDERSCORES),
        (f"{OMT};escaping=dots;escaping=values", DOTS),
        (f"{OMT};q=1;escaping=dots", UNDERSCORES),
        (f"{OMT},text/plain;escaping=allow-utf-8", UNDERSCORES),
        (f"{OMT};escaping=allow-utf-8;q=0,text/plain", UNDERSCORES),
        (f"{OMT};escaping=allow-utf-8;q=0,{OMT};escaping=dots", DOTS),
        (f"{OMT};escaping=dots;q=0.5,{OMT};escaping=values;q=0.6", VALUES),
        (f"{OMT};escaping=dots,{OMT};escaping=values", DOTS),
        (f"{OMT};version=1.0.0;escaping=dots;q=0.5,{OMT};escaping=values", DOTS),
        (f"{OMT};version=2.0.0-rc;escaping=values", VALUES),
        (f"{OMT};version=0.0.1;escaping=values,text/plain;version=1.0.0;q=0.5", UNDERSCORES),
        (f"{PROTO};escaping=dots", DOTS),
        ("text/plain;version=1.0.0;escaping=dots", DOTS),
        ("text/plain;escaping=dots", DOTS),
        ("*/*;escaping=dots", UNDERSCORES),
        ("application/*;escaping=dots", UNDERSCORES),
    ],
)
def test_escaping(header: str, expected: Escaping) -> None:
    """The escaping is that of the range which decided; an unknown one, or none, means underscores."""
    assert choose(header).escaping is expected


def test_content_types_are_fixed() -> None:
    """There are 17 content types; that of text 0.0.4 names no escaping, all others do."""
    assert {Choice(*each).content_type for each in product(Format, Escaping)} == CONTENT_TYPES
    assert len(CONTENT_TYPES) == 17


PIECES = st.sampled_from(
    [
        *PROTOCOLS.values(),
        *(OMT, "text/plain", "*/*", "application/*", "text/*", "application/vnd.google.protobuf", "version", "escaping"),
        *(";escaping=dots", ";escaping=allow-utf-8", ";q=0", ";q=0.5", ";q=1", ";q=2", ";q=nan", ",", ";", "=", '"', "\\", " "),
        *("\r\n", "\0", "é", "\ud800", "q", ";version=2.0.0-rc", ";encoding=text"),
    ]
)
HEADERS = st.one_of(st.text(max_size=40), st.lists(st.one_of(PIECES, st.text(max_size=3)), max_size=12).map("".join))


@given(header=HEADERS)
def test_any_header_has_an_answer(header: str) -> None:
    """Whatever a header says, the answer is one of the fixed content types and codings: none of its text is in it."""
    assert choose(header).content_type in CONTENT_TYPES
    assert choose_encoding(header, ("zstd", "gzip")) in ("zstd", "gzip", None)


RANGES = st.tuples(
    st.sampled_from([*PROTOCOLS.values(), OMT, "text/plain", "text/*", "application/*", "*/*"]),
    st.sampled_from(["", ";q=0", ";q=0.1", ";q=0.5", ";q=0.9"]),
).map("".join)


@given(ranges=st.lists(RANGES, min_size=1, max_size=4))
def test_the_order_of_ranges_is_without_effect(ranges: list[str]) -> None:
    """A header's ranges are equal but for their weights: in any order they get the same format."""
    assert len({choose(",".join(order)).format for order in permutations(ranges)}) == 1


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
    assert choose_encoding(header, ("zstd", "gzip")) is None
    assert len(read) == max(1, separators)
    assert sum(map(len, read)) == len(header) - separators


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
    assert choose_encoding(header, ("gzip",)) == ("gzip" if expected else None)


@pytest.mark.parametrize(
    ("header", "available", "expected"),
    [
        (None, "zstd gzip", None),
        ("", "zstd gzip", None),
        ("zstd,gzip", "zstd gzip", "zstd"),  # Prometheus 3.16 with zstd-scrape
        ("zstd,gzip", "gzip", "gzip"),
        ("zstd,gzip", "zstd", "zstd"),
        ("zstd,gzip", "", None),
        ("gzip", "zstd gzip", "gzip"),  # Prometheus
        ("identity", "zstd gzip", None),  # Prometheus with enable_compression: false
        ("gzip, deflate, br, zstd", "zstd gzip", "zstd"),  # browsers
        ("gzip, deflate, br, zstd", "gzip", "gzip"),
        ("gzip, deflate", "zstd gzip", "gzip"),
        ("deflate, gzip, br, zstd", "zstd gzip", "zstd"),  # curl --compressed
        ("zstd;q=0.5,gzip", "zstd gzip", "gzip"),
        ("zstd;q=0.5,gzip;q=0.4", "zstd gzip", "zstd"),
        ("zstd;q=0,gzip", "zstd gzip", "gzip"),
        ("zstd;q=0,gzip;q=0", "zstd gzip", None),
        ("zstd;q=0", "zstd gzip", None),
        ("ZSTD", "zstd gzip", "zstd"),
        ("x-gzip", "zstd gzip", "gzip"),
        ("x-gzip;q=0,gzip", "zstd gzip", None),
        ("*", "zstd gzip", "gzip"),
        ("*", "zstd", None),
        ("*;q=0.5,zstd;q=0.4", "zstd gzip", "gzip"),
        ("*;q=0.5,zstd", "zstd gzip", "zstd"),
        ("gzip;q=0,*", "zstd gzip", None),
        ("zstd;q=0,*", "zstd gzip", "gzip"),
        ("identity;q=0", "zstd gzip", None),
        ("identity;q=0,*;q=0", "zstd gzip", None),
        ("identity;q=0,zstd;q=0.1", "zstd gzip", "zstd"),
        ("identity;q=0.8,zstd;q=0.7,gzip;q=0.9", "zstd gzip", "gzip"),
        ("identity,zstd;q=0.9", "zstd gzip", None),
        ("identity,zstd", "zstd gzip", "zstd"),
        ("zstd;q=2,gzip;q=0.1", "zstd gzip", "gzip"),
        ("zstd;level=3", "zstd gzip", "zstd"),
        ("zstd;q=0.1,zstd", "gzip zstd", "zstd"),
        ("zstd2, notzstd", "zstd gzip", None),
        ("zstd," * 2000, "zstd gzip", None),
    ],
)
def test_encoding(header: str | None, available: str, expected: str | None) -> None:
    """The coding with the highest weight is used, if identity has not a higher one; of equal ones zstd, where it is named."""
    assert choose_encoding(header, available.split()) == expected


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


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, False),
        (f"{PROTO};q=0.7,text/plain;version=0.0.4;q=0.3,*/*;q=0.1", False),
        (f"{PROTO};q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,*/*;q=0.1", True),
        (f"{PROTO};q=0.6,application/openmetrics-text;version=1.0.0;q=0", False),
        ("*/*", False),
    ],
)
def test_prometheus_parser(header: str | None, expected: bool) -> None:
    """A client that accepts OpenMetrics by name is taken for one with Prometheus' parser."""
    assert has_prometheus_parser(header) is expected
