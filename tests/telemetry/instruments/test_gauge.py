"""A gauge that is set shows its last value, or what its function returns."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from math import inf, nan

import pytest
from opentelemetry.sdk.metrics.export import Gauge as GaugeData
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from telemetry import Catalogue, LabelError, Telemetry
from telemetry.metric import MultiprocessMode, gauge, open_label, telemetry_metrics
from telemetry.pipeline.transfer import transfer
from tests.helpers.samples import read

TANK = open_label("tank", "t", limit=2)
LEVEL = gauge("level", "", "Level", TANK)
TOTAL = gauge("total", "", "Total")
NEWEST = gauge("newest", "s", "Newest", multiprocess_mode=MultiprocessMode.MAX)
TANKS = Catalogue([LEVEL, TOTAL, NEWEST, *telemetry_metrics.TELEMETRY])
A = ("level", (("tank", "a"),))


@pytest.fixture
def telemetry() -> Telemetry:
    return Telemetry(TANKS)


def test_last_value_is_shown(telemetry: Telemetry) -> None:
    """Set, add and subtract; OpenTelemetry's ``set`` with attributes is the same series."""
    series = telemetry[LEVEL].labels("a")
    assert read(telemetry) == {}
    series.set(5)
    series.inc(2)
    series.dec()
    assert read(telemetry) == {A: 6.0}
    telemetry[LEVEL].set(1.5, {"tank": "a"})
    assert read(telemetry) == {A: 1.5}


def test_current_time(telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """The value is the Unix time in seconds."""
    monkeypatch.setattr("telemetry.instruments.gauge.time.time", lambda: 1700000000.25)
    telemetry[NEWEST].set_to_current_time()
    assert read(telemetry) == {("newest_seconds", ()): 1700000000.25}


def test_function_is_read_at_each_collect(telemetry: Telemetry) -> None:
    """A function is the value until a number is set."""
    numbers = iter([1, 2])
    telemetry[TOTAL].set_function(lambda: next(numbers))
    assert [read(telemetry) for _ in range(2)] == [{("total", ()): 1.0}, {("total", ()): 2.0}]
    telemetry[TOTAL].set(9)
    assert read(telemetry) == {("total", ()): 9.0}


def test_function_that_raises_leaves_its_series_out(telemetry: Telemetry) -> None:
    """The other series stay, and the failure is counted."""
    telemetry[LEVEL].labels("a").set(1)
    telemetry[LEVEL].labels("b").set_function(lambda: 1 / 0)
    read(telemetry)
    found = read(telemetry)
    assert found[A] == 1.0
    assert ("level", (("tank", "b"),)) not in found
    failures = telemetry.diagnostics.values(telemetry_metrics.CALLBACK_FAILURES.name)
    assert failures == {("level", "raised"): 2}


def test_threads_lose_no_addition(telemetry: Telemetry) -> None:
    """Eight threads that add a thousand times each make eight thousand."""
    with ThreadPoolExecutor(8) as pool:
        for _ in range(8):
            pool.submit(lambda: [telemetry[TOTAL].inc() for _ in range(1000)])
    assert read(telemetry) == {("total", ()): 8000.0}


@pytest.mark.parametrize(
    ("value", "reason"), [(nan, "not_finite"), (inf, "not_finite"), (2**63, "not_finite"), ("1", "failed")]
)
def test_value_that_is_no_finite_number_is_refused(telemetry: Telemetry, value: float, reason: str) -> None:
    """The last value stays, and the refusal is counted."""
    telemetry[TOTAL].set(3)
    telemetry[TOTAL].set(value)
    assert read(telemetry)["total", ()] == 3.0
    assert telemetry.diagnostics.values(telemetry_metrics.DROPPED.name) == {("total", reason): 1}


def test_label_over_its_limit_is_other(telemetry: Telemetry) -> None:
    """Values over the limit share the series ``other``, and each change is counted."""
    for tank in "abcd":
        telemetry[LEVEL].labels(tank).inc()
    assert {labels[0][1]: value for (name, labels), value in read(telemetry).items() if name == "level"} == {
        "a": 1.0,
        "b": 1.0,
        "other": 2.0,
    }
    assert telemetry.diagnostics.values(telemetry_metrics.OVERFLOW.name) == {("level", "tank"): 2}


def test_wrong_label_is_loud_in_strict() -> None:
    """A key that the gauge lacks raises."""
    with pytest.raises(LabelError):
        Telemetry(TANKS, strict=True)[LEVEL].set(1, {"tub": "a"})


def test_other_readers_see_a_gauge() -> None:
    """A reader beside the Prometheus reader gets a gauge's data point."""
    reader = InMemoryMetricReader()
    telemetry = Telemetry(TANKS, metric_readers=[reader])
    telemetry[LEVEL].labels("a").set(4)
    data = reader.get_metrics_data()
    assert data is not None
    (metric,) = data.resource_metrics[0].scope_metrics[0].metrics
    assert isinstance(metric.data, GaugeData)
    assert [(dict(point.attributes or {}), point.value) for point in metric.data.data_points] == [({"tank": "a"}, 4.0)]


def test_transferred_gauge_keeps_its_value_and_its_handles(telemetry: Telemetry) -> None:
    """A bound series and a function that were made before a transfer belong to the new telemetry afterwards."""
    series, new = telemetry[LEVEL].labels("a"), Telemetry(TANKS)
    series.set(5)
    telemetry[TOTAL].set_function(lambda: 7)
    transfer(telemetry, new)
    assert read(new) == {A: 5.0, ("total", ()): 7.0}
    series.inc()
    assert read(new) == {A: 6.0, ("total", ()): 7.0}


def test_forked_child_forgets_what_would_be_summed_twice(telemetry: Telemetry) -> None:
    """The child has the parent's maximum and functions, but not its summands."""
    telemetry[LEVEL].labels("a").set(5)
    telemetry[TOTAL].set_function(lambda: 7)
    telemetry[NEWEST].set(3)
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write_end, repr(sorted(read(telemetry).items())).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read_end, 1000).decode() == "[(('newest_seconds', ()), 3.0), (('total', ()), 7.0)]"
    os.close(read_end)
    os.close(write_end)
    assert read(telemetry)[A] == 5.0
