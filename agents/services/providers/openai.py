"""A provider that speaks the OpenAI chat-completions protocol (extra ``openai``)."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Any

import httpx

from agents.outgoing import BoundedTransport, UntracedPool, outgoing_client
from agents.services.providers.base import ModelRequest, ProviderError
from agents.services.providers.chat_answer import ChatAnswer, well_formed
from agents.settings import ProviderSettings, SettingsError
from telemetry.agentos.quota import Quota, quotas_of
from telemetry.agentos.tokens import Tokens

__all__ = ["OpenAIProvider"]

_ERROR_BYTES = 64 * 1024
_ERROR_SECONDS = 1.0
# Idle connections are closed before servers close them (5 s and more): no request meets a closing one.
_POOL = httpx.Limits(max_connections=None, max_keepalive_connections=50, keepalive_expiry=2.0)


class OpenAIProvider:
    """Asks for a streamed answer and its usage; with ``stream`` off, for the answer in one piece.

    The client sends the request and maps refusals; ``ChatAnswer`` reads the answer, because the client's own types take the
    documented shape alone.
    """

    def __init__(self, settings: ProviderSettings) -> None:
        try:
            import openai
        except ImportError:
            raise SettingsError(
                "AGENTOS_PROVIDERS has a provider of kind openai, which needs pip install 'agentos[openai]'."
            ) from None
        self._errors = (openai.OpenAIError, httpx.HTTPError, ValueError, TypeError, AttributeError, LookupError, RecursionError)
        self.vendor = settings.vendor
        self.model = settings.model
        self._streams = settings.stream
        self._key = _key(settings.api_key_env)
        transport = BoundedTransport(
            UntracedPool(limits=_POOL),
            origin=settings.base_url,
            limit=settings.response_limit,
            refuse=lambda what: ProviderError(f"the provider {what}", "protocol"),
        )
        http: Any = outgoing_client(_ShortErrors(transport), timeout=settings.timeout)  # the client's types name httpx2 alone
        self._client = openai.AsyncOpenAI(
            base_url=settings.base_url,
            api_key=self._key or "none",  # local servers need none, but the client does
            timeout=settings.timeout,
            max_retries=0,  # the router repeats calls, and counts them
            http_client=http,
        )

    async def answer(self, request: ModelRequest) -> AsyncGenerator[str | Tokens | Quota, None]:
        """Yields the quotas that the headers tell (of errors too), the text of each chunk, and the usage that is reported.

        Raises:
            ProviderError: The server refused, failed, or sent no complete answer of the protocol.
        """
        from agents.services.providers.openai_errors import failure_of, headers_of

        asked: dict[str, Any] = {"model": self.model, "messages": [{"role": "user", "content": well_formed(request.prompt)}]}
        if self._streams:
            asked |= {"stream": True, "stream_options": {"include_usage": True}}
        answer = ChatAnswer(self._key)
        try:
            async with (
                self._client.chat.completions.with_streaming_response.create(**asked) as response,
                aclosing(answer.read(response.http_response.aiter_bytes())) as pieces,
            ):
                for quota in quotas_of(response.http_response.headers.multi_items()):
                    yield quota
                async for piece in pieces:
                    yield piece
        except (ProviderError, *self._errors) as error:
            for quota in quotas_of(headers_of(error)):
                yield quota
            if not answer.finished:  # a connection that breaks after the end of the answer takes nothing away
                raise failure_of(error, self._key) from None  # the client's errors quote what the server says

    async def close(self) -> None:
        """Closes the connection pool."""
        await self._client.close()


class _ShortErrors(httpx.AsyncBaseTransport):
    """Keeps the beginning of an error's body, so that neither its length nor its pace hides its status."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends one request; the body of an error is read here."""
        response = await self._inner.handle_async_request(request)
        if response.status_code < 400:
            return response
        body = b""
        with suppress(httpx.HTTPError, ProviderError, TimeoutError):
            async with asyncio.timeout(_ERROR_SECONDS):
                async for data in response.aiter_raw():
                    body += data
                    if len(body) > _ERROR_BYTES:
                        break
        await response.aclose()
        # The client decodes the body in the charset that the server names, and fails where it does not fit.
        headers = [(name, value) for name, value in response.headers.raw if name.lower() != b"content-type"]
        return httpx.Response(response.status_code, headers=headers, content=body[:_ERROR_BYTES])

    async def aclose(self) -> None:
        """Closes the inner transport."""
        await self._inner.aclose()


def _key(variable: str) -> str:
    """The key that the variable holds. Raises ``SettingsError`` for one that no HTTP header can carry."""
    key = os.environ.get(variable, "")
    if not re.fullmatch(r"[\x21-\x7e]*", key):
        raise SettingsError(
            f"{variable}, which a provider of AGENTOS_PROVIDERS names, is not usable as a key: printable ASCII characters "
            "without spaces and line ends are needed (its value is not shown)."
        )
    return key
