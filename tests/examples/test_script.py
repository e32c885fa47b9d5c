"""The example of a script with a port."""

from __future__ import annotations

import httpx

from tests.helpers.example_process import line_filter


def test_lines_are_counted_and_measured() -> None:
    """Two lines of 5 and 20 bytes are shown while the script runs; it ends with its input."""
    with line_filter("script.py") as (process, url):
        assert process.stdin is not None
        assert process.stdout is not None
        for line in ("hello", "a line of some bytes"):
            process.stdin.write(f"{line}\n")
            process.stdin.flush()
            assert process.stdout.readline() == f"{line.upper()}\n"
        lines = httpx.get(url).text.splitlines()
    assert "lines_total 2" in lines
    assert 'line_length_bytes_bucket{le="10.0"} 1' in lines
    assert "line_length_bytes_sum 25" in lines
