"""The start of the service: one sentence where it fails, nothing left behind, and a lifespan after another."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

from agents import main
from agents.gateway.dashboard_gateway import DashboardGateway
from agents.main import create_app
from agents.runtime.start import StartError, run_lifespan, sentence
from agents.settings import Settings, SettingsError
from telemetry import current

ROOT = Path(__file__).parents[2]
SECRET = "hunter2"


@pytest.fixture
def service() -> Any:
    """A service of its own, as ``agents.main`` makes one for the process."""
    return main._Service()


@pytest.fixture
def threads() -> Iterator[None]:
    """Fails the test where it leaves a thread behind."""
    before = set(threading.enumerate())
    yield
    assert {thread.name for thread in set(threading.enumerate()) - before} == set()


def fail_with(error: BaseException) -> Any:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


class Lifespan:
    """Opens an application's lifespan as a server does, and keeps what it answers."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.answers: list[Any] = []
        self.stop = asyncio.Event()
        self._asked = 0

    async def run(self) -> None:
        await self.app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, self._receive, self._send)

    async def _receive(self) -> Any:
        self._asked += 1
        if self._asked > 1:
            await self.stop.wait()
        return {"type": "lifespan.startup" if self._asked == 1 else "lifespan.shutdown"}

    async def _send(self, message: Any) -> None:
        self.answers.append(message)
        self.stop.set()


@pytest.mark.parametrize("times", [3])
def test_each_lifespan_of_the_service_works(service, times, threads):
    """The service can be started again after it has stopped: it answers runs and scrapes each time."""
    for _ in range(times):
        with TestClient(service) as client:
            assert client.post("/agents/navi/runs", json={"input": "q"}).status_code == 200
            assert client.get("/health/ready").status_code == 200
            assert 'agent="navi"' in client.get("/metrics").text


def test_second_lifespan_of_an_app_is_refused(threads):
    """An app of ``create_app`` starts once; the second lifespan names the way out."""
    app = create_app(Settings())
    with TestClient(app) as client:
        assert client.get("/health/ready").status_code == 200
    refused = "This app had its lifespan and cannot be started again: build another one with create_app()."
    with pytest.raises(StartError) as error, TestClient(app):
        pass
    assert str(error.value) == refused


def test_lifespan_while_another_is_open_is_refused(service):
    """Two lifespans of the service at a time are refused, and the first one goes on."""
    with TestClient(service) as client:
        with pytest.raises(StartError, match="The service of this process runs already"):
            TestClient(service).__enter__()
        assert client.get("/health/ready").status_code == 200


@pytest.mark.parametrize("error", [ZeroDivisionError(SECRET), asyncio.CancelledError(SECRET)])
def test_lifespan_that_fails_half_way_is_one_sentence_and_can_be_opened_again(service, monkeypatch, error, threads):
    """What fails while the lifespan opens is told by its class and its place; the next lifespan works."""
    with monkeypatch.context() as patch:
        patch.setattr(DashboardGateway, "lifespan", fail_with(error))
        lifespan = Lifespan(service)
        with pytest.raises(type(error)):
            asyncio.run(lifespan.run())
    (answer,) = lifespan.answers
    assert answer["type"] == "lifespan.startup.failed"
    assert answer["message"].startswith(f"The service could not be started: {type(error).__name__} in agents.main, line ")
    assert SECRET not in answer["message"]
    with TestClient(service) as client:
        assert client.get("/health/ready").status_code == 200


def test_lifespan_that_is_cancelled_can_be_opened_again(service, monkeypatch, threads):
    """A server that cancels the start leaves nothing open."""
    waiting = asyncio.Event()

    async def cancelled() -> None:
        def hang(*_: Any) -> Any:
            class Hanging:
                async def __aenter__(self) -> None:
                    waiting.set()
                    await asyncio.Event().wait()

                async def __aexit__(self, *_: Any) -> None: ...

            return Hanging()

        monkeypatch.setattr(DashboardGateway, "lifespan", hang)
        task = asyncio.create_task(Lifespan(service).run())
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        monkeypatch.undo()

    asyncio.run(cancelled())
    with TestClient(service) as client:
        assert client.get("/health/ready").status_code == 200


def test_app_that_cannot_be_built_leaves_nothing_open(monkeypatch, threads):
    """A telemetry whose app fails is shut down, its exporters' threads end, and it is not the process's own."""
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "console")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "console")
    before = current()
    monkeypatch.setattr(main, "Router", fail_with(ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        create_app(Settings())
    assert current() is before


def test_service_that_cannot_be_built_tells_the_lifespan_and_refuses_requests(service, monkeypatch):
    """The lifespan gets one sentence; a server that serves on gets 503 for each request, and nothing is built again."""
    built = []
    monkeypatch.setattr(main, "create_app", lambda _: built.append(1) or fail_with(ZeroDivisionError(SECRET))())
    lifespan = Lifespan(service)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(lifespan.run())
    (answer,) = lifespan.answers
    assert (answer["type"], SECRET in answer["message"]) == ("lifespan.startup.failed", False)
    client = TestClient(service)
    assert [client.get(path).status_code for path in ("/metrics", "/health/live", "/no")] == [503] * 3
    assert built == [1]


def test_service_without_a_lifespan_builds_once(service, monkeypatch, caplog):
    """Without a lifespan the first request builds; a failure is logged once, and answered 503 without a reason."""
    monkeypatch.setenv("AGENTOS_AGENT_TIMEOUT", "soon")
    client = TestClient(service)
    answers = [client.get("/health/live") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503] * 3
    assert answers[0].json() == {"error": "not_started", "reason": "the service could not be started; its log has the reason"}
    (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.getMessage().startswith("AGENTOS_AGENT_TIMEOUT is 'soon': ")
    assert record.exc_info is None


def test_failed_stop_is_one_sentence():
    """A lifespan that fails while it closes is told without its stack trace."""

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.failed", "message": "Traceback (most recent call last)"})
        raise ZeroDivisionError(SECRET)

    lifespan = Lifespan(lambda scope, receive, send: run_lifespan(app, scope, receive, send))
    with pytest.raises(ZeroDivisionError):
        asyncio.run(lifespan.run())
    assert [answer["type"] for answer in lifespan.answers] == ["lifespan.startup.complete", "lifespan.shutdown.failed"]
    assert lifespan.answers[1]["message"] == "The service did not stop in order: ZeroDivisionError."


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (SettingsError("AGENTOS_X is 'y':\nno."), "AGENTOS_X is 'y': no."),
        (OSError(98, "Address already in use", SECRET), "The service could not be started: OSError (Address already in use)."),
        (KeyError(SECRET), "The service could not be started: KeyError."),
        (BaseExceptionGroup("two", [KeyError(SECRET), ValueError()]), "The service could not be started: KeyError."),
        (StartError("x" * 2000), "x" * 999 + "…"),
    ],
)
def test_sentence_shows_no_text_of_others(error, told):
    """Our own errors are told as they are, in one bounded line; of others the class and the system's reason."""
    assert sentence(error) == told


def started(*command: str, **environ: str) -> subprocess.Popen[str]:
    env = {**os.environ, **environ}
    return subprocess.Popen(
        [sys.executable, "-m", *command], cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


REDIS = "AGENTOS_REDIS_URL is not usable: a URL such as redis://"
FAILURES = [
    ({"AGENTOS_REDIS_URL": f"redis://:{SECRET}/x@h:6379/0"}, REDIS),
    ({"AGENTOS_AGENTS": "[" * 60_000}, "AGENTOS_AGENTS is not usable: a JSON object of names and URLs is needed"),
    ({"AGENTOS_METRICS_TOKENS": ","}, "AGENTOS_METRICS_TOKENS is not usable: at least one token is needed"),
    ({"OTEL_BSP_MAX_QUEUE_SIZE": "256"}, "OTEL_BSP_MAX_QUEUE_SIZE is 256: "),
    ({"OTEL_EXPORTER_OTLP_TIMEOUT": "10s"}, "OTEL_EXPORTER_OTLP_TIMEOUT is '10s': "),
    ({"OTEL_PROPAGATORS": "b3"}, "OTEL_PROPAGATORS is 'b3': "),
    ({"OTEL_EXPORTER_OTLP_HEADERS": f"key {SECRET}"}, "OTEL_EXPORTER_OTLP_HEADERS is not usable: "),
    (
        {"AGENTOS_METRICS_LISTEN": "192.0.2.1:9464"},
        "AGENTOS_METRICS_LISTEN is '192.0.2.1:9464': Cannot assign requested address.",
    ),
]


@pytest.mark.parametrize(("environ", "told"), FAILURES)
def test_failed_start_ends_uvicorn_with_one_sentence(environ, told):
    """Each failed start ends the process with status 3, and its output has the sentence once, no stack trace, no secret."""
    with started("uvicorn", "agents.main:app", "--port", "0", **environ) as process:
        output, _ = process.communicate(timeout=60)
    lines = [line for line in output.splitlines() if not line.startswith("INFO:")]
    assert process.returncode == 3
    assert lines[0].removeprefix("ERROR:").strip().startswith(told)
    assert lines[1:] in ([], ["ERROR:    Application startup failed. Exiting."])
    assert SECRET not in output


def test_address_in_use_ends_the_start_of_a_single_process():
    """Without other workers, nothing but another program can hold the address of /metrics."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with started("uvicorn", "agents.main:app", "--port", "0", AGENTOS_METRICS_LISTEN=address) as process:
            output, _ = process.communicate(timeout=60)
    assert process.returncode == 3
    assert f"ERROR:    AGENTOS_METRICS_LISTEN is '{address}': Address already in use.\n" in output
    assert "Traceback" not in output


def test_unreachable_collector_does_not_delay_the_end_of_a_failed_start():
    """A start that fails after the exporters were made waits for no export."""
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://192.0.2.1:4317", "AGENTOS_METRICS_LISTEN": "192.0.2.1:9464"}
    with started("uvicorn", "agents.main:app", "--port", "0", **environ) as process:
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "Traceback" not in output


def test_failed_workers_end_their_supervisor():
    """Neither uvicorn's supervisor nor gunicorn starts failed workers again; the command agentos has a status of its own."""
    bad = {"AGENTOS_AGENT_TIMEOUT": "soon"}
    sentence = "AGENTOS_AGENT_TIMEOUT is 'soon': a number of seconds above 0 is needed, such as 30 or 0.5.\n"
    with started("uvicorn", "agents.main:app", "--port", "0", "--workers", "2", **bad) as process:
        output, _ = process.communicate(timeout=60)
    assert 1 <= output.count(f"ERROR:    {sentence}") <= 2
    worker = ("-k", "uvicorn_worker.UvicornWorker", "-w", "1", "-b", "127.0.0.1:0")
    with started("gunicorn", *worker, "--no-control-socket", "agents.main:app", **bad) as process:
        output, _ = process.communicate(timeout=60)
    assert (process.returncode, output.count(sentence), "Traceback" in output) == (3, 1, False)
    command = [sys.executable, "-c", "from agents.command import main; main()", "--workers", "2"]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **bad}, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (3, sentence)


def test_failed_start_without_a_lifespan_ends_with_the_first_request():
    """With ``--lifespan off`` the first request is answered 503, and the process ends with status 3."""
    bad = {"AGENTOS_AGENT_TIMEOUT": "soon"}
    with started("uvicorn", "agents.main:app", "--port", "0", "--lifespan", "off", **bad) as process:
        assert process.stdout is not None
        url = next(part for line in process.stdout for part in line.split() if part.startswith("http://"))
        assert httpx.get(f"{url}/health/live").status_code == 503
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 3
    assert output.count("AGENTOS_AGENT_TIMEOUT is 'soon'") == 1
    assert "Traceback" not in output
