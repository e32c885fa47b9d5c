"""One line when a destination of pushed telemetry goes away and one when it is back, instead of the SDK's many."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from threading import Event, local
from typing import Any
from weakref import WeakSet

__all__ = ["Outage", "capture_logs"]

_log = logging.getLogger(__name__)
_EXPORTER_LOGGERS = (
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
)
_QUEUE_LOGGER = "opentelemetry.sdk._shared_internal"
_RETRY_NOTE = re.compile(r",? retrying in [\d.]+s\.?")
_LONGEST_PAUSE = 5.0
"""Seconds. While it lasts the queue must not overflow: 2,048 spans are ten seconds of twenty calls a second."""


class Outage:
    """What is known of one destination: whether it takes what is sent, and what was lost while it did not."""

    def __init__(self, what: str, endpoint: str) -> None:
        self._what = what
        self._endpoint = endpoint
        self._failures = 0
        self._lost = 0
        self.under_way = False
        self._stop = Event()
        _outages.add(self)

    def run_export(self, export: Callable[[], Any], items: int) -> Any:
        """Runs one export, takes the SDK's log lines about it, and tells the outage's beginning and end."""
        _hearing.outage = self
        try:
            result = export()
        except Exception as error:
            self.begin(repr(error))
            self._failed(items)
            raise
        finally:
            _hearing.outage = None
        if getattr(result, "name", "") == "SUCCESS":
            self._worked()
        else:
            self.begin("the export failed")
            self._failed(items)
        return result

    def begin(self, reason: str) -> None:
        """The destination did not take something; said once an outage."""
        if not self.under_way:
            self.under_way = True
            text = _RETRY_NOTE.sub("", reason)
            _log.warning("%s do not reach %s, trying on with growing pauses: %s", self._what, self._endpoint, text)

    def back_off(self) -> None:
        """Waits as long as the failures in a row ask for; at once when nothing failed or everything stops."""
        if self._failures:
            self._stop.wait(min(2.0**self._failures, _LONGEST_PAUSE))

    @property
    def given_up(self) -> bool:
        """Whether everything stops while the destination is away: nothing more need be tried."""
        return self.under_way and self._stop.is_set()

    def stop_backoff(self) -> bool:
        """From now on nothing waits; whether the destination is away."""
        self._stop.set()
        return self.under_way

    def _failed(self, items: int) -> None:
        self._failures += 1
        self._lost += items

    def _worked(self) -> None:
        if self.under_way:
            _log.warning(
                "%s reach %s again, %d were lost after %d failed exports",
                self._what,
                self._endpoint,
                self._lost,
                self._failures,
            )
        self.under_way, self._failures, self._lost = False, 0, 0


class _Hearing(local):
    """The outage whose export runs in this thread."""

    outage: Outage | None = None


_hearing = _Hearing()
_outages: WeakSet[Outage] = WeakSet()


def _capture(record: logging.LogRecord) -> bool:
    """A filter for the exporters' loggers: what they say of an export of ours becomes the outage's reason."""
    outage = _hearing.outage
    if outage is None:
        return True
    if record.levelno >= logging.WARNING:
        outage.begin(record.getMessage())
    return False


def _capture_queue(record: logging.LogRecord) -> bool:
    """A filter for the batch processor's logger: that its queue is full goes without saying during an outage."""
    return not (str(record.msg).startswith("Queue full") and any(outage.under_way for outage in list(_outages)))


def capture_logs() -> None:
    """Hears the exporters from now on; again and again is no more than once."""
    for name in _EXPORTER_LOGGERS:
        logging.getLogger(name).addFilter(_capture)
    logging.getLogger(_QUEUE_LOGGER).addFilter(_capture_queue)
