"""The demo's numbers from several scrapes."""

from __future__ import annotations

import math

import pytest

from demo.board import overview
from demo.reading import History, Scrape

FIRST = """\
# TYPE a2a_requests_total counter
a2a_requests_total{agent="navi",operation="query",status="success"} 2
a2a_requests_total{agent="navi",operation="query",status="error"} 0
# TYPE a2a_active_tasks gauge
a2a_active_tasks{agent="navi"} 0
# TYPE a2a_request_duration_seconds histogram
a2a_request_duration_seconds_bucket{agent="navi",operation="query",status="success",le="0.1"} 2
a2a_request_duration_seconds_bucket{agent="navi",operation="query",status="success",le="0.5"} 2
a2a_request_duration_seconds_bucket{agent="navi",operation="query",status="success",le="+Inf"} 2
# TYPE ccr_tokens_total counter
ccr_tokens_total{provider="swift",direction="input"} 100
# TYPE rate_limit_hits_total counter
rate_limit_hits_total{endpoint="/agents/{agent}/runs",workspace_id="acme",result="denied"} 1
"""

SECOND = """\
# TYPE a2a_requests_total counter
a2a_requests_total{agent="navi",operation="query",status="success"} 8
a2a_requests_total{agent="navi",operation="query",status="error"} 2
# TYPE a2a_active_tasks gauge
a2a_active_tasks{agent="navi"} 3
# TYPE a2a_request_duration_seconds histogram
a2a_request_duration_seconds_bucket{agent="navi",operation="query",status="success",le="0.1"} 6
a2a_request_duration_seconds_bucket{agent="navi",operation="query",status="success",le="0.5"} 10
a2a_request_duration_seconds_bucket{agent="navi",operation="query",status="success",le="+Inf"} 10
# TYPE ccr_tokens_total counter
ccr_tokens_total{provider="swift",direction="input"} 1600
# TYPE rate_limit_hits_total counter
rate_limit_hits_total{endpoint="/agents/{agent}/runs",workspace_id="acme",result="denied"} 5
"""


@pytest.fixture
def history() -> History:
    history = History()
    history.add(Scrape.parse(0, FIRST))
    history.add(Scrape.parse(10, SECOND))
    return history


def test_overview_has_the_panels_of_the_dashboards_row(history: History) -> None:
    """The six tiles have the dashboard's titles and the increase between the scrapes."""
    assert overview(history) == {
        "A2A Requests (5m)": "8",
        "A2A p95 Latency": "460 ms",  # 8 observed: 4 up to 0.1 s, 4 up to 0.5 s; rank 7.6 lies 9/10 into the second
        "A2A Error Rate": "25.0 %",
        "Active Tasks": "3",
        "CCR Tokens (1h)": "1,500",
        "Rate Limit Denials": "4",
    }


def test_a_window_reaches_back_no_further_than_its_length(history: History) -> None:
    """The increase over a window starts at the oldest scrape within it, not at an older one."""
    history.add(Scrape.parse(400, SECOND))
    assert history.increase("a2a_requests_total", 300) == 0
    assert history.increase("a2a_requests_total", 400) == 8


def test_a_quantile_of_nothing_is_not_a_number(history: History) -> None:
    """Without an observation in the window the quantile is NaN."""
    history.add(Scrape.parse(400, SECOND))
    assert math.isnan(history.quantile(0.95, "a2a_request_duration_seconds", 300))


def test_a_quantile_beyond_the_last_bound_is_that_bound(history: History) -> None:
    """As in PromQL, a quantile in the +Inf bucket is the highest finite bound."""
    slow = SECOND.replace('le="0.5"} 10', 'le="0.5"} 6')
    history.add(Scrape.parse(20, slow))
    assert history.quantile(0.95, "a2a_request_duration_seconds", 300) == 0.5


def test_scrapes_older_than_an_hour_are_dropped(history: History) -> None:
    """The history keeps the scrapes of one hour only."""
    history.add(Scrape.parse(3605, SECOND))
    assert [scrape.at for scrape in history.scrapes] == [10, 3605]
