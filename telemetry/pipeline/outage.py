"""Outages of a push destination: two log lines each, where the SDK's exporters log every failed try."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from threading import Event, local
from typing import Any
from weakref import WeakSet

from telemetry._base.printable import printable

__all__ = ["Outage"]

_log = logging.getLogger(__name__)
_EXPORTER_LOGGERS = (
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.sdk._shared_internal",  # the batch processor, whose queue is full during an outage
)
_RETRY_NOTE = re.compile(r",? retrying in [\d.]+s\.?")
_URL = re.compile(r" with url: \S+")
"""The path of the endpoint in the errors of ``requests``; it may hold a key."""
_LONGEST_PAUSE = 5.0
"""Seconds. The queue must not overflow during a pause: 2,048 spans are ten seconds of twenty calls a second."""


class Outage:
    """Whether one destination takes a signal, and what was lost while it does not.

    Args:
        signal: What is pushed, for the log: ``traces`` or ``metrics``.
        endpoint: The destination's URL, for the log.
        longest_pause: Seconds that ``back_off`` waits at most.
    """

    def __init__(self, signal: str, endpoint: str, longest_pause: float = _LONGEST_PAUSE) -> None:
        self._signal = signal
        self._endpoint = endpoint
        self._longest_pause = longest_pause
        self._failures = 0
        self._lost = 0
        self._rejections = 0
        self._rejected = 0
        self._stop = Event()
        self.under_way = False
        _outages.add(self)
        for name in _EXPORTER_LOGGERS:
            logging.getLogger(name).addFilter(_capture)  # a logger takes the same filter once

    def run_export(self, export: Callable[[], Any], items: int) -> Any:
        """Runs one export of ``items`` and returns its result; the SDK's log lines about it become the outage's reason."""
        _thread.outage = self
        try:
            result = export()
        except Exception as error:
            self._fail(items, repr(error))
            raise
        finally:
            _thread.outage = None
        if result.name != "SUCCESS":
            self._fail(items, "the export failed")
        elif self.under_way:
            message = "%s reach %s again, %d were lost after %d failed exports"
            _log.warning(message, self._signal, self._endpoint, self._lost, self._failures)
            self.under_way = False
            self._failures = 0
            self._lost = 0
        return result

    def begin(self, reason: str) -> None:
        """Logs the beginning of an outage, once, for this reason."""
        if not self.under_way:
            self.under_way = True
            message = "%s do not reach %s, trying on with growing pauses: %s"
            _log.warning(message, self._signal, self._endpoint, printable(_URL.sub("", _RETRY_NOTE.sub("", reason))))

    def reject(self, items: int, message: str) -> None:
        """Logs that the destination took an export but not all of its items: once when it begins to, and once when it ends.

        Args:
            items: How many it did not take; they are not sent again.
            message: What it says about them. A message about no item is a warning.
        """
        if items or message:
            if not self._rejections:
                _log.warning(
                    "%s reach %s, which rejects some: %s", self._signal, self._endpoint, printable(message or "no reason")
                )
            self._rejections += 1
            self._rejected += items
        elif self._rejections:
            text = "%s are taken by %s again, %d were lost after %d exports"
            _log.warning(text, self._signal, self._endpoint, self._rejected, self._rejections)
            self._rejections = self._rejected = 0

    def back_off(self) -> None:
        """Waits before the next try: longer after each failure in a row, not at all after a success or ``stop_backoff``."""
        if self._failures:
            self._stop.wait(min(2.0 ** min(self._failures, 10), self._longest_pause))  # 2.0**1024 is no float any more

    def stop_backoff(self) -> None:
        """Ends the pause that is under way and lets no other begin: the process shuts down."""
        self._stop.set()

    @property
    def given_up(self) -> bool:
        """Whether the process shuts down during an outage: further tries would only hold it up."""
        return self.under_way and self._stop.is_set()

    def _fail(self, items: int, reason: str) -> None:
        self.begin(reason)
        self._failures += 1
        self._lost += items


_thread = local()
"""Its ``outage`` is that of the export which runs in the thread."""
_outages: WeakSet[Outage] = WeakSet()


def _capture(record: logging.LogRecord) -> bool:
    """Filter of the exporters' loggers: drops what they log about an export of ours, and a full queue in an outage."""
    outage: Outage | None = getattr(_thread, "outage", None)
    if outage is None:
        return not (str(record.msg).startswith("Queue full") and any(each.under_way for each in list(_outages)))
    if record.levelno >= logging.WARNING:
        outage.begin(record.getMessage())
    return False
