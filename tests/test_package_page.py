"""The example on the library's package page runs and gives the result it states."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).parents[1] / "telemetry/README.md"


def test_the_example_works_as_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The example's counter and histogram are served with the values that were recorded."""
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER"):
        monkeypatch.delenv(name, raising=False)
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(example, names)
    text = names["telemetry"].reader.expose().body.decode()
    names["telemetry"].shutdown()
    assert 'orders_total{result="paid"} 1\n' in text
    assert 'checkout_duration_seconds_bucket{le="0.5"} 1\n' in text
