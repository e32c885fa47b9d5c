"""A provider that speaks the OpenAI chat-completions protocol (extra ``openai``)."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from agents.services.providers.base import ModelRequest, ProviderError
from agents.settings import ProviderSettings, SettingsError
from telemetry.agentos.tokens import Tokens

if TYPE_CHECKING:
    from openai.types.completion_usage import CompletionUsage

__all__ = ["OpenAIProvider"]


class OpenAIProvider:
    """Streams the answer and asks for its usage, which comes in a chunk of its own after the last text.

    With ``stream`` off it gets the answer in one piece.
    """

    def __init__(self, settings: ProviderSettings) -> None:
        try:
            import openai
        except ImportError:
            raise SettingsError(
                "AGENTOS_PROVIDERS has a provider of kind openai, which needs pip install 'agentos-telemetry[openai]'."
            ) from None
        self._errors = openai.OpenAIError
        self.vendor = settings.vendor
        self.model = settings.model
        self._streams = settings.stream
        self._client = openai.AsyncOpenAI(
            base_url=settings.base_url,
            api_key=os.environ.get(settings.api_key_env) or "none",  # local servers need none, but the client does
            timeout=settings.timeout,
            max_retries=0,  # the router repeats calls, and counts them
        )

    async def answer(self, request: ModelRequest) -> AsyncGenerator[str | Tokens, None]:
        """Yields the text of each chunk, and the usage that the server reports.

        Raises:
            ProviderError: The server refused, failed, or sent no answer of the protocol.
        """
        from agents.services.providers.openai_errors import failure_of

        messages = [{"role": "user", "content": request.prompt}]
        try:
            async with aclosing(self._streamed(messages) if self._streams else self._whole(messages)) as pieces:
                async for piece in pieces:
                    yield piece
        except self._errors as error:
            raise failure_of(error) from error
        except (ValueError, TypeError, AttributeError, LookupError) as error:  # other JSON than the protocol's, or no JSON
            raise ProviderError(f"the answer is none of the protocol: {error}", "protocol") from error

    async def _streamed(self, messages: Any) -> AsyncGenerator[str | Tokens, None]:
        chunks = await self._client.chat.completions.create(
            model=self.model, messages=messages, stream=True, stream_options={"include_usage": True}
        )
        begun = False
        async with chunks:
            async for chunk in chunks:
                begun = True
                if chunk.usage is not None:
                    yield _usage(chunk.usage, chunk.model)
                if chunk.choices:
                    yield chunk.choices[0].delta.content or ""
        if not begun:  # such as a proxy's page: the client reads it as a stream without events
            raise ProviderError("the answer is no stream of chunks", "protocol")

    async def _whole(self, messages: Any) -> AsyncGenerator[str | Tokens, None]:
        answer = await self._client.chat.completions.create(model=self.model, messages=messages)
        if answer.usage is not None:
            yield _usage(answer.usage, answer.model)
        yield answer.choices[0].message.content or ""

    async def close(self) -> None:
        """Closes the connection pool."""
        await self._client.close()


def _usage(used: CompletionUsage, model: str) -> Tokens:
    """The usage in our type. Servers omit counts that they do not have, whatever the protocol says."""
    read, written = used.prompt_tokens_details, used.completion_tokens_details
    return Tokens(
        _count(used.prompt_tokens),
        _count(used.completion_tokens),
        _count(used.total_tokens),
        model if isinstance(model, str) else None,
        cached_tokens=_count(getattr(read, "cached_tokens", None)),
        reasoning_tokens=_count(getattr(written, "reasoning_tokens", None)),
    )


def _count(value: object) -> int | None:
    """A number of tokens, else ``None``: the client does not check the values that servers send."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
