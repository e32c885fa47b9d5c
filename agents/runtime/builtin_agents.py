"""The built-in agents navi and herald: executors and cards for A2A servers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, nullcontext
from dataclasses import dataclass
from typing import ClassVar

from a2a.helpers.proto_helpers import get_message_text, new_task, new_text_part
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.tasks import TaskUpdater
from a2a.types.a2a_pb2 import AgentCapabilities, AgentCard, AgentInterface, AgentSkill, TaskState

from agents import __version__
from agents.api.workspace import NO_WORKSPACE
from agents.runtime.colleague import Colleague, ColleagueError
from agents.services.cache import AnswerCache
from agents.services.ccr_router import ModelRequest, Router, RouterError
from agents.tools.toolbox import Finding, Toolbox
from telemetry.agentos.recorder import Recorder

__all__ = ["BuiltinAgent", "Herald", "Navi", "Skill"]


@dataclass(frozen=True, slots=True)
class Skill:
    """An operation of an agent, and the task type of the model request that it makes."""

    description: str
    task_type: str


class BuiltinAgent(AgentExecutor):
    """Executes a task: reports that it has started, sends the answer piece by piece, and ends the task.

    Args:
        cache: Where answers are kept.
        router: Calls the models.
        recorder: Measures each invocation; ``None`` for no measurement.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    skills: ClassVar[Mapping[str, Skill]]

    _recorder: Recorder | None = None

    def __init__(self, cache: AnswerCache, router: Router, recorder: Recorder | None = None) -> None:
        self._cache = cache
        self._router = router
        self._recorder = recorder

    @abstractmethod
    def answer(self, operation: str, text: str, workspace: str) -> AsyncGenerator[str, None]:
        """Yields the answer's pieces.

        Raises:
            RouterError: No provider answers.
            ColleagueError: Another agent does not.
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
            async with (
                self._measured(context_id),
                aclosing(self.answer(operation, text, str(metadata.get("workspace_id") or NO_WORKSPACE))) as pieces,
            ):
                begun = False
                async for piece in pieces:
                    await updater.add_artifact([new_text_part(piece)], artifact_id="answer", append=begun)
                    begun = True
        except (RouterError, ColleagueError) as error:
            await updater.failed(updater.new_agent_message([new_text_part(str(error))]))
            return
        await updater.complete()

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        """Ends the task as cancelled; the SDK stops ``execute`` afterwards."""
        await TaskUpdater(event_queue, str(context.task_id), str(context.context_id)).cancel()

    def _measured(self, conversation: str) -> AbstractAsyncContextManager[object]:
        if self._recorder is None:
            return nullcontext()
        return self._recorder.agent_invocation(
            self.name, description=self.description, version=__version__, conversation=conversation
        )

    async def _ask_model(self, operation: str, prompt: str, workspace: str) -> AsyncGenerator[str, None]:
        request = ModelRequest(self.skills[operation].task_type, prompt, workspace)
        async with aclosing(self._router.stream(request)) as pieces:
            async for piece in pieces:
                yield piece


class Navi(BuiltinAgent):
    """Answers from the cache, or asks a model and stores its answer; researches with tools.

    Args:
        cache: Where answers are kept.
        router: Calls the models.
        toolbox: The tools of ``research``.
        recorder: Measures each invocation; ``None`` for no measurement.
    """

    name: ClassVar = "navi"
    description: ClassVar = "Answers questions, from memory where it can."
    skills: ClassVar = {
        "query": Skill("Answers a question.", "question"),
        "summarize": Skill("Says in short what a text says.", "summary"),
        "research": Skill("Answers a question with what its tools find.", "question"),
    }

    def __init__(self, cache: AnswerCache, router: Router, toolbox: Toolbox, recorder: Recorder | None = None) -> None:
        super().__init__(cache, router, recorder)
        self._toolbox = toolbox

    async def answer(self, operation: str, text: str, workspace: str) -> AsyncGenerator[str, None]:
        """Yields one piece. An answer is cached for its own workspace alone; one of ``research`` is not, since tools change."""
        if operation == "research":
            yield await self._research(text, workspace)
            return
        key = self._cache.key(self.name, operation, workspace, text)
        answer = await self._cache.get(key)
        if answer is None:
            answer = await self._written(operation, text, workspace)
            await self._cache.set(key, answer)
        yield answer

    async def _research(self, question: str, workspace: str) -> str:
        """Returns the findings of the tools, and what the model makes of them. A tool that fails is told to the model."""
        findings = await self._toolbox.use(question)
        told = "\n".join(_line(finding) for finding in findings)
        answer = await self._written("research", f"{question}\n\n{told}" if told else question, workspace)
        return f"{told}\n{answer}" if told else answer

    async def _written(self, operation: str, prompt: str, workspace: str) -> str:
        async with aclosing(self._ask_model(operation, prompt, workspace)) as pieces:
            return "".join([piece async for piece in pieces])


def _line(finding: Finding) -> str:
    return f"[{finding.tool} failed] {finding.text}" if finding.failed else f"[{finding.tool}] {finding.text}"


class Herald(BuiltinAgent):
    """Always asks a model, and sends each piece of its answer as it comes; has navi research what it is to brief about.

    Args:
        cache: Where answers are kept.
        router: Calls the models.
        researcher: Navi, asked over A2A.
        recorder: Measures each invocation; ``None`` for no measurement.
    """

    name: ClassVar = "herald"
    description: ClassVar = "Writes announcements, word by word."
    skills: ClassVar = {
        "announce": Skill("Writes an announcement.", "writing"),
        "query": Skill("Answers a question afresh.", "question"),
        "brief": Skill("Has navi research a question, and writes a brief about it.", "writing"),
    }

    def __init__(self, cache: AnswerCache, router: Router, researcher: Colleague, recorder: Recorder | None = None) -> None:
        super().__init__(cache, router, recorder)
        self._researcher = researcher

    async def answer(self, operation: str, text: str, workspace: str) -> AsyncGenerator[str, None]:
        """Yields the model's pieces."""
        prompt = text
        if operation == "brief":
            prompt = f"{text}\n\n{await self._researcher.ask(text, workspace)}"
        async with aclosing(self._ask_model(operation, prompt, workspace)) as pieces:
            async for piece in pieces:
                yield piece
