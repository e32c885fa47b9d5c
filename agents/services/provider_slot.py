"""One provider as the router sees it: what it is asked for, whether it may be asked, and how many ask at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from agents.services.breaker import Breaker
from agents.services.providers.base import Provider
from agents.services.time_budget import TimeBudget
from agents.settings.values import ProviderSettings
from telemetry.agentos.errors import reason_of
from telemetry.agentos.genai import Target
from telemetry.agentos.model_metrics import ModelMetrics

__all__ = ["Admission", "ProviderSlot", "QueueFull", "target_of"]

_NOT_ITS_DOING = frozenset({"client", "cancelled"})
"""Reasons that say nothing about the provider's health."""


class QueueFull(Exception):
    """No turn came while there was time."""


@dataclass(slots=True)
class Admission:
    """One time that the provider is asked, and what its end depends on."""

    generation: int
    """The breaker's, when it let the call through."""
    begun: bool = False
    """Whether text has come."""
    short: bool = False
    """Whether so little time was left for it that running out of it is not the provider's doing."""


def target_of(name: str, vendor: str, model: str, settings: ProviderSettings) -> Target:
    """What attempts at this provider are aimed at."""
    url = urlsplit(settings.base_url)
    port = str(url.port or {"https": 443}.get(url.scheme, 80)) if url.hostname else ""
    serves = settings.kind == "builtin"
    return Target(name, vendor, model, url.hostname or "", port, streams=serves or settings.stream, serves=serves)


class ProviderSlot:
    """Holds a provider's breaker and its turns."""

    def __init__(
        self, name: str, provider: Provider, settings: ProviderSettings, breaker: Breaker, models: ModelMetrics
    ) -> None:
        self.name = name
        self.provider = provider
        self.timeout = settings.timeout
        self.target = target_of(name, provider.vendor, provider.model, settings)
        self.breaker = breaker
        self._models = models
        self._turns = asyncio.Semaphore(settings.max_in_flight) if settings.max_in_flight else None

    @asynccontextmanager
    async def turn(self, budget: TimeBudget) -> AsyncIterator[None]:
        """Lets the block ask the provider, after those who came before. Raises ``QueueFull``."""
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

    def asked(self) -> Admission | None:
        """The provider is to be asked; None where its breaker does not allow it. ``report_result`` must be told the end."""
        allowed = self.breaker.allows()  # which may change its era
        return Admission(self.breaker.generation) if allowed else None

    def report_result(self, error: BaseException | None, asked: Admission) -> None:
        """Tells the breaker how a call ended."""
        if error is None or (asked.begun and not isinstance(error, Exception)):
            self.breaker.succeeded(asked.generation)
        elif self._blames(error, asked):
            self.breaker.failed(asked.generation)
        else:
            self.breaker.released(asked.generation)

    @staticmethod
    def _blames(error: BaseException, asked: Admission) -> bool:
        if isinstance(error, QueueFull) or reason_of(error) in _NOT_ITS_DOING:
            return False
        return not (asked.short and isinstance(error, TimeoutError))
