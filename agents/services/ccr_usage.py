"""Usage -> metrics: one model call measured, with the tokens that its provider reports and what they cost."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from agents.services.time_budget import TimeBudget
from agents.settings.prices import Prices
from telemetry.agentos.genai import Target
from telemetry.agentos.model_attempt import ModelAttempt
from telemetry.agentos.tokens import Tokens

__all__ = ["Usage", "measured"]

Usage = Tokens


async def measured(
    attempt: ModelAttempt,
    target: Target,
    pieces: AsyncGenerator[str | Usage, None],
    budget: tuple[TimeBudget, ...],
    prices: Prices,
    attributes: Mapping[str, str],
) -> AsyncGenerator[str, None]:
    """Yields the text of an answer and records the call when it ends: requests, latency that really passed, tokens, cost.

    Raises ``TimeoutError`` when a patience is over, and whatever the provider raises. A reader who leaves ends the call as
    failed, with what was reported until then. ``attributes`` go on the call's span. Close it (``contextlib.aclosing``) in the
    task that reads it: the span is current in between.
    """
    async with attempt as call, aclosing(pieces):
        call.span.set_attributes(attributes)
        first, *others = budget
        while (piece := await first.wait(anext(pieces, None), *others)) is not None:
            if isinstance(piece, Usage):
                call.used(piece, prices.cost(target.provider, target.model, piece))
                continue
            call.chunk(piece)
            if piece:
                yield piece
