"""``GET /``: a page for people that says what runs. It loads nothing: no script, no image, no style sheet."""

from __future__ import annotations

import time
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route

from agents import __version__

__all__ = ["home_route"]

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:46rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    "table{border-collapse:collapse}th,td{text-align:left;padding:.2rem 1.5rem .2rem 0;border-bottom:1px solid #8884}"
)
_HASH = b64encode(sha256(_STYLE.encode()).digest()).decode()
_HEADERS = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
States = Callable[[], Mapping[str, str]]


def home_route(
    facts: Mapping[str, str],
    agents: States,
    providers: States,
    metrics_elsewhere: bool,
    clock: Callable[[], float] = time.monotonic,
) -> Route:
    """Returns the route of ``/``, for GET and HEAD; it is limited and traced as other routes, and not in the OpenAPI document.

    Args:
        facts: What runs, shown as given.
        agents: Returns agent -> state.
        providers: Returns provider -> state.
        metrics_elsewhere: Whether ``/metrics`` is on a listener of its own, so that there is nothing to link.
        clock: Seconds on a monotonic clock; the uptime begins now.
    """
    started = clock()

    async def home(request: Request) -> HTMLResponse:
        shown = {"version": __version__, **facts, "uptime": f"{clock() - started:.0f} s"}
        parts = [
            _table("Service", shown),
            _links(request.scope.get("root_path", ""), metrics_elsewhere),
            _table("Agents", agents()),
            _table("Providers", providers()),
        ]
        return HTMLResponse(_page(parts), headers=_HEADERS)

    return Route("/", home, include_in_schema=False)


def _page(parts: Iterable[str]) -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>AgentOS</title>'
        '<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">'
        f"<style>{_STYLE}</style></head><body><h1>AgentOS</h1>{''.join(parts)}</body></html>\n"
    )


def _table(title: str, rows: Mapping[str, str]) -> str:
    cells = (f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in rows.items())
    return f"<h2>{escape(title)}</h2><table>{''.join(cells) or '<tr><td>none</td></tr>'}</table>"


def _links(root_path: str, metrics_elsewhere: bool) -> str:
    paths = ["/openapi.json", "/agents", "/health/live", "/health/ready"]
    metrics = "<li>/metrics: on a listener of its own</li>" if metrics_elsewhere else ""
    if not metrics_elsewhere:
        paths.insert(0, "/metrics")
    items = (f'<li><a href="{escape(root_path + path)}">{path}</a></li>' for path in paths)
    return f"<h2>Links</h2><ul>{metrics}{''.join(items)}</ul>"
