"""The ids of the current trace and span on log records."""

from __future__ import annotations

import logging

from opentelemetry.trace import format_span_id, format_trace_id, get_current_span

__all__ = ["TraceIds"]


class TraceIds(logging.Filter):
    """Sets ``trace_id`` and ``span_id`` of a record, in hex; ``-`` where no span is current.

    Add the filter to a handler, and both names to the handler's format.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Returns True: every record is logged."""
        context = get_current_span().get_span_context()
        record.trace_id = format_trace_id(context.trace_id) if context.is_valid else "-"
        record.span_id = format_span_id(context.span_id) if context.is_valid else "-"
        return True
