"""The protocol of model providers, their requests and their errors."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from telemetry.agentos.tokens import Tokens

__all__ = ["ModelRequest", "Provider", "ProviderError"]


class ProviderError(Exception):
    """A provider could not answer.

    Args:
        message: A sentence for the log.
        reason: A value of the metrics' label ``reason``.
        status: The HTTP status, if there was one.
        retry_after: Seconds that the provider asks to wait, if it does.
    """

    def __init__(
        self, message: str, reason: str = "server", *, status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.status = status
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """A prompt and the type of its task."""

    task_type: str
    prompt: str


class Provider(Protocol):
    """A model provider."""

    vendor: str
    """Whose protocol it speaks, in the words of OpenTelemetry's GenAI conventions."""
    model: str
    """The model it asks for."""

    def answer(self, request: ModelRequest) -> AsyncGenerator[str | Tokens, None]:
        """Yields the answer's text piece by piece ("" for a chunk without text) and, when it is known, the usage so far.

        Any exception fails the answer.
        """

    async def close(self) -> None:
        """Closes connections."""
