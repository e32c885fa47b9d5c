"""Streams of one scope, for tests that encode a state without an SDK."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from telemetry.metricdata.stream import Stream, StreamKind

__all__ = ["START", "stream"]

START = 1_520_430_000_123_456_789
"""When each series began, in Unix nanoseconds, unless a test says otherwise."""


def stream(
    name: str,
    kind: StreamKind,
    *values: Any,
    unit: str = "",
    text: str = "",
    attributes: Sequence[Mapping[str, Any]] | None = None,
    starts: Sequence[int | None] | None = None,
    **more: Any,
) -> Stream:
    """Returns a stream of one series for each value: with the given attributes, or with none where it is one."""
    sets = list(attributes or ([{}] if len(values) == 1 else [{"i": str(i)} for i in range(len(values))]))
    times = list(starts or [START] * len(values))
    scope = InstrumentationScope("m")
    return Stream(scope, name, text, unit, kind, attributes=sets, starts=times, values=list(values), **more)
