"""The trace in the logs: ``trace_id`` and ``span_id`` of the current span on every record."""

from __future__ import annotations

import logging

from opentelemetry.trace import format_span_id, format_trace_id, get_current_span

__all__ = ["TraceIds"]


class TraceIds(logging.Filter):
    """Puts the ids on a record, in hex; ``-`` where no span is current. Add it to a handler, and both to its format."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Takes every record."""
        context = get_current_span().get_span_context()
        record.trace_id = format_trace_id(context.trace_id) if context.is_valid else "-"
        record.span_id = format_span_id(context.span_id) if context.is_valid else "-"
        return True
