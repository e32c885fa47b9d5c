"""Metrics about the telemetry itself: what it refused, dropped or left out, and what it costs.

A catalogue adds ``TELEMETRY`` to show the failures, and ``DESCRIPTIVE`` to show the number of series and the cost of a scrape.
The library counts failures under these names whether the catalogue has the metrics or not.
"""

from __future__ import annotations

from telemetry.metric.definition import MultiprocessMode, observable_counter, observable_gauge
from telemetry.metric.label import closed_label, open_label

METRIC = open_label("metric", "metric concerned, by its Prometheus name", limit=200)
LABEL = open_label("label", "label key concerned", limit=200)
DROP_REASON = closed_label("reason", "why it was not recorded", "not_finite", "negative", "failed")
CALLBACK_REASON = closed_label("reason", "what the callback did", "raised", "hung")
SCRAPE_REASON = closed_label(
    "reason", "why it was refused", "unauthorized", "forbidden", "method", "timeout", "shutdown", "unattached", "failed", "busy"
)
STATE_REASON = closed_label("reason", "what was wrong with it", "torn", "foreign", "stale", "unwritable", "unreadable", "hung")

_SELF = "telemetry"

OVERFLOW = observable_counter(
    "agentos.telemetry.overflow",
    "{measurement}",
    "Measurements kept under 'other' because a label was full",
    METRIC,
    LABEL,
    recorded_in=_SELF,
)
INVALID = observable_counter(
    "agentos.telemetry.invalid",
    "{measurement}",
    "Measurements kept under 'invalid' because a label was wrong",
    METRIC,
    LABEL,
    recorded_in=_SELF,
)
DROPPED = observable_counter(
    "agentos.telemetry.dropped", "{measurement}", "Measurements refused or lost", METRIC, DROP_REASON, recorded_in=_SELF
)
CLASHES = observable_counter(
    "agentos.telemetry.clashes",
    "{metric}",
    "Metrics left out of a scrape because another has their name",
    METRIC,
    recorded_in=_SELF,
)
CALLBACK_FAILURES = observable_counter(
    "agentos.telemetry.callback_failures",
    "{call}",
    "Observable callbacks that raised or hung",
    METRIC,
    CALLBACK_REASON,
    recorded_in=_SELF,
)
REFUSED_SCRAPES = observable_counter(
    "agentos.telemetry.refused_scrapes", "{scrape}", "Scrapes of /metrics that were refused", SCRAPE_REASON, recorded_in=_SELF
)
STATE_FAILURES = observable_counter(
    "agentos.telemetry.state.failures",
    "{failure}",
    "States of workers that could not be written, read or had in time",
    STATE_REASON,
    recorded_in=_SELF,
)

TELEMETRY = (OVERFLOW, INVALID, DROPPED, CLASHES, CALLBACK_FAILURES, REFUSED_SCRAPES, STATE_FAILURES)
"""Counts of failures."""

SERIES = observable_gauge("agentos.telemetry.series", "{series}", "Series that a metric has now", METRIC, recorded_in=_SELF)
SCRAPE_DURATION = observable_gauge(
    "agentos.telemetry.scrape.duration",
    "s",
    "How long the last scrape took to render",
    recorded_in=_SELF,
    multiprocess_mode=MultiprocessMode.MAX,
)
SCRAPE_SIZE = observable_gauge(
    "agentos.telemetry.scrape.size",
    "By",
    "Size of the last scrape's body before compression",
    recorded_in=_SELF,
    multiprocess_mode=MultiprocessMode.MAX,
)

DESCRIPTIVE = (SERIES, SCRAPE_DURATION, SCRAPE_SIZE)
"""Number of series, and cost of a scrape."""
