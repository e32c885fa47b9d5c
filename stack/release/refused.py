"""The error of a release that is not built, or does not pass its checks."""

from __future__ import annotations

__all__ = ["RefusedError"]


class RefusedError(Exception):
    """The release is refused; the message is one sentence that says why."""
