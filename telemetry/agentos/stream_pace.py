"""How fast the text of a stream came, from its first piece to its last one."""

from __future__ import annotations

__all__ = ["StreamPace"]

_WAIT_SECONDS = 0.001
"""A chunk that comes sooner after the reader asks for it was there before."""
_UNKNOWN_SHARE = 0.1
"""A stream with a larger share of unknown time has no period."""


class StreamPace:
    """The times of a stream's texts, as the reader sees them.

    The time that the reader takes with a chunk is no time of the provider's. It makes no difference where the provider is
    waited for afterwards: the next chunk comes when it is sent, however long the reader took. Where the next chunk is there
    already, it may have come at any time since. Such time is unknown until the provider is waited for again; a stream whose
    last text came in unknown time of more than a tenth of the whole has no period: its reader set the pace.
    """

    __slots__ = ("_asked", "_came", "_first", "_last", "_unknown", "_unknown_at_last")

    def __init__(self) -> None:
        self._asked: float | None = None
        self._came: float | None = None
        self._first: float | None = None
        self._last: float | None = None
        self._unknown = self._unknown_at_last = 0.0

    @property
    def first(self) -> float | None:
        """When the first text came."""
        return self._first

    def ask(self, now: float) -> None:
        """Takes the time at which the reader, done with a chunk, asks for the next one."""
        self._asked = now

    def come(self, now: float, *, has_text: bool) -> None:
        """Takes the time at which the reader gets a chunk."""
        if self._asked is not None and self._came is not None:
            ahead = now - self._asked < _WAIT_SECONDS
            self._unknown = self._unknown + self._asked - self._came if ahead else 0.0
        self._asked, self._came = None, now
        if has_text:
            self._first = now if self._first is None else self._first
            self._last, self._unknown_at_last = now, self._unknown

    @property
    def period(self) -> float | None:
        """Seconds from the first text to the last one; None for a single text, and where the reader set the pace."""
        if self._first is None or self._last is None:
            return None
        period = self._last - self._first
        return period if period > 0 and self._unknown_at_last <= period * _UNKNOWN_SHARE else None
