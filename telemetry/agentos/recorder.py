"""The AgentOS vocabulary over one telemetry: record_* helpers and measured calls, handles found in one look-up a call."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from opentelemetry.trace import get_current_span

from telemetry.agentos import catalogue as rows
from telemetry.agentos.calls import A2ACall, CacheCall, ModelCall
from telemetry.agentos.model_metrics import ModelRecorder
from telemetry.agentos.series import CCRSeries, SeriesCache
from telemetry.instruments.bound import BoundCounter, BoundHistogram, BoundInstrument
from telemetry.metric import telemetry_metrics
from telemetry.tracing.span import matching_span_reference, span_reference_of

if TYPE_CHECKING:
    from telemetry.pipeline.telemetry import Telemetry

__all__ = ["Recorder"]


class Recorder:
    """Records what AgentOS measures. Made from a ``Telemetry`` whose catalogue has the rows of ``AGENTOS``."""

    def __init__(self, telemetry: Telemetry) -> None:
        self.telemetry = telemetry
        self.clock = telemetry.runtime.clock
        self.tracer = telemetry.tracer
        self.takes_sampled: bool = telemetry[rows.A2A_REQUESTS].source.takes_sampled
        self._cache = cache = SeriesCache(telemetry)
        self._outcomes = cache.outcomes
        self.a2a_series, self.ccr_series, self._decision = cache.a2a, cache.ccr, cache.decision
        for metric in (rows.CACHE_OPERATIONS, rows.CACHE_LATENCY):
            telemetry.start_at_zero(metric)
        self.models = ModelRecorder(self)
        """What model calls record beside the contract."""

    def failed(self, error: Exception) -> None:
        """Count and log once a failure of the telemetry itself that the measured code must not see."""
        diagnostics = self.telemetry.diagnostics
        diagnostics.count(telemetry_metrics.DROPPED.name, "span", "failed")
        diagnostics.log_once(("span", type(error)), "telemetry failed beside a measured call: %r", error)

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
            outcome = self._cache.outcome(agent, operation, status)
        reference = self._span_reference(outcome.count)
        outcome.duration.record_with_exemplar(duration_seconds, reference)
        outcome.count.record_with_exemplar(1, reference)
        if response_size_bytes is not None:
            outcome.size.record_with_exemplar(response_size_bytes, reference)
        if status == "error":
            error = self.a2a_error(agent, operation, error_type or "internal")
            error.record_with_exemplar(1, reference and self._span_reference(error))

    def a2a_call(self, *, agent: str, operation: str) -> A2ACall:
        """Measure one A2A call: span and the whole bundle, active tasks included."""
        return A2ACall(self, agent, operation)

    def a2a_error(self, agent: str, operation: str, error_type: str) -> BoundCounter:
        """The error counter's series."""
        counter: BoundCounter = self.telemetry[rows.A2A_ERRORS].labels(agent, operation, error_type)
        return counter

    # Cache

    def record_cache_operation(self, operation: str, result: str, duration_seconds: float | None = None) -> None:
        """One finished cache operation, with its latency in seconds where it is known."""
        count = self.cache_count(operation, result)
        reference = self._span_reference(count)
        count.record_with_exemplar(1, reference)
        if duration_seconds is not None:
            self.cache_latency(operation).record_with_exemplar(duration_seconds, reference)

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
        counter.record_with_exemplar(1, self._span_reference(counter))

    def rate_limit_decision(self, endpoint: str, result: str, workspace_id: str = "unknown") -> None:
        """One decision, its labels put on the current span (the server's) first."""
        counter = self._decision(endpoint, workspace_id, result)
        reference = None
        try:
            span = get_current_span()
            if span.is_recording():
                span.set_attributes(counter.attributes)
                reference = span_reference_of(span) if self.takes_sampled else None
        except Exception as error:
            self.failed(error)
        counter.record_with_exemplar(1, reference)

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
        known = series.count.get(status) if isinstance(status, str) else None
        count = known or self.telemetry[rows.CCR_REQUESTS].labels(provider, task_type, status)
        reference = self._span_reference(count)
        count.record_with_exemplar(1, reference)
        if duration_seconds is not None:
            series.latency.record_with_exemplar(duration_seconds, reference)
        self.tokens(series, input_tokens, output_tokens, total_tokens, reference)

    def model_call(self, *, provider: str, task_type: str) -> ModelCall:
        """Measure one model call: span, count, latency and tokens."""
        return ModelCall(self, provider, task_type)

    def tokens(
        self,
        series: CCRSeries,
        input_tokens: int | None,
        output_tokens: int | None,
        total_tokens: int | None,
        reference: bytes | None,
    ) -> Mapping[str, int]:
        """Tokens by direction. What a total holds beyond a known split is ``unknown``: it is never halved.

        Returns what was counted.
        """
        known = {"input": input_tokens, "output": output_tokens}
        try:
            if total_tokens is not None:
                known["unknown"] = total_tokens - (input_tokens or 0) - (output_tokens or 0)
            counted = {direction: count for direction, count in known.items() if count and count > 0}
        except TypeError as error:  # what a provider calls its usage may be anything
            series.tokens["unknown"].record_failure(error)
            return {}
        for direction, count in counted.items():
            series.tokens[direction].record_with_exemplar(count, reference)
        return counted

    def initialize_series(
        self,
        *,
        agents: Mapping[str, Collection[str]] = MappingProxyType({}),
        providers: Mapping[str, Collection[str]] = MappingProxyType({}),
    ) -> None:
        """Start the counters of these agents (name -> operations) and providers (name -> task types) at 0."""
        for agent, operations in agents.items():
            for operation in operations:
                self.a2a_series(agent, operation)
            self.telemetry[rows.A2A_ACTIVE_TASKS].labels(agent).start()
            self.models.initialize_agent(agent, operations)
        for provider, task_types in providers.items():
            for task_type in task_types:
                self.ccr_series(provider, task_type)
                self.models.initialize_task(task_type)

    def _span_reference(self, series: BoundInstrument) -> bytes | None:
        return matching_span_reference(series) if self.takes_sampled else None
