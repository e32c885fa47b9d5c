"""Addresses on server spans without their queries."""

from __future__ import annotations

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Span

from telemetry._sdk.context import attributes_of

__all__ = ["leave_out_query"]

_ADDRESSES = ("http.url", "http.target", "url.full")
_QUERY = "url.query"
_LEFT_OUT = "****"


def leave_out_query(span: Span, *_: object) -> None:
    """Replaces the query of the requested address on a server span. A request hook for the instrumentor of FastAPI.

    A caller may have put anything there, such as a token. The instrumentor itself replaces a few parameters by name
    (``opentelemetry.util.http.redact_url``).
    """
    if not isinstance(span, ReadableSpan) or not span.is_recording():
        return
    attributes = attributes_of(span)
    changed = {}
    for key in _ADDRESSES:
        value = attributes.get(key)
        if isinstance(value, str) and "?" in value:
            changed[key] = f"{value.partition('?')[0]}?{_LEFT_OUT}"
    if attributes.get(_QUERY):
        changed[_QUERY] = _LEFT_OUT
    if changed:
        span.set_attributes(changed)
