"""Exceptions as label values: ``error_type`` of A2A calls, ``reason`` of model calls, and the conventions' ``error.type``.

https://opentelemetry.io/docs/specs/semconv/registry/attributes/error/
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Collection

from telemetry.agentos.catalogue import ERROR_TYPE
from telemetry.agentos.catalogue_models import REASON

__all__ = ["error_type_of", "failure_of", "reason_of", "status_or_reason_of"]

_IDENTIFIER = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_CHARACTERS = 128
_LEAVING = asyncio.CancelledError | GeneratorExit | KeyboardInterrupt
"""What ends a call whose caller has left."""


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


def failure_of(error: BaseException) -> str:
    """Returns the ``error.type`` of an exception that leaves an agent or a tool.

    It is the exception's ``error_type`` if that is an identifier, else its ``status`` if that is a number, else ``cancelled``
    for a caller who leaves, ``timeout``, or the class: with its module, unless that is ``builtins``. Never its message.
    """
    own, status = getattr(error, "error_type", None), getattr(error, "status", None)
    if isinstance(own, str) and _IDENTIFIER.fullmatch(own):
        return own
    if isinstance(status, int) and not isinstance(status, bool):
        return str(int(status))[:_CHARACTERS]
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
