"""The right-hand lines of docs/migration.md run."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import pytest

from stack.servers.process import free_port

PAGE = (Path(__file__).parents[1] / "docs" / "migration.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
ROWS = [
    cells for cells in re.findall(r"(?m)^\| (.+?) \| `([^`]+)`(?: \([^|]*)? \|$", PAGE) if re.search(r"[(]|^from ", cells[1])
]
"""The lines whose right side is Python: it calls or imports."""


@pytest.fixture(name="names")
def declared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """The page's catalogue, and the names that an application would have."""
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER"):
        monkeypatch.delenv(name, raising=False)
    names: dict[str, Any] = {}
    setup = """
from fastapi import FastAPI
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client import CollectorRegistry
from telemetry.prefork import Workers
app = FastAPI()
"""
    exec(BLOCKS[0] + setup, names)
    names["catalogue"] = names["telemetry"].catalogue
    names["directory"] = tmp_path / "state"
    names["REGISTRY"] = names["CollectorRegistry"]()
    names["push_to_gateway"] = lambda _address, *, job, registry: registry.collect()
    return names


@pytest.mark.parametrize(("_old", "new"), ROWS, ids=[f"{number}-{new[:40]}" for number, (_, new) in enumerate(ROWS)])
def test_a_line_of_a_table_runs(names: dict[str, Any], _old: str, new: str) -> None:
    """The right-hand line runs after the page's first block."""
    line = re.sub(r"port=\d+", f"port={free_port()}", new)
    server = eval(line, names) if line.startswith("start_http_server(") else exec(f"result = None\n{line}", names)
    if server is not None:
        server.close()


def test_the_tables_are_run_nearly_whole() -> None:
    """At least 35 right-hand lines are found: the pattern still fits the page."""
    assert len(ROWS) >= 35


def test_the_recording_lines_leave_the_values_they_say(names: dict[str, Any]) -> None:
    """After all lines of "Recording" /metrics has the sums of what they recorded."""
    section = PAGE.partition("### Recording")[2].partition("### ")[0]
    for _, line in re.findall(r"(?m)^\| (.+?) \| `([^`]+)` \|$", section):
        if "set_function" not in line and "current_time" not in line:
            exec(line, names)
    lines = [line.removesuffix(".0") for line in names["telemetry"].reader.expose().body.decode().splitlines()]
    assert set(lines) >= {
        'orders_total{shop="north"} 3',
        "failures_total 1",
        'queue_length{shop="north"} 3',
        "orders_running 0",
        'stock{shop="north"} 7',
        'checkout_duration_seconds_count{shop="north"} 3',
        'build_info{version="1.2"} 1',
        'shop_state{state="open"} 1',
        'shop_state{state="closed"} 0',
    }


def test_fastapi_is_timed_by_the_block_for_the_instrumentator(names: dict[str, Any]) -> None:
    """A request to the application of the page's last block is on its /metrics, and the scrape itself is not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from fastapi.testclient import TestClient
    exec(BLOCKS[1], names)
    names["app"].get("/hello")(_hello)
    with TestClient(names["app"]) as client:
        client.get("/hello").raise_for_status()
        client.get("/metrics").raise_for_status()
        text = client.get("/metrics").text
    counts = re.findall(r"(?m)^http_server_(?:request_)?duration_\w+_count\{(.*)\} (\d+)$", text)
    assert [count for _, count in counts] == ["1"]


def _hello() -> str:
    return "hello"
