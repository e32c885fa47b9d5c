"""The example for Flask."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.helpers.example_process import EXAMPLES, served


def test_orders_are_counted_and_timed_by_shop(tmp_path: Path) -> None:
    """Two orders of a shop are a count of 2 and two observations."""
    with served(str(EXAMPLES / "flask_app.py"), folder=tmp_path) as example:
        for _ in range(2):
            httpx.post(f"{example.url}/shops/north/orders").raise_for_status()
        lines = example.metrics()
    assert 'orders_total{shop="north"} 2' in lines
    assert 'checkout_duration_seconds_count{shop="north"} 2' in lines


def test_it_starts_by_flask(tmp_path: Path) -> None:
    """``flask --app flask_app run`` serves the same."""
    command = ("-m", "flask", "--app", "flask_app", "run", "--port", "{port}")
    with served(*command, folder=tmp_path) as example:
        httpx.post(f"{example.url}/shops/south/orders").raise_for_status()
        assert 'orders_total{shop="south"} 1' in example.metrics()
