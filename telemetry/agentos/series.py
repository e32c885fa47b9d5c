"""The bound instruments that one event of AgentOS needs, found by one look-up.

Values over their label's limit share one entry, so that neither memory nor the time of a look-up grows in a flood of labels.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry.trace import Tracer

from telemetry.agentos import catalogue as rows
from telemetry.instruments.bound import BoundCounter, BoundGauge, BoundHistogram, BoundInstrument
from telemetry.instruments.event import BoundEvent
from telemetry.instruments.number import finite_number
from telemetry.metric import Metric, telemetry_metrics
from telemetry.metric.label_values import Domain
from telemetry.pipeline.telemetry import Telemetry

__all__ = ["OVERFLOW", "A2ASeries", "CCRSeries", "NullInstrument", "SeriesCache"]

OVERFLOW = object()
"""Stands in a key for every value over the label's limit."""


@dataclass(slots=True)
class A2ASeries:
    """The series of one agent and operation."""

    labels: Mapping[str, str]
    outcomes: dict[str, BoundEvent]
    active: BoundGauge


@dataclass(slots=True)
class CCRSeries:
    """The series of one provider and task type."""

    labels: Mapping[str, str]
    outcomes: dict[str, BoundEvent]
    tokens: dict[str, BoundCounter]

    def add_tokens(
        self, input_tokens: int | None, output_tokens: int | None, total_tokens: int | None, reference: bytes | None
    ) -> Mapping[str, float]:
        """Counts tokens by direction. What a total holds beyond a known split is ``unknown``: it is never halved.

        Args:
            input_tokens: Tokens of the prompt, as the provider reports them.
            output_tokens: Tokens of the answer, likewise.
            total_tokens: All tokens of the call, likewise.
            reference: The span reference for the exemplars.

        Returns:
            The tokens counted, by direction.
        """
        given: dict[str, Any] = {"input": input_tokens, "output": output_tokens}
        try:
            if total_tokens is not None:
                beyond = total_tokens - (input_tokens or 0) - (output_tokens or 0)
                given["unknown"] = None if beyond <= 0 else beyond
            numbers = {direction: finite_number(count) for direction, count in given.items() if count is not None}
        except Exception as error:  # a provider may report its usage in any type
            self.tokens["unknown"].record_failure(error)
            return {}
        for direction, number in numbers.items():
            if number != 0:
                self.tokens[direction].record_with_exemplar(given[direction], reference)
        return {direction: number for direction, number in numbers.items() if number is not None and number > 0}


class NullInstrument:
    """Stands for the series of a metric that the catalogue lacks."""

    def record_with_exemplar(self, value: float, reference: bytes | None) -> None:
        """Records nothing."""


_NULL = NullInstrument()


class SeriesCache:
    """All series of one telemetry that AgentOS records, with the clock and the tracer of its measured calls.

    Counters and histograms of new label values start at 0 for every closed value of their other labels.

    Args:
        telemetry: Its catalogue has the rows of ``AGENTOS``, and may have those of the further parts.
    """

    def __init__(self, telemetry: Telemetry) -> None:
        self.telemetry = telemetry
        self.clock: Callable[[], float] = telemetry.runtime.clock
        self.tracer: Tracer = telemetry.runtime.tracer
        self.takes_sampled: bool = telemetry[rows.A2A_REQUESTS].source.takes_sampled
        """Whether a measurement in a sampled span leaves an exemplar."""
        self.outcomes: dict[tuple[Any, Any, Any], BoundEvent] = {}
        """The results of ``outcome`` so far, for callers that look here first."""
        of = telemetry.domains.of
        self._agents = of(rows.AGENT)
        self._operations = of(rows.OPERATION)
        self._providers = of(rows.PROVIDER)
        self._task_types = of(rows.TASK_TYPE)
        self._workspaces = of(rows.WORKSPACE)
        self._a2a: dict[tuple[Any, Any], A2ASeries] = {}
        self._ccr: dict[tuple[Any, Any], CCRSeries] = {}
        self._cache_operations: dict[tuple[Any, Any], BoundEvent] = {}
        self._decisions: dict[tuple[Any, Any, Any], BoundCounter] = {}

    def record_failure(self, error: Exception) -> None:
        """Counts, and logs once, a failure of the telemetry itself, which the measured code must not see."""
        diagnostics = self.telemetry.diagnostics
        diagnostics.count(telemetry_metrics.DROPPED.name, "span", "failed")
        diagnostics.log_once(("span", type(error)), "telemetry failed beside a measured call: %r", error)

    def has(self, metric: Metric | None) -> bool:
        """Returns whether the catalogue has this row."""
        return metric is not None and self.telemetry.catalogue.has(metric)

    def series(self, metric: Metric | None, *values: object, **labels: object) -> BoundInstrument | NullInstrument:
        """Returns a series of a row that a catalogue may lack; then, and for None, one that records nothing."""
        if metric is None or not self.has(metric):
            return _NULL
        series: BoundInstrument = self.telemetry[metric].labels(*values, **labels)
        return series

    def start_at_zero(self, metric: Metric, **open_labels: str) -> None:
        """Starts the series of a row at 0 where the catalogue has it, see ``Telemetry.start_at_zero``."""
        if self.has(metric):
            self.telemetry.start_at_zero(metric, **open_labels)

    def outcome(self, agent: str, operation: str, status: str) -> BoundEvent:
        """Returns the series of one finished request."""
        key = (_key(self._agents, agent), _key(self._operations, operation), status)
        found: BoundEvent | None = _find(self.outcomes, key)
        if found is not None:
            return found
        outcome = self._new_outcome(agent, operation, status)
        self.a2a(agent, operation)  # starts the other status at 0
        _store(self.outcomes, key, outcome, outcome.count)
        return outcome

    def _new_outcome(self, agent: str, operation: str, status: str) -> BoundEvent:
        t = self.telemetry
        count = t[rows.A2A_REQUESTS].labels(agent, operation, status)
        duration = t[rows.A2A_REQUEST_DURATION].labels(agent, operation, status)
        return BoundEvent(duration, count, t[rows.A2A_RESPONSE_SIZE].labels(agent))

    def a2a(self, agent: str, operation: str) -> A2ASeries:
        """Returns the series of one agent and operation."""
        found: A2ASeries | None = _find(self._a2a, (agent, operation))
        if found is not None:
            return found
        key = (_key(self._agents, agent), _key(self._operations, operation))
        found = _find(self._a2a, key)
        if found is not None:
            return found
        t = self.telemetry
        for metric in (rows.A2A_REQUESTS, rows.A2A_REQUEST_DURATION, rows.A2A_ERRORS):
            t.start_at_zero(metric, agent=agent, operation=operation)
        t.start_at_zero(rows.A2A_RESPONSE_SIZE, agent=agent)
        outcomes = {status: self._new_outcome(agent, operation, status) for status in rows.STATUS.values}
        count = outcomes["success"].count
        # The labels are as the span starts; a failure corrects the status.
        series = A2ASeries(count.attributes, outcomes, t[rows.A2A_ACTIVE_TASKS].labels(agent))
        _store(self._a2a, key, series, count)
        return series

    def a2a_error(self, agent: str, operation: str, error_type: str) -> BoundCounter:
        """Returns the series of the error counter."""
        counter: BoundCounter = self.telemetry[rows.A2A_ERRORS].labels(agent, operation, error_type)
        return counter

    def cache_operation(self, operation: str, result: str) -> BoundEvent:
        """Returns the series of one finished cache operation."""
        found: BoundEvent | None = _find(self._cache_operations, (operation, result))
        if found is not None:
            return found
        count = self.telemetry[rows.CACHE_OPERATIONS].labels(operation, result)
        event = BoundEvent(self.cache_latency(operation), count)
        _store(self._cache_operations, (operation, result), event, count)
        return event

    def cache_latency(self, operation: str) -> BoundHistogram:
        """Returns the series of the cache's latency."""
        histogram: BoundHistogram = self.telemetry[rows.CACHE_LATENCY].labels(operation)
        return histogram

    def has_workspace(self, workspace_id: str) -> bool:
        """Whether a workspace has series of its own."""
        return workspace_id in self._workspaces.admitted

    def decision(self, endpoint: str, workspace_id: str, result: str) -> BoundCounter:
        """Returns the counter of one decision of the rate limiter; a new workspace's other results start at 0 with it."""
        decisions = self._decisions
        try:
            counter = decisions.get((endpoint, workspace_id, result))
            if counter is None:
                counter = decisions.get((endpoint, _key(self._workspaces, workspace_id), result))
            if counter is not None:
                return counter
        except TypeError:  # as in _find
            pass
        t = self.telemetry
        new: BoundCounter = t[rows.RATE_LIMIT_HITS].labels(endpoint, workspace_id, result)
        if _store(decisions, (endpoint, _key(self._workspaces, workspace_id), result), new, new):
            t.start_at_zero(rows.RATE_LIMIT_HITS, endpoint=endpoint, workspace_id=workspace_id)
        return new

    def new_ccr_outcome(self, provider: str, task_type: str, status: str) -> BoundEvent:
        """Returns the series of one finished model call, whose status may be wrong."""
        t = self.telemetry
        return BoundEvent(t[rows.CCR_LATENCY].labels(provider), t[rows.CCR_REQUESTS].labels(provider, task_type, status))

    def ccr(self, provider: str, task_type: str) -> CCRSeries:
        """Returns the series of one provider and task type."""
        found: CCRSeries | None = _find(self._ccr, (provider, task_type))
        if found is not None:
            return found
        key = (_key(self._providers, provider), _key(self._task_types, task_type))
        found = _find(self._ccr, key)
        if found is not None:
            return found
        t = self.telemetry
        t.start_at_zero(rows.CCR_REQUESTS, provider=provider, task_type=task_type)
        t.start_at_zero(rows.CCR_TOKENS, provider=provider)
        t.start_at_zero(rows.CCR_LATENCY, provider=provider)
        outcomes = {status: self.new_ccr_outcome(provider, task_type, status) for status in rows.STATUS.values}
        count = outcomes["success"].count
        series = CCRSeries(
            labels=count.attributes,  # as the span starts; a failure corrects the status
            outcomes=outcomes,
            tokens={d: t[rows.CCR_TOKENS].labels(provider, d) for d in rows.DIRECTION.values},
        )
        _store(self._ccr, key, series, count)
        return series


def _key(domain: Domain, value: Any) -> Any:
    return OVERFLOW if domain.overflows(value) else value


def _find(cache: Mapping[Any, Any], key: Hashable) -> Any:
    try:
        return cache.get(key)
    except TypeError:  # a value that cannot be hashed is invalid, and nothing is stored for it
        return None


def _store(cache: dict[Any, Any], key: tuple[Any, ...], entry: Any, series: BoundInstrument) -> bool:
    """Stores ``entry`` if its key is bounded: each value is the series' own or over its limit. Returns whether it did."""
    if any(part is not OVERFLOW and part != value for part, value in zip(key, series.values, strict=False)):
        return False
    cache[key] = entry
    return True
