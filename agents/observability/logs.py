"""The service's log lines: to stderr, each with its trace and span id."""

from __future__ import annotations

import logging

from telemetry.tracing.log_filter import TraceIds

__all__ = ["log_to_stderr"]

_FORMAT = "%(asctime)s %(levelname)s %(name)s trace_id=%(trace_id)s span_id=%(span_id)s %(message)s"


def log_to_stderr() -> None:
    """Gives the loggers ``agents`` and ``telemetry`` a handler, unless the process has set up logging itself."""
    if logging.getLogger().handlers:
        return
    handler = logging.StreamHandler()
    handler.addFilter(TraceIds())
    handler.setFormatter(logging.Formatter(_FORMAT))
    for name in ("agents", "telemetry"):
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.addHandler(handler)
            logger.setLevel(logging.INFO)
