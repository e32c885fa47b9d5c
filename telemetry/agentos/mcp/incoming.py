"""Requests and notifications that a client or a server receives: what is an error, and whose it is."""

from __future__ import annotations

from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from telemetry.agentos.mcp.operation import Failure
from telemetry.agentos.mcp.outgoing import name_of_failure

__all__ = ["failure_of_handler"]

_FAULTS_OF_SENDERS = frozenset({"-32700", "-32600", "-32601", "-32602", "-32002"})
"""Codes of requests that the receiver could not serve; all others are errors of the receiver."""


def failure_of_handler(error: BaseException, version: str, *, is_request: bool) -> Failure:
    """Returns how a handler's exception is answered, and whether that is an error of the receiver.

    Args:
        error: What the handler raised.
        version: The protocol's version, which decides what the SDK answers for an exception that has no code.
        is_request: Whether there is an answer at all.
    """
    if not is_request or not isinstance(error, Exception):
        return Failure(name_of_failure(error))
    if isinstance(error, MCPError):
        code, message = str(error.error.code), error.error.message
    elif isinstance(error, ValidationError):
        code, message = str(INVALID_PARAMS), "Invalid request parameters"
    else:
        code, message = str(INTERNAL_ERROR if version in MODERN_PROTOCOL_VERSIONS else 0), ""
    return Failure("" if code in _FAULTS_OF_SENDERS else code, code, message)
