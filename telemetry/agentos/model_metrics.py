"""What model and A2A calls record beside the contract, as far as the telemetry's catalogue has the rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from telemetry.agentos import catalogue_models as rows
from telemetry.agentos.a2a_recording import A2ACallDetails
from telemetry.agentos.calls import A2ACall
from telemetry.agentos.catalogue_genai import LATEST, V1_36, GenAI
from telemetry.agentos.genai import Target
from telemetry.agentos.model_attempt import ModelAttempt
from telemetry.instruments.observable import ObservableValues
from telemetry.metric.definition import Metric

if TYPE_CHECKING:
    from telemetry.agentos.recorder import Recorder
    from telemetry.pipeline.telemetry import Telemetry

__all__ = ["ModelRecorder"]


class NullInstrument:
    """Stands for the series of a row that the catalogue has not."""

    def record_with_exemplar(self, value: Any, reference: bytes | None) -> None:
        """Nothing."""


class ModelRecorder:
    """Records attempts, and what the router decides between them."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self._telemetry: Telemetry = recorder.telemetry
        by_name = self._telemetry.catalogue.by_name
        self._breakers = self._kept(rows.BREAKER)
        self._costs = self._kept(rows.COST)
        self.genai: GenAI | None = next((v for v in (LATEST, V1_36) if by_name.get(v.duration.name) is v.duration), None)

    def series(self, metric: Metric | None, *values: object, **labels: object) -> Any:
        """The handle of a series, or one that records nowhere."""
        if metric is None or not self._has(metric):
            return NullInstrument()
        return self._telemetry[metric].labels(*values, **labels)

    def _kept(self, metric: Metric) -> ObservableValues | None:
        return ObservableValues(self._telemetry[metric]) if self._has(metric) else None

    def _has(self, metric: Metric) -> bool:
        return self._telemetry.catalogue.by_name.get(metric.name) is metric

    def initialize_series(self, target: Target) -> None:
        """Start what a provider and its model count at 0, its breaker as closed."""
        provider, model = {"provider": target.provider}, {"provider": target.provider, "model": target.model}
        for metric in (rows.CALL_ERRORS, rows.RETRIES, rows.SKIPS, rows.BREAKER_CHANGES):
            self._zero(metric, **provider)
        for metric in (rows.MODEL_TOKENS, rows.UNPRICED_CALLS):
            self._zero(metric, **model)
        if target.streams:
            self._zero(rows.FIRST_TOKEN, **provider)
        self.spent(target, Decimal(0))
        for metric in (rows.QUEUED, rows.IN_FLIGHT):
            self.series(metric, **provider).record_with_exemplar(0, None)
        if self._breakers is not None:
            self._breakers.set(rows.BREAKER_LEVELS["closed"], target.provider)

    def initialize_route(self, names: Collection[str]) -> None:
        """Start the fall-backs along a route at 0."""
        for here, there in pairwise(names):
            self._zero(rows.FALLBACKS, from_provider=here, to_provider=there)

    def _zero(self, metric: Metric, **labels: str) -> None:
        if self._has(metric):
            self._telemetry.start_at_zero(metric, **labels)

    def attempt(self, target: Target, task_type: str, number: int) -> ModelAttempt:
        """Measure one call of a provider: the contract's metrics and these."""
        return ModelAttempt(self, target, task_type, number)

    def a2a(self, call: A2ACall, agent: str, operation: str) -> A2ACallDetails:
        """The details of an A2A call."""
        return A2ACallDetails(self, call, agent, operation)

    def initialize_task(self, task_type: str) -> None:
        """Start the attempts for a kind of task at 0."""
        self._zero(rows.ROUTED_ATTEMPTS, task_type=task_type)

    def initialize_agent(self, agent: str, operations: Collection[str]) -> None:
        """Start the details of an agent's calls at 0: task states, request sizes, the protocol's errors, first events."""
        self._zero(rows.TASK_STATES, agent=agent)
        self._zero(rows.REQUEST_SIZE, agent=agent)
        for code in rows.PROTOCOL_CODES:
            self._zero(rows.A2A_CODES, **{"agent": agent, rows.ERROR_CODE.key: code})
        for operation in operations:
            self._zero(rows.FIRST_EVENT, agent=agent, operation=operation)

    def answered(self, task_type: str, status: str, attempts: int) -> None:
        """One routed request ended after so many attempts; 0: no provider was asked."""
        self.series(rows.ROUTED_ATTEMPTS, task_type, status).record_with_exemplar(attempts, None)

    def spent(self, target: Target, cost: Decimal) -> None:
        """An attempt cost this many USD."""
        if self._costs is not None:
            self._costs.add(cost, target.provider, target.model)

    def retried(self, provider: str, reason: str) -> None:
        """The provider is asked again."""
        self.series(rows.RETRIES, provider, reason).record_with_exemplar(1, None)

    def fell_back(self, before: str, after: str, reason: str) -> None:
        """Another provider is asked."""
        self.series(rows.FALLBACKS, before, after, reason).record_with_exemplar(1, None)

    def skipped(self, provider: str, reason: str) -> None:
        """The provider is not asked."""
        self.series(rows.SKIPS, provider, reason).record_with_exemplar(1, None)

    def breaker(self, provider: str, state: str) -> None:
        """The provider's breaker changed."""
        if self._breakers is not None:
            self._breakers.set(rows.BREAKER_LEVELS[state], provider)
        self.series(rows.BREAKER_CHANGES, provider, state).record_with_exemplar(1, None)

    @contextmanager
    def queued(self, provider: str) -> Iterator[None]:
        """A call waits for its turn."""
        level = self.series(rows.QUEUED, provider)
        level.record_with_exemplar(1, None)
        try:
            yield
        finally:
            level.record_with_exemplar(-1, None)
