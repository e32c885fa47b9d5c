"""Generated states of hosts: Prometheus' own parsers read the SDK's values from a body of each format."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import HealthCheck, given, settings
from prometheus_client import CollectorRegistry

from telemetry._base.diagnostics import Diagnostics
from telemetry.exposition import PrometheusReader
from tests.helpers.expected_series import Format, expected, keep_exemplars, shown
from tests.helpers.generated_hosts import ROUNDS, Host, Recorder, hosts
from tests.helpers.prometheus_parser import PrometheusParser

STATES = 10_000
"""In each format."""


def new_reader(host: Host) -> PrometheusReader:
    """A reader that names the host's metrics as it wants."""
    return PrometheusReader(
        not host.target_info,
        host.prefix,
        host.scope_labels,
        resource_attribute_filter=(lambda key: key.startswith("r")) if host.resource_labels else None,
        registry=CollectorRegistry(),
        created=host.created,
        translation=host.translation,
        diagnostics=Diagnostics(None),
        info=[each.name for each in host.metrics if each.info],
    )


def test_prometheus_reads_what_the_sdk_has(prometheus_parser: PrometheusParser) -> None:
    """Names, labels, values, starts, exemplars, types, helps and units of 10,000 states are the SDK's in each format."""
    read: Counter[Format] = Counter()

    @settings(max_examples=-(-STATES // ROUNDS), deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(hosts)
    def check(host: Host) -> None:
        reader = new_reader(host)
        recorder = Recorder(host, [reader])
        earlier: dict[Any, list[Any]] = {}
        for rounds in range(1, ROUNDS + 1):
            recorder.record()
            data = reader.state()  # first: it empties reservoirs, whose exemplars scrapes still show
            keep_exemplars(data, earlier)
            for format_ in Format:
                body, content_type = reader.expose(f"{format_.value};escaping={host.escaping}")
                parsed = prometheus_parser.parse(body, content_type, classic=True)
                found, wanted = shown(parsed, format_), expected(data, host, format_, rounds, parsed)
                assert found.samples == wanted.samples, (format_, body, host.metrics)
                assert found.metadata == wanted.metadata, (format_, body)
                read[format_] += 1

    check()
    assert all(read[format_] >= STATES for format_ in Format)
