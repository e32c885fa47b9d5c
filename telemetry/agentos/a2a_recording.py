"""What one A2A call records beside the contract, as far as the telemetry's catalogue has the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from telemetry.agentos import catalogue_models as rows
from telemetry.agentos.calls import A2ACall

if TYPE_CHECKING:
    from telemetry.agentos.model_metrics import ModelRecorder

__all__ = ["A2ACallDetails"]


class A2ACallDetails:
    """The details of one call, told while its span is current."""

    def __init__(self, models: ModelRecorder, call: A2ACall, agent: str, operation: str) -> None:
        self._series = models.series
        self._call = call
        self._agent = agent
        self._operation = operation
        self._begun = False
        self._states: set[str] = set()

    def sent(self, size: int) -> None:
        """A request's body of so many bytes goes out."""
        self._series(rows.REQUEST_SIZE, self._agent).record_with_exemplar(size, self._call.span_reference())

    def event(self, *, streams: bool) -> None:
        """An event came; ``streams``: as a part of a stream."""
        if streams and not self._begun:
            self._series(rows.FIRST_EVENT, self._agent, self._operation).record_with_exemplar(
                self._call.passed(), self._call.span_reference()
            )
        self._begun = True

    def state(self, state: str) -> None:
        """The task is in this state, as A2A spells it: counted once a call."""
        if state not in self._states:
            self._states.add(state)
            self._call.span.set_attribute(rows.TASK_STATE.key, state)
            self._series(rows.TASK_STATES, self._agent, state).record_with_exemplar(1, None)

    def error(self, code: int | None) -> None:
        """The agent answered with this JSON-RPC error code, if it is one."""
        if code is not None:
            self._call.span.set_attribute(rows.ERROR_CODE.key, str(code))
            self._series(rows.A2A_CODES, self._agent, str(code)).record_with_exemplar(1, self._call.span_reference())
