"""Who answers a model request: the protocol of providers, and how they say that they cannot."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from agents.services.ccr_usage import Usage

__all__ = ["ModelRequest", "Provider", "ProviderError"]


class ProviderError(Exception):
    """A provider could not answer; the message is fit for a log.

    ``reason`` is one of the words of the metrics' label. ``status`` is the HTTP status, ``retry_after`` the seconds that the
    provider wants us to wait, where it said so.
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
    """What a model is asked, and for which kind of task."""

    task_type: str
    prompt: str


class Provider(Protocol):
    """Who can answer."""

    vendor: str
    """Whose protocol it speaks, in the words of OpenTelemetry's GenAI conventions."""
    model: str
    """The model it asks for."""

    def answer(self, request: ModelRequest) -> AsyncGenerator[str | Usage, None]:
        """Yields the answer's text piece by piece (empty for a chunk that brings none) and, whenever it is known, the usage
        so far; raises any exception to fail.
        """

    async def close(self) -> None:
        """Gives connections back."""
