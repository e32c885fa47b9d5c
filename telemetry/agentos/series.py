"""The handles that one event of AgentOS needs, found together by one look-up.

Values over their label's limit share one entry, so that neither memory nor the time of a look-up grows in a flood of labels.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from telemetry.agentos import catalogue as rows
from telemetry.instruments.bound import BoundCounter, BoundGauge, BoundHistogram, BoundInstrument
from telemetry.metric.label_values import Domain

if TYPE_CHECKING:
    from telemetry.pipeline.telemetry import Telemetry

__all__ = ["A2AOutcome", "A2ASeries", "CCRSeries", "SeriesCache"]

_ENDINGS = ("success", "error")
_OVERFLOW = object()
"""Stands in a key for whatever is over the label's limit."""


@dataclass(slots=True)
class A2ASeries:
    """The handles of one agent and operation."""

    labels: Mapping[str, str]
    duration: dict[str, BoundHistogram]
    count: dict[str, BoundCounter]
    active: BoundGauge
    size: BoundHistogram


@dataclass(slots=True)
class A2AOutcome:
    """The handles of one agent, operation and status."""

    duration: BoundHistogram
    count: BoundCounter
    size: BoundHistogram


@dataclass(slots=True)
class CCRSeries:
    """The handles of one provider and task type."""

    labels: Mapping[str, str]
    count: dict[str, BoundCounter]
    latency: BoundHistogram
    tokens: dict[str, BoundCounter]


class SeriesCache:
    """All bundles of one telemetry. Counters and histograms of a new one start at 0 for every closed value."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        of = telemetry.domains.of
        self._agents, self._operations = of(rows.AGENT), of(rows.OPERATION)
        self._providers, self._task_types = of(rows.PROVIDER), of(rows.TASK_TYPE)
        self._workspaces = of(rows.WORKSPACE)
        self.outcomes: dict[tuple[Any, Any, Any], A2AOutcome] = {}
        """What ``outcome`` found so far, for whoever looks first."""
        self._a2a: dict[tuple[Any, Any], A2ASeries] = {}
        self._ccr: dict[tuple[Any, Any], CCRSeries] = {}
        self._decisions: dict[tuple[Any, Any, Any], BoundCounter] = {}

    def outcome(self, agent: str, operation: str, status: str) -> A2AOutcome:
        """The handles for one finished request."""
        key = (_key(self._agents, agent), _key(self._operations, operation), status)
        found: A2AOutcome | None = _known(self.outcomes, key)
        if found is not None:
            return found
        t = self._telemetry
        count = t[rows.A2A_REQUESTS].labels(agent, operation, status)
        duration = t[rows.A2A_REQUEST_DURATION].labels(agent, operation, status)
        outcome = A2AOutcome(duration, count, t[rows.A2A_RESPONSE_SIZE].labels(agent))
        self.a2a(agent, operation)  # the zeros of the other endings
        _keep(self.outcomes, key, outcome, count)
        return outcome

    def a2a(self, agent: str, operation: str) -> A2ASeries:
        """The handles of one agent and operation."""
        found: A2ASeries | None = _known(self._a2a, (agent, operation))
        if found is not None:
            return found
        key = (_key(self._agents, agent), _key(self._operations, operation))
        found = _known(self._a2a, key)
        if found is not None:
            return found
        t = self._telemetry
        for metric in (rows.A2A_REQUESTS, rows.A2A_REQUEST_DURATION, rows.A2A_ERRORS):
            t.start_at_zero(metric, agent=agent, operation=operation)
        t.start_at_zero(rows.A2A_RESPONSE_SIZE, agent=agent)
        duration = {s: t[rows.A2A_REQUEST_DURATION].labels(agent, operation, s) for s in _ENDINGS}
        count = {s: t[rows.A2A_REQUESTS].labels(agent, operation, s) for s in _ENDINGS}
        labels = count["success"].attributes  # as the span starts; a failure corrects the status
        active, size = t[rows.A2A_ACTIVE_TASKS].labels(agent), t[rows.A2A_RESPONSE_SIZE].labels(agent)
        series = A2ASeries(labels, duration, count, active, size)
        _keep(self._a2a, key, series, count["success"])
        return series

    def decision(self, endpoint: str, workspace_id: str, result: str) -> BoundCounter:
        """The counter of one decision of the rate limiter; the other results of its workspace start at 0 with it."""
        kept = self._decisions
        try:
            counter = kept.get((endpoint, workspace_id, result))
            if counter is None:
                counter = kept.get((endpoint, _key(self._workspaces, workspace_id), result))
            if counter is not None:
                return counter
        except TypeError:  # as in _known
            pass
        t = self._telemetry
        new: BoundCounter = t[rows.RATE_LIMIT_HITS].labels(endpoint, workspace_id, result)
        if _keep(kept, (endpoint, _key(self._workspaces, workspace_id), result), new, new):
            t.start_at_zero(rows.RATE_LIMIT_HITS, endpoint=endpoint, workspace_id=workspace_id)
        return new

    def ccr(self, provider: str, task_type: str) -> CCRSeries:
        """The handles of one provider and task type."""
        found: CCRSeries | None = _known(self._ccr, (provider, task_type))
        if found is not None:
            return found
        key = (_key(self._providers, provider), _key(self._task_types, task_type))
        found = _known(self._ccr, key)
        if found is not None:
            return found
        t = self._telemetry
        t.start_at_zero(rows.CCR_REQUESTS, provider=provider, task_type=task_type)
        t.start_at_zero(rows.CCR_TOKENS, provider=provider)
        t.start_at_zero(rows.CCR_LATENCY, provider=provider)
        count = {s: t[rows.CCR_REQUESTS].labels(provider, task_type, s) for s in _ENDINGS}
        tokens = {d: t[rows.CCR_TOKENS].labels(provider, d) for d in ("input", "output", "unknown")}
        labels = count["success"].attributes  # as the span starts; a failure corrects the status
        series = CCRSeries(labels, count, t[rows.CCR_LATENCY].labels(provider), tokens)
        _keep(self._ccr, key, series, count["success"])
        return series


def _key(domain: Domain, value: Any) -> Any:
    return _OVERFLOW if domain.overflows(value) else value


def _known(kept: Mapping[Any, Any], key: Hashable) -> Any:
    try:
        return kept.get(key)
    except TypeError:  # a value that cannot be hashed is invalid, and nothing is kept for it
        return None


def _keep(kept: dict[Any, Any], key: tuple[Any, ...], bundle: Any, handle: BoundInstrument) -> bool:
    """Keep what was made for ``key``, where that is bounded: its values are the series' own, or over a limit."""
    if any(part is not _OVERFLOW and part != value for part, value in zip(key, handle.values, strict=False)):
        return False
    kept[key] = bundle
    return True
