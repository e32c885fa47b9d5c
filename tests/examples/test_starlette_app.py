"""The example for Starlette."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.helpers.example_process import EXAMPLES, served


def test_pages_are_timed_by_their_end(tmp_path: Path) -> None:
    """Two pages are two observations with the status ``success``."""
    with served(str(EXAMPLES / "starlette_app.py"), folder=tmp_path) as example:
        for _ in range(2):
            assert httpx.get(example.url).text == "hello\n"
        assert 'page_duration_seconds_count{status="success"} 2' in example.metrics()
