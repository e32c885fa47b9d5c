"""Why a model call failed: the closed words of ``reason``, and the GenAI conventions' ``error.type``."""

from __future__ import annotations

import asyncio

from telemetry.agentos.catalogue_models import REASON

__all__ = ["error_type", "reason_of"]


def reason_of(error: BaseException) -> str:
    """The ``reason`` label of an exception: its own ``reason`` attribute if that is one, else by its class."""
    own = getattr(error, "reason", None)
    if isinstance(own, str) and own in REASON.values:
        return own
    if isinstance(error, asyncio.CancelledError | GeneratorExit | KeyboardInterrupt):
        return "cancelled"
    if isinstance(error, TimeoutError):
        return "timeout"
    return "unreachable" if isinstance(error, OSError) else "internal"


def error_type(error: BaseException) -> str:
    """The HTTP status that the provider answered with where there is one (``status`` of the exception), else the reason."""
    status = getattr(error, "status", None)
    return str(status) if isinstance(status, int) else reason_of(error)
