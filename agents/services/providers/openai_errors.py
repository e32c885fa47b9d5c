"""Maps errors of the ``openai`` client, and of the HTTP below it, to ``ProviderError``."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import httpx
import openai

from agents.services.providers.base import ProviderError
from agents.services.providers.chat_answer import error_of
from agents.services.retry import number_of, seconds_until
from telemetry.agentos.errors import reason_of_status

__all__ = ["failure_of", "headers_of"]


def failure_of(error: Exception, key: str = "", now: Callable[[], float] = time.time) -> ProviderError:
    """Returns the error with its reason, its HTTP status, and the wait that the server asked for.

    Its message has no text of the server's but type and code: error bodies quote prompts, and the ``key``.
    """
    if isinstance(error, ProviderError):
        return error
    if isinstance(error, openai.APIStatusError):
        words, said, _ = error_of(error.body, key)
        headers = error.response.headers
        return ProviderError(
            f"status {error.status_code}" + (f" ({words})" if words else ""),
            reason_of_status(error.status_code),
            status=error.status_code,
            retry_after=_retry_after(headers.get("retry-after-ms"), headers.get("retry-after"), now()),
            detail=said,
        )
    kind = type(error.__cause__ or error).__name__
    if isinstance(error, openai.APITimeoutError | httpx.TimeoutException):
        return ProviderError(kind, "timeout")
    if isinstance(error, openai.APIConnectionError | httpx.TransportError):
        return ProviderError(kind, "unreachable")
    return ProviderError(f"the answer cannot be read: {kind}", "protocol")


def headers_of(error: Exception) -> Sequence[tuple[str, str]]:
    """Returns the headers of the answer that was an error; none for an error without an answer."""
    return error.response.headers.multi_items() if isinstance(error, openai.APIStatusError) else ()


def _retry_after(milliseconds: str | None, seconds: str | None, now: float) -> float | None:
    exact = number_of(milliseconds)
    return exact / 1000 if exact is not None else seconds_until(seconds, now)
