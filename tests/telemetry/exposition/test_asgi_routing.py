"""``metrics_app`` placed by the routers of FastAPI and Starlette, over real sockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount, Route

from telemetry.exposition import MetricsApp, PrometheusReader, metrics_app
from tests.helpers.asgi_server import serving
from tests.helpers.providers import provider

BODY = "# TYPE c_total counter\nc_total 1\n"
Placed = Callable[[MetricsApp], Any]


@pytest.fixture
def reader() -> PrometheusReader:
    """A reader with one counter."""
    meters, reader = provider()
    meters.get_meter("m").create_counter("c").add(1)
    return reader


def added(app: Any) -> Placed:
    def place(metrics: MetricsApp) -> Any:
        metrics.add_to(app)
        return app

    return place


def added_as_route(app: Any) -> Placed:
    def place(metrics: MetricsApp) -> Any:
        app.add_route("/metrics", metrics)
        return app

    return place


def mounted(app: Any) -> Placed:
    def place(metrics: MetricsApp) -> Any:
        app.mount("/metrics", metrics)
        return app

    return place


EXACT: dict[str, Callable[[], Placed]] = {
    "add_to of FastAPI": lambda: added(FastAPI()),
    "add_to of Starlette": lambda: added(Starlette()),
    "add_route of FastAPI": lambda: added_as_route(FastAPI()),
    "add_route of Starlette": lambda: added_as_route(Starlette()),
    "Route": lambda: lambda metrics: Starlette(routes=[Route("/metrics", metrics)]),
    "Route below a Mount": lambda: lambda metrics: Starlette(routes=[Mount("/", routes=[Route("/metrics", metrics)])]),
    "a server alone": lambda: lambda metrics: metrics,
}


def behind(app: Any, root_path: str) -> Any:
    """The application under uvicorn's ``--root-path``, which puts it before the path that the client sent."""

    async def served(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            scope = {**scope, "root_path": root_path, "path": root_path + scope["path"]}
        await app(scope, receive, send)

    return served


@pytest.mark.parametrize("root_path", ["", "/agentos"])
@pytest.mark.parametrize("placing", EXACT)
def test_exact_path(reader: PrometheusReader, placing: str, root_path: str) -> None:
    """``/metrics`` answers 200 itself, without a redirect, also behind a root path."""
    app = EXACT[placing]()(metrics_app(reader))
    with serving(behind(app, root_path), lifespan="off") as url, httpx.Client(trust_env=False) as client:
        answer = client.get(url + "/metrics")
    assert (answer.status_code, answer.text) == (200, BODY)


@pytest.mark.parametrize("make", [FastAPI, Starlette])
def test_add_to_serves_both_spellings(reader: PrometheusReader, make: Callable[[], Any]) -> None:
    """``add_to`` answers the path with a slash at its end too, and refuses other methods with our 405."""
    with serving(added(make())(metrics_app(reader)), lifespan="off") as url, httpx.Client(trust_env=False) as client:
        answers = [client.get(url + "/metrics/"), client.head(url + "/metrics"), client.post(url + "/metrics")]
    assert [answer.status_code for answer in answers] == [200, 200, 405]
    assert answers[2].text == "only GET and HEAD\n"


def test_add_to_is_not_in_the_document(reader: PrometheusReader) -> None:
    """The OpenAPI document does not list the routes."""
    app = FastAPI()
    metrics_app(reader).add_to(app)
    assert app.openapi()["paths"] == {}


@pytest.mark.parametrize("make", [FastAPI, Starlette])
def test_mount(reader: PrometheusReader, make: Callable[[], Any]) -> None:
    """A mount answers ``/metrics/``; Starlette itself redirects ``/metrics`` to it."""
    with serving(mounted(make())(metrics_app(reader)), lifespan="off") as url, httpx.Client(trust_env=False) as client:
        answers = [client.get(url + "/metrics/"), client.get(url + "/metrics")]
    assert [answer.status_code for answer in answers] == [200, 307]
    assert answers[0].text == BODY


def test_added_before_a_mount(reader: PrometheusReader) -> None:
    """``add_to`` keeps a mount at the same path from redirecting."""
    app, metrics = FastAPI(), metrics_app(reader)
    metrics.add_to(app)
    app.mount("/metrics", metrics)
    with serving(app, lifespan="off") as url, httpx.Client(trust_env=False) as client:
        assert client.get(url + "/metrics").status_code == 200


@pytest.mark.parametrize("name", EXACT)
def test_a_line_break_is_another_path(reader: PrometheusReader, name: str) -> None:
    """``/metrics%0a`` is a 404: the router's pattern matches it, the rule of a proxy for ``/metrics`` does not."""
    with serving(EXACT[name]()(metrics_app(reader))) as url:
        assert [httpx.get(f"{url}/metrics{end}").status_code for end in ("%0a", "")] == [404, 200]
