"""The alerts of the process and its runtime, each with its test cases. Without AGENTOS_RUNTIME_METRICS all are silent.

A loop that is stuck pages: the calls on it neither end nor time out, so that no objective counts them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dashboards.alerting.alert import Alert, Case, series
from dashboards.alerting.observed import Form, observed
from dashboards.alerting.slo import QUERY
from dashboards.config import DESCRIPTORS_HIGH, JOB, LOOP_BLOCKED, LOOP_LAG, LOOP_STUCK
from telemetry.runtime.catalogue import EVENT_LOOP_BLOCKED, EVENT_LOOP_LAG, MAX_FDS, OPEN_FDS, START_TIME, WORKERS

__all__ = ["RUNTIME_ALERTS"]

_BY = ("job", "instance")
_HERE = {"instance": "agentos:8000"}
_BLOCKED, _WORKERS, _START = (series(row) for row in (EVENT_LOOP_BLOCKED, WORKERS, START_TIME))
_OPEN, _MAX = (series(row) for row in (OPEN_FDS, MAX_FDS))
_OFF = {f'up{{job="{JOB}", instance="agentos:8000"}}': "1x30"}


def _late(what: str, late: int, at: int, fires: Mapping[str, str] | None = None, value: str = "") -> Iterator[Case]:
    """Yields a case for each form in which one instance stores the lag: of 200 timers a minute so many are late."""
    for form in Form:
        if form is not Form.MIXED:
            given = observed(form, EVENT_LOOP_LAG, (LOOP_LAG, 2 * LOOP_LAG), (200 - late, late, 8))
            yield Case(f"{what} ({form})", given, at, fires, value)


def _usual() -> str:
    """The median of the number of workers, which neither recycling nor the doubled number during a reload moves."""
    return f"sum by ({', '.join(_BY)}) (quantile_over_time(0.5, {QUERY.series(WORKERS)}[6h]))"


RUNTIME_ALERTS = (
    Alert(
        "EventLoopStuck",
        severity="page",
        wait="1m",
        expr=f"{QUERY.level(EVENT_LOOP_BLOCKED, *_BY)} > {LOOP_STUCK}",
        summary="A worker of {{ $labels.instance }} hangs",
        description=(
            'An event loop of {{ $labels.instance }} has been blocked for {{ $value | printf "%.0f" }} seconds. Calls of its '
            "worker neither go on nor end, and no other number counts them."
        ),
        panel="Event Loop Blocked",
        narrow=("instance",),
        cases=(
            Case("fires while a loop stays blocked", {_BLOCKED: "0x5 31+60x10"}, 7, _HERE, "91"),
            Case(
                "fires for the instance whose loop is blocked",
                {_BLOCKED: "0x20", series(EVENT_LOOP_BLOCKED, instance="other:8000"): "0x5 31+60x10"},
                7,
                {"instance": "other:8000"},
                "91",
            ),
            Case("is silent over a block that ends", {_BLOCKED: "0x5 45 0x20"}, 7),
            Case("is silent over shorter blocks", {_BLOCKED: "0x5 30x20"}, 20),
            Case("is silent while the metrics are off", _OFF, 20),
        ),
    ),
    Alert(
        "EventLoopBlocked",
        severity="ticket",
        wait="2m",
        expr=f"{QUERY.highest(EVENT_LOOP_BLOCKED, '2m', *_BY)} > {LOOP_BLOCKED}\n"
        f"or\n{QUERY.quantile(0.99, EVENT_LOOP_LAG, '5m', *_BY)} > {LOOP_LAG}",
        summary="Event loops of {{ $labels.instance }} are blocked",
        description=(
            'An event loop of {{ $labels.instance }} runs {{ $value | printf "%.1f" }} seconds late: it was blocked for so '
            "long, or later than that at one of 100 moments of the last 5 minutes. Every call of its worker waits meanwhile."
        ),
        panel="Event Loop Lag p99 by Instance",
        narrow=("instance",),
        cases=(
            Case("fires while a loop is blocked", {_BLOCKED: "0x5 6+60x20"}, 8, _HERE, "126.0"),
            Case("fires when a loop is blocked again and again", {_BLOCKED: "0x5 6 0 7 0 8 0 9 0"}, 8, _HERE, "7.0"),
            *_late("fires when half of the timers are late", 100, 3, _HERE, "1.0"),
            *_late("is silent when one timer in 200 is late", 1, 8),
            Case("is silent over one block of some seconds", {_BLOCKED: "0x5 9 0x20"}, 8),
            Case("is silent over short blocks", {_BLOCKED: "0x5 5x20"}, 20),
            Case("is silent while the metrics are off", _OFF, 20),
        ),
    ),
    Alert(
        "WorkersMissing",
        severity="ticket",
        wait="5m",
        # A start with fewer workers is meant so.
        expr=f"{_usual()} - {QUERY.level(WORKERS, *_BY)} > 0\n"
        f"unless\nmax by ({', '.join(_BY)}) (changes({QUERY.series(START_TIME)}[6h])) > 0",
        summary="Workers of {{ $labels.instance }} are missing",
        description=(
            '{{ $value | printf "%.0f" }} of the usual workers of {{ $labels.instance }} have been missing for 5 minutes. The '
            "others do their work as well."
        ),
        panel="Workers by Instance",
        narrow=("instance",),
        cases=(
            Case("fires when a worker does not come back", {_WORKERS: "4x60 3x20", _START: "9x80"}, 66, _HERE, "1"),
            Case("is silent while workers are recycled", {_WORKERS: "4x60 3 4 3 4 3 3 4x20", _START: "9x90"}, 70),
            Case("is silent after a reload that doubles them", {_WORKERS: "4x60 8x5 4x20", _START: "9x90"}, 80),
            Case("is silent after a start with fewer", {_WORKERS: "4x60 2x20", _START: "9x60 3600x20"}, 75),
            Case("is silent while the metrics are off", _OFF, 20),
        ),
    ),
    Alert(
        "FileDescriptorsLow",
        severity="ticket",
        wait="5m",
        expr=f"{QUERY.level(OPEN_FDS, *_BY)}\n/\n{QUERY.level(MAX_FDS, *_BY)}\n> {DESCRIPTORS_HIGH:g}",
        summary="{{ $labels.instance }} runs out of file descriptors",
        description=(
            "{{ $value | humanizePercentage }} of the file descriptors that the workers of {{ $labels.instance }} may open are "
            "open. Without any, a worker accepts no connection and opens none."
        ),
        panel="File Descriptors by Instance",
        narrow=("instance",),
        cases=(
            Case("fires when three quarters are open", {_OPEN: "100x5 1536x20", _MAX: "2048x25"}, 11, _HERE, "75%"),
            Case("is silent when half are open", {_OPEN: "1024x25", _MAX: "2048x25"}, 20),
            Case("is silent over a short peak", {_OPEN: "100x5 2000x3 100x20", _MAX: "2048x30"}, 11),
            Case("is silent while the metrics are off", _OFF, 20),
        ),
    ),
)
