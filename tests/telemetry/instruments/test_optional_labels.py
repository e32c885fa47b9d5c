"""Labels that a series may lack, keys with dots, and whole numbers as label values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from telemetry import Catalogue, CatalogueError, Telemetry
from telemetry.metric import counter, open_label

OPTIONAL = replace(open_label("error.type", "why", limit=2), optional=True)
PORT = replace(open_label("server.port", "port", limit=2, pattern="[0-9]{1,5}"), optional=True, number=True)
CALLS = counter("a.calls", "{call}", "Calls", OPTIONAL, PORT)


def test_optional_label_may_be_missing() -> None:
    """A series lacks an optional label whose value is empty or not given; a whole number is one to OpenTelemetry."""
    telemetry = Telemetry(Catalogue([CALLS]), strict=True)
    given: tuple[dict[str, Any], ...] = (
        {},
        {"error.type": "500"},
        {"error.type": "", "server.port": "8080"},
        {"server.port": 8080},
    )
    for attributes in given:
        telemetry[CALLS].add(1, attributes)
    data = telemetry.reader.state()
    assert data is not None
    (metric,) = [m for rm in data.resource_metrics for sm in rm.scope_metrics for m in sm.metrics]
    assert [dict(point.attributes or {}) for point in metric.data.data_points] == [
        {},
        {"error.type": "500"},
        {"server.port": 8080},
    ]


def test_dotted_key_is_a_prometheus_label() -> None:
    """A key with dots is one with underscores in Prometheus, and two keys that become one clash."""
    telemetry = Telemetry(Catalogue([CALLS]))
    telemetry[CALLS].labels("500", "80").inc()
    assert 'a_calls_total{error_type="500",server_port="80"} 1' in telemetry.reader.expose().body.decode().splitlines()
    with pytest.raises(CatalogueError, match="stands twice"):
        counter("a.b", "1", "x", OPTIONAL, open_label("error_type", "x", limit=1))
