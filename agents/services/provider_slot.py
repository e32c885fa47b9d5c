"""One provider as the router uses it: its target, its breaker, and the limit of calls at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agents.services.breaker import Breaker
from agents.services.providers.base import Provider
from agents.services.time_budget import TimeBudget
from agents.settings import ProviderSettings
from telemetry.agentos.errors import reason_of
from telemetry.agentos.model_metrics import ModelMetrics

__all__ = ["Admission", "ProviderSlot", "QueueFull"]

_NOT_ITS_FAULT = frozenset({"client", "cancelled"})
"""Failure reasons that say nothing about the provider's health."""


class QueueFull(Exception):
    """The time of a request ended while it waited for its turn."""


@dataclass(slots=True)
class Admission:
    """A call that the breaker has let through, and what its end depends on."""

    generation: int
    """The breaker's generation when it let the call through."""
    begun: bool = False
    """Whether text has come."""
    short: bool = False
    """Whether the call had so little time that a timeout is not the provider's fault."""


class ProviderSlot:
    """A provider with its breaker and its queue: at most ``max_in_flight`` calls run at once."""

    def __init__(
        self, name: str, provider: Provider, settings: ProviderSettings, breaker: Breaker, models: ModelMetrics
    ) -> None:
        self.name = name
        self.provider = provider
        self.timeout = settings.timeout
        self.target = settings.target(name, provider.vendor, provider.model)
        self.breaker = breaker
        self._models = models
        self._turns = asyncio.Semaphore(settings.max_in_flight) if settings.max_in_flight else None

    @asynccontextmanager
    async def turn(self, budget: TimeBudget) -> AsyncIterator[None]:
        """Waits for a turn, in the order of arrival, and holds it for the block.

        Raises:
            QueueFull: The budget ended before the turn came.
        """
        if self._turns is None:
            yield
            return
        if self._turns.locked():
            with self._models.queued(self.name):
                try:
                    await budget.wait(self._turns.acquire())
                except TimeoutError:
                    raise QueueFull(f"no turn at provider {self.name}") from None
        else:
            await self._turns.acquire()
        try:
            yield
        finally:
            self._turns.release()

    def admit(self) -> Admission | None:
        """Asks the breaker for a call; the caller reports its end to ``report_result``.

        Returns:
            The admission, ``None`` if the breaker refuses.
        """
        allowed = self.breaker.allows()  # this may change the breaker's generation
        return Admission(self.breaker.generation) if allowed else None

    def report_result(self, error: BaseException | None, admission: Admission) -> None:
        """Reports the end of a call to the breaker. ``error`` is ``None`` for a success."""
        if error is None or (admission.begun and not isinstance(error, Exception)):
            self.breaker.succeeded(admission.generation)
        elif self._blames(error, admission):
            self.breaker.failed(admission.generation)
        else:
            self.breaker.released(admission.generation)

    @staticmethod
    def _blames(error: BaseException, admission: Admission) -> bool:
        if isinstance(error, QueueFull) or reason_of(error) in _NOT_ITS_FAULT:
            return False
        return not (admission.short and isinstance(error, TimeoutError))
