"""Measures one model call, with the tokens that its provider reports and their cost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager, nullcontext

from opentelemetry.semconv._incubating.attributes.error_attributes import ERROR_MESSAGE
from opentelemetry.semconv._incubating.attributes.gen_ai_attributes import GEN_AI_INPUT_MESSAGES, GEN_AI_OUTPUT_MESSAGES
from opentelemetry.trace import Span

from agents.services.providers.base import ProviderError
from agents.services.time_budget import TimeBudget
from agents.settings.prices import Prices
from telemetry.agentos.genai import Target
from telemetry.agentos.model_attempt import ModelAttempt
from telemetry.agentos.quota import Quota
from telemetry.agentos.tokens import Tokens

__all__ = ["measured"]


async def measured(
    attempt: ModelAttempt,
    target: Target,
    pieces: AsyncGenerator[str | Tokens | Quota, None],
    budget: tuple[TimeBudget, ...],
    prices: Prices,
    prompt: str,
    *,
    trace_content: bool = False,
) -> AsyncGenerator[str, None]:
    """Yields the text of an answer and records the call when it ends: count, latency, tokens, cost, and quotas as they come.

    The latency is the time that really passed. A reader that closes the generator early ends the call as failed, with the
    usage that was reported until then, and estimates where none was. It closes the generator (``contextlib.aclosing``) in the
    task that reads it, because the span is current in between.

    Args:
        attempt: The call to record.
        target: The provider and the model that is asked for.
        pieces: The provider's answer.
        budget: Time limits of the waits for pieces; each of them ends the call.
        prices: The operator's prices.
        prompt: The prompt.
        trace_content: Whether the span carries the text of prompt, answer and error.

    Raises:
        TimeoutError: A time budget is used up.
        ProviderError: The answer has no text: its reader could not use it.
        Exception: Any exception of the provider.
    """
    async with attempt as call, aclosing(pieces):
        with (
            _content_on(call.span, prompt) if trace_content else nullcontext() as said,
            _estimated_when_cancelled(call, prompt),
        ):
            first, *others = budget
            has_text = False
            while (piece := await first.wait(anext(pieces, None), *others)) is not None:
                _record(call, target, piece, prices)
                if isinstance(piece, str) and piece:
                    has_text = True
                    if said is not None:
                        said.append(piece)
                    yield piece
                    call.ask()
            if not has_text:
                raise ProviderError("the answer has no text", "protocol")


def _record(call: ModelAttempt, target: Target, piece: str | Tokens | Quota, prices: Prices) -> None:
    if isinstance(piece, Tokens):
        call.used(piece, prices.cost(target.provider, target.model, piece))
    elif isinstance(piece, Quota):
        call.quota(piece)
    else:
        call.chunk(piece)


@contextmanager
def _estimated_when_cancelled(call: ModelAttempt, prompt: str) -> Iterator[None]:
    try:
        yield
    except (asyncio.CancelledError, GeneratorExit):
        call.estimate_input(prompt)
        raise


@contextmanager
def _content_on(span: Span, prompt: str) -> Iterator[list[str]]:
    """Puts the text of prompt, answer (what is appended to the list) and error on the span."""
    said: list[str] = []
    try:
        yield said
    except ProviderError as error:
        if error.detail:
            span.set_attribute(ERROR_MESSAGE, error.detail)
        raise
    finally:
        _put_content(span, prompt, "".join(said))


def _put_content(span: Span, prompt: str, answer: str) -> None:
    span.set_attribute(GEN_AI_INPUT_MESSAGES, _messages("user", prompt))
    if answer:
        span.set_attribute(GEN_AI_OUTPUT_MESSAGES, _messages("assistant", answer))


def _messages(role: str, text: str) -> str:
    """A message in the JSON form of OpenTelemetry's GenAI conventions."""
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}]}])
