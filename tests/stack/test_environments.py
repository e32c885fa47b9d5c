"""The distributions installed into fresh environments, alone and beside ``openai-agents``. Needs the package index."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from stack.environments import SCRAPED, Environment, build, version_of
from stack.servers.service import Service


class Wheels(NamedTuple):
    """The two wheels."""

    library: Path
    service: Path


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Wheels:
    return Wheels(*build(tmp_path_factory.mktemp("dist")))


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return Environment(tmp_path / "environment")


def imports(environment: Environment, *statements: str) -> list[int]:
    """Returns the exit status of each statement, run alone."""
    return [environment.run(statement).returncode for statement in statements]


def test_the_library_alone_records_and_is_scraped(wheels: Wheels, environment: Environment) -> None:
    """The library brings ten packages and 3 MB at most; a recorded call is scraped; there is no package `agents`."""
    environment.install(wheels.library)
    assert len(environment.packages()) <= 10
    assert environment.megabytes() < 3
    assert environment.run(SCRAPED).stdout == "orders_total 1\n"
    assert "No module named 'agents'" in environment.run("import agents").stderr


def test_the_library_alone_says_that_the_exporters_are_an_extra(wheels: Wheels, environment: Environment) -> None:
    """Asked to push without the extra `otlp`, the library raises one sentence that names it; with the extra it starts."""
    environment.install(wheels.library)
    program = "from telemetry import Catalogue, Telemetry; Telemetry.from_environment(Catalogue([])).shutdown()"
    pushing = {"OTEL_METRICS_EXPORTER": "none", "OTEL_TRACES_EXPORTER": "otlp"}
    refused = environment.call("python", "-c", program, environ=pushing).stderr.splitlines()[-1]
    assert refused == (
        "telemetry._base.otel_settings.ExportSettingsError: OTLP over grpc needs the module opentelemetry.exporter.otlp: "
        "install agentos-telemetry[otlp]."
    )
    environment.install(f"agentos-telemetry[otlp] @ {wheels.library.as_uri()}")
    assert environment.call("python", "-c", program, environ=pushing).returncode == 0


@pytest.mark.parametrize("first", ["library", "openai-agents"])
@pytest.mark.parametrize("removed", ["agentos-telemetry", "openai-agents"])
def test_the_library_and_openai_agents_live_side_by_side(
    wheels: Wheels, environment: Environment, first: str, removed: str
) -> None:
    """Installed in either order, both import in one process; after one is removed the other still works."""
    order = (wheels.library, "openai-agents") if first == "library" else ("openai-agents", wheels.library)
    for requirement in order:
        environment.install(requirement)
    both = environment.run("from agents import Agent, Runner; from telemetry import Telemetry; print(Agent(name='navi').name)")
    assert (both.stdout, both.returncode) == ("navi\n", 0)
    environment.uninstall(removed)
    working = imports(environment, "from agents import Agent", "from telemetry import Telemetry")
    assert working == ([0, 1] if removed == "agentos-telemetry" else [1, 0])


def test_the_service_runs_in_an_environment_of_its_own(wheels: Wheels, environment: Environment, tmp_path: Path) -> None:
    """Installed outside the source tree, the service answers a run and counts it."""
    environment.install(*wheels)
    with Service(tmp_path / "elsewhere", python=environment.python) as service:
        assert service.run("navi", "hello").json()["status"] == "success"
        assert 'a2a_requests_total{agent="navi",operation="query",status="success"} 1' in service.metrics()
        assert f'version="{version_of(wheels.service)}"' in service.metrics()


def test_the_command_starts_the_service_beside_a_folder_of_its_name(wheels: Wheels, environment: Environment) -> None:
    """`agentos` takes uvicorn's options, and starts its own package where the current directory has a folder `agents`."""
    environment.install(*wheels)
    (environment.folder / "agents").mkdir()
    (environment.folder / "agents/__init__.py").write_text("")
    assert environment.call("agentos", "--version").stdout.startswith("Running uvicorn ")
    refused = environment.call("agentos", "--port", "0", environ={"AGENTOS_AGENT_TIMEOUT": "soon"})
    assert "AGENTOS_AGENT_TIMEOUT is 'soon'" in refused.stderr
    assert refused.returncode == 3


@pytest.mark.parametrize("removed", [False, True], ids=["over it", "over it and removed"])
@pytest.mark.parametrize("command", [("agentos",), ("uvicorn", "agents.main:app")], ids=["agentos", "uvicorn"])
def test_the_start_says_that_the_package_is_anothers(
    wheels: Wheels, environment: Environment, command: tuple[str, ...], removed: bool
) -> None:
    """Where openai-agents was installed over the service, the start ends with one sentence and status 3."""
    environment.install(*wheels)
    environment.install("openai-agents")
    if removed:
        environment.uninstall("openai-agents")
    started = environment.call(*command, "--port", "0")
    (folder,) = environment.folder.glob("lib/python*/site-packages/agents")
    assert started.stderr == (
        f"The package `agents` is not the service's but {folder}: install agentos into an environment of its own.\n"
    )
    assert started.returncode == 3
