"""Access to /metrics of the running service: tokens, networks, paths, ports and sockets."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from agents.api.routes.metrics import metrics_route
from agents.settings import Settings, SettingsError
from stack.servers.process import until
from telemetry import Telemetry
from telemetry.metric import Catalogue, counter
from tests.helpers.asgi_server import TIMEOUT, closed_port

TOKEN = "right-token-0123456789"
RIGHT = {"Authorization": f"Bearer {TOKEN}"}


def status_of(url: str, request_line: str, *headers: str) -> int:
    """The status of a request that no client library has normalised; 0 for a connection that is closed without an answer."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), TIMEOUT) as connection:
        lines = [request_line, "Host: test", "Connection: close", *headers, "", ""]
        connection.sendall("\r\n".join(lines).encode("latin-1"))
        answer = connection.makefile("rb").readline().split()
        return int(answer[1]) if answer else 0


PATHS = [
    ("GET /metrics HTTP/1.1", 401),
    ("HEAD /metrics HTTP/1.1", 401),
    ("POST /metrics HTTP/1.1", 401),
    ("BREW /metrics HTTP/1.1", 401),
    ("GET /metrics HTTP/1.0", 401),
    ("GET /metrics?name[]=x HTTP/1.1", 401),
    ("GET /metrics# HTTP/1.1", 404),
    ("GET /%6detrics HTTP/1.1", 404),
    ("GET http://test/metrics HTTP/1.1", 404),
    ("GET //metrics HTTP/1.1", 404),
    ("GET /metrics/ HTTP/1.1", 404),
    ("GET /metrics// HTTP/1.1", 404),
    ("GET /./metrics HTTP/1.1", 404),
    ("GET /%2e/metrics HTTP/1.1", 404),
    ("GET /health/../metrics HTTP/1.1", 404),
    ("GET /health/%2e%2e/metrics HTTP/1.1", 404),
    ("GET /health/live/..%2f..%2fmetrics HTTP/1.1", 404),
    ("GET /metrics%2f HTTP/1.1", 404),
    ("GET /metrics%00 HTTP/1.1", 404),
    ("GET /metrics%0a HTTP/1.1", 404),
    ("GET /metrics;x HTTP/1.1", 404),
    ("GET /METRICS HTTP/1.1", 404),
    ("GET \\metrics HTTP/1.1", 404),
    ("GET /%252e/metrics HTTP/1.1", 404),
]


def test_no_path_leads_around_the_guard(start):
    """Every spelling that reaches the metrics needs the token; all others are a 404."""
    service = start(metrics_tokens=TOKEN)
    assert [(line, status_of(service.url, line)) for line, _ in PATHS] == PATHS


def test_websocket_handshake_gets_no_metrics(start):
    """A WebSocket handshake needs the token like any request."""
    service = start(metrics_tokens=TOKEN)
    handshake = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAA")
    assert status_of(service.url, "GET /metrics HTTP/1.1", *handshake) in (401, 403)


async def test_scrapes_beyond_the_bound(monkeypatch):
    """``AGENTOS_MAX_CONCURRENT_SCRAPES`` scrapes are answered at once, a further one is a 503."""
    monkeypatch.setattr("telemetry.exposition.answer._CHUNK_BYTES", 1)
    monkeypatch.setattr("telemetry.exposition.render._PIECE", 1)
    settings = Settings.from_environment({"AGENTOS_MAX_CONCURRENT_SCRAPES": "1"})
    rows = [counter("a", "1", "A"), counter("b", "1", "B"), counter("c", "1", "C")]
    telemetry = Telemetry(Catalogue(rows))
    for row in rows:
        telemetry[row].inc()
    route = metrics_route(telemetry, settings)
    scope = {"type": "http", "method": "GET", "path": "/metrics", "headers": [], "client": ("127.0.0.1", 1)}
    asked, go = asyncio.Event(), asyncio.Event()
    statuses: list[int] = []

    async def send(message):
        if message["type"] == "http.response.start":
            statuses.append(message["status"])
        elif len(statuses) == 1:
            asked.set()
            await go.wait()

    async def receive():
        await asyncio.Event().wait()

    first = asyncio.create_task(route.app(scope, receive, send))
    await asyncio.wait_for(asked.wait(), TIMEOUT)
    await route.app(scope, receive, send)
    go.set()
    await first
    await route.app(scope, receive, send)
    telemetry.shutdown()
    assert statuses == [200, 503, 200]


def test_refusals_are_counted(start):
    """Refused scrapes are counted in the next one that is allowed."""
    service = start(metrics_tokens=TOKEN)
    for _ in range(3):
        assert service.client.get("/metrics").status_code == 401
    text = service.client.get("/metrics", headers=RIGHT).text
    assert 'agentos_telemetry_refused_scrapes_total{reason="unauthorized"} 3\n' in text


def test_networks(start):
    """A client outside the networks gets a 403; X-Forwarded-For counts from the proxies alone."""
    service = start(metrics_networks="10.0.0.0/8,fd00::/8")
    assert service.client.get("/metrics").status_code == 403
    assert service.client.get("/metrics", headers={"X-Forwarded-For": "10.0.0.1"}).status_code == 403
    near = start(metrics_networks="127.0.0.1", metrics_proxies="127.0.0.0/8")
    assert near.client.get("/metrics").status_code == 200
    assert near.client.get("/metrics", headers={"X-Forwarded-For": "192.0.2.1"}).status_code == 403


def test_a_port_of_its_own(start):
    """With a port of its own /metrics is there alone, and no longer on the public port."""
    port = closed_port()
    service = start(metrics_listen=f"127.0.0.1:{port}", metrics_tokens=TOKEN)
    service.run("navi")
    assert service.client.get("/metrics", headers=RIGHT).status_code == 404
    own = f"http://127.0.0.1:{port}"
    assert httpx.get(f"{own}/metrics").status_code == 401
    text = httpx.get(f"{own}/metrics", headers=RIGHT).text
    assert 'a2a_requests_total{agent="navi",operation="query",status="success"} 1' in text
    assert [httpx.get(f"{own}{path}", headers=RIGHT).status_code for path in ("/", "/agents", "/health/live")] == [404] * 3


def unix_client(path: Path) -> httpx.Client:
    return httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://metrics", timeout=TIMEOUT)


def test_a_unix_socket_of_its_own(start, tmp_path):
    """On a Unix socket the file's mode admits owner and group, and the networks do not count."""
    path = tmp_path / "metrics.sock"
    service = start(metrics_listen=f"unix:{path}", metrics_networks="10.0.0.0/8")
    with unix_client(path) as client:
        assert client.get("/metrics").status_code == 200
    assert service.client.get("/metrics").status_code == 404
    assert stat.S_IMODE(path.stat().st_mode) == 0o660


def test_a_left_over_socket_is_replaced(start, tmp_path):
    """The service replaces the socket that a killed process has left."""
    path = tmp_path / "metrics.sock"
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(path))
    start(metrics_listen=f"unix:{path}")
    with unix_client(path) as client:
        assert client.get("/metrics").status_code == 200


WORKER = """
import asyncio, sys
from agents.runtime.metrics_listener import listening_for_scrapes

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})
    await send({"type": "http.response.body", "body": sys.argv[1].encode()})

async def main():
    async with listening_for_scrapes(app, sys.argv[2]):
        print("up", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def answer_from(place: tuple[str, int] | str) -> str:
    """The body of an answer; empty where no process listens."""
    with socket.socket(socket.AF_UNIX if isinstance(place, str) else socket.AF_INET) as connection:
        try:
            connection.connect(place)
        except OSError:
            return ""
        connection.sendall(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        return connection.makefile().read().rpartition("\n")[2]


@pytest.mark.parametrize("kind", ["port", "file"])
def test_another_worker_takes_over(tmp_path, kind):
    """Two workers with one address: one answers; when it is killed, the other one does."""
    port, path = closed_port(), tmp_path / "metrics.sock"
    address = f"127.0.0.1:{port}" if kind == "port" else f"unix:{path}"
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, name, address], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
        for name in ("a", "b")
    ]
    try:
        for worker in workers:
            assert worker.stdout.readline() == b"up\n"
        place = ("127.0.0.1", port) if kind == "port" else str(path)
        first = until("an answer", lambda: answer_from(place))
        victim = workers[0] if first == "a" else workers[1]
        victim.send_signal(signal.SIGKILL)
        victim.wait(TIMEOUT)
        assert until("another answer", lambda: answer_from(place)) == ("b" if first == "a" else "a")
    finally:
        for worker in workers:
            worker.kill()
            worker.wait(TIMEOUT)
            worker.stdout.close()


def test_an_address_that_cannot_be_had_stops_the_start(tmp_path):
    """A file at the socket's path is left alone, and the start fails with one sentence."""
    from agents.runtime.metrics_listener import listening_for_scrapes

    path = tmp_path / "precious"
    path.write_text("data")

    async def listen() -> None:
        async with listening_for_scrapes(lambda *_: None, f"unix:{path}"):
            raise AssertionError("opened")

    with pytest.raises(SettingsError) as error:
        asyncio.run(listen())
    assert str(error.value) == f"AGENTOS_METRICS_LISTEN is 'unix:{path}': there is a file that is no socket."
    assert path.read_text() == "data"


def _refused_at(path: Path) -> str:
    """The sentence with which the start ends."""
    from agents.runtime.metrics_listener import listening_for_scrapes

    async def listen() -> None:
        async with listening_for_scrapes(lambda *_: None, f"unix:{path}"):
            raise AssertionError("opened")

    with pytest.raises(SettingsError) as error:
        asyncio.run(listen())
    return str(error.value)


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_socket_that_another_program_serves_is_left_alone(tmp_path, kind):
    """A socket on which another program listens stays, goes on to work, and the start fails with one sentence."""
    path = tmp_path / "other.sock"
    with socket.socket(socket.AF_UNIX, kind) as other, socket.socket(socket.AF_UNIX, kind) as client:
        other.bind(str(path))
        if kind is socket.SOCK_STREAM:
            other.listen()
        said = _refused_at(path)
        client.connect(str(path))
    assert said == f"AGENTOS_METRICS_LISTEN is 'unix:{path}': another program listens on the socket there."


def test_a_socket_of_another_user_is_left_alone(tmp_path):
    """A socket that another user has made stays, though no program listens on it."""
    if os.getuid():
        pytest.skip("only root can give files away")
    path = tmp_path / "other.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
    os.chown(path, 12345, 12345)
    assert _refused_at(path) == f"AGENTOS_METRICS_LISTEN is 'unix:{path}': there is a socket of another user."
    assert path.is_socket()


def test_a_socket_that_has_taken_the_place_stays_at_the_end(tmp_path):
    """At its end the listener removes its own socket only, not one that has its path meanwhile."""
    from agents.runtime.metrics_listener import listening_for_scrapes

    path = tmp_path / "metrics.sock"

    async def listen(*, replaced: bool) -> None:
        async with listening_for_scrapes(lambda *_: None, f"unix:{path}"):
            if replaced:
                path.rename(tmp_path / "old.sock")
                path.write_text("other")

    asyncio.run(listen(replaced=False))
    assert not path.exists()
    asyncio.run(listen(replaced=True))
    assert path.read_text() == "other"


def test_the_token_is_nowhere(start, caplog, monkeypatch):
    """Right and wrong tokens show up in no log line, span, answer or metric, even where headers are captured in spans."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST", ".*")
    caplog.set_level(logging.DEBUG)
    wrong = "wrong-token-0123456789"
    settings = Settings(metrics_tokens=TOKEN)
    service = start(metrics_tokens=TOKEN)
    answers = [
        service.client.get(path, headers={"Authorization": f"Bearer {token}"})
        for path in ("/metrics", "/%6detrics", "/metrics/", "/agents")
        for token in (TOKEN, wrong)
    ]
    service.spans.wait("GET /agents", 2)
    seen = [
        repr(settings),
        *(record.getMessage() for record in caplog.records),
        *(span.to_json() for span in service.spans.ended),
    ]
    seen += [answer.text for answer in answers]
    assert [text for text in seen if TOKEN in text or wrong in text] == []


BAD = [
    ({"AGENTOS_METRICS_TOKENS": "sh0rt"}, "AGENTOS_METRICS_TOKENS is not usable: a token has 16 to 1024 letters"),
    (
        {"AGENTOS_METRICS_TOKEN_FILE": "/none/t0ken"},
        "AGENTOS_METRICS_TOKEN_FILE is not usable: the path of a file with one token",
    ),
    ({"AGENTOS_METRICS_NETWORKS": "10.0.0.1/8"}, "AGENTOS_METRICS_NETWORKS is '10.0.0.1/8': networks such as"),
    ({"AGENTOS_METRICS_PROXIES": "nginx"}, "AGENTOS_METRICS_PROXIES is 'nginx': networks such as"),
    ({"AGENTOS_METRICS_LISTEN": "9464"}, "AGENTOS_METRICS_LISTEN is '9464': host:port such as"),
    ({"AGENTOS_METRICS_LISTEN": "unix:metrics.sock"}, "AGENTOS_METRICS_LISTEN is 'unix:metrics.sock': host:port such as"),
    ({"AGENTOS_METRICS_LISTEN": "host:0"}, "AGENTOS_METRICS_LISTEN is 'host:0': host:port such as"),
]


@pytest.mark.parametrize(("environ", "begins"), BAD)
def test_unusable_settings_say_why(environ, begins):
    """A setting that cannot be used stops the start with a sentence, which shows no secret."""
    with pytest.raises(SettingsError) as error:
        Settings.from_environment(environ)
    assert str(error.value).startswith(begins)
    assert "sh0rt" not in str(error.value)
    assert "t0ken" not in str(error.value)


def test_mapped_networks_are_the_ipv4_ones():
    """A network of mapped addresses is the IPv4 network, as the addresses are."""
    settings = Settings(metrics_networks="::ffff:10.0.0.0/104, 192.0.2.7")
    assert [str(network) for network in settings.metrics_networks] == ["10.0.0.0/8", "192.0.2.7/32"]


def test_tokens_from_a_file_rotate_while_the_service_runs(start, tmp_path):
    """After the file has changed, the next scrape needs a new token."""
    path = tmp_path / "tokens"
    path.write_text(TOKEN)
    service = start(metrics_token_file=str(path))
    assert service.client.get("/metrics", headers=RIGHT).status_code == 200
    new = path.with_name("new")
    new.write_text("next-token-0123456789")
    new.replace(path)
    assert service.client.get("/metrics", headers=RIGHT).status_code == 401
    assert service.client.get("/metrics", headers={"Authorization": "Bearer next-token-0123456789"}).status_code == 200


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (os.mkfifo, "it is no regular file"),
        (Path.mkdir, "Is a directory"),
        (lambda path: path.symlink_to("/dev/zero"), "it is no regular file"),
        (Path.touch, "the file holds no token"),
        (lambda path: path.write_text("# no token\n"), "the file holds no token"),
        (
            lambda path: path.write_text("sh0rt\n"),
            "a token has 16 to 1024 letters, digits and marks of -._~+/ (and = at its end)",
        ),
        (lambda path: path.write_bytes(bytes(70_000)), "the file has more than 65536 bytes"),
    ],
)
def test_a_token_file_that_cannot_be_used_stops_the_start(tmp_path, make, reason):
    """A FIFO, a directory, a device, or a file without a token is refused with one sentence and without a wait."""
    make(tmp_path / "tokens")
    with pytest.raises(SettingsError) as error:
        Settings(metrics_token_file=str(tmp_path / "tokens"))
    sentence = f"AGENTOS_METRICS_TOKEN_FILE is not usable: the path of a file with one token a line is needed ({reason})."
    assert str(error.value) == sentence


def test_each_breakage_of_the_token_file_is_logged(start, tmp_path, caplog):
    """Each time the file breaks, and each time it is repaired, one line says so, and scrapes go on with the last tokens."""
    path = tmp_path / "tokens"
    path.write_text(f"{TOKEN}\n")
    service = start(metrics_token_file=str(path))
    for _ in range(2):
        path.rename(tmp_path / "away")
        assert [service.client.get("/metrics", headers=RIGHT).status_code for _ in range(3)] == [200] * 3
        (tmp_path / "away").rename(path)
        assert service.client.get("/metrics", headers=RIGHT).status_code == 200
    lines = [record.getMessage() for record in caplog.records if "TOKEN_FILE" in record.getMessage()]
    once = ["No such file or directory: the tokens read before (1) stay valid", "it can be used again (tokens: 1)"]
    assert lines == [f"the file of AGENTOS_METRICS_TOKEN_FILE: {what}" for what in once * 2]
