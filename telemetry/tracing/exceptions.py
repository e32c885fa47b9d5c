"""Exceptions on spans of instrumentors, without the texts of others that they quote."""

from __future__ import annotations

import traceback
import weakref
from functools import partial
from typing import Any

from opentelemetry.semconv.attributes.exception_attributes import EXCEPTION_STACKTRACE, EXCEPTION_TYPE
from opentelemetry.trace import Span, Status, StatusCode

__all__ = ["leave_out_messages"]

_FRAMES = 20


def leave_out_messages(span: Span, *_: object) -> None:
    """Makes a span name exceptions by class and place alone. A request hook for the instrumentors of FastAPI and HTTPX.

    By default a span records the message and the stack trace of each exception that passes it, with the messages of its causes,
    without a limit. They quote what a peer has sent: prompts, answers, keys, megabytes.
    """
    if not span.is_recording():
        return
    try:
        # Of this span alone: the instrumentors call these methods, and take no other way to record an exception. The reference
        # is weak, so that no garbage collection is needed to free the span.
        itself = weakref.proxy(span)
        span.record_exception = partial(_record_exception, itself)  # type: ignore[method-assign]
        span.set_status = partial(_set_status, type(span).set_status, itself)  # type: ignore[method-assign]
    except (AttributeError, TypeError):  # a span of another implementation that takes no attributes or weak references
        return


def _record_exception(
    span: Span, exception: BaseException, attributes: Any = None, timestamp: int | None = None, escaped: bool = False
) -> None:
    kind = type(exception)
    frames = "".join(traceback.format_tb(exception.__traceback__, -_FRAMES))
    named = {EXCEPTION_TYPE: f"{kind.__module__}.{kind.__qualname__}", EXCEPTION_STACKTRACE: frames}
    span.add_event("exception", {**named, **(attributes or {})}, timestamp)


def _set_status(set_status: Any, span: Span, status: Status | StatusCode, description: str | None = None) -> None:
    set_status(span, status.status_code if isinstance(status, Status) else status)
