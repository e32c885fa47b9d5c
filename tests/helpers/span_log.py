"""A span processor that keeps ended spans."""

from __future__ import annotations

import threading

from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor

from tests.helpers.asgi_server import TIMEOUT


class SpanLog(SpanProcessor):
    """Keeps the ended spans, and lets a test wait for one."""

    def __init__(self) -> None:
        self.ended: list[ReadableSpan] = []
        self._news = threading.Condition()

    def on_end(self, span: ReadableSpan) -> None:
        with self._news:
            self.ended.append(span)
            self._news.notify_all()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.ended if span.name == name]

    def wait(self, name: str, count: int = 1) -> list[ReadableSpan]:
        """Waits until ``count`` spans of this name have ended, and returns them."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.named(name)) >= count, TIMEOUT), name
            return self.named(name)
