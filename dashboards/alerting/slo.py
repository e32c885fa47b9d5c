"""The service level objectives: the share of bad A2A calls, and how fast it burns the error budget.

https://sre.google/workbook/alerting-on-slos/
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dashboards.config import AVAILABILITY, BURNS, JOB, LATENCY, Burn, Objective
from dashboards.promql import Not, Query, only_numbers
from telemetry.agentos.catalogue import A2A_ERRORS, A2A_REQUEST_DURATION, A2A_REQUESTS

__all__ = ["FAILED", "QUERY", "SHARES", "SLOW", "WINDOWS", "Share", "burning", "failed_and_counted", "minutes", "record"]

QUERY = Query(job=JOB, variables={})
"""Queries of the rules: all series of the scrape job."""

_UNITS = {"m": 1, "h": 60, "d": 1440}


def minutes(duration: str) -> int:
    """Returns the minutes of a PromQL duration that has one unit, such as ``30m``."""
    return int(duration[:-1]) * _UNITS[duration[-1]]


WINDOWS = sorted({window for burn in BURNS for window in (burn.short, burn.long)}, key=minutes)


@dataclass(frozen=True, slots=True)
class Share:
    """The share of A2A calls that are bad by an objective."""

    name: str
    objective: Objective
    expr: Callable[[str], str]
    """Window -> query."""


def record(name: str, window: str) -> str:
    """Returns the name of a recorded share, by Prometheus' convention level:metric:operations."""
    return f"job:{name}:ratio_rate{window}"


def failed_and_counted(window: str, total: Callable[[str], str]) -> tuple[str, str]:
    """Returns failed calls a second, and those that the objective counts.

    A caller who leaves is neither a good call nor a bad one: ``cancelled`` is in neither number.

    Args:
        window: The window of the rates.
        total: Rates of the series -> the query that adds them.
    """
    failed = total(f"rate({QUERY.series(A2A_ERRORS, error_type=Not('cancelled'))}[{window}])")
    left = total(f"rate({QUERY.series(A2A_ERRORS, error_type='cancelled')}[{window}])")
    every = total(f"rate({QUERY.series(A2A_REQUESTS)}[{window}])")
    return failed, f"{every} - ({left} or 0 * {every})"


def _failed(window: str) -> str:
    failed, counted = failed_and_counted(window, "sum by (job) ({})".format)
    return only_numbers(f"{failed}\n/\n({counted})")


def _slow(window: str) -> str:
    return f"1 - (\n{QUERY.share_at_or_below(A2A_REQUEST_DURATION, LATENCY.under, window, 'job')}\n)"


FAILED = Share("a2a_calls_failed", AVAILABILITY, _failed)
SLOW = Share("a2a_calls_slow", LATENCY, _slow)
SHARES = (FAILED, SLOW)


def burning(share: Share, burn: Burn) -> str:
    """Returns how many times too fast the budget burns over the long window, if both windows exceed the alert's rate."""
    long, short = (f"{record(share.name, window)} / {share.objective.budget:g}" for window in (burn.long, burn.short))
    return f"{long} > {burn.rate:g}\nand\n{short} > {burn.rate:g}"
