"""The example of an application with prometheus_client metrics."""

from __future__ import annotations

import httpx

from tests.helpers.example_process import line_filter


def test_both_libraries_metrics_are_on_one_page() -> None:
    """After one line both metrics show it, beside the process' own metrics."""
    with line_filter("prometheus_client_app.py") as (process, url):
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("hello\n")
        process.stdin.flush()
        assert process.stdout.readline() == "HELLO\n"
        lines = httpx.get(url).text.splitlines()
        named = httpx.get(url, params={"name[]": "old_lines_total"}).text.splitlines()
    assert {line for line in lines if line.startswith(("old_lines_total", "line_length_bytes_sum"))} == {
        "old_lines_total 1.0",
        "line_length_bytes_sum 5",
    }
    assert any(line.startswith("process_start_time_seconds ") for line in lines)
    assert [line for line in named if not line.startswith("#")] == ["old_lines_total 1.0"]
