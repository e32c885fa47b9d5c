"""The service's log lines: to stderr, each with its trace and span id."""

from __future__ import annotations

import logging
import traceback
from typing import Any

from telemetry._base.printable import printable
from telemetry.tracing.log_filter import TraceIds

__all__ = ["log_to_stderr"]

_MESSAGE = 2000
_FRAMES = 20
_CAUSES = 5
_FORMAT = "%(asctime)s %(levelname)s %(name)s trace_id=%(trace_id)s span_id=%(span_id)s %(message)s"


def log_to_stderr() -> None:
    """Gives the loggers ``agents`` and ``telemetry`` a handler, unless the process has set up logging itself."""
    if logging.getLogger().handlers:
        return
    handler = logging.StreamHandler()
    handler.addFilter(TraceIds())
    handler.setFormatter(_OneLine(_FORMAT))
    for name in ("agents", "telemetry"):
        logger = logging.getLogger(name)
        if not logger.handlers:
            logger.addHandler(handler)
            logger.setLevel(logging.INFO)


class _OneLine(logging.Formatter):
    """Writes a message in one printable line, and exceptions without what they quote of peers."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = printable(record.message, _MESSAGE)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        """The exception and its causes, the last one first, by class and frames; with the message where it is ours."""
        lines: list[str] = []
        error: BaseException | None = ei[1]
        while error is not None and len(lines) < 2 * _CAUSES:
            lines.append(type(error).__name__ + (f": {printable(error)}" if _is_safe(error) else ""))
            lines.append("".join(traceback.format_tb(error.__traceback__, -_FRAMES)).rstrip())
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return "\n".join(lines)


def _is_safe(error: BaseException) -> bool:
    """Whether the message is our own or the operating system's. Those of libraries quote prompts, answers and keys."""
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in ("agents", "telemetry")
