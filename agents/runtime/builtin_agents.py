"""The built-in agents navi and herald: executors and cards for A2A servers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import ClassVar

from a2a.helpers.proto_helpers import get_message_text, new_task, new_text_part
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.tasks import TaskUpdater
from a2a.types.a2a_pb2 import AgentCapabilities, AgentCard, AgentInterface, AgentSkill, TaskState

from agents import __version__
from agents.api.workspace import NO_WORKSPACE
from agents.services.cache import AnswerCache
from agents.services.ccr_router import ModelRequest, Router, RouterError

__all__ = ["BuiltinAgent", "Herald", "Navi", "Skill"]


@dataclass(frozen=True, slots=True)
class Skill:
    """An operation of an agent, and the task type of the model request that it makes."""

    description: str
    task_type: str


class BuiltinAgent(AgentExecutor):
    """Executes a task: reports that it has started, sends the answer piece by piece, and ends the task."""

    name: ClassVar[str]
    description: ClassVar[str]
    skills: ClassVar[Mapping[str, Skill]]

    def __init__(self, cache: AnswerCache, router: Router) -> None:
        self._cache = cache
        self._router = router

    @abstractmethod
    def answer(self, operation: str, text: str, workspace: str) -> AsyncGenerator[str, None]:
        """Yields the answer's pieces.

        Raises:
            RouterError: No provider answers.
        """

    def card(self, url: str) -> AgentCard:
        """Returns the agent's card with its URL and its skills."""
        return AgentCard(
            name=self.name,
            description=self.description,
            version=__version__,
            default_input_modes=["text/plain"],
            default_output_modes=["text/plain"],
            capabilities=AgentCapabilities(streaming=True),
            supported_interfaces=[AgentInterface(url=url, protocol_binding="JSONRPC", protocol_version="1.0")],
            skills=[
                AgentSkill(id=key, name=key, description=skill.description, tags=[skill.task_type])
                for key, skill in self.skills.items()
            ],
        )

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Serves one message. Its metadata names the operation and the workspace."""
        task_id, context_id = str(context.task_id), str(context.context_id)
        task = new_task(task_id, context_id, TaskState.TASK_STATE_SUBMITTED)
        await event_queue.enqueue_event(task)
        updater = TaskUpdater(event_queue, task_id, context_id)
        await updater.start_work()
        message = context.message
        metadata = dict(message.metadata.items()) if message is not None else {}
        text = get_message_text(message) if message is not None else ""
        operation = str(metadata.get("operation", next(iter(self.skills))))
        if operation not in self.skills:
            await updater.reject(updater.new_agent_message([new_text_part("this agent has no such skill")]))
            return
        try:
            async with aclosing(self.answer(operation, text, str(metadata.get("workspace_id") or NO_WORKSPACE))) as pieces:
                begun = False
                async for piece in pieces:
                    await updater.add_artifact([new_text_part(piece)], artifact_id="answer", append=begun)
                    begun = True
        except RouterError as error:
            await updater.failed(updater.new_agent_message([new_text_part(str(error))]))
            return
        await updater.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Ends the task as cancelled; the SDK stops ``execute`` afterwards."""
        await TaskUpdater(event_queue, str(context.task_id), str(context.context_id)).cancel()


class Navi(BuiltinAgent):
    """Answers from the cache, or asks a model and stores its answer."""

    name: ClassVar = "navi"
    description: ClassVar = "Answers questions, from memory where it can."
    skills: ClassVar = {
        "query": Skill("Answers a question.", "question"),
        "summarize": Skill("Says in short what a text says.", "summary"),
    }

    async def answer(self, operation: str, text: str, workspace: str) -> AsyncGenerator[str, None]:
        """Yields one piece. An answer is cached for its own workspace alone."""
        key = self._cache.key(self.name, operation, workspace, text)
        answer = await self._cache.get(key)
        if answer is None:
            request = ModelRequest(self.skills[operation].task_type, text, workspace)
            async with aclosing(self._router.stream(request)) as pieces:
                answer = "".join([piece async for piece in pieces])
            await self._cache.set(key, answer)
        yield answer


class Herald(BuiltinAgent):
    """Always asks a model, and sends each piece of its answer as it comes."""

    name: ClassVar = "herald"
    description: ClassVar = "Writes announcements, word by word."
    skills: ClassVar = {
        "announce": Skill("Writes an announcement.", "writing"),
        "query": Skill("Answers a question afresh.", "question"),
    }

    async def answer(self, operation: str, text: str, workspace: str) -> AsyncGenerator[str, None]:
        """Yields the model's pieces."""
        request = ModelRequest(self.skills[operation].task_type, text, workspace)
        async with aclosing(self._router.stream(request)) as pieces:
            async for piece in pieces:
                yield piece
