"""Connections to Redis, and checks of what Redis replies.

A reply can be anything: another program may hold the port, and other programs write into the same database.
"""

from __future__ import annotations

from typing import Any

from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from agents.settings import Settings

__all__ = ["UnusableReply", "connection_options", "milliseconds", "number"]

_LONGEST_MS = 2**53
"""A Lua script of Redis counts in doubles, and Redis refuses an expiry beyond 2**63 ms."""


class UnusableReply(Exception):
    """Redis replied promptly, but not what its documentation says of the command."""


def connection_options(settings: Settings) -> dict[str, Any]:
    """Returns the arguments of a connection pool for ``AGENTOS_REDIS_URL``.

    Replies stay bytes, and come in RESP2, in which a server cannot push messages that redirect the client.
    """
    return {
        **parse_url(settings.redis_url.get_secret_value()),
        "protocol": 2,
        "decode_responses": False,
        "socket_timeout": settings.redis_timeout,
        "socket_connect_timeout": settings.redis_timeout,
        "retry": Retry(NoBackoff(), 0),
    }


def milliseconds(seconds: float) -> int:
    """Returns the seconds as Redis takes them for an expiry: at least 1 ms, and not beyond what it can hold."""
    return max(1, round(min(seconds, _LONGEST_MS / 1000) * 1000))


def number(reply: object) -> int:
    """Returns the whole number that a reply is, as an integer or as the text of one.

    Raises:
        UnusableReply: It is none.
    """
    if isinstance(reply, bytes) and len(reply) <= 20 and reply.removeprefix(b"-").isdigit():
        return int(reply)
    if type(reply) is not int:
        raise UnusableReply(f"a number is needed, not {type(reply).__name__}")
    return reply
