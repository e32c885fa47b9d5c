"""The service level objectives: the share of bad A2A calls, and how fast it burns the error budget.

https://sre.google/workbook/alerting-on-slos/
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dashboards.config import AVAILABILITY, BURNS, JOB, LATENCY, Burn, Objective
from dashboards.promql import Not, Query, only_numbers
from telemetry.agentos.catalogue import A2A_ERRORS, A2A_REQUEST_DURATION, A2A_REQUESTS

__all__ = ["FAILED", "QUERY", "SHARES", "SLOW", "WINDOWS", "Share", "burning", "minutes", "record"]

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


def _failed(window: str) -> str:
    # A caller who leaves is neither a good call nor a bad one: `cancelled` is in neither part of the fraction.
    failed = QUERY.rate(A2A_ERRORS, window, "job", error_type=Not("cancelled"))
    left = QUERY.rate(A2A_ERRORS, window, "job", error_type="cancelled")
    every = QUERY.rate(A2A_REQUESTS, window, "job")
    return only_numbers(f"{failed}\n/\n({every} - ({left} or 0 * {every}))")


def _slow(window: str) -> str:
    return f"1 - (\n{QUERY.share_at_or_below(A2A_REQUEST_DURATION, LATENCY.under, window, 'job')}\n)"


FAILED = Share("a2a_calls_failed", AVAILABILITY, _failed)
SLOW = Share("a2a_calls_slow", LATENCY, _slow)
SHARES = (FAILED, SLOW)


def burning(share: Share, burn: Burn) -> str:
    """Returns how many times too fast the budget burns over the long window, if both windows exceed the alert's rate."""
    long, short = (f"{record(share.name, window)} / {share.objective.budget:g}" for window in (burn.long, burn.short))
    return f"{long} > {burn.rate:g}\nand\n{short} > {burn.rate:g}"
