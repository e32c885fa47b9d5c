"""The workspace that a request names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["NO_WORKSPACE", "ON_ACCEPTED", "WORKSPACE", "BadWorkspace", "accepted", "workspace_of"]

NO_WORKSPACE = "unknown"
"""The workspace of requests that name none; the limiter counts them together."""

ON_ACCEPTED = "agentos.on_accepted"
"""Key of an ASGI scope: what to call once the request is known not to be refused, if anything waits for that."""

WORKSPACE = "agentos.workspace"
"""Key of an ASGI scope: the workspace of the request's key."""

_PATTERN = re.compile(rb"[A-Za-z0-9_.-]{1,64}")


class BadWorkspace(ValueError):
    """The header ``X-Workspace-Id`` does not match its pattern, or came more than once."""


def workspace_of(scope: Mapping[str, Any]) -> str:
    """Returns the workspace id of an ASGI scope: that of its key where keys are set, else the one that the caller claims.

    Raises:
        BadWorkspace: The header does not match its pattern, or came more than once.
    """
    if WORKSPACE in scope:
        return str(scope[WORKSPACE])
    given = [value for name, value in scope["headers"] if name == b"x-workspace-id"]
    if not given:
        return NO_WORKSPACE
    if len(given) > 1 or not _PATTERN.fullmatch(given[0]):
        raise BadWorkspace("X-Workspace-Id has to be one id of letters, digits, '_', '.', '-', at most 64 of them")
    return str(given[0], "ascii")


def accepted(scope: Mapping[str, Any]) -> None:
    """Says that a request is not refused: body, agent and operation are right. A route calls it before work that takes time."""
    on_accepted = scope.get(ON_ACCEPTED)
    if on_accepted is not None:
        on_accepted()
