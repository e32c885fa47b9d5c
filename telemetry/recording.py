"""The AgentOS vocabulary over one telemetry: record_* helpers and measured calls, handles found in one look-up a call."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from opentelemetry.trace import get_current_span

from telemetry import catalogue as rows
from telemetry.calls import A2ACall, CacheCall, ModelCall
from telemetry.handles import DROPPED_ROW, BoundCounter, BoundHistogram, Handle
from telemetry.model_recording import ModelRecorder
from telemetry.series import A2AOutcome, A2ASeries, CCRSeries
from telemetry.spans import ids_if_labelled, ids_of

if TYPE_CHECKING:
    from telemetry.pipeline import Telemetry

__all__ = ["Recorder"]

_ENDINGS = ("success", "error")


class Recorder:
    """Records what AgentOS measures. Made from a ``Telemetry`` whose catalogue has the rows of ``AGENTOS``."""

    def __init__(self, telemetry: Telemetry) -> None:
        self.telemetry = telemetry
        self.clock = telemetry.runtime.clock
        self.tracer = telemetry.tracer
        self.takes_sampled: bool = telemetry[rows.A2A_REQUESTS].source.takes_sampled
        self._outcomes: dict[tuple[str, str, str], A2AOutcome] = {}
        self._a2a: dict[tuple[str, str], A2ASeries] = {}
        self._ccr: dict[tuple[str, str], CCRSeries] = {}
        self._decisions: dict[tuple[str, str, str], BoundCounter] = {}
        for metric in (rows.CACHE_OPERATIONS, rows.CACHE_LATENCY):
            telemetry.start_at_zero(metric)
        self.models = ModelRecorder(self)
        """What model calls record beside the contract."""

    def failed(self, error: Exception) -> None:
        """Count and log once a failure of the telemetry itself that the measured code must not see."""
        trouble = self.telemetry.trouble
        trouble.count(DROPPED_ROW, "span", "failed")
        trouble.log_once(("span", type(error)), "telemetry failed beside a measured call: %r", error)

    # A2A

    def record_a2a_request(
        self,
        agent: str,
        operation: str,
        status: str,
        duration_seconds: float,
        response_size_bytes: float | None = None,
        *,
        error_type: str | None = None,
    ) -> None:
        """One finished A2A request: duration in seconds, count, size in bytes, and for an error its type."""
        try:
            outcome = self._outcomes[agent, operation, status]
        except (KeyError, TypeError):
            outcome = self._outcome(agent, operation, status)
        ids = self._ids(outcome.count)
        outcome.duration.put(duration_seconds, ids)
        outcome.count.put(1, ids)
        if response_size_bytes is not None:
            outcome.size.put(response_size_bytes, ids)
        if status == "error":
            error = self.a2a_error(agent, operation, error_type or "internal")
            error.put(1, ids and self._ids(error))

    def a2a_call(self, *, agent: str, operation: str) -> A2ACall:
        """Measure one A2A call: span and the whole bundle, active tasks included."""
        return A2ACall(self, agent, operation)

    def a2a_series(self, agent: str, operation: str) -> A2ASeries:
        """The handles of one agent and operation; its counters start at 0."""
        series = self._a2a.get((agent, operation))
        if series is None:
            t = self.telemetry
            for metric in (rows.A2A_REQUESTS, rows.A2A_REQUEST_DURATION, rows.A2A_ERRORS):
                t.start_at_zero(metric, agent=agent, operation=operation)
            t.start_at_zero(rows.A2A_RESPONSE_SIZE, agent=agent)
            duration = {s: t[rows.A2A_REQUEST_DURATION].labels(agent, operation, s) for s in _ENDINGS}
            count = {s: t[rows.A2A_REQUESTS].labels(agent, operation, s) for s in _ENDINGS}
            labels = count["success"].attributes  # as the span starts; a failure corrects the status
            active, size = t[rows.A2A_ACTIVE_TASKS].labels(agent), t[rows.A2A_RESPONSE_SIZE].labels(agent)
            series = A2ASeries(labels, duration, count, active, size)
            if count["success"].values[:2] == (agent, operation):
                self._a2a[agent, operation] = series
        return series

    def a2a_error(self, agent: str, operation: str, error_type: str) -> BoundCounter:
        """The error counter's series."""
        counter: BoundCounter = self.telemetry[rows.A2A_ERRORS].labels(agent, operation, error_type)
        return counter

    def _outcome(self, agent: str, operation: str, status: str) -> A2AOutcome:
        t = self.telemetry
        count = t[rows.A2A_REQUESTS].labels(agent, operation, status)
        duration = t[rows.A2A_REQUEST_DURATION].labels(agent, operation, status)
        outcome = A2AOutcome(duration, count, t[rows.A2A_RESPONSE_SIZE].labels(agent))
        if count.values == (agent, operation, status):
            self.a2a_series(agent, operation)  # the zeros of the other endings
            self._outcomes[agent, operation, status] = outcome
        return outcome

    # Cache

    def record_cache_operation(self, operation: str, result: str, duration_seconds: float | None = None) -> None:
        """One finished cache operation, with its latency in seconds where it is known."""
        count = self.cache_count(operation, result)
        ids = self._ids(count)
        count.put(1, ids)
        if duration_seconds is not None:
            self.cache_latency(operation).put(duration_seconds, ids)

    def cache_call(self, operation: str) -> CacheCall:
        """Measure one cache operation: span, count and latency."""
        return CacheCall(self, operation)

    def cache_count(self, operation: str, result: str) -> BoundCounter:
        """The counter's series."""
        counter: BoundCounter = self.telemetry[rows.CACHE_OPERATIONS].labels(operation, result)
        return counter

    def cache_latency(self, operation: str) -> BoundHistogram:
        """The histogram's series."""
        histogram: BoundHistogram = self.telemetry[rows.CACHE_LATENCY].labels(operation)
        return histogram

    # Rate limit

    def record_rate_limit_hit(self, endpoint: str, result: str, workspace_id: str = "unknown") -> None:
        """One decision of the rate limiter."""
        counter = self._decision(endpoint, workspace_id, result)
        counter.put(1, self._ids(counter))

    def rate_limit_decision(self, endpoint: str, result: str, workspace_id: str = "unknown") -> None:
        """One decision, its labels put on the current span (the server's) first."""
        counter = self._decision(endpoint, workspace_id, result)
        ids = None
        try:
            span = get_current_span()
            if span.is_recording():
                span.set_attributes(counter.attributes)
                ids = ids_of(span) if self.takes_sampled else None
        except Exception as error:
            self.failed(error)
        counter.put(1, ids)

    def _decision(self, endpoint: str, workspace_id: str, result: str) -> BoundCounter:
        counter = self._decisions.get((endpoint, workspace_id, result))
        if counter is not None:
            return counter
        new: BoundCounter = self.telemetry[rows.RATE_LIMIT_HITS].labels(endpoint, workspace_id, result)
        if new.values == (endpoint, workspace_id, result):
            self.telemetry.start_at_zero(rows.RATE_LIMIT_HITS, endpoint=endpoint, workspace_id=workspace_id)
            self._decisions[endpoint, workspace_id, result] = new
        return new

    # Model calls

    def record_ccr_request(
        self,
        provider: str,
        task_type: str,
        status: str,
        duration_seconds: float | None = None,
        input_tokens: int | None = None,
        output_tokens: int | None = None,
        total_tokens: int | None = None,
    ) -> None:
        """One routed model call: latency in seconds and tokens where they are known."""
        series = self.ccr_series(provider, task_type)
        count = series.count.get(status) or self.telemetry[rows.CCR_REQUESTS].labels(provider, task_type, status)
        ids = self._ids(count)
        count.put(1, ids)
        if duration_seconds is not None:
            series.latency.put(duration_seconds, ids)
        self.tokens(series, input_tokens, output_tokens, total_tokens, ids)

    def model_call(self, *, provider: str, task_type: str) -> ModelCall:
        """Measure one model call: span, count, latency and tokens."""
        return ModelCall(self, provider, task_type)

    def ccr_series(self, provider: str, task_type: str) -> CCRSeries:
        """The handles of one provider and task type; its counters start at 0."""
        series = self._ccr.get((provider, task_type))
        if series is None:
            t = self.telemetry
            t.start_at_zero(rows.CCR_REQUESTS, provider=provider, task_type=task_type)
            t.start_at_zero(rows.CCR_TOKENS, provider=provider)
            t.start_at_zero(rows.CCR_LATENCY, provider=provider)
            count = {s: t[rows.CCR_REQUESTS].labels(provider, task_type, s) for s in _ENDINGS}
            tokens = {d: t[rows.CCR_TOKENS].labels(provider, d) for d in ("input", "output", "unknown")}
            labels = count["success"].attributes  # as the span starts; a failure corrects the status
            series = CCRSeries(labels, count, t[rows.CCR_LATENCY].labels(provider), tokens)
            if count["success"].values[:2] == (provider, task_type):
                self._ccr[provider, task_type] = series
        return series

    def tokens(
        self,
        series: CCRSeries,
        input_tokens: int | None,
        output_tokens: int | None,
        total_tokens: int | None,
        ids: bytes | None,
    ) -> Mapping[str, int]:
        """Tokens by direction. What a total holds beyond a known split is ``unknown``: it is never halved.

        Returns what was counted.
        """
        known = {"input": input_tokens, "output": output_tokens}
        if total_tokens is not None:
            known["unknown"] = total_tokens - (input_tokens or 0) - (output_tokens or 0)
        counted = {direction: count for direction, count in known.items() if count and count > 0}
        for direction, count in counted.items():
            series.tokens[direction].put(count, ids)
        return counted

    def know(
        self,
        *,
        agents: Mapping[str, Collection[str]] = MappingProxyType({}),
        providers: Mapping[str, Collection[str]] = MappingProxyType({}),
    ) -> None:
        """Start the counters of these agents (name -> operations) and providers (name -> task types) at 0."""
        for agent, operations in agents.items():
            for operation in operations:
                self.a2a_series(agent, operation)
            self.telemetry[rows.A2A_ACTIVE_TASKS].labels(agent).inc(0)
            self.models.know_agent(agent, operations)
        for provider, task_types in providers.items():
            for task_type in task_types:
                self.ccr_series(provider, task_type)
                self.models.know_task(task_type)

    def _ids(self, series: Handle) -> bytes | None:
        return ids_if_labelled(series) if self.takes_sampled else None
