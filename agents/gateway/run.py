"""One run: its request, and its answer so far."""

from __future__ import annotations

from dataclasses import dataclass, field

from a2a.helpers.proto_helpers import get_artifact_text, get_message_text
from a2a.types.a2a_pb2 import StreamResponse, TaskState, TaskStatus

from agents.gateway.failure import RunFailure

__all__ = ["Run", "state_of"]

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
    pieces: list[str] = field(default_factory=list)
    _artifact: str | None = None

    @property
    def output(self) -> str:
        """The answer's text so far."""
        return "".join(self.pieces)

    def take(self, event: StreamResponse) -> str:
        """Adds one event of the agent.

        Returns:
            The text that is new, "" for an event without any.

        Raises:
            RunFailure: The event ends the task without success, or is empty.
        """
        if event.HasField("message"):
            self.ended = True
            return self._add(get_message_text(event.message))
        if event.HasField("artifact_update"):
            update = event.artifact_update
            self.task_id = update.task_id or self.task_id
            return self._add_artifact(update.artifact.artifact_id, get_artifact_text(update.artifact))
        if event.HasField("task"):
            self.task_id = event.task.id or self.task_id
            text = ""
            if not self.pieces:  # after the first text a snapshot only repeats it
                text = "".join(self._add_artifact(item.artifact_id, get_artifact_text(item)) for item in event.task.artifacts)
            return text + self._status(event.task.status)
        if event.HasField("status_update"):
            self.task_id = event.status_update.task_id or self.task_id
            return self._status(event.status_update.status)
        raise RunFailure("protocol", "the agent sent an event without content")

    def _status(self, status: TaskStatus) -> str:
        text = get_message_text(status.message)
        if status.state in _FAILED:
            said = f": {text[:_REASON_CHARACTERS]}" if text else ""
            raise RunFailure("agent", f"the agent's task {_FAILED[status.state]}{said}")
        if status.state not in _ENDED:
            return ""
        self.ended = True
        return self._add(text)

    def _add_artifact(self, artifact_id: str, text: str) -> str:
        if text and self.pieces and artifact_id != self._artifact:
            text = f"\n{text}"
        self._artifact = artifact_id
        return self._add(text)

    def _add(self, text: str) -> str:
        if text:
            self.pieces.append(text)
        return text


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
