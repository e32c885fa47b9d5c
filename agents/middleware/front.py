"""What every request passes before routing and tracing, on the public port and on that of the metrics."""

from __future__ import annotations

from starlette.types import ASGIApp

from agents.middleware.aborted_response import AbortedResponse
from agents.middleware.exact_path import ExactPath
from agents.middleware.header_limit import HeaderLimit
from agents.middleware.request_text import RequestText
from agents.middleware.root_path import RootPath

__all__ = ["in_front"]


def in_front(app: ASGIApp, header_limit: int) -> ASGIApp:
    """Returns the application behind the checks of a request's head: its size, its text, and its path.

    Args:
        app: The application.
        header_limit: Bytes that a request's headers may have together.
    """
    return RootPath(HeaderLimit(RequestText(ExactPath(AbortedResponse(app))), header_limit))
