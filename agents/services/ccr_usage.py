"""Measures one model call, with the tokens that its provider reports and their cost."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing

from opentelemetry.semconv._incubating.attributes.error_attributes import ERROR_MESSAGE
from opentelemetry.semconv._incubating.attributes.gen_ai_attributes import GEN_AI_INPUT_MESSAGES, GEN_AI_OUTPUT_MESSAGES
from opentelemetry.trace import Span

from agents.services.providers.base import ProviderError
from agents.services.time_budget import TimeBudget
from agents.settings.prices import Prices
from telemetry.agentos.genai import Target
from telemetry.agentos.model_attempt import ModelAttempt
from telemetry.agentos.tokens import Tokens

__all__ = ["measured"]


async def measured(
    attempt: ModelAttempt,
    target: Target,
    pieces: AsyncGenerator[str | Tokens, None],
    budget: tuple[TimeBudget, ...],
    prices: Prices,
    prompt: str | None,
) -> AsyncGenerator[str, None]:
    """Yields the text of an answer and records the call when it ends: count, latency, tokens, cost.

    The latency is the time that really passed. A reader that closes the generator early ends the call as failed, with the
    usage that was reported until then. It closes the generator (``contextlib.aclosing``) in the task that reads it, because
    the span is current in between.

    Args:
        attempt: The call to record.
        target: The provider and the model that is asked for.
        pieces: The provider's answer.
        budget: Time limits of the waits for pieces; each of them ends the call.
        prices: The operator's prices.
        prompt: The prompt, if the span is to carry the text of prompt, answer and error; else ``None``.

    Raises:
        TimeoutError: A time budget is used up.
        ProviderError: The answer has no text: its reader could not use it.
        Exception: Any exception of the provider.
    """
    said: list[str] = []
    has_text = False
    async with attempt as call, aclosing(pieces):
        try:
            first, *others = budget
            while (piece := await first.wait(anext(pieces, None), *others)) is not None:
                if isinstance(piece, Tokens):
                    call.used(piece, prices.cost(target.provider, target.model, piece))
                    continue
                call.chunk(piece)
                if piece:
                    has_text = True
                    if prompt is not None:
                        said.append(piece)
                    yield piece
            if not has_text:
                raise ProviderError("the answer has no text", "protocol")
        except ProviderError as error:
            if prompt is not None and error.detail:
                call.span.set_attribute(ERROR_MESSAGE, error.detail)
            raise
        finally:
            if prompt is not None:
                _put_content(call.span, prompt, "".join(said))


def _put_content(span: Span, prompt: str, answer: str) -> None:
    span.set_attribute(GEN_AI_INPUT_MESSAGES, _messages("user", prompt))
    if answer:
        span.set_attribute(GEN_AI_OUTPUT_MESSAGES, _messages("assistant", answer))


def _messages(role: str, text: str) -> str:
    """A message in the JSON form of OpenTelemetry's GenAI conventions."""
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])
