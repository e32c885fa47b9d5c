"""A number of a foreign instrument that OTLP cannot carry does not fail the export of the others."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData

from telemetry.pipeline.carriable import carriable


def pushed(data: MetricsData, left_out: list[str]) -> dict[str, float]:
    """Returns values and sums by metric, as OTLP carries them."""
    request = encode_metrics(carriable(data, left_out.append))
    found = {}
    for metric in (m for r in request.resource_metrics for s in r.scope_metrics for m in s.metrics):
        for point in (metric.histogram if metric.HasField("histogram") else metric.sum).data_points:
            is_int = metric.HasField("sum") and point.HasField("as_int")
            found[metric.name] = point.as_int if is_int else point.as_double if metric.HasField("sum") else point.sum
    return found


@pytest.mark.parametrize(
    ("numbers", "shown"),
    [
        *(([2**63], 2.0**63), ([-(2**63) - 1], -(2.0**63)), ([2**63 - 1, 1], 2.0**63), ([Decimal("0.5")], 0.5)),
        *(([Fraction(1, 4)], 0.25), ([True], 1.0), ([10**308, 10**308], None)),
    ],
)
def test_number_of_a_foreign_instrument(numbers: list[Any], shown: float | None) -> None:
    """It is carried as a double where there is one, and otherwise left out and named; the other metrics are pushed."""
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader], shutdown_on_exit=False, exemplar_filter=AlwaysOnExemplarFilter()).get_meter("host")
    meter.create_counter("good").add(1)
    odd = meter.create_up_down_counter("odd")
    for number in numbers:
        odd.add(number)
    left_out: list[str] = []
    data = reader.get_metrics_data()
    assert data is not None
    found = pushed(data, left_out)
    assert found.pop("good") == 1
    assert found == ({} if shown is None else {"odd": shown})
    assert left_out == ([] if shown is not None else ["odd"])


def test_data_that_can_be_carried_are_left_as_they_are() -> None:
    """Without such a number nothing is copied."""
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader], shutdown_on_exit=False).get_meter("host")
    meter.create_counter("good").add(1)
    meter.create_histogram("took").record(0.5)
    data = reader.get_metrics_data()
    assert data is not None
    assert carriable(data, list[str]().append) is data


def test_histogram_of_integers_beyond_64_bits() -> None:
    """Sum, minimum and maximum of a histogram are doubles."""
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader], shutdown_on_exit=False).get_meter("host")
    meter.create_histogram("took").record(2**70)
    data = reader.get_metrics_data()
    assert data is not None
    assert pushed(data, []) == {"took": 2.0**70}
