"""Measures one model call, with the tokens that its provider reports and their cost."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

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
    attributes: Mapping[str, str],
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
        attributes: Further attributes of the call's span.

    Raises:
        TimeoutError: A time budget is used up.
        ProviderError: The answer has no text: its reader could not use it.
        Exception: Any exception of the provider.
    """
    async with attempt as call, aclosing(pieces):
        call.span.set_attributes(attributes)
        first, *others = budget
        has_text = False
        while (piece := await first.wait(anext(pieces, None), *others)) is not None:
            if isinstance(piece, Tokens):
                call.used(piece, prices.cost(target.provider, target.model, piece))
                continue
            call.chunk(piece)
            if piece:
                has_text = True
                yield piece
        if not has_text:
            raise ProviderError("the answer has no text", "protocol")
