"""What the conventions' draft for A2A wants on the span of a server: which request it is, of which task, and how it ended.

https://github.com/open-telemetry/semantic-conventions-genai/blob/6718089fe6e0530fdf498d845f0532e9cf172c81/docs/gen-ai/a2a.md
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from a2a.types.a2a_pb2 import AgentCard, Message, Task, TaskArtifactUpdateEvent, TaskState, TaskStatusUpdateEvent
from a2a.utils.errors import JSON_RPC_ERROR_CODE_MAP, A2AError, InternalError
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.server_attributes import SERVER_ADDRESS, SERVER_PORT
from opentelemetry.trace import Span, StatusCode, get_current_span

from telemetry._base.printable import is_id
from telemetry.agentos import agent_names as names
from telemetry.agentos.errors import failure_of

__all__ = ["A2AServerSpan", "card_attributes"]


def card_attributes(card: AgentCard) -> Mapping[str, str | int]:
    """Returns what an agent's own card says, as attributes of the spans of its requests."""
    (interface,) = card.supported_interfaces
    address = urlsplit(interface.url)
    texts = {
        names.A2A_PROTOCOL_VERSION: interface.protocol_version,
        names.GEN_AI_AGENT_NAME: card.name,
        names.GEN_AI_AGENT_DESCRIPTION: card.description,
        names.GEN_AI_AGENT_VERSION: card.version,
        SERVER_ADDRESS: address.hostname,
    }
    return {key: text for key, text in texts.items() if text} | {SERVER_PORT: address.port or 80}


class A2AServerSpan:
    """Puts the attributes of one request on the span that is current when the block begins.

    Args:
        card: The agent's attributes.
        method: A2A's name of the request.
        message: The request's message, if it has one.
        task_id: The task that the request names, if any.
    """

    def __init__(self, card: Mapping[str, str | int], method: str, message: Message | None = None, task_id: str = "") -> None:
        self._span: Span = get_current_span()
        self._answers = False
        if not self._span.is_recording():
            return
        self._span.set_attributes({**card, names.A2A_METHOD_NAME: method})
        if message is not None:
            self._put(names.A2A_MESSAGE_ID, message.message_id)
            self._put(names.A2A_TASK_ID, message.task_id)
            self._put(names.GEN_AI_CONVERSATION_ID, message.context_id)
        self._put(names.A2A_TASK_ID, task_id)

    def answer(self, event: Task | Message | TaskStatusUpdateEvent | TaskArtifactUpdateEvent | None) -> None:
        """Takes an event of the answer, or the whole answer."""
        self._answers = True
        if event is None or not self._span.is_recording():
            return
        self._put(names.A2A_TASK_ID, event.id if isinstance(event, Task) else event.task_id)
        self._put(names.GEN_AI_CONVERSATION_ID, event.context_id)
        if isinstance(event, Task | TaskStatusUpdateEvent):
            known = TaskState.DESCRIPTOR.values_by_number.get(event.status.state)
            self._put(names.A2A_TASK_STATE, "" if known is None else known.name)

    def _put(self, key: str, text: str) -> None:
        if is_id(text):
            self._span.set_attribute(key, text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if error is None or isinstance(error, GeneratorExit | asyncio.CancelledError):  # a caller that leaves
            return
        code = JSON_RPC_ERROR_CODE_MAP.get(type(error)) if isinstance(error, A2AError) else None
        if code is None and not self._answers:
            code = JSON_RPC_ERROR_CODE_MAP[InternalError]  # what the SDK answers in place of an exception of another class
        self._span.set_attribute(ERROR_TYPE, failure_of(error) if code is None else str(code))
        self._span.set_status(StatusCode.ERROR)
