"""The model router (CCR): which provider answers a task, when it is called again, and which one is next."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from itertools import count, zip_longest

from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.trace import StatusCode

from agents.services.breaker import Breaker
from agents.services.ccr_usage import MeasuredAnswers
from agents.services.provider_slot import Admission, ProviderSlot, QueueFull
from agents.services.providers.base import ModelRequest, Provider, ProviderError
from agents.services.retry import Retry
from agents.services.time_budget import TimeBudget
from agents.settings import ProviderSettings, Settings
from telemetry._base.printable import printable
from telemetry.agentos.errors import reason_of
from telemetry.agentos.genai import Target
from telemetry.agentos.recorder import Recorder

__all__ = ["ModelRequest", "Provider", "ProviderError", "Router", "RouterError"]

_log = logging.getLogger(__name__)


class RouterError(Exception):
    """No provider of the task type could answer, or one failed in the middle of its answer."""

    error_type = "model"
    """The ``error.type`` of an agent that it fails."""


class _ProviderUnavailable(Exception):
    """A provider failed before its first text: the next one may answer."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class _RequestState:
    """A request, the time it has left, and its attempts so far."""

    request: ModelRequest
    budget: TimeBudget
    attempts: int = 0


class Router:
    """Calls the providers of a task type in their order until one answers.

    Each call of a provider, repetitions included, is an attempt: one span, one count of ``ccr.requests``, its own latency and
    tokens. The metrics of the request as a whole count it once.

    Args:
        providers: Provider name -> provider, in the order of preference.
        routes: Task type -> names of its providers in order; other task types use all of them.
        recorder: Records attempts and requests.
        trace_content: Whether spans carry the text of prompt and answer.
        settings: Retries, breakers, time limits and prices; defaults if omitted.
        clock: Seconds on a monotonic clock.
        sleep: Waits before a repetition.
        chance: Random numbers from 0 to 1, for the length of that wait.
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
        settings = settings or Settings()
        models = recorder.models
        self._settings = settings
        self._routes = routes
        self._recorder = recorder
        self._tracer = recorder.tracer
        self._models = models
        self._answers = MeasuredAnswers(settings.prices, trace_content=trace_content)
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
        """Returns the names of the providers for a task type, in order."""
        return self._routes.get(task_type) or tuple(self._slots)

    def target(self, name: str) -> Target:
        """Returns what attempts at this provider are aimed at, for metrics and spans."""
        return self._slots[name].target

    def states(self) -> dict[str, str]:
        """Returns provider -> the state of its breaker: ``closed``, ``half_open`` or ``open``."""
        return {name: slot.breaker.state for name, slot in self._slots.items()}

    async def stream(self, request: ModelRequest) -> AsyncGenerator[str, None]:
        """Yields the answer as it comes.

        Raises:
            RouterError: No provider answered, or not in time. A provider that fails after its first text fails the answer:
                no other provider continues it.
        """
        with self._tracer.start_as_current_span(
            "ccr.route",
            attributes={"task_type": request.task_type},
            record_exception=False,  # a stack trace quotes the errors of providers
            set_status_on_exception=False,
        ) as span:
            state = _RequestState(request, TimeBudget(self._settings.call_timeout, self._clock))
            status = "error"
            try:
                async with aclosing(self._try_route(state)) as pieces:
                    async for piece in pieces:
                        yield piece
                status = "success"
            except Exception as error:
                span.set_attribute(ERROR_TYPE, type(error).__name__)
                span.set_status(StatusCode.ERROR, printable(error) if isinstance(error, RouterError) else None)
                raise
            finally:
                span.set_attribute("ccr.attempts", state.attempts)
                self._models.record_answer(request.task_type, status, state.attempts)

    async def _try_route(self, state: _RequestState) -> AsyncGenerator[str, None]:
        """Tries the route's providers in turn."""
        task_type = state.request.task_type
        route = self.route(task_type)
        for name, following in zip_longest(route, route[1:]):
            try:
                async with aclosing(self._try_provider(self._slots[name], state)) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            except _ProviderUnavailable as unavailable:
                if state.budget.left <= 0:
                    raise RouterError(f"no provider answered the task {task_type!r} in time") from unavailable.__cause__
                if following is not None:
                    self._models.record_fallback(name, following, unavailable.reason)
        raise RouterError(f"no provider could answer the task {task_type!r}")

    async def _try_provider(self, slot: ProviderSlot, state: _RequestState) -> AsyncGenerator[str, None]:
        """Calls one provider, and repeats the call as the settings say.

        Raises ``_ProviderUnavailable``, or ``RouterError`` if the provider fails after its first text.
        """
        for repetition in count(1):
            admission = slot.admit()
            if admission is None:
                self._models.record_skip(slot.name, "breaker_open")
                raise _ProviderUnavailable("breaker_open")
            try:
                async with slot.turn(state.budget), aclosing(self._attempt(slot, state, admission)) as pieces:
                    async for piece in pieces:
                        admission.begun = True
                        yield piece
            except QueueFull as error:
                slot.report_result(error, admission)
                self._models.record_skip(slot.name, "queue")
                raise _ProviderUnavailable("queue") from error
            except Exception as error:  # whatever this provider raises, the next one can still answer
                slot.report_result(error, admission)
                await self._wait_before_retry(slot, state, error, repetition, begun=admission.begun)
            except BaseException as error:  # the reader left: this says nothing about the provider unless text has come
                slot.report_result(error, admission)
                raise
            else:
                slot.report_result(None, admission)
                return

    async def _wait_before_retry(
        self, slot: ProviderSlot, state: _RequestState, error: Exception, repetition: int, *, begun: bool
    ) -> None:
        """Waits until the provider may be called again.

        Raises ``_ProviderUnavailable`` if it may not, ``RouterError`` if text has come: then no provider may.
        """
        _log.warning("provider %s failed at %s: %s", slot.name, state.request.task_type, _told(error))
        if begun:
            raise RouterError(f"provider {slot.name} failed in the middle of its answer") from error
        reason = reason_of(error)
        delay = self._retry.delay(repetition, reason, getattr(error, "retry_after", None))
        if delay is None or delay >= state.budget.left:
            raise _ProviderUnavailable(reason) from error
        self._models.record_retry(slot.name, reason)
        await state.budget.wait(self._sleep(delay))

    async def _attempt(self, slot: ProviderSlot, state: _RequestState, admission: Admission) -> AsyncGenerator[str, None]:
        """Makes one measured call of a provider, on a span that names the model."""
        request = state.request
        # With less than half of its usual time left, a healthy provider may time out too.
        admission.short = state.budget.left < min(slot.timeout, self._settings.call_timeout) / 2
        state.attempts += 1
        attempt = self._recorder.model_attempt(slot.target, request.task_type, state.attempts, request.workspace)
        budget = (TimeBudget(slot.timeout, self._clock), state.budget)
        answer = self._answers.read(attempt, slot.provider.answer(request), budget, request.prompt)
        async with aclosing(answer) as pieces:
            async for piece in pieces:
                yield piece

    async def close(self) -> None:
        """Closes all providers."""
        for slot in self._slots.values():
            await slot.provider.close()


def _told(error: Exception) -> str:
    """The error for the log. Only ``ProviderError`` is known to quote nothing of prompt and answer."""
    return str(error) if isinstance(error, ProviderError) else type(error).__name__
