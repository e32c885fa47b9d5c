"""Exceptions as label values: ``error_type`` of A2A calls, ``reason`` of model calls, and the conventions' ``error.type``.

https://opentelemetry.io/docs/specs/semconv/registry/attributes/error/
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection

from telemetry.agentos.catalogue import ERROR_TYPE
from telemetry.agentos.catalogue_models import REASON

__all__ = ["error_type_of", "failure_of", "reason_of", "reason_of_status", "status_or_reason_of"]

_IDENTIFIER = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_CHARACTERS = 128
_LEAVING = asyncio.CancelledError | GeneratorExit | KeyboardInterrupt
"""What ends a call whose caller has left."""


def error_type_of(error: BaseException) -> str:
    """Returns the ``error_type`` of an exception: its attribute of that name if it holds an allowed value, else by class."""
    return _classify(error, "error_type", ERROR_TYPE.values)


def reason_of(error: BaseException) -> str:
    """Returns the ``reason`` of an exception that leaves a model call.

    It is the exception's attribute of that name if it holds an allowed value, else what its HTTP status means, else it is by
    class: exceptions of client libraries (openai, anthropic, httpx, requests) tell timeouts and broken connections by name.
    """
    own = getattr(error, "reason", None)
    if not (isinstance(own, str) and own in REASON.values) and not isinstance(error, _LEAVING):
        if (status := _status_of(error)) is not None and status >= 400:
            return reason_of_status(status)
        names = " ".join(kind.__name__ for kind in type(error).__mro__)
        if "Timeout" in names:
            return "timeout"
        if "Connect" in names:
            return "unreachable"
    return _classify(error, "reason", REASON.values)


def reason_of_status(status: int) -> str:
    """Returns the ``reason`` that an HTTP status of 400 and above means."""
    if status == 429:
        return "rate_limit"
    if status in (408, 504):
        return "timeout"
    return "server" if status >= 500 else "client"


def status_or_reason_of(error: BaseException) -> str:
    """Returns the HTTP status that the provider answered with, or the reason if there is none.

    The status is the exception's ``status`` or ``status_code``, or that of its ``response``.
    """
    status = _status_of(error)
    return reason_of(error) if status is None else str(status)


def _status_of(error: BaseException) -> int | None:
    for holder in (error, getattr(error, "response", None)):
        for name in ("status", "status_code"):
            status = getattr(holder, name, None)
            if isinstance(status, int) and not isinstance(status, bool):
                return int(status)
    return None


def failure_of(error: BaseException) -> str:
    """Returns the ``error.type`` of an exception that leaves an agent or a tool.

    It is the exception's ``error_type`` if that is an identifier, else the HTTP status that the exception or its ``response``
    has, else ``cancelled`` for a caller who leaves, ``timeout``, or the class: with its module, unless that is ``builtins``.
    Never its message.
    """
    own = getattr(error, "error_type", None)
    if isinstance(own, str) and _IDENTIFIER.fullmatch(own):
        return own
    if (status := _status_of(error)) is not None:
        return str(status)[:_CHARACTERS]
    if isinstance(error, _LEAVING):
        return "cancelled"
    if isinstance(error, TimeoutError):
        return "timeout"
    kind = type(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return name[-_CHARACTERS:]


def _classify(error: BaseException, attribute: str, allowed: Collection[str]) -> str:
    own = getattr(error, attribute, None)
    if isinstance(own, str) and own in allowed:
        return own
    if isinstance(error, _LEAVING):
        return "cancelled"
    if isinstance(error, TimeoutError):
        return "timeout"
    return "unreachable" if isinstance(error, OSError) else "internal"
