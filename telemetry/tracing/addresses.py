"""Addresses on server spans without their queries."""

from __future__ import annotations

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Span

__all__ = ["leave_out_query"]

_ADDRESSES = ("http.url", "http.target", "url.full")
_QUERY = "url.query"
_LEFT_OUT = "****"


def leave_out_query(span: Span, *_: object) -> None:
    """Replaces the query of the requested address on a server span. A request hook for the instrumentor of FastAPI.

    A caller may have put anything there, such as a token. The instrumentor itself replaces a few parameters by name
    (``opentelemetry.util.http.redact_url``).
    """
    if not isinstance(span, ReadableSpan) or not span.is_recording() or span.attributes is None:
        return
    found = {key: span.attributes.get(key) for key in (*_ADDRESSES, _QUERY)}
    texts = {key: value for key, value in found.items() if isinstance(value, str) and "?" in value}
    changed = {key: f"{value.partition('?')[0]}?{_LEFT_OUT}" for key, value in texts.items()}
    if found[_QUERY]:
        changed[_QUERY] = _LEFT_OUT
    span.set_attributes(changed)
