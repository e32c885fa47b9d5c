"""The model router (CCR): which provider answers a task, when it is asked again, and who is next when it cannot."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from itertools import count, zip_longest

from opentelemetry.semconv._incubating.attributes.gen_ai_attributes import GEN_AI_INPUT_MESSAGES, GEN_AI_OUTPUT_MESSAGES

from agents.services.breaker import Breaker
from agents.services.ccr_usage import measured
from agents.services.provider_slot import Admission, ProviderSlot, QueueFull
from agents.services.providers.base import ModelRequest, Provider, ProviderError
from agents.services.retry import Retry
from agents.services.time_budget import TimeBudget
from agents.settings import ProviderSettings, Settings
from telemetry.agentos.errors import reason_of
from telemetry.agentos.genai import Target
from telemetry.agentos.recorder import Recorder

__all__ = ["ModelRequest", "Provider", "ProviderError", "Router", "RouterError"]

_log = logging.getLogger(__name__)


class RouterError(Exception):
    """No provider of the task type could answer."""


class _ProviderUnavailable(Exception):
    """A provider did not answer before its first text: the next one may."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class _RequestState:
    """One request on its way."""

    request: ModelRequest
    budget: TimeBudget
    attempts: int = 0


class Router:
    """Asks the providers of a task type in their order until one answers.

    Each call of a provider, a repetition included, is an attempt: one span, one count of ``ccr.requests``, its own latency and
    tokens. What belongs to the request as a whole is counted once, beside.
    """

    def __init__(
        self,
        providers: Mapping[str, Provider],
        routes: Mapping[str, tuple[str, ...]],
        recorder: Recorder,
        trace_content: bool = False,
        settings: Settings | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings = settings or Settings()
        self._routes = routes
        self._recorder = recorder
        self._tracer = recorder.tracer
        self._models = models = recorder.models
        self._trace_content = trace_content
        self._clock = clock
        self._sleep = sleep
        self._retry = Retry(settings.retries, settings.retry_wait, settings.retry_longest_wait, chance)
        self._slots: dict[str, ProviderSlot] = {}
        for name, provider in providers.items():
            changed = partial(models.record_breaker, name)
            breaker = Breaker(settings.breaker_failures, settings.breaker_pause, changed, clock)
            slot = ProviderSlot(name, provider, settings.providers.get(name, ProviderSettings()), breaker, models)
            self._slots[name] = slot
            models.initialize_provider(slot.target)
        for names in [*routes.values(), tuple(providers)]:
            models.initialize_route(names)

    def route(self, task_type: str) -> tuple[str, ...]:
        """The names of the providers for a task type, in order."""
        return self._routes.get(task_type) or tuple(self._slots)

    def target(self, name: str) -> Target:
        """What attempts at this provider are aimed at."""
        return self._slots[name].target

    async def stream(self, request: ModelRequest) -> AsyncGenerator[str, None]:
        """Yields the answer as it comes. Raises ``RouterError`` when nobody answers, or not in time.

        Once text has gone out there is no way back: a provider that fails after its first piece fails the answer.
        """
        with self._tracer.start_as_current_span("ccr.route", attributes={"task_type": request.task_type}) as span:
            journey = _RequestState(request, TimeBudget(self._settings.call_timeout, self._clock))
            status = "error"
            try:
                async with aclosing(self._along(journey)) as pieces:
                    async for piece in pieces:
                        yield piece
                status = "success"
            finally:
                span.set_attribute("ccr.attempts", journey.attempts)
                self._models.record_answer(request.task_type, status, journey.attempts)

    async def _along(self, journey: _RequestState) -> AsyncGenerator[str, None]:
        """The route's providers in turn."""
        task_type = journey.request.task_type
        route = self.route(task_type)
        for name, following in zip_longest(route, route[1:]):
            try:
                async with aclosing(self._at(self._slots[name], journey)) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            except _ProviderUnavailable as away:
                if journey.budget.left <= 0:
                    raise RouterError(f"no provider answered the task {task_type!r} in time") from away.__cause__
                if following is not None:
                    self._models.record_fallback(name, following, away.reason)
        raise RouterError(f"no provider could answer the task {task_type!r}")

    async def _at(self, slot: ProviderSlot, journey: _RequestState) -> AsyncGenerator[str, None]:
        """One provider, as often as is set. Raises ``_ProviderUnavailable``, or ``RouterError`` once text has gone out."""
        for repetition in count(1):
            asked = slot.asked()
            if asked is None:
                self._models.record_skip(slot.name, "breaker_open")
                raise _ProviderUnavailable("breaker_open")
            try:
                async with slot.turn(journey.budget), aclosing(self._attempt(slot, journey, asked)) as pieces:
                    async for piece in pieces:
                        asked.begun = True
                        yield piece
            except QueueFull as error:
                slot.report_result(error, asked)
                self._models.record_skip(slot.name, "queue")
                raise _ProviderUnavailable("queue") from error
            except Exception as error:  # whatever one provider raises, the next one can still answer
                slot.report_result(error, asked)
                await self._wait_before_retry(slot, journey, error, repetition, begun=asked.begun)
            except BaseException as error:  # the reader left, which says nothing of the provider unless it had begun
                slot.report_result(error, asked)
                raise
            else:
                slot.report_result(None, asked)
                return

    async def _wait_before_retry(
        self, slot: ProviderSlot, journey: _RequestState, error: Exception, repetition: int, *, begun: bool
    ) -> None:
        """Waits until the provider may be asked again.

        Raises ``_ProviderUnavailable`` if it may not, ``RouterError`` if no provider may.
        """
        _log.warning("provider %s failed at %s: %s", slot.name, journey.request.task_type, error or type(error).__name__)
        if begun:
            raise RouterError(f"provider {slot.name} failed in the middle of its answer") from error
        reason = reason_of(error)
        delay = self._retry.delay(repetition, reason, getattr(error, "retry_after", None))
        if delay is None or delay >= journey.budget.left:
            raise _ProviderUnavailable(reason) from error
        self._models.record_retry(slot.name, reason)
        await journey.budget.wait(self._sleep(delay))

    async def _attempt(self, slot: ProviderSlot, journey: _RequestState, asked: Admission) -> AsyncGenerator[str, None]:
        """One call of a provider, measured, on a span that says which model was asked."""
        request = journey.request
        # Whoever has not even half of the time that is usual may be healthy and run out of it.
        asked.short = journey.budget.left < min(slot.timeout, self._settings.call_timeout) / 2
        journey.attempts += 1
        attempt = self._recorder.model_attempt(slot.target, request.task_type, journey.attempts)
        attributes = {GEN_AI_INPUT_MESSAGES: _messages("user", request.prompt)} if self._trace_content else {}
        budget = (TimeBudget(slot.timeout, self._clock), journey.budget)
        answer = slot.provider.answer(request)
        calls = measured(attempt, slot.target, answer, budget, self._settings.prices, attributes)
        answered: list[str] = []
        async with aclosing(calls) as pieces:
            async for piece in pieces:
                if self._trace_content:
                    answered.append(piece)
                    attempt.span.set_attribute(GEN_AI_OUTPUT_MESSAGES, _messages("assistant", "".join(answered)))
                yield piece

    async def close(self) -> None:
        """Closes all providers."""
        for slot in self._slots.values():
            await slot.provider.close()


def _messages(role: str, text: str) -> str:
    """One message in the JSON form of OpenTelemetry's GenAI conventions."""
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])
