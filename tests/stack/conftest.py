"""Fixtures that start the real servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from stack import schemas
from stack.servers.collector import Collector
from stack.servers.jaeger import Jaeger
from stack.servers.process import Server
from stack.servers.prometheus import Prometheus
from stack.servers.redis import Redis
from stack.servers.service import Service
from stack.servers.victoria import VictoriaMetrics
from tests.helpers.kubeconform import Kubeconform
from tests.helpers.prometheus_parser import PrometheusParser
from tests.helpers.required_servers import built_server, packaged_server, pinned


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.stack)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[[Server], Server]]:
    """Starts servers and stops them after the test, the last one first."""
    with ExitStack() as stack:
        yield stack.enter_context


@pytest.fixture(scope="session")
def promtool() -> Path:
    return built_server("promtool")


@pytest.fixture(scope="session")
def helm() -> Path:
    return built_server("helm")


@pytest.fixture(scope="session")
def kubernetes_schemas() -> Path:
    """The folder with the schemas of Kubernetes and of the operators."""
    return pinned(schemas.kubernetes_schemas)


@pytest.fixture(scope="session")
def kubeconform(kubernetes_schemas: Path) -> Kubeconform:
    """kubeconform with the real schemas."""
    return Kubeconform(built_server("kubeconform"), kubernetes_schemas)


@pytest.fixture(scope="session")
def prometheus_parser() -> Iterator[PrometheusParser]:
    """Prometheus' own parsers."""
    with PrometheusParser(built_server("parser")) as parser:
        yield parser


@pytest.fixture
def service(started: Callable[[Service], Service], tmp_path: Path) -> Callable[..., Service]:
    """Starts the service with the given environment."""
    return lambda environment=None, **options: started(Service(tmp_path / "service", environment, **options))


@pytest.fixture
def prometheus(started: Callable[[Prometheus], Prometheus], tmp_path: Path) -> Callable[..., Prometheus]:
    """Starts a Prometheus with the given scrape jobs."""
    program = built_server("prometheus")

    def start(jobs: Sequence[Mapping[str, object]] = (), *, name: str = "prometheus", **options: Any) -> Prometheus:
        return started(Prometheus(program, tmp_path / name, jobs, **options))

    return start


@pytest.fixture
def jaeger(started: Callable[[Jaeger], Jaeger], tmp_path: Path) -> Jaeger:
    """A running Jaeger."""
    return started(Jaeger(built_server("jaeger"), tmp_path / "jaeger"))


@pytest.fixture
def collector(started: Callable[[Collector], Collector], tmp_path: Path) -> Callable[..., Collector]:
    """Starts a Collector with the given environment."""
    program = built_server("otelcol")
    return lambda environment=None: started(Collector(program, tmp_path / "collector", environment))


@pytest.fixture
def victoria(started: Callable[[VictoriaMetrics], VictoriaMetrics], tmp_path: Path) -> VictoriaMetrics:
    """A running VictoriaMetrics."""
    return started(VictoriaMetrics(built_server("victoria-metrics"), tmp_path / "victoria"))


@pytest.fixture
def redis_server(started: Callable[[Redis], Redis], tmp_path: Path) -> Redis:
    """A running Redis; ``redis_server.url`` is its address."""
    return started(Redis(packaged_server("redis-server", "redis-server"), tmp_path / "redis"))
