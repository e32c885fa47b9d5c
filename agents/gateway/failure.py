"""Failures of runs, with the ``error_type`` that ``a2a_errors_total`` counts them under."""

from __future__ import annotations

import re

import httpx
from a2a.client import A2AClientError, A2AClientTimeoutError
from a2a.utils.errors import JSON_RPC_ERROR_CODE_MAP, A2AError

__all__ = ["RunFailure", "failure_of", "rpc_failure"]


class RunFailure(Exception):
    """A run failed.

    Attributes:
        error_type: Its value of the label.
        reason: A sentence for the caller.
        code: The JSON-RPC error code of the agent's answer, if it sent one.
        http_status: The HTTP status of the agent's answer, if that is the failure.
    """

    def __init__(self, error_type: str, reason: str, code: int | None = None, http_status: int | None = None) -> None:
        super().__init__(reason)
        self.error_type = error_type
        self.reason = reason
        self.code = code
        self.http_status = http_status


_UNNAMED = re.compile(r"JSON-RPC Error (-?[0-9]{1,9}):")
"""The client's message for an error code without a class, one that the protocol does not name."""

_REASONS = {
    "timeout": "the agent did not answer in time",
    "unreachable": "the agent cannot be reached",
    "protocol": "the agent's answer is no A2A answer",
    "agent": "the agent answered with an error",
}


def rpc_failure(code: object) -> RunFailure:
    """Returns the failure that a JSON-RPC error of this code means."""
    known = code if isinstance(code, int) and not isinstance(code, bool) and abs(code) < 10**9 else None
    return RunFailure("agent", _REASONS["agent"], known)


def failure_of(error: Exception) -> RunFailure:
    """Returns the failure that an exception of the A2A client means: ``protocol`` for exceptions that are not known here."""
    if isinstance(error, RunFailure):
        return error
    error_type = _type_of(error)
    return RunFailure(error_type, _REASONS[error_type], _code_of(error), _status_of(error))


def _code_of(error: Exception) -> int | None:
    if isinstance(error, A2AClientError):
        unnamed = _UNNAMED.match(str(error))
        return int(unnamed[1]) if unnamed else None
    return JSON_RPC_ERROR_CODE_MAP.get(type(error)) if isinstance(error, A2AError) else None


def _status_of(error: Exception) -> int | None:
    cause = error.__cause__ if isinstance(error, A2AClientError) else error
    return cause.response.status_code if isinstance(cause, httpx.HTTPStatusError) else None


def _type_of(error: Exception) -> str:
    if isinstance(error, A2AClientError) and isinstance(error.__cause__, httpx.HTTPError):
        return _http_type(error.__cause__)
    if isinstance(error, httpx.HTTPError):
        return _http_type(error)
    if isinstance(error, TimeoutError | A2AClientTimeoutError):
        return "timeout"
    if isinstance(error, A2AClientError):
        return "agent" if str(error).startswith("JSON-RPC Error") else "protocol"
    return "agent" if isinstance(error, A2AError) else "protocol"


def _http_type(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.ConnectTimeout | httpx.NetworkError):
        return "unreachable"
    if isinstance(error, httpx.TimeoutException):
        return "timeout"
    if isinstance(error, httpx.HTTPStatusError) and error.response.status_code >= 500:
        return "agent"
    return "protocol"
