"""The README's Python examples run and give the results they state."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).parents[1] / "README.md"


def test_a_service_with_its_own_catalogue_works_as_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first example's catalogue of two metrics is served with the values that were recorded."""
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER"):
        monkeypatch.delenv(name, raising=False)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    for block in blocks[:2]:
        exec(block, names)
    text = names["telemetry"].reader.expose().body.decode()
    names["telemetry"].shutdown()
    assert 'orders_total{result="paid",shop="north"} 1\n' in text
    assert 'orders_total{result="refused",shop="north"} 0\n' in text
    assert 'checkout_duration_seconds_count{shop="north"} 2\n' in text
    assert "a2a_" not in text


def test_an_agent_of_ones_own_works_as_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The third example's agent has the one call of a tool that it made."""
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER"):
        monkeypatch.delenv(name, raising=False)
    names: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)[2], names)
    text = names["telemetry"].reader.expose().body.decode()
    names["telemetry"].shutdown()
    assert 'gen_ai_invoke_agent_tool_calls_sum{gen_ai_agent_name="clerk"} 1\n' in text
    assert re.search(r'gen_ai_execute_tool_duration_seconds_count\{[^}]*gen_ai_tool_name="find_orders"[^}]*\} 1\n', text)


def test_the_metrics_in_prometheus_clients_style_work_as_shown() -> None:
    """The last example, run as a program, prints the counter that it incremented."""
    block = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)[3]
    shown = subprocess.run([sys.executable, "-c", block], cwd=README.parent, capture_output=True, text=True, check=True).stdout
    assert re.search(r'a2a_requests_total\{agent="navi",operation="query",status="success"\} 1\n', shown)
