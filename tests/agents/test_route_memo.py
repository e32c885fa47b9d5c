"""What is kept of the routes of requests."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from agents.middleware.route_memo import RouteMemo


async def nothing() -> None: ...


def scope_of(app: FastAPI, path: str, **more: Any) -> dict[str, Any]:
    return {"type": "http", "method": "GET", "path": path, "root_path": "", "app": app, **more}


class Counting:
    """Returns method and path, and keeps the requests that it was asked about."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, scope: Any) -> str:
        self.asked.append(scope["path"])
        return f"{scope['method']} {scope.get('root_path')} {scope['path']}"


def test_a_path_is_matched_once() -> None:
    """The function is called once for each path, method and root path."""
    app, function = FastAPI(), Counting()
    memo = RouteMemo(function)
    for _ in range(2):
        assert memo(scope_of(app, "/a")) == "GET  /a"
        assert memo(scope_of(app, "/a", method="POST")) == "POST  /a"
        assert memo(scope_of(app, "/a", root_path="/r")) == "GET /r /a"
    assert function.asked == ["/a"] * 3


def test_a_new_route_is_seen() -> None:
    """What is kept is dropped when the application gets another route, at any place."""
    app, function = FastAPI(), Counting()
    memo = RouteMemo(function)
    memo(scope_of(app, "/a"))
    app.get("/{any}")(nothing)
    memo(scope_of(app, "/a"))
    app.router.routes.insert(0, app.router.routes.pop())
    memo(scope_of(app, "/a"))
    memo(scope_of(app, "/a"))
    assert function.asked == ["/a"] * 3


def test_clients_cannot_fill_the_memory() -> None:
    """At most 256 paths are kept, and none above 256 characters."""
    app, function = FastAPI(), Counting()
    memo = RouteMemo(function)
    for number in range(1000):
        memo(scope_of(app, f"/{number}"))
        assert len(memo._results) <= 256
    for path, method in (("/" + "a" * 256, "GET"), ("/a", "A" * 256)):
        before = dict(memo._results)
        memo(scope_of(app, path, method=method))
        assert memo._results == before


def test_routes_that_are_matched_by_more_than_their_path_are_asked_each_time() -> None:
    """Nothing is kept where a host or mount is among the routes, nor for WebSockets."""
    app, function = FastAPI(), Counting()
    memo = RouteMemo(function)
    for _ in range(2):
        memo(scope_of(app, "/a", type="websocket"))
    app.router.routes.append(Mount("/m", Starlette()))
    for _ in range(2):
        memo(scope_of(app, "/a"))
    assert function.asked == ["/a"] * 4
