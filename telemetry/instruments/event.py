"""The series of one event: how long it took, that it was, and how large it was.

One call records all of them. It looks at readers, meter and lock once where the SDK's aggregations can be fed together
(``_sdk/event.py`` lists the conditions). Otherwise each series records by itself, with equal results.
"""

from __future__ import annotations

from collections.abc import ItemsView, Mapping
from operator import is_

from telemetry._sdk.event import EventFeed, event_feed
from telemetry.instruments.bound import BoundCounter, BoundHistogram, BoundInstrument, OverflowCounting
from telemetry.instruments.number import INT64

__all__ = ["BoundEvent"]

_BELOW = float(INT64)
"""Numbers below it are fed as they are, as in ``BoundHistogram``."""
_APART: tuple[EventFeed | None, object, object, object] = (None, None, None, None)


class BoundEvent:
    """A duration, a count and a size that are measured at the same moment. Recording never raises into the measured code.

    Args:
        duration: The series of the duration.
        count: The series that counts the events.
        size: The series of the size; None where the events have none.
    """

    __slots__ = ("_counting", "_labels", "_owners", "_size_below", "_together", "_tried", "count", "duration", "size")

    def __init__(self, duration: BoundHistogram, count: BoundCounter, size: BoundHistogram | None = None) -> None:
        self.duration = duration
        self.count = count
        self.size = size
        series: tuple[BoundInstrument, ...] = (duration, count) if size is None else (duration, count, size)
        self._counting = tuple([each for each in series if isinstance(each, OverflowCounting)])
        self._size_below = 0.0 if size is None else _BELOW  # 0: an event with a size that has no series is recorded apart
        self._owners = (duration._owner, count._owner, (size or count)._owner)
        # What feeds the series together, and the sources of their owners: one object, as in BoundInstrument.
        self._together = _APART
        self._tried: tuple[object, ...] = ()
        self._labels: tuple[object, ItemsView[str, object]] = (None, {}.items())

    def matches(self, attributes: Mapping[str, object]) -> bool:
        """Returns whether a span with these attributes carries all labels of the count, with the same values."""
        count = self.count
        values, labels = self._labels
        if values is not count.values:
            values = count.values
            labels = dict(zip(count._owner.metric.keys, values, strict=True)).items()
            self._labels = (values, labels)
        return labels <= attributes.items() or count.matches(attributes)

    def record(self, duration: float, size: float | None, reference: bytes | None) -> None:
        """Records one event. A measurement that is refused does not keep the others from being recorded.

        Args:
            duration: How long it took, in the metric's unit.
            size: How large it was, in the metric's unit; None where that is not known, or is not measured.
            reference: The sampled span that the exemplars name (``pack_span_reference``); None for no exemplar.
        """
        try:
            feed, source, count_source, size_source = self._together
            owner, count_owner, size_owner = self._owners
            kind, size_kind = duration.__class__, size.__class__
            if (
                feed is None
                or (kind is not float and kind is not int)
                or not (duration >= 0.0 and duration < _BELOW)  # a chain costs twice as much
                or (
                    size is not None
                    and ((size_kind is not int and size_kind is not float) or not (size >= 0.0 and size < self._size_below))
                )
                or owner.source is not source  # after retarget()
                or count_owner.source is not count_source
                or size_owner.source is not size_source
                or not feed(duration, size, reference)
            ):
                self._record_apart(duration, size, reference)
                return
            for series in self._counting:
                sized: object = self.size
                if series is not sized or size is not None:
                    for increment in series._increments:
                        increment()
        except Exception as error:
            self.duration.record_failure(error)

    def _record_apart(self, duration: float, size: float | None, reference: bytes | None) -> None:
        """Records each measurement by itself. Then the series are bound, and the next ones may be fed together."""
        self.duration.record_with_exemplar(duration, reference)
        self.count.record_with_exemplar(1, reference)
        if size is not None and self.size is not None:
            self.size.record_with_exemplar(size, reference)
        series = (self.duration, self.count) if self.size is None else (self.duration, self.count, self.size)
        bound = tuple([each._bound for each in series])
        if len(bound) == len(self._tried) and all(map(is_, bound, self._tried)):
            return
        source, count_source, size_source = [owner.source for owner in self._owners]
        parts = zip((source, count_source, size_source), bound, strict=False)
        self._together = event_feed([(source, *each) for source, each in parts]), source, count_source, size_source
        self._tried = bound
