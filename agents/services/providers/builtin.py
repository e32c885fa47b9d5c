"""The built-in model provider: answers without a network, so that the service works as installed."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncGenerator, Awaitable, Callable

from agents.services.providers.base import ModelRequest, ProviderError
from agents.settings import ProviderSettings
from telemetry.agentos.tokens import Modalities, Tokens

__all__ = ["BuiltinProvider", "tokens"]

_TOKEN = re.compile(r"\w+|[^\w\s]")
_QUOTED = 24
"""Tokens of the prompt that the answer quotes at most."""


def tokens(text: str) -> list[str]:
    """Returns the text's tokens in this provider's vocabulary: words and punctuation marks."""
    return _TOKEN.findall(text)


class BuiltinProvider:
    """Answers in several pieces within ``latency`` seconds, fails at ``failure_rate``, and counts its tokens exactly."""

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

    async def answer(self, request: ModelRequest) -> AsyncGenerator[str | Tokens, None]:
        """Yields three sentences, before each the usage with it, and at the end the whole usage.

        Raises:
            ProviderError: At the rate of ``failure_rate``.
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
            yield self._usage(len(read), written)
            yield piece
        yield self._usage(len(read), written)

    def _usage(self, read: int, written: int) -> Tokens:
        return Tokens(
            *(read, written),
            model=self.model,
            input_modalities=Modalities(text=read),
            output_modalities=Modalities(text=written),
        )

    async def close(self) -> None:
        """Does nothing: there is no connection."""
