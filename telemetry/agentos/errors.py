"""Exceptions as label values: ``error_type`` of A2A calls, ``reason`` and the conventions' ``error.type`` of model calls."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from telemetry.agentos.catalogue import ERROR_TYPE
from telemetry.agentos.catalogue_models import REASON

__all__ = ["error_type_of", "reason_of", "status_or_reason_of"]


def error_type_of(error: BaseException) -> str:
    """Returns the ``error_type`` of an exception: its attribute of that name if it holds an allowed value, else by class."""
    return _classify(error, "error_type", ERROR_TYPE.values)


def reason_of(error: BaseException) -> str:
    """Returns the ``reason`` of an exception: its attribute of that name if it holds an allowed value, else by class."""
    return _classify(error, "reason", REASON.values)


def status_or_reason_of(error: BaseException) -> str:
    """Returns the HTTP status that the provider answered with (the exception's ``status``), or the reason if there is none."""
    status = getattr(error, "status", None)
    return str(status) if isinstance(status, int) else reason_of(error)


def _classify(error: BaseException, attribute: str, allowed: Collection[str]) -> str:
    own = getattr(error, attribute, None)
    if isinstance(own, str) and own in allowed:
        return own
    if isinstance(error, asyncio.CancelledError | GeneratorExit | KeyboardInterrupt):
        return "cancelled"
    if isinstance(error, TimeoutError):
        return "timeout"
    return "unreachable" if isinstance(error, OSError) else "internal"
