"""What the telemetry says of itself, and instruments that are read when collected."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.metrics.view import Aggregation, View

from telemetry import AgentOSTelemetry, Catalogue, Telemetry
from telemetry.agentos import catalogue as rows
from telemetry.metric import observable_gauge, open_label, telemetry_metrics
from tests.helpers.samples import above_zero, read

LEVEL = observable_gauge("level", "", "Level", open_label("tank", "t", limit=5))


def test_watched_values_are_read_at_each_collect() -> None:
    """A gauge that is kept elsewhere shows what it is when it is scraped."""
    telemetry, level = Telemetry(Catalogue([LEVEL])), {("a",): 1.0}
    telemetry[LEVEL].watch(lambda: level)
    assert read(telemetry) == {("level", (("tank", "a"),)): 1.0}
    level["a",] = 2.5
    assert read(telemetry) == {("level", (("tank", "a"),)): 2.5}


def test_trouble_appears_as_soon_as_it_is_above_zero() -> None:
    """The counters of trouble are not there before, so that an alert on them is silent until there is some."""
    telemetry = AgentOSTelemetry()
    assert not [name for name, _ in read(telemetry) if name.startswith("agentos_telemetry")]
    telemetry.diagnostics.count("agentos.telemetry.clashes", "some_metric")
    assert above_zero(telemetry) == {("agentos_telemetry_clashes_total", (("metric", "some_metric"),)): 1.0}


def test_descriptive_metrics_are_on_where_the_catalogue_has_them() -> None:
    """Series a metric, and the last scrape's time and size, by the scrape after it."""
    telemetry = AgentOSTelemetry(Catalogue([*rows.AGENTOS, *telemetry_metrics.DESCRIPTIVE]))
    telemetry.recorder.record_rate_limit_hit("/a", "allowed", "w")
    first = telemetry.reader.expose().body
    shown = read(telemetry)
    assert shown["agentos_telemetry_series", (("metric", "rate_limit_hits_total"),)] == 3.0
    assert shown["agentos_telemetry_scrape_size_bytes", ()] == len(first)
    assert shown["agentos_telemetry_scrape_duration_seconds", ()] > 0.0


class Breaks(Aggregation):
    """An aggregation of a host's View that cannot be made."""

    def __init__(self) -> None:
        self.made = 0

    def _create_aggregation(self, *args: object) -> object:  # type: ignore[override]  # fails on purpose
        self.made += 1
        raise RuntimeError("no aggregation")


@pytest.mark.parametrize("strict", [True, False])
def test_failing_view_never_reaches_the_measured_code(strict: bool) -> None:
    """A View that fails costs its own metric: counted as dropped, nothing raised."""
    from opentelemetry.sdk.metrics import MeterProvider

    broken = Breaks()
    provider = MeterProvider(
        [*_readers()], views=[View(instrument_name="a2a.requests", aggregation=broken)], shutdown_on_exit=False
    )
    telemetry = AgentOSTelemetry(meter_provider=provider, strict=strict)
    with telemetry.recorder.a2a_call(agent="navi", operation="query"):
        pass
    telemetry.recorder.record_a2a_request("navi", "query", "success", 0.1)
    assert broken.made > 0
    assert telemetry.diagnostics.values("agentos.telemetry.dropped")["a2a_requests_total", "failed"] > 0
    provider.shutdown()


def _readers() -> list[object]:
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    return [InMemoryMetricReader()]
