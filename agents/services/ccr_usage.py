"""Measures model calls, with the tokens that their providers report and their cost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager

from opentelemetry.semconv._incubating.attributes.error_attributes import ERROR_MESSAGE
from opentelemetry.semconv._incubating.attributes.gen_ai_attributes import GEN_AI_INPUT_MESSAGES, GEN_AI_OUTPUT_MESSAGES
from opentelemetry.trace import Span

from agents.services.providers.base import ProviderError
from agents.services.time_budget import TimeBudget
from agents.settings.prices import Prices
from telemetry.agentos.model_attempt import ModelAttempt
from telemetry.agentos.quota import Quota
from telemetry.agentos.tokens import Tokens

__all__ = ["MeasuredAnswers"]


class MeasuredAnswers:
    """Reads providers' answers, and records each call when it ends: count, latency, tokens and cost; quotas as they come.

    The latency is the time that really passed. A reader who closes the answer early ends the call as failed, with the usage
    that was reported until then, and an estimate of what was not.

    Args:
        prices: The operator's prices.
        trace_content: Whether spans carry the text of prompt, answer and error.
    """

    def __init__(self, prices: Prices, *, trace_content: bool = False) -> None:
        self._prices = prices
        self._trace_content = trace_content

    async def read(
        self,
        attempt: ModelAttempt,
        pieces: AsyncGenerator[str | Tokens | Quota, None],
        budget: tuple[TimeBudget, ...],
        prompt: str,
    ) -> AsyncGenerator[str, None]:
        """Yields the text of an answer.

        Its reader closes it (``contextlib.aclosing``) in the task that reads it, because the span is current in between.

        Args:
            attempt: The call to record.
            pieces: The provider's answer to it.
            budget: Time limits of the waits for pieces; each of them ends the call.
            prompt: The prompt.

        Raises:
            TimeoutError: A time budget is used up.
            ProviderError: The answer has no text: its reader could not use it.
            Exception: Any exception of the provider.
        """
        has_text = False
        async with attempt as call, aclosing(pieces):
            with self._content_on(call.span, prompt) as said, _estimated_when_cancelled(call, prompt):
                while (piece := await budget[0].wait(anext(pieces, None), *budget[1:])) is not None:
                    self._record(call, piece)
                    if isinstance(piece, str) and piece:
                        has_text = True
                        said(piece)
                        yield piece
                        call.ask()
                if not has_text:
                    raise ProviderError("the answer has no text", "protocol")

    def _record(self, call: ModelAttempt, piece: str | Tokens | Quota) -> None:
        if isinstance(piece, Tokens):
            call.used(piece, self._prices.cost(call.target.provider, call.target.model, piece))
        elif isinstance(piece, Quota):
            call.quota(piece)
        else:
            call.chunk(piece)

    @contextmanager
    def _content_on(self, span: Span, prompt: str) -> Iterator[Callable[[str], object]]:
        """Puts the text of prompt, answer (what is told piece by piece) and error on the span, where it carries them."""
        if not self._trace_content:
            yield lambda _: None
            return
        said: list[str] = []
        try:
            yield said.append
        except ProviderError as error:
            if error.detail:
                span.set_attribute(ERROR_MESSAGE, error.detail)
            raise
        finally:
            _put_content(span, prompt, "".join(said))


@contextmanager
def _estimated_when_cancelled(call: ModelAttempt, prompt: str) -> Iterator[None]:
    try:
        yield
    except (asyncio.CancelledError, GeneratorExit):
        call.estimate_input(prompt)
        raise


def _put_content(span: Span, prompt: str, answer: str) -> None:
    span.set_attribute(GEN_AI_INPUT_MESSAGES, _messages("user", prompt))
    if answer:
        span.set_attribute(GEN_AI_OUTPUT_MESSAGES, _messages("assistant", answer))


def _messages(role: str, text: str) -> str:
    """A message in the JSON form of OpenTelemetry's GenAI conventions."""
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])
