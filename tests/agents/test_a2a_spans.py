"""Spans of A2A calls by the conventions' draft: which request it was, of which task and agent, and how it failed."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from a2a.helpers.proto_helpers import new_text_part
from a2a.server.agent_execution import AgentExecutor, RequestContext
from a2a.server.events import EventQueue
from a2a.server.tasks import InMemoryTaskStore, TaskUpdater
from a2a.types.a2a_pb2 import AgentCapabilities, AgentCard, AgentInterface
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import SpanKind, StatusCode
from starlette.responses import JSONResponse, Response

from agents.runtime.builtin_server import serving
from tests.helpers.scripted_agent import replying, task
from tests.helpers.sdk_agent import sdk_agent
from tests.helpers.service import RunningService
from tests.helpers.span_log import SpanLog

DRAFT = ("a2a.", "gen_ai.", "server.", "error.")


async def answering(updater: TaskUpdater) -> None:
    await updater.add_artifact([new_text_part("hi")], artifact_id="a")
    await updater.complete()


async def failing(updater: TaskUpdater) -> None:
    await updater.failed()


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    """Returns a span's attributes that the draft names."""
    return {key: value for key, value in (span.attributes or {}).items() if key.startswith(DRAFT)}


def call_of(service: RunningService) -> dict[str, Any]:
    (span,) = service.spans.wait("a2a.request")
    assert span.kind is SpanKind.CLIENT
    return attributes_of(span)


@pytest.mark.parametrize("version", ["1.0", "0.3"])
@pytest.mark.parametrize(("streaming", "method"), [(True, "SendStreamingMessage"), (False, "SendMessage")])
def test_call_of_an_sdk_agent(start, streaming, method, version):
    """The gateway's span has method, message, task, state and version of A2A, the card's names, conversation and address."""
    with sdk_agent(answering, streaming=streaming, version=version) as url:
        service = start(agents={"peer": url})
        answer = service.run().json()
    found = call_of(service)
    assert len(found.pop("a2a.message.id")) == 36
    assert len(found.pop("gen_ai.conversation.id")) == 36
    assert found == {
        "a2a.method.name": method,
        "a2a.protocol.version": version,
        "a2a.task.id": answer["task_id"],
        "a2a.task.state": "TASK_STATE_COMPLETED",
        "gen_ai.agent.name": "sdk",
        "gen_ai.agent.version": "1",
        "server.address": "127.0.0.1",
        "server.port": urlsplit(url).port,
    }
    labels = {"agent": "peer", "operation": "query", "status": "success"}
    assert labels.items() <= dict(service.spans.named("a2a.request")[0].attributes or {}).items()


def test_message_in_the_call_is_the_one_that_the_agent_gets(start, agent):
    """The id of the message on the span is that of the message which was sent; ids of the answer are the agent's."""
    one = agent(replying(task("TASK_STATE_COMPLETED", "hi")))
    service = start(agents={"peer": one.url})
    service.run()
    found = call_of(service)
    assert found["a2a.message.id"] == one.calls[0]["params"]["message"]["messageId"]
    assert (found["a2a.task.id"], found["gen_ai.conversation.id"]) == ("t-1", "c-1")
    assert found["gen_ai.agent.description"] == "does what a test says"


def test_failed_task(start):
    """A failed task is an error of the call beside its state: our label and the span's error.type say agent."""
    with sdk_agent(failing, streaming=True) as url:
        service = start(agents={"peer": url})
        assert service.run().status_code == 502
    found = call_of(service)
    assert (found["a2a.task.state"], found["error.type"]) == ("TASK_STATE_FAILED", "agent")


def answer_of(code: int) -> Any:
    async def reply(call: dict[str, Any]) -> Response:
        return JSONResponse({"jsonrpc": "2.0", "id": call["id"], "error": {"code": code, "message": "no"}})

    return reply


async def broken(call: dict[str, Any]) -> Response:
    return Response("no", 503)


async def nonsense(call: dict[str, Any]) -> Response:
    return JSONResponse(["no answer"])


@pytest.mark.parametrize(
    ("reply", "label", "error_type"),
    [(answer_of(-32001), "agent", "-32001"), (broken, "agent", "503"), (nonsense, "protocol", "protocol")],
    ids=["code", "status", "neither"],
)
def test_errors(start, agent, reply, label, error_type):
    """The span's error.type is the code or status that was answered, else our label, which stays beside it."""
    service = start(agents={"peer": agent(reply).url})
    service.run()
    (span,) = service.spans.wait("a2a.request")
    attributes = span.attributes or {}
    assert (attributes["error_type"], attributes["error.type"]) == (label, error_type)
    assert span.status.status_code is StatusCode.ERROR
    assert service.counted("a2a_errors_total") == {f"peer/{label}/query": 1}


def test_ids_that_an_agent_makes_too_long_are_left_out(start, agent):
    """A context id of more than 256 characters is not on the span; the call goes on."""
    event = task("TASK_STATE_COMPLETED", "hi")
    event["task"]["contextId"] = "c" * 257
    service = start(agents={"peer": agent(replying(event)).url})
    assert service.run().status_code == 200
    found = call_of(service)
    assert "gen_ai.conversation.id" not in found
    assert found["a2a.task.id"] == "t-1"


def test_built_in_agents(start):
    """A built-in agent's server span has the same request, task and conversation as the call, and the agent's card."""
    service = start()
    answer = service.run("navi", "hello").json()
    call = call_of(service)
    (span,) = service.spans.wait("A2A agent")
    assert span.kind is SpanKind.SERVER
    server = attributes_of(span)
    assert server.keys() == call.keys()
    assert server == {**call, "server.address": "builtin.internal", "server.port": 80}
    assert server["a2a.task.id"] == answer["task_id"]
    assert server["a2a.method.name"] == "SendStreamingMessage"
    assert (server["gen_ai.agent.name"], server["a2a.task.state"]) == ("navi", "TASK_STATE_COMPLETED")


class Quiet(AgentExecutor):
    """A built-in agent as its server sees it, without a model."""

    name = "quiet"

    def card(self, url: str) -> AgentCard:
        interface = AgentInterface(url=url, protocol_binding="JSONRPC", protocol_version="1.0")
        return AgentCard(
            name=self.name, version="1", capabilities=AgentCapabilities(streaming=True), supported_interfaces=[interface]
        )

    async def execute(self, context: RequestContext, event_queue: EventQueue) -> None:
        raise NotImplementedError

    async def cancel(self, context: RequestContext, event_queue: EventQueue) -> None:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("method", "params", "code"),
    [
        ("GetTask", {"id": "gone"}, -32001),
        ("CancelTask", {"id": "gone"}, -32001),
        ("SubscribeToTask", {"id": "gone"}, -32001),
        ("ListTasks", {}, -32004),
        ("SendMessage", {"message": {"messageId": "m-1", "role": "ROLE_USER", "parts": [{"text": "x"}]}}, -32603),
    ],
)
async def test_refused_requests_of_built_in_agents(method, params, code):
    """A request that a built-in agent refuses has its method and the code of the answer on the span."""
    spans, provider = SpanLog(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(spans)
    agent: Any = Quiet()
    async with (
        serving([agent], provider, 1.0, InMemoryTaskStore) as (urls, transport),
        httpx.AsyncClient(transport=transport, headers={"A2A-Version": "1.0"}) as client,
    ):
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = (await client.post(f"{urls['quiet']}/", json=request)).json()
    assert answer["error"]["code"] == code
    (span,) = spans.named("A2A agent")
    found = attributes_of(span)
    assert (found["a2a.method.name"], found["error.type"]) == (method, str(code))
    assert found.get("a2a.message.id") == params.get("message", {}).get("messageId")
    assert method == "SendMessage" or found.get("a2a.task.id") == params.get("id")
    assert span.status.status_code is StatusCode.ERROR
