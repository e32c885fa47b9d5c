"""HTTP inside the process, and the built-in agents behind it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.trace import NoOpTracerProvider

from agents.runtime.builtin_agents import BuiltinAgent, Skill
from agents.runtime.builtin_server import BASE_URL, serving
from agents.runtime.in_process import InProcessTransport
from agents.runtime.task_store import RecentTasks
from agents.settings import Settings
from stack.servers.service import Service

START = {"type": "http.response.start", "status": 201, "headers": [(b"x-a", b"1")]}
URL = "http://inside.test/a%20b?c=d"


def piece(body: bytes, *, more: bool = True) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": more}


def client(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=InProcessTransport(app))


async def test_application_gets_the_request():
    """Method, path, query, headers and body reach the application as a server would hand them over."""
    seen: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.update(scope, message=await receive())
        await send(START)
        await send(piece(b"done", more=False))

    async with client(app) as http:
        answer = await http.post(URL, content=b"body", headers={"X-B": "2"})
    assert (answer.status_code, answer.headers["x-a"], answer.content) == (201, "1", b"done")
    assert (seen["method"], seen["path"], seen["raw_path"], seen["query_string"]) == ("POST", "/a b", b"/a%20b", b"c=d")
    assert (b"x-b", b"2") in seen["headers"]
    assert seen["message"] == {"type": "http.request", "body": b"body", "more_body": False}


async def test_pieces_come_as_they_are_sent():
    """The caller reads each piece before the application sends the next one."""
    order: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        for at in range(3):
            order.append(f"send {at}")
            await send(piece(b"%d" % at))
        await send(piece(b"", more=False))

    async with client(app) as http, http.stream("GET", URL) as answer:
        async for data in answer.aiter_raw():
            order.append(f"read {data.decode()}")
            assert len([one for one in order if one.startswith("send")]) <= int(data) + 2
    assert [one for one in order if one.startswith("read")] == ["read 0", "read 1", "read 2"]


async def test_application_waits_for_its_caller():
    """An application that sends without end is held where its caller stopped reading, and ended when the caller leaves."""
    sent = 0
    ended = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        await send(START)
        try:
            while True:
                await send(piece(b"x" * 1000))
                sent += 1
        finally:
            ended.set()

    async with client(app) as http, http.stream("GET", URL) as answer:
        await anext(answer.aiter_raw())
        for _ in range(100):
            await asyncio.sleep(0)
        assert sent <= 2
    await asyncio.wait_for(ended.wait(), 20)


async def test_caller_who_leaves_is_a_disconnect():
    """When the caller closes its answer the application gets http.disconnect, and sending raises OSError."""
    got: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(START)
        message = await receive()
        try:
            await send(piece(b"late"))
        except OSError as error:
            got.set_result((message, str(error)))

    async with client(app) as http, http.stream("GET", URL):
        pass
    assert await asyncio.wait_for(got, 20) == ({"type": "http.disconnect"}, "the caller is gone")


async def test_caller_that_is_cancelled_is_a_disconnect():
    """A caller that is cancelled before the answer begins leaves no application waiting."""
    arrived, left = asyncio.Event(), asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        arrived.set()
        assert (await receive())["type"] == "http.disconnect"
        left.set()

    async with client(app) as http:
        asking = asyncio.create_task(http.get(URL))
        await arrived.wait()
        asking.cancel()
        await asyncio.wait_for(left.wait(), 20)
        await asyncio.gather(asking, return_exceptions=True)


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """Returns without an answer."""


async def raises(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError("broken")


async def stops(scope: Any, receive: Any, send: Any) -> None:
    await send(START)
    await send(piece(b"half"))


async def raises_late(scope: Any, receive: Any, send: Any) -> None:
    await stops(scope, receive, send)
    raise ValueError("broken")


@pytest.mark.parametrize(("app", "logged"), [(nothing, 0), (raises, 1), (stops, 0), (raises_late, 1)])
async def test_answer_that_ends_too_early_is_an_error(app, logged, caplog):
    """An application that does not complete its answer is a protocol error, and what it raised is logged once."""
    async with client(app) as http:
        with pytest.raises(httpx.RemoteProtocolError, match=r"^the application ended its answer too early$"):
            await http.get(URL)
    assert len([one for one in caplog.records if one.levelno >= logging.ERROR]) == logged


async def test_context_of_the_caller_stays_outside():
    """Context variables of the caller are not those of the application."""
    mine: ContextVar[str] = ContextVar("mine", default="")
    mine.set("secret")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        await send(piece(mine.get().encode(), more=False))

    async with client(app) as http:
        assert (await http.get(URL)).content == b""


async def test_drain_waits_and_then_cancels():
    """At the end, calls under way have their time to end, and are cancelled after it."""
    release = asyncio.Event()
    ends: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await (release if scope["path"] == "/short" else asyncio.Event()).wait()
            ends.append("done")
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    transport = InProcessTransport(app)
    async with httpx.AsyncClient(transport=transport) as http:
        asking = [asyncio.create_task(http.get(f"http://inside.test/{path}")) for path in ("short", "long")]
        await asyncio.sleep(0)
        release.set()
        await transport.drain(0.1)
        await asyncio.gather(*asking, return_exceptions=True)
    await transport.drain(0.1)
    assert ends == ["done", "cancelled"]


class Echo(BuiltinAgent):
    """Answers with the text that it is sent."""

    name = "echo"
    description = "echoes"
    skills = {"query": Skill("Echoes.", "question")}  # noqa: RUF012 - as the base class has it

    def __init__(self) -> None:
        """Needs no cache and no router."""

    async def answer(self, operation: str, text: str, workspace: str) -> AsyncGenerator[str, None]:
        yield text


async def asked(method: str, params: Any) -> list[dict[str, Any]]:
    """The answers to a message and then to this request."""
    message = {"message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "private question"}]}}
    async with (
        serving([Echo()], NoOpTracerProvider(), 1, lambda: RecentTasks(Settings())) as (urls, transport),
        httpx.AsyncClient(transport=transport, headers={"A2A-Version": "1.0"}) as http,
    ):
        assert urls == {"echo": f"{BASE_URL}/echo"}
        answers = []
        for name, given in (("SendMessage", message), (method, params)):
            call = {"jsonrpc": "2.0", "id": 1, "method": name, "params": given}
            answers.append((await http.post(f"{BASE_URL}/echo/", json=call)).json())
    return answers


@pytest.mark.parametrize("params", [{}, {"includeArtifacts": True}, {"pageSize": 100}, {"tenant": "w"}])
async def test_tasks_are_not_listed(params):
    """A built-in agent does not list its tasks, which are those of all workspaces."""
    sent, listed = await asked("ListTasks", params)
    assert sent["result"]["task"]["artifacts"][0]["parts"] == [{"text": "private question"}]
    assert "private question" not in str(listed)
    assert listed["error"]["message"] == "tasks are not listed"


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("CreateTaskPushNotificationConfig", {"taskId": "t", "url": "http://127.0.0.1:1/"}),
        ("GetTaskPushNotificationConfig", {"taskId": "t", "id": "c"}),
        ("ListTaskPushNotificationConfigs", {"taskId": "t"}),
        ("DeleteTaskPushNotificationConfig", {"taskId": "t", "id": "c"}),
        ("GetExtendedAgentCard", {}),
        ("GetTask", {"id": "unknown"}),
        ("SubscribeToTask", {"id": "unknown"}),
        ("CancelTask", {"id": "unknown"}),
        ("NoSuchMethod", {}),
    ],
)
async def test_other_methods_are_refused(method, params):
    """Push notifications, which would make the agent send requests, and tasks that do not exist are refused."""
    _, answer = await asked(method, params)
    assert "error" in answer
    assert "private question" not in str(answer)


def listening(pid: int) -> int:
    """How many TCP sockets a process listens on."""
    own = {
        link.readlink().name
        for link in Path(f"/proc/{pid}/fd").iterdir()
        if link.is_symlink() and "socket" in str(link.readlink())
    }
    tables = [Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table]
    return len([row for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in own])


def test_built_in_agents_have_no_port(tmp_path):
    """A service with built-in agents listens on its own port alone."""
    with Service(tmp_path / "service", {}) as service:
        assert service.run("herald", "hello").status_code == 200
        assert listening(service.pid) == 1
