"""Maps errors of the ``openai`` client to ``ProviderError``."""

from __future__ import annotations

import time
from collections.abc import Callable

import openai

from agents.services.providers.base import ProviderError
from agents.services.retry import seconds_until

__all__ = ["failure_of"]


def failure_of(error: openai.OpenAIError, now: Callable[[], float] = time.time) -> ProviderError:
    """Returns the error with its reason, its HTTP status, and the wait that the server asked for."""
    message = f"{type(error).__name__}: {error}"
    if isinstance(error, openai.APIStatusError):
        headers = error.response.headers
        return ProviderError(
            message,
            _of_status(error.status_code),
            status=error.status_code,
            retry_after=_retry_after(headers.get("retry-after-ms"), headers.get("retry-after"), now()),
        )
    if isinstance(error, openai.APITimeoutError):
        return ProviderError(message, "timeout")
    if isinstance(error, openai.APIConnectionError):
        return ProviderError(message, "unreachable")
    if isinstance(error, openai.APIResponseValidationError):
        return ProviderError(message, "protocol")
    return ProviderError(message, "server")  # an error event in the stream


def _of_status(status: int) -> str:
    if status == 429:
        return "rate_limit"
    if status in (408, 504):
        return "timeout"
    return "server" if status >= 500 else "client"


def _retry_after(milliseconds: str | None, seconds: str | None, now: float) -> float | None:
    exact = seconds_until(milliseconds, now)
    return exact / 1000 if exact is not None else seconds_until(seconds, now)
