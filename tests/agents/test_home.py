"""The page at ``/``, and the service behind a root path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.resources import Resource

from agents.main import create_app
from agents.settings import Settings
from telemetry import AgentOSTelemetry
from tests.helpers.asgi_server import TIMEOUT, serving
from tests.helpers.service import RunningService, running_service
from tests.helpers.span_log import SpanLog


class _Page(HTMLParser):
    """Collects the elements of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def links(self) -> list[str | None]:
        return [attributes["href"] for tag, attributes in self.elements if tag == "a"]


@pytest.fixture(scope="module")
def service() -> Iterator[RunningService]:
    with running_service(Settings()) as running:
        yield running


def test_says_what_runs(service: RunningService) -> None:
    """The page names the version, the environment, the agents and the providers with their states."""
    answer = service.client.get("/")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    rows = dict(re.findall(r'<th scope="row">([^<]*)</th><td>([^<]*)</td>', answer.text))
    assert {name: rows[name] for name in ("navi", "herald", *Settings().providers)} == {
        "navi": "ready",
        "herald": "ready",
        **dict.fromkeys(Settings().providers, "closed"),
    }
    assert rows["environment"] == Settings().environment


def test_loads_nothing(service: RunningService) -> None:
    """The page has no script and loads nothing, and its policy forbids both."""
    answer = service.client.get("/")
    elements = _Page(answer.text).elements
    assert {tag for tag, _ in elements}.isdisjoint({"script", "img", "iframe", "object", "embed"})
    assert not [attributes for _, attributes in elements if "src" in attributes]
    assert [attributes["href"] for tag, attributes in elements if tag == "link"] == ["data:,"]
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")


def test_links_answer(service: RunningService) -> None:
    """Each link of the page answers."""
    links = _Page(service.client.get("/").text).links()
    assert links == ["/metrics", "/openapi.json", "/agents", "/health/live", "/health/ready"]
    assert {service.client.get(str(link)).status_code for link in links} == {200}


def test_methods(service: RunningService) -> None:
    """HEAD is answered without a body; other methods get 405."""
    head = service.client.head("/")
    assert (head.status_code, head.content, service.client.post("/").status_code) == (200, b"", 405)


def test_escapes() -> None:
    """Names of the settings are escaped."""
    telemetry = AgentOSTelemetry(strict=True, resource=Resource.create({"service.name": "<script>x</script>"}))
    try:
        with serving(create_app(Settings(), telemetry)) as url:
            text = httpx.get(url, timeout=TIMEOUT, trust_env=False).text
    finally:
        telemetry.shutdown()
    assert "<td>&lt;script&gt;x&lt;/script&gt;</td>" in text


def behind(app: Any, root_path: str) -> Any:
    """The application under uvicorn's ``--root-path``, which puts it before the path that the client sent."""

    async def served(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            raw = root_path.encode() + scope["raw_path"]
            scope = {**scope, "root_path": root_path, "path": root_path + scope["path"], "raw_path": raw}
        await app(scope, receive, send)

    return served


@pytest.mark.parametrize("prefix", ["", "/agentos"])
def test_root_path(prefix: str) -> None:
    """Behind a root path, forwarded or stripped, probes and scrapes are served, not limited and not traced."""
    spans = SpanLog()
    telemetry = AgentOSTelemetry(strict=True, span_processors=[spans])
    try:
        app = behind(create_app(Settings(), telemetry), "/agentos")
        with serving(app) as url, httpx.Client(base_url=url, timeout=TIMEOUT, trust_env=False) as client:
            paths = ["/health/live", "/health/ready", "/metrics", "/agents", "/"]
            statuses = [client.get(prefix + path).status_code for path in paths]
            links = _Page(client.get(prefix + "/").text).links()
            limited = re.findall(r'^rate_limit_hits_total\{.*endpoint="([^"]*)".*\} [1-9]', client.get("/metrics").text, re.M)
    finally:
        telemetry.shutdown()
    assert statuses == [200] * 5
    assert links[0] == "/agentos/metrics"
    assert sorted(limited) == ["/", "/agents"]
    assert sorted(span.name for span in spans.ended if span.kind.name == "SERVER") == ["GET /", "GET /", "GET /agents"]
