"""The built-in model provider: answers without any network, so that the service works as it is installed."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncGenerator, Awaitable, Callable

from agents.services.ccr_usage import Usage
from agents.services.providers.base import ModelRequest, ProviderError
from agents.settings import ProviderSettings

__all__ = ["BuiltinProvider", "tokens"]

_TOKEN = re.compile(r"\w+|[^\w\s]")
_QUOTED = 24
"""Tokens of the prompt that the answer quotes at most."""


def tokens(text: str) -> list[str]:
    """The text's tokens in this provider's own vocabulary: words and marks."""
    return _TOKEN.findall(text)


class BuiltinProvider:
    """Takes ``latency`` seconds for an answer in several pieces, fails at ``failure_rate``, counts its tokens exactly."""

    def __init__(
        self,
        settings: ProviderSettings,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.vendor = settings.vendor
        self.model = settings.model
        self._latency = settings.latency
        self._failure_rate = settings.failure_rate
        self._sleep = sleep
        self._chance = chance

    async def answer(self, request: ModelRequest) -> AsyncGenerator[str | Usage, None]:
        """Yields three sentences, each behind the usage that it brings, and the whole usage in the end. Raises
        ``ProviderError`` instead, as often as is set.
        """
        read = tokens(request.prompt)
        pieces = (
            f"This is about {request.task_type}. ",
            f"You wrote: {' '.join(read[:_QUOTED])}. ",
            f"That makes {len(read)} tokens read.",
        )
        if self._chance() < self._failure_rate:
            await self._sleep(self._latency)
            raise ProviderError("the built-in provider failed, as its failure_rate wants")
        written = 0
        for piece in pieces:
            await self._sleep(self._latency / len(pieces))
            written += len(tokens(piece))
            yield Usage(input_tokens=len(read), output_tokens=written, model=self.model)
            yield piece
        yield Usage(input_tokens=len(read), output_tokens=written, model=self.model)

    async def close(self) -> None:
        """Nothing is open."""
