"""The example for FastAPI."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.helpers.example_process import EXAMPLES, served


def test_orders_are_counted_and_timed_by_shop(tmp_path: Path) -> None:
    """Started as a program, it serves one refused and two paid orders at exactly /metrics."""
    with served(str(EXAMPLES / "fastapi_app.py"), folder=tmp_path) as example:
        for price in (5, 100, 101):
            httpx.post(f"{example.url}/shops/north/orders", params={"price": price}).raise_for_status()
        lines = example.metrics()
    assert 'orders_total{result="paid",shop="north"} 2' in lines
    assert 'orders_total{result="refused",shop="north"} 1' in lines
    assert 'checkout_duration_seconds_count{shop="north"} 3' in lines


def test_it_starts_by_uvicorn(tmp_path: Path) -> None:
    """``uvicorn fastapi_app:app`` serves the same."""
    with served("-m", "uvicorn", "--port", "{port}", "fastapi_app:app", folder=tmp_path) as example:
        httpx.post(f"{example.url}/shops/south/orders", params={"price": 1}).raise_for_status()
        assert 'orders_total{result="paid",shop="south"} 1' in example.metrics()
