"""The span of a measured block: opened, made current, labelled, ended. No failure of these reaches the block."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextvars import Token
from typing import Any, Protocol, Self

from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, NonRecordingSpan, Span, SpanKind, StatusCode, Tracer

from telemetry._sdk.context import attach, carries, current_context, detach, lasting_attributes, sampled_span
from telemetry._sdk.reservoir import pack_span_reference

__all__ = ["SpanScope", "matching_span_reference", "span_reference_of"]


ROOM = 32
"""Attributes that a span may get after an exemplar names it: the SDK drops the oldest ones first, which are the labels."""


class _Labelled(Protocol):
    """What has labels that a span may carry: a series, or an event."""

    def matches(self, attributes: Mapping[str, object]) -> bool: ...


class SpanScope:
    """A span that is current until ``close``.

    Args:
        span: The span, which has been started.
        attributes: The attributes that it has got.
        failed: Called with an exception of a span processor, sampler or exporter, which is not raised.
        token: Of ``attach``, where the span is current.
    """

    __slots__ = ("_failed", "_labels", "_token", "span")

    def __init__(
        self, span: Span, attributes: Mapping[str, str | int], failed: Callable[[Exception], None], token: Token[Context] | None
    ) -> None:
        self.span = span
        self._labels = attributes
        self._failed = failed
        self._token = token

    @classmethod
    def open(
        cls,
        tracer: Tracer,
        name: str,
        attributes: Mapping[str, str | int],
        failed: Callable[[Exception], None],
        kind: SpanKind = SpanKind.INTERNAL,
        start_time: int | None = None,
    ) -> Self:
        """Starts a span and makes it current.

        Args:
            tracer: Starts the span.
            name: The span's name.
            attributes: The span's first attributes.
            failed: Called with an exception of a span processor, sampler or exporter, which is not raised.
            kind: The span's kind.
            start_time: When the span begins, in nanoseconds since the epoch; None: now.
        """
        try:
            context = current_context()
            span = tracer.start_span(name, context, kind, attributes, start_time=start_time)
            return cls(span, attributes, failed, attach(span, context))
        except Exception as error:  # of a span processor or sampler
            failed(error)
            return cls(INVALID_SPAN, attributes, failed, None)

    def enter(self) -> None:
        """Makes the span current again after ``leave``."""
        if self.span is not INVALID_SPAN:
            self._token = attach(self.span, current_context())

    def leave(self) -> None:
        """Makes the span current that was before, without ending this one."""
        token, self._token = self._token, None
        detach(token)

    def label(self, attributes: Mapping[str, str], error_type: str | None) -> None:
        """Sets attributes on the span; an ``error_type`` marks it as failed."""
        span = self.span
        if type(span) is NonRecordingSpan or not span.is_recording():
            return
        self._labels = {**self._labels, **attributes}
        try:
            if error_type is None:
                span.set_attributes(attributes)
            else:
                span.set_attributes({**attributes, "error.type": error_type})
                span.set_status(StatusCode.ERROR)
        except Exception as error:
            self._failed(error)

    def span_reference(self, takes_sampled: bool, room: int = ROOM) -> bytes | None:
        """Returns what an exemplar needs of this span.

        Args:
            takes_sampled: Whether the exemplar filter takes measurements of sampled spans.
            room: How many attributes the span may still get.

        Returns:
            The reference for ``record_with_exemplar``; None where the span is not sampled, its exemplars are not taken, or its
            limits have cut or may drop a label.
        """
        if not takes_sampled or type(self.span) is NonRecordingSpan:
            return None
        return span_reference_of(self.span, self._labels, room)

    def close(self, seconds: float | None = None) -> None:
        """Ends the span and makes the one current that was before.

        Args:
            seconds: How long the span lasts, so that it agrees with a duration that is recorded; None: until now.
        """
        token, self._token = self._token, None
        span = self.span
        try:
            detach(token)
            if type(span) is not NonRecordingSpan:
                begun = None if seconds is None else getattr(span, "start_time", None)
                span.end(None if begun is None or seconds is None else begun + round(seconds * 1e9))
        except Exception as error:  # of a span processor or exporter
            self._failed(error)


def span_reference_of(span: Span, labels: Mapping[str, Any], room: int = ROOM) -> bytes | None:
    """Returns what an exemplar needs of a span that has got these labels.

    None where the span is not sampled, or where its limits have cut or may drop a label.
    """
    context = span.get_span_context()
    if not context.trace_flags & 1 or not carries(span, labels, room):
        return None
    return pack_span_reference(time.time_ns(), context)


def matching_span_reference(series: _Labelled) -> bytes | None:
    """Returns what an exemplar needs of the current span; None unless it is sampled and carries the labels of ``series``."""
    context = current_context()
    if not context or (span := sampled_span(context)) is None:
        return None
    attributes = lasting_attributes(span, ROOM)
    if attributes is None or not series.matches(attributes):
        return None
    return pack_span_reference(time.time_ns(), span.get_span_context())
