"""The protocol of model providers, their requests and their errors."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from telemetry._base.printable import printable
from telemetry.agentos.quota import Quota
from telemetry.agentos.tokens import Tokens

__all__ = ["ModelRequest", "Provider", "ProviderError"]


class ProviderError(Exception):
    """A provider could not answer.

    Args:
        message: A sentence for the log, without any part of prompt, answer or key.
        reason: A value of the metrics' label ``reason``.
        status: The HTTP status, if there was one.
        retry_after: Seconds that the provider asks to wait, if it does.
        detail: What the provider says about it. It may quote the prompt: only spans show it, where they show prompts.
    """

    def __init__(
        self,
        message: str,
        reason: str = "server",
        *,
        status: int | None = None,
        retry_after: float | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(printable(message))
        self.reason = reason
        self.status = status
        self.retry_after = retry_after
        self.detail = printable(detail)


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """A prompt, the type of its task, and the workspace that pays for it."""

    task_type: str
    prompt: str
    workspace: str = "unknown"


class Provider(Protocol):
    """A model provider."""

    vendor: str
    """Whose protocol it speaks, in the words of OpenTelemetry's GenAI conventions."""
    model: str
    """The model it asks for."""

    def answer(self, request: ModelRequest) -> AsyncGenerator[str | Tokens | Quota, None]:
        """Yields the answer's text piece by piece ("" for a chunk without text) and, when it is known, the usage so far.

        Quotas may be yielded at any time, also before an exception. Any exception fails the answer.
        """

    async def close(self) -> None:
        """Closes connections."""
