"""One run: its request, and its answer so far."""

from __future__ import annotations

from dataclasses import dataclass, field

from a2a.types.a2a_pb2 import StreamResponse, TaskState, TaskStatus

from agents.gateway.answer import Answer, text_of
from agents.gateway.failure import RunFailure
from telemetry._base.printable import is_id, printable

__all__ = ["Run", "ids_of", "state_of"]

_FAILED = {
    TaskState.TASK_STATE_FAILED: "failed",
    TaskState.TASK_STATE_REJECTED: "was rejected",
    TaskState.TASK_STATE_CANCELED: "was cancelled",
}
_ENDED = {
    TaskState.TASK_STATE_COMPLETED,
    TaskState.TASK_STATE_INPUT_REQUIRED,  # the agent's turn is over; the caller's next run continues
    TaskState.TASK_STATE_AUTH_REQUIRED,
}
_ID_CHARACTERS = 256
"""Characters of a task's id, which the caller gets."""
_REASON_CHARACTERS = 200
"""Characters of an agent's own reason that the caller sees."""


@dataclass(slots=True)
class Run:
    """A run of one operation of one agent. ``take`` adds the agent's events, one by one."""

    agent: str
    operation: str
    text: str
    workspace: str
    task_id: str | None = None
    trace_id: str | None = None
    ended: bool = False
    """Whether the final event has come."""
    _answer: Answer = field(default_factory=Answer)

    @property
    def output(self) -> str:
        """The answer's text so far."""
        return self._answer.text

    @property
    def replaced(self) -> bool:
        """Whether the agent has changed text that ``take`` had returned; it returns "" from then on."""
        return self._answer.replaced

    def take(self, event: StreamResponse) -> str:
        """Adds one event of the agent.

        Returns:
            The text that is new, "" for an event without any.

        Raises:
            RunFailure: The event ends the task without success, is empty, or has too many artifacts or an id that is no id.
        """
        if event.HasField("message"):
            self.ended = True
            return self._answer.message(event.message.parts)
        if event.HasField("artifact_update"):
            self._is_task(event.artifact_update.task_id)
            return self._answer.update(event.artifact_update)
        if event.HasField("task"):
            task = event.task
            self._is_task(task.id)
            new = self._answer.snapshot(task, ended=task.status.state in _ENDED | _FAILED.keys())
            return new + self._status(task.status)
        if event.HasField("status_update"):
            self._is_task(event.status_update.task_id)
            return self._status(event.status_update.status)
        raise RunFailure("protocol", "the agent sent an event without content")

    def _is_task(self, task_id: str) -> None:
        if task_id and not is_id(task_id, _ID_CHARACTERS):
            raise RunFailure("protocol", f"the agent's task has an id that is no printable text of {_ID_CHARACTERS} characters")
        self.task_id = task_id or self.task_id

    def _status(self, status: TaskStatus) -> str:
        if status.state in _FAILED:
            said = printable(text_of(status.message.parts, between=" "), _REASON_CHARACTERS)
            raise RunFailure("agent", f"the agent's task {_FAILED[status.state]}{said and f': {said}'}")
        if status.state not in _ENDED:
            return ""
        self.ended = True
        return self._answer.status(status.message.parts, completed=status.state == TaskState.TASK_STATE_COMPLETED)


def state_of(event: StreamResponse) -> str | None:
    """Returns the task state of an event in A2A's spelling; ``None`` for an event without one, or an unknown one."""
    if event.HasField("task"):
        state = event.task.status.state
    elif event.HasField("status_update"):
        state = event.status_update.status.state
    else:
        return None
    known = TaskState.DESCRIPTOR.values_by_number.get(state)
    return str(known.name) if known is not None else None


def ids_of(event: StreamResponse) -> tuple[str, str]:
    """Returns the ids of an event's task and context; "" where it has none."""
    if event.HasField("task"):
        return event.task.id, event.task.context_id
    kind = event.WhichOneof("payload")
    if kind is None:
        return "", ""
    one = getattr(event, kind)
    return one.task_id, one.context_id
