"""The service under test, run in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from agents.main import create_app
from agents.observability.selection import CatalogueSelection
from agents.settings import Settings
from telemetry import AgentOSTelemetry, Telemetry
from telemetry.agentos.catalogue import AGENTOS
from telemetry.agentos.catalogue_models import MODELS
from tests.helpers.asgi_server import TIMEOUT, serving_on_loop
from tests.helpers.span_log import SpanLog


class RunningService:
    """A running service."""

    def __init__(
        self, url: str, telemetry: Telemetry, spans: SpanLog, client: httpx.Client, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.url = url
        self.telemetry = telemetry
        self.spans = spans
        self.client = client
        self._loop = loop

    def run(self, agent: str = "peer", text: str = "hello", workspace: str | None = None, **body: Any) -> httpx.Response:
        headers = {} if workspace is None else {"X-Workspace-Id": workspace}
        return self.client.post(f"/agents/{agent}/runs", json={"input": text, **body}, headers=headers)

    def samples(self, name: str) -> dict[tuple[tuple[str, str], ...], float]:
        """Scrapes and returns labels -> value of the samples with this name."""
        families = text_string_to_metric_families(self.client.get("/metrics").text)
        found = [one for family in families for one in family.samples if one.name == name]
        return {tuple(sorted(one.labels.items())): one.value for one in found}

    def value(self, name: str, **labels: str) -> float | None:
        return self.samples(name).get(tuple(sorted(labels.items())))

    def counted(self, name: str) -> dict[str, float]:
        """Returns the samples above 0, by their label values in the order of the keys."""
        return {"/".join(value for _, value in key): number for key, number in self.samples(name).items() if number}

    def tasks_besides(self, lasting: set[asyncio.Task[Any]]) -> set[asyncio.Task[Any]]:
        """Returns the tasks of the service's loop, after all but the ``lasting`` ones have ended or ``TIMEOUT`` has passed."""

        async def settled() -> set[asyncio.Task[Any]]:
            mine = asyncio.current_task()
            passing = {task for task in asyncio.all_tasks() if task is not mine} - lasting
            if lasting and passing:
                await asyncio.wait(passing, timeout=TIMEOUT)
            return {task for task in asyncio.all_tasks() if task is not mine}

        return asyncio.run_coroutine_threadsafe(settled(), self._loop).result(2 * TIMEOUT)


StartService = Callable[..., RunningService]


@contextmanager
def running_service(settings: Settings) -> Iterator[RunningService]:
    spans = SpanLog()
    catalogue = MODELS if settings.model_metrics else AGENTOS
    if settings.agent_metrics or settings.runtime_metrics:
        catalogue = CatalogueSelection(settings, {}).catalogue
    telemetry = AgentOSTelemetry(catalogue, strict=True, span_processors=[spans])
    try:
        with (
            serving_on_loop(create_app(settings, telemetry)) as (url, loop),
            httpx.Client(base_url=url, timeout=TIMEOUT) as client,
        ):
            yield RunningService(url, telemetry, spans, client, loop)
    finally:
        telemetry.shutdown()
