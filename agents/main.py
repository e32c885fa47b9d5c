"""The service: wiring and lifespan, nothing else. ``uvicorn agents.main:app`` runs it."""

from __future__ import annotations

# First: the imports below fail where `agents` is another distribution's package, or a variable cannot be used.
import agents.own_package
import agents.read_at_import  # noqa: F401

# isort: split

import asyncio
import logging
import os
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

from fastapi.applications import FastAPI  # `fastapi.FastAPI` may be an instrumentor's, which traces as the host says
from opentelemetry.metrics import NoOpMeterProvider
from starlette.routing import Router as Routing
from starlette.types import ASGIApp, Receive, Scope, Send

from agents import __version__
from agents.api.keys import documented
from agents.api.problem import add_problem_handlers
from agents.api.routes.health import agent_states, health_router
from agents.api.routes.home import home_route
from agents.api.routes.metrics import metrics_route
from agents.api.routes.runs import Failed, runs_router
from agents.gateway.dashboard_gateway import DashboardGateway
from agents.middleware.front import in_front
from agents.middleware.rate_limit import Limiter, RateLimit
from agents.middleware.server_span import trace_server
from agents.middleware.trace_context import TraceContext
from agents.observability.logs import log_to_stderr
from agents.observability.selection import CatalogueSelection, limits_error
from agents.runtime.builtin_agents import BuiltinAgent, Herald, Navi
from agents.runtime.builtin_server import serving
from agents.runtime.builtin_tools import BuiltinTools
from agents.runtime.colleague import Colleague
from agents.runtime.connections import limit_connections
from agents.runtime.flush import flush_telemetry
from agents.runtime.metrics_listener import listening_for_scrapes
from agents.runtime.server import end_on_sigterm, end_with_failure, raise_h11_limit, running_server
from agents.runtime.start import StartError, refuse_lifespan, run_lifespan, sentence, unstarted
from agents.runtime.task_store import RecentTasks
from agents.services.cache import AnswerCache
from agents.services.ccr_router import Router
from agents.services.providers.base import Provider
from agents.services.providers.builtin import BuiltinProvider
from agents.services.providers.openai import OpenAIProvider
from agents.services.storage.redis_guard import RedisGuard
from agents.settings import ProviderSettings, Settings, SettingsError
from telemetry import AgentOSTelemetry, CatalogueError, current, install
from telemetry._base.printable import shown
from telemetry.agentos.catalogue import AGENTOS_INFO
from telemetry.agentos.workspace_budgets import WorkspaceBudgets
from telemetry.prefork import StateDirectoryError, Workers, is_worker, missing_on_this_platform
from telemetry.prefork.state_directory import LEDGER
from telemetry.runtime import RuntimeMetrics, runtime_metrics

__all__ = ["app", "create_app"]

_log = logging.getLogger(__name__)

_FAILED_START_SECONDS = 1.0
"""Time for the last export of a telemetry whose app could not be built or opened."""
_TASK_TYPES = {skill.task_type for agent in (Navi, Herald) for skill in agent.skills.values()}


def create_app(settings: Settings | None = None, telemetry: AgentOSTelemetry | None = None) -> FastAPI:
    """Builds the service.

    Args:
        settings: By default those of the environment.
        telemetry: Used and neither installed nor shut down. By default one is built as ``OTEL_*`` says, becomes the
            process's own, and is shut down with the app.

    Raises:
        SettingsError: An ``AGENTOS_*`` setting cannot be used.
        ExportSettingsError: An ``OTEL_*`` variable of the export cannot be used.

    The app can be started once: a second lifespan is refused with ``StartError``.
    """
    if settings is None:
        settings = Settings.from_environment()
    if telemetry is not None:
        return _assemble(settings, telemetry, owns_telemetry=False)
    telemetry = _telemetry(settings)
    try:
        built = _assemble(settings, telemetry, owns_telemetry=True)
        install(telemetry)
    except BaseException:
        telemetry.shutdown(_FAILED_START_SECONDS * 1000)
        raise
    return built


def _assemble(settings: Settings, telemetry: AgentOSTelemetry, *, owns_telemetry: bool) -> FastAPI:
    parts = _Parts(settings, telemetry)
    _start_at_zero(telemetry, settings, parts.router)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        parts.begin()
        seconds = min(_FAILED_START_SECONDS, settings.shutdown_timeout)
        try:
            async with parts.lifespan():
                seconds = settings.shutdown_timeout
                yield
        finally:
            if owns_telemetry:
                await flush_telemetry(telemetry, seconds)

    edge = partial(TraceContext, provider=telemetry.tracer_provider, trusted=settings.trust_traceparent)
    app = _App(settings.header_limit, edge, lifespan=lifespan, max_body_size=settings.request_limit)
    add_problem_handlers(app)
    app.include_router(runs_router(parts.gateway), **documented(settings.api_keys, Failed))
    app.include_router(health_router(parts.gateway))
    if not settings.metrics_listen:
        app.router.routes.append(parts.metrics)
    app.router.routes.append(parts.home)
    app.add_middleware(RateLimit, limiter=parts.limiter, recorder=telemetry.recorder, settings=settings)
    meters = telemetry.meter_provider if settings.http_metrics else NoOpMeterProvider()
    trace_server(app, telemetry.tracer_provider, meters)
    return app


def _telemetry(settings: Settings) -> AgentOSTelemetry:
    selection = CatalogueSelection(settings)
    known = {
        "agent": tuple(settings.agents) or (Navi.name, Herald.name),
        "provider": tuple(settings.providers),
        "task_type": tuple(_TASK_TYPES | set(settings.routes)),
        **selection.known,
    }
    try:
        telemetry = AgentOSTelemetry.from_environment(
            selection.catalogue,
            known=known,
            select=selection.select,
            limits=settings.label_limits,
            max_series=settings.max_series,
            native_histograms=settings.native_histograms,
            strict=settings.environment in ("development", "test"),
            workers=_workers(settings),
        )
    except CatalogueError as error:
        raise limits_error(error, settings, selection.catalogue, known) from None
    telemetry.genai = selection.genai
    return telemetry


def _workers(settings: Settings) -> Workers | Literal[False]:
    """The workers that this process is one of, False where it is alone or stays so."""
    if settings.workers == "off":
        return False
    if settings.workers == "on" and (missing := missing_on_this_platform()):
        raise SettingsError(f"AGENTOS_WORKERS is 'on': {missing}.")
    directory = Path(settings.state_directory) if settings.state_directory else None
    try:
        return (Workers.detect(directory) or False) if settings.workers == "auto" else Workers(directory)
    except StateDirectoryError as error:
        raise SettingsError(f"AGENTOS_STATE_DIRECTORY is {shown(settings.state_directory)}: {error}.") from None


class _Parts:
    """The parts that routes and built-in agents use, opened and closed together."""

    def __init__(self, settings: Settings, telemetry: AgentOSTelemetry) -> None:
        self._settings = settings
        self._tracer_provider = telemetry.tracer_provider
        recorder = telemetry.recorder
        guard = RedisGuard(settings.redis_timeout) if settings.redis_url else None
        providers = {name: _provider(one) for name, one in settings.providers.items()}
        self._budgets = _budgets(settings, telemetry)
        self._runtime = _runtime(settings, telemetry)
        self.metrics = metrics_route(telemetry, settings)
        self.limiter = Limiter(settings, guard)
        self.cache = AnswerCache(settings, recorder, guard)
        self.router = Router(providers, settings.routes, recorder, settings.trace_content, settings)
        self.gateway = DashboardGateway(recorder, settings.agent_timeout, settings.agent_response_limit, self._tracer_provider)
        self.tools = BuiltinTools(settings, recorder)
        self._recorder = recorder
        self._has_begun = False
        facts = {"service": _service_name(telemetry), "environment": settings.environment}
        agents = partial(agent_states, self.gateway)
        self.home = home_route(facts, agents, self.router.states, bool(settings.metrics_listen))

    def begin(self) -> None:
        """Refuses a second lifespan: connection pools that have been closed stay so.

        Raises:
            StartError: A lifespan of this app was opened before.
        """
        if self._has_begun:
            raise StartError("This app had its lifespan and cannot be started again: build another one with create_app().")
        self._has_begun = True

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Opens from the back to the front, and closes the other way round."""
        async with AsyncExitStack() as stack:
            if self._runtime is not None:  # first and last: what opens and closes may block the loop too
                stack.enter_context(self._runtime.watch_loop())
            if self._settings.metrics_listen:  # closed last: a scrape may still see what the drain counts
                only_metrics = in_front(Routing([self.metrics], redirect_slashes=False), self._settings.header_limit)
                several = self._settings.workers == "on" or is_worker()
                scraped = listening_for_scrapes(only_metrics, self._settings.metrics_listen, several=several)
                await stack.enter_async_context(scraped)
            if self._budgets is not None:  # closed when no call is under way any more
                stack.push_async_callback(asyncio.to_thread, self._budgets.close)
            stack.push_async_callback(self.router.close)
            await stack.enter_async_context(self.limiter.lifespan())
            await stack.enter_async_context(self.cache.lifespan())
            urls, transport = self._settings.agents, None
            if not urls:
                await stack.enter_async_context(self.tools.lifespan())
                builtin = self._builtin_agents()
                tasks = partial(RecentTasks, self._settings)
                served = serving(builtin, self._tracer_provider, self._settings.shutdown_timeout, tasks)
                urls, transport = await stack.enter_async_context(served)
            await stack.enter_async_context(self.gateway.lifespan(urls, transport))
            yield

    def _builtin_agents(self) -> list[BuiltinAgent]:
        recorder = self._recorder if self._settings.agent_metrics else None
        seconds = self._settings.agent_timeout / 2  # herald writes in the other half
        researcher = Colleague(self.gateway, Navi.name, "research", seconds)
        return [
            Navi(self.cache, self.router, self.tools.toolbox, recorder),
            Herald(self.cache, self.router, researcher, recorder),
        ]


def _provider(settings: ProviderSettings, environ: Mapping[str, str] = os.environ) -> Provider:
    if settings.kind != "openai":
        return BuiltinProvider(settings)
    if not re.fullmatch(r"[!-~]*", environ.get(settings.api_key_env, "")):  # no header can carry it
        raise SettingsError(f"{settings.api_key_env} is not usable: a key of printable ASCII characters is needed.")
    return OpenAIProvider(settings)


def _runtime(settings: Settings, telemetry: AgentOSTelemetry) -> RuntimeMetrics | None:
    """What observes the process, where that is switched on."""
    try:
        return runtime_metrics(telemetry) if settings.runtime_metrics else None
    except ValueError as error:  # a telemetry of the caller's own
        raise SettingsError(f"AGENTOS_RUNTIME_METRICS is 'on': {error}.") from None


def _budgets(settings: Settings, telemetry: AgentOSTelemetry) -> WorkspaceBudgets | None:
    """The budgets of workspaces, if there are any, over a ledger that all workers of the run have."""
    given = settings.budgets
    if not settings.agent_metrics or not (given.path or given.budgets):
        return None
    of_run = telemetry.workers.folder / LEDGER if telemetry.workers is not None else None
    try:
        budgets = WorkspaceBudgets(given.path or given.budgets, Path(settings.ledger) if settings.ledger else of_run)
    except ValueError as error:  # the file has changed since it was checked
        raise SettingsError(f"AGENTOS_BUDGETS is {shown(str(given.path))}: {error}.") from None
    workspaces = telemetry.recorder.workspaces
    workspaces.use(budgets)
    for workspace in given.budgets:
        workspaces.start(workspace, has_price=bool(settings.prices))
    return budgets


def _start_at_zero(telemetry: AgentOSTelemetry, settings: Settings, router: Router) -> None:
    """Records ``agentos_info`` and starts the series of all providers and task types of the settings at 0."""
    facts = {"version": __version__, "service_name": _service_name(telemetry), "environment": settings.environment}
    telemetry[AGENTOS_INFO].info(facts)
    task_types: dict[str, list[str]] = {}
    for task_type in sorted(_TASK_TYPES | set(settings.routes)):
        for provider in router.route(task_type):
            task_types.setdefault(provider, []).append(task_type)
    telemetry.recorder.initialize_series(providers=task_types)


def _service_name(telemetry: AgentOSTelemetry) -> str:
    return str(telemetry.resource.attributes.get("service.name", "agentos"))


class _App(FastAPI):
    """FastAPI behind the middleware that sees a request before tracing does."""

    def __init__(self, header_limit: int, edge: Callable[[ASGIApp], ASGIApp] = lambda app: app, **given: Any) -> None:
        super().__init__(
            title="AgentOS",
            version=__version__,
            docs_url=None,  # the pages behind these load scripts from elsewhere
            redoc_url=None,
            redirect_slashes=False,
            **given,
        )
        self._behind_front = in_front(edge(super().__call__), header_limit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await run_lifespan(self._behind_front, scope, receive, send)
        else:
            await self._behind_front(scope, receive, send)


class _Service:
    """The service of this process, built from the environment when a server opens its lifespan.

    Importing this module reads no setting. Each lifespan has an app of its own, so that test clients and adapters for functions
    can open one after the other. Without a lifespan the first request builds the app.
    """

    def __init__(self) -> None:
        self._app: FastAPI | None = None
        self._is_open = False
        self._has_failed = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes requests on to the app of the lifespan that is open."""
        if scope["type"] == "lifespan":
            await self._run_lifespan(scope, receive, send)
        elif self._app is not None or self._build_for_requests():
            await cast(FastAPI, self._app)(scope, receive, send)
        else:
            await unstarted(scope, receive, send)

    async def _run_lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._is_open:
            await refuse_lifespan(StartError("The service of this process runs already: its lifespan is open."), receive, send)
        try:
            app = self._app = self._app or _service_from_environment()
            self._has_failed = False
        except Exception as error:
            self._has_failed = True
            await refuse_lifespan(error, receive, send)
        self._is_open = True
        try:
            await app(scope, receive, send)
        except BaseException:
            self._has_failed = True
            raise
        finally:
            self._is_open = False
            self._app = None

    def _build_for_requests(self) -> bool:
        """Builds the app for a server without a lifespan, once: after a failure requests are refused, and nothing is built."""
        if self._has_failed:
            return False
        try:
            self._app = _service_from_environment()
        except Exception as error:
            self._has_failed = True
            _log.error("%s", sentence(error))
            _log.debug("the service could not be built", exc_info=error)
            end_with_failure()
        return self._app is not None


def _service_from_environment() -> FastAPI:
    log_to_stderr()
    settings = Settings.from_environment()
    if (server := running_server()) is not None:
        raise_h11_limit(server, settings.header_limit)
        limit_connections(server, settings.receive_timeout, settings.max_connections)
        end_on_sigterm(server, settings.shutdown_timeout)
    built = create_app(settings)
    current().offer_globally()
    return built


app = _Service()
