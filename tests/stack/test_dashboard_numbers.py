"""The single numbers in hard cases, computed by hand and checked by promtool: restarts, new label sets, no traffic."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tests.helpers.dashboard_panels import PANELS, Selection, interpolated

OK = 'a2a_requests_total{job="agentos",agent="navi",operation="query",status="success"}'
BAD = 'a2a_requests_total{job="agentos",agent="navi",operation="query",status="error"}'
HIT = 'cache_operations_total{job="agentos",operation="get",result="hit"}'
MISS = 'cache_operations_total{job="agentos",operation="get",result="miss"}'
BUCKET = 'a2a_request_duration_seconds_bucket{{job="agentos",agent="navi",operation="query",status="success",le="{}"}}'
FAST, SLOW, EVERY = BUCKET.format("0.5"), BUCKET.format("1.0"), BUCKET.format("+Inf")

CASES: list[tuple[str, str, Mapping[str, str], float | None]] = [
    # One call in four fails, before and after a restart of the counters.
    ("A2A Error Rate", "a restart", {OK: "0+3x4 0+3x6", BAD: "0+1x4 0+1x6"}, 0.25),
    ("A2A Error Rate", "a first error", {OK: "0+9x10", BAD: "0x7 9 9 9"}, 1 / 6),
    ("A2A Error Rate", "errors never seen", {OK: "0+9x10"}, 0),
    ("A2A Error Rate", "no traffic", {OK: "7x10", BAD: "7x10"}, None),
    ("A2A Error Rate", "nothing but errors", {OK: "0x10", BAD: "0+1x10"}, 1),
    ("Cache Hit Ratio", "a restart", {HIT: "0+3x4 0+3x6", MISS: "0+1x4 0+1x6"}, 0.75),
    ("Cache Hit Ratio", "a first hit", {HIT: "0x7 9 9 9", MISS: "0+9x10"}, 1 / 6),
    ("Cache Hit Ratio", "no look-ups", {HIT: "7x10", MISS: "7x10"}, None),
    # 8 of 10 calls take up to 0.5 s, the others up to 1 s: three quarters of the way from 0.5 to 1.
    ("A2A p95 Latency", "a restart", {FAST: "0+8x4 0+8x6", SLOW: "0+10x4 0+10x6", EVERY: "0+10x4 0+10x6"}, 0.875),
    ("A2A p95 Latency", "first calls", {FAST: "0x7 8 8 8", SLOW: "0x7 10 10 10", EVERY: "0x7 10 10 10"}, 0.875),
    ("A2A p95 Latency", "no traffic", {FAST: "8x10", SLOW: "10x10", EVERY: "10x10"}, None),
    # Five samples a minute apart span 4 of the 5 minutes: the increase of 4 minutes is extended to 5.
    ("A2A Requests (5m)", "a restart", {OK: "0+3x4 0+3x6"}, 15),
    ("A2A Requests (5m)", "no traffic", {OK: "7x10"}, 0),
]


@pytest.mark.parametrize(("title", "what", "given", "value"), CASES, ids=[f"{title}: {what}" for title, what, _, _ in CASES])
def test_a_number_is_right_in_the_hard_cases(
    promtool: Path, tmp_path: Path, title: str, what: str, given: Mapping[str, str], value: float | None
) -> None:
    """After ten minutes of these samples the panel shows the value, or is empty for None."""
    check(promtool, tmp_path, title, given, value, Selection("all", {}))


QUOTED = r"""say "hi".'\now'/1"""
"""An agent's skill may have any name; this one has the special characters of regular expressions and PromQL strings."""


@pytest.mark.parametrize(("chosen", "value"), [([QUOTED], 5), ([QUOTED, "query"], 20), ([], 45)], ids=["one", "several", "all"])
def test_a_chosen_value_may_have_dots_and_quotes(promtool: Path, tmp_path: Path, chosen: list[str], value: float) -> None:
    """Chosen alone, with another value, or by All, a value with quotes selects its own series and no similar one."""
    named = 'a2a_requests_total{{job="agentos",agent="navi",operation={},status="success"}}'
    given = {
        named.format(json.dumps(QUOTED)): "0+1x10",
        named.format(json.dumps(QUOTED.replace(".", "x"))): "0+5x10",
        named.format('"query"'): "0+3x10",
    }
    check(promtool, tmp_path, "A2A Requests (5m)", given, value, Selection("some", {"operation": chosen} if chosen else {}))


def check(
    promtool: Path, tmp_path: Path, title: str, given: Mapping[str, str], value: float | None, selection: Selection
) -> None:
    """Asserts by promtool a panel's value after ten minutes of these samples."""
    (target,) = PANELS[title]["targets"]
    query = interpolated(target["expr"], selection)
    # promtool compares exactly, so values are rounded to millionths.
    samples = [] if value is None else [{"labels": "{}", "value": round(value * 1e6)}]
    test = {
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in given.items()],
        "promql_expr_test": [{"expr": f"round(({query}) * 1e6)", "eval_time": "10m", "exp_samples": samples}],
    }
    file = tmp_path / "test.yml"
    file.write_text(yaml.safe_dump({"evaluation_interval": "1m", "tests": [test]}))
    run = subprocess.run([promtool, "test", "rules", file], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
