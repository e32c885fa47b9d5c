"""Which agent invocation is under way in a context, and how many calls of models and tools it has made."""

from __future__ import annotations

from contextvars import ContextVar, Token
from itertools import count

__all__ = ["CallCounts", "count_inference", "current_counts"]

_current: ContextVar[CallCounts | None] = ContextVar("agent_invocation", default=None)


class CallCounts:
    """The calls that one invocation makes itself, in whatever tasks and threads its context is copied to.

    A call belongs to the innermost invocation that was current when its task was made. Calls after the invocation's end count
    for none.
    """

    __slots__ = ("_ended", "_inferences", "_outer", "_paused", "_stale", "_token", "_tools", "agent")

    def __init__(self, agent: str) -> None:
        self.agent = agent
        """Name of the agent, as its series have it."""
        # One step each, and no lock: several threads may count, and a signal handler as well.
        self._inferences = count()
        self._tools = count()
        self._ended = False
        self._stale = False
        """Whether some context still has this invocation as its current one after its end."""
        self._outer: CallCounts | None = None
        self._paused: CallCounts | None = None
        self._token: Token[CallCounts | None] | None = None

    def enter(self) -> None:
        """Makes the invocation the current one of this context."""
        self._outer = _in_place(_current.get())
        self._token = _current.set(self)

    def leave(self) -> None:
        """Makes the one current that was before, unless an inner one that goes on is current."""
        token, self._token = self._token, None
        if token is None:
            return
        if _current.get() is not self:  # generators whose steps alternate, or one that is closed in another context
            self._stale = True
            return
        try:
            _current.reset(token)
        except ValueError:  # ended in a copy of the context that it began in
            self._stale = True
            _current.set(self._outer)

    def pause(self) -> None:
        """Makes the one current that was before, until ``resume``."""
        self._paused = _current.get()
        _current.set(self._outer)

    def resume(self) -> None:
        """Goes on, in whatever context, with the invocation that was current in the pause: this one or an inner one."""
        self._outer = _in_place(_current.get())
        self._token = _current.set(self._paused)
        self._paused = None

    def count_inference(self) -> None:
        """Counts a call of a model."""
        if not self._ended:
            next(self._inferences)

    def count_tool(self) -> None:
        """Counts a call of a tool."""
        if not self._ended:
            next(self._tools)

    def end(self) -> tuple[int, int]:
        """Ends the counting. Returns the calls of models and of tools. To be called once."""
        self._ended = True
        return next(self._inferences), next(self._tools)


def _in_place(counts: CallCounts | None) -> CallCounts | None:
    while counts is not None and counts._stale:
        counts = counts._outer
    return counts


def current_counts() -> CallCounts | None:
    """Returns the counts of the invocation that this context belongs to, also after its end; None outside of any."""
    return _in_place(_current.get())


def count_inference() -> None:
    """Counts a call of a model for the agent invocation that is under way in this context, if there is one.

    ``Recorder.model_call`` counts by itself. This is for clients of models that are measured by other means.
    """
    if (counts := current_counts()) is not None:
        counts.count_inference()
