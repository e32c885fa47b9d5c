"""The single numbers in hard cases, computed by hand and checked by promtool: restarts, new label sets, no traffic."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tests.helpers.dashboard_panels import MODEL_PANELS, PANELS, RUNTIME_PANELS, Selection, interpolated

OK = 'a2a_requests_total{job="agentos",agent="navi",operation="query",status="success"}'
BAD = 'a2a_requests_total{job="agentos",agent="navi",operation="query",status="error"}'
HIT = 'cache_operations_total{job="agentos",operation="get",result="hit"}'
MISS = 'cache_operations_total{job="agentos",operation="get",result="miss"}'
BUCKET = 'a2a_request_duration_seconds_bucket{{job="agentos",agent="navi",operation="query",status="success",le="{}"}}'
FAST, SLOW, EVERY = BUCKET.format("0.5"), BUCKET.format("1.0"), BUCKET.format("+Inf")
NATIVE = 'a2a_request_duration_seconds{job="agentos",agent="navi",operation="query",status="success"}'
# The same calls: 8 of 10 in the bucket up to 0.5 s, 2 in that up to 1 s.
TEN, NONE = "{{schema:0 count:10 offset:-1 buckets:[8 2]}}", "{{schema:0 count:0 offset:-1 buckets:[0 0]}}"
CUSTOM = "{{schema:-53 count:10 custom_values:[0.5 1] buckets:[8 2 0]}}"
OTHER = NATIVE.replace("navi", "herald")
ATTEMPTS = 'ccr_attempts{}{{job="agentos",task_type="question",status="{}"}}'
GOOD_COUNT, BAD_COUNT = ATTEMPTS.format("_count", "success"), ATTEMPTS.format("_count", "error")
GOOD, UNANSWERED = ATTEMPTS.format("", "success"), ATTEMPTS.format("", "error")
OF_A, OF_B = ('{job="agentos",instance="a"}', '{job="agentos",instance="b"}')
OPEN, MAX, STARTED = ("process_open_fds", "process_max_fds", "process_start_time_seconds")
TIMED = "{{schema:0 count:100 offset:-1 buckets:[98 2]}}"
BLOCKED = "python_eventloop_blocked_seconds"
LAG, LAG_BUCKET = "python_eventloop_lag_seconds", 'python_eventloop_lag_seconds_bucket{{job="agentos",instance="a",le="{}"}}'
ON_TIME, LATE, TIMERS = LAG_BUCKET.format("0.5"), LAG_BUCKET.format("1.0"), LAG_BUCKET.format("+Inf")

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
    # A native histogram grows exponentially within its bucket.
    ("A2A p95 Latency", "a restart of a native histogram", {NATIVE: f"{TEN}+{TEN}x4 {TEN}+{TEN}x6"}, 0.5 * 2**0.75),
    ("A2A p95 Latency", "first calls of a native histogram", {NATIVE: f"{NONE}x7 {TEN}x3"}, 0.5 * 2**0.75),
    ("A2A p95 Latency", "no traffic in a native histogram", {NATIVE: f"{TEN}x10"}, None),
    ("A2A p95 Latency", "a native histogram with custom buckets", {NATIVE: f"{CUSTOM}+{CUSTOM}x10"}, 0.875),
    (
        "A2A p95 Latency",
        "both forms",
        {NATIVE: f"{TEN}+{TEN}x10", FAST: "0+8x10", SLOW: "0+10x10", EVERY: "0+10x10"},
        0.5 * 2**0.75,
    ),
    (
        "A2A p95 Latency",
        "a change of form two minutes ago",
        {NATIVE: f"_x8 {TEN}+{TEN}x4", FAST: "0+8x7 stale", SLOW: "0+10x7 stale", EVERY: "0+10x7 stale"},
        0.5 * 2**0.75,
    ),
    (
        "A2A p95 Latency",
        "a change of form just now",
        {NATIVE: f"_x10 {TEN}", FAST: "0+8x9 stale", SLOW: "0+10x9 stale", EVERY: "0+10x9 stale"},
        0.875,
    ),
    # The whole lies between: one agent's p95 is 0.84 s, that of the other 0.875 s.
    (
        "A2A p95 Latency",
        "one series classic, one native",
        {OTHER: f"{TEN}+{TEN}x10", FAST: "0+8x10", SLOW: "0+10x10", EVERY: "0+10x10"},
        0.875,
    ),
    ("Unanswered Requests", "classic", {GOOD_COUNT: "0+3x10", BAD_COUNT: "0+1x10"}, 0.25),
    ("Unanswered Requests", "native", {GOOD: f"{TEN}+{TEN}x10", UNANSWERED: f"{NONE}x7 {TEN}x3"}, 1 / 6),
    ("Unanswered Requests", "one native, one classic", {GOOD: f"{TEN}+{TEN}x10", BAD_COUNT: "0+10x10"}, 0.5),
    (
        "Unanswered Requests",
        "both forms",
        {GOOD: f"{TEN}+{TEN}x10", GOOD_COUNT: "0+10x10", UNANSWERED: f"{TEN}+{TEN}x10", BAD_COUNT: "0+10x10"},
        0.5,
    ),
    ("Blocked Now", "the longest of two instances", {f"{BLOCKED}{OF_A}": "0x10", f"{BLOCKED}{OF_B}": "0x9 7.5"}, 7.5),
    ("Blocked Now", "the metrics are off", {OK: "0+9x10"}, None),
    # Of both instances together 0.4 are open.
    (
        "File Descriptors",
        "the fullest of two instances",
        {f"{OPEN}{OF_A}": "100x10", f"{MAX}{OF_A}": "2000x10", f"{OPEN}{OF_B}": "1500x10", f"{MAX}{OF_B}": "2000x10"},
        0.75,
    ),
    ("Since Last Start", "the youngest of two instances", {f"{STARTED}{OF_A}": "0x10", f"{STARTED}{OF_B}": "0x4 240x6"}, 360),
    ("Workers", "two instances, one recycles", {f"process_workers{OF_A}": "4x10", f"process_workers{OF_B}": "4x9 3"}, 7),
    # 98 of 100 timers are at most half a second late, 2 up to a second: p99 lies in the middle of these.
    ("Event Loop Lag p99", "classic", {ON_TIME: "0+98x10", LATE: "0+100x10", TIMERS: "0+100x10"}, 0.75),
    ("Event Loop Lag p99", "native", {f"{LAG}{OF_A}": f"{TIMED}+{TIMED}x10"}, 0.5 * 2**0.5),
    ("Unanswered Requests", "native without errors", {GOOD: f"{TEN}+{TEN}x10"}, 0),
    ("Unanswered Requests", "native without traffic", {GOOD: f"{TEN}x10", UNANSWERED: f"{TEN}x10"}, None),
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
    (target,) = (PANELS | MODEL_PANELS | RUNTIME_PANELS)[title]["targets"]
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
