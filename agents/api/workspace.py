"""The workspace that a request names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["NO_WORKSPACE", "BadWorkspace", "workspace_of"]

NO_WORKSPACE = "unknown"
"""The workspace of requests that name none; the limiter counts them together."""

_PATTERN = re.compile(rb"[A-Za-z0-9_.-]{1,64}")


class BadWorkspace(ValueError):
    """The header ``X-Workspace-Id`` does not match its pattern, or came more than once."""


def workspace_of(scope: Mapping[str, Any]) -> str:
    """Returns the workspace id of an ASGI scope.

    Raises:
        BadWorkspace: The header does not match its pattern, or came more than once.
    """
    given = [value for name, value in scope["headers"] if name == b"x-workspace-id"]
    if not given:
        return NO_WORKSPACE
    if len(given) > 1 or not _PATTERN.fullmatch(given[0]):
        raise BadWorkspace("X-Workspace-Id has to be one id of letters, digits, '_', '.', '-', at most 64 of them")
    return str(given[0], "ascii")
