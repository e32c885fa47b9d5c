"""What the router of model calls records beside the contract, where the telemetry's catalogue has the rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from decimal import Decimal
from itertools import pairwise

from telemetry.agentos import catalogue_models as rows
from telemetry.agentos.estimate import Estimate, quarter_of_bytes
from telemetry.agentos.genai import Target
from telemetry.agentos.quota import Quota, QuotaMetrics
from telemetry.agentos.series import SeriesCache
from telemetry.instruments.decimals import ObservableValues
from telemetry.metric import Metric, ObservableKind

__all__ = ["ModelMetrics"]


_MOST_ESTIMATED = 1e9
"""More tokens than this are no estimate of one text."""


class ModelMetrics:
    """Records what the router decides between its attempts, what they cost, the states of the breakers, and quotas.

    Attributes:
        estimate: Estimates the tokens of a text where the provider reports none. It is called for each chunk of each stream;
            put a tokenizer here to have better estimates.
        is_recorded: Whether the telemetry's catalogue has a row of streams.
    """

    def __init__(self, cache: SeriesCache) -> None:
        self._cache = cache
        self.estimate: Estimate = quarter_of_bytes
        streams = (rows.FIRST_TOKEN, rows.INTER_TOKEN_LATENCY, rows.OUTPUT_RATE, rows.ESTIMATED_TOKENS)
        self.is_recorded = any(cache.has(row) for row in streams)
        self._quotas = QuotaMetrics(cache)
        self._breakers = self._observable_values(rows.BREAKER)
        self._costs = self._observable_values(rows.COST)

    def _observable_values(self, metric: Metric[ObservableKind]) -> ObservableValues | None:
        return ObservableValues(self._cache.telemetry[metric]) if self._cache.has(metric) else None

    def initialize_provider(self, target: Target) -> None:
        """Starts the series of a provider and its model at 0, and its breaker as closed."""
        zero = self._cache.start_at_zero
        for metric in (rows.CALL_ERRORS, rows.RETRIES, rows.SKIPS, rows.BREAKER_CHANGES):
            zero(metric, provider=target.provider)
        for metric in (rows.MODEL_TOKENS, rows.ESTIMATED_TOKENS, rows.UNPRICED_CALLS):
            zero(metric, provider=target.provider, model=target.model)
        for streamed in (rows.FIRST_TOKEN, rows.INTER_TOKEN_LATENCY, rows.OUTPUT_RATE) if target.streams else ():
            zero(streamed, provider=target.provider)
        self.add_cost(target, Decimal(0))
        for level in (rows.QUEUED, rows.IN_FLIGHT):
            self._cache.series(level, target.provider).record_with_exemplar(0, None)
        if self._breakers is not None:
            self._breakers.set(rows.BREAKER_LEVELS["closed"], target.provider)

    def initialize_route(self, names: Collection[str]) -> None:
        """Starts the fall-backs between the providers of a route at 0."""
        for before, after in pairwise(names):
            self._cache.start_at_zero(rows.FALLBACKS, from_provider=before, to_provider=after)

    def record_answer(self, task_type: str, status: str, attempts: int) -> None:
        """Records the end of a routed request, and the attempts it took; 0: no provider was asked."""
        self._cache.series(rows.ROUTED_ATTEMPTS, task_type, status).record_with_exemplar(attempts, None)

    def add_cost(self, target: Target, cost: Decimal) -> None:
        """Adds the cost of an attempt, in USD."""
        if self._costs is not None:
            self._costs.add(cost, target.provider, target.model)

    def record_quota(self, provider: str, quota: Quota) -> None:
        """Takes what a provider says that it still allows."""
        self._quotas.record(provider, quota)

    def estimated(self, text: str) -> float:
        """Returns the estimated tokens of a text; 0 where the estimate fails, which is counted and logged once."""
        try:
            count = float(self.estimate(text))
            return count if 0 <= count <= _MOST_ESTIMATED else 0.0
        except Exception as error:
            self._cache.record_failure(error)
            return 0.0

    def record_retry(self, provider: str, reason: str) -> None:
        """Counts that the provider is asked again, for this reason."""
        self._cache.series(rows.RETRIES, provider, reason).record_with_exemplar(1, None)

    def record_fallback(self, before: str, after: str, reason: str) -> None:
        """Counts that the provider ``after`` is asked in place of ``before``, for this reason."""
        self._cache.series(rows.FALLBACKS, before, after, reason).record_with_exemplar(1, None)

    def record_skip(self, provider: str, reason: str) -> None:
        """Counts that the provider is not asked, for this reason."""
        self._cache.series(rows.SKIPS, provider, reason).record_with_exemplar(1, None)

    def record_breaker(self, provider: str, state: str) -> None:
        """Sets the state of the provider's breaker, and counts the change."""
        if self._breakers is not None:
            self._breakers.set(rows.BREAKER_LEVELS[state], provider)
        self._cache.series(rows.BREAKER_CHANGES, provider, state).record_with_exemplar(1, None)

    @contextmanager
    def queued(self, provider: str) -> Iterator[None]:
        """Counts a call as queued while the block waits for its turn at the provider."""
        level = self._cache.series(rows.QUEUED, provider)
        level.record_with_exemplar(1, None)
        try:
            yield
        finally:
            level.record_with_exemplar(-1, None)
