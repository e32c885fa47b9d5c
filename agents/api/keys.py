"""The keys of the API (``AGENTOS_API_KEYS``): which workspace a request belongs to, and the answers to a wrong key."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from hashlib import sha256
from typing import Any

from fastapi import Security
from fastapi.security import HTTPBearer
from starlette.responses import JSONResponse

from agents.api.problem import problem
from agents.api.workspace import NO_WORKSPACE, WORKSPACE, workspace_of
from telemetry.exposition import Token
from telemetry.exposition.access import bearer_token

__all__ = ["ApiKeys", "documented"]

OPEN = frozenset({"/openapi.json"})
"""Routes that need no key, beside those of scrapes and probes."""


class ApiKeys:
    """The workspaces' keys. Without any, the workspace is what the caller claims.

    Args:
        keys: Workspace -> its valid keys; a key is rotated while the old and the new one are valid.
    """

    def __init__(self, keys: Mapping[str, Sequence[Token]]) -> None:
        self._keys = [(workspace, key) for workspace, several in keys.items() for key in several]

    def refusal(self, scope: MutableMapping[str, Any], endpoint: str) -> JSONResponse | None:
        """Notes the workspace of the request's key in the scope, or returns the answer to a request without a right one.

        Raises:
            BadWorkspace: The workspace's header does not match its pattern, or came more than once.
        """
        if not self._keys or endpoint in OPEN:
            return None
        claimed = workspace_of(scope)
        token = bearer_token(scope["headers"])
        workspace = self._workspace_of(token)
        if workspace is None:
            challenge = 'Bearer realm="agentos"' + (', error="invalid_token"' if token else "")
            reason = "a key is needed, as Authorization: Bearer"
            return problem(401, "unauthorized", reason, {"WWW-Authenticate": challenge, "Cache-Control": "no-store"})
        if claimed not in (workspace, NO_WORKSPACE):
            return problem(403, "forbidden", "X-Workspace-Id is not the workspace of this key")
        scope[WORKSPACE] = workspace
        return None

    def _workspace_of(self, token: bytes) -> str | None:
        """Compares with all keys, each in constant time, so that the time tells neither a part of a key nor its place."""
        digest = sha256(token).digest()
        found = None
        for workspace, key in self._keys:
            if key.matches(digest):
                found = workspace
        return found


def documented(keys: Mapping[str, Sequence[Token]], refusal: type) -> dict[str, Any]:
    """Returns the arguments of ``include_router`` that show the keys in the OpenAPI document; none without keys."""
    if not keys:
        return {}
    scheme = HTTPBearer(auto_error=False, scheme_name="key", description="The key of a workspace (AGENTOS_API_KEYS).")
    return {"dependencies": [Security(scheme)], "responses": {status: {"model": refusal} for status in (401, 403)}}
