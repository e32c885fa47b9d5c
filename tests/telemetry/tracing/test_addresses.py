"""Addresses on server spans."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import INVALID_SPAN

from telemetry.tracing.addresses import leave_out_query

ADDRESSES = [
    ("http.url", "http://h.example:8000/a?token=secret&b=1", "http://h.example:8000/a?****"),
    ("http.target", "/a?token=secret", "/a?****"),
    ("url.full", "http://h.example/a?b?token=secret#secret", "http://h.example/a?****"),
    ("url.query", "token=secret", "****"),
    ("http.url", "http://h.example:8000/a;b", "http://h.example:8000/a;b"),
    ("url.query", "", ""),
    ("url.path", "/a", "/a"),
]


@pytest.mark.parametrize(("key", "given", "left"), ADDRESSES)
def test_the_query_of_an_address_is_left_out(key: str, given: str, left: str) -> None:
    """Scheme, host and path stay on the span; what follows the first question mark does not."""
    with TracerProvider(shutdown_on_exit=False).get_tracer("t").start_as_current_span("s", attributes={key: given}) as span:
        leave_out_query(span, object())
        assert dict(span.attributes) == {key: left}  # type: ignore[attr-defined]


def test_a_span_that_does_not_record_stays_as_it_is() -> None:
    """A span without attributes is no error."""
    leave_out_query(INVALID_SPAN, object())
