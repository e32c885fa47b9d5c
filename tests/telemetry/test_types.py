"""The types that an application's type checker sees."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_overloads, get_type_hints

import pytest

from telemetry import Catalogue, Telemetry, metric
from telemetry.agentos.agents import AgentDetails, ToolDetails, WorkflowDetails
from telemetry.agentos.recorder import Recorder
from telemetry.pipeline.telemetry import EnvironmentOptions, TelemetryOptions

ROOT = Path(__file__).parents[2]
CONSUMER = ROOT / "tests/typing/consumer.py"
TOOLS = Path(sys.executable).parent
CHECKERS = {
    "mypy": ["--strict", "--config-file=", "--python-version=3.11", str(CONSUMER.relative_to(ROOT))],
    "basedpyright": ["--level=error", f"--pythonpath={sys.executable}", f"--project={CONSUMER.parent.relative_to(ROOT)}"],
}
"""Each type checker's arguments; tests/typing/pyrightconfig.json gives basedpyright the rules of pyright."""

BUILDERS: dict[str, Callable[[], metric.Metric]] = {
    "counter": lambda: metric.counter("a.counter", "1", "A"),
    "up_down_counter": lambda: metric.up_down_counter("a.level", "1", "A"),
    "gauge": lambda: metric.gauge("a.gauge", "1", "A"),
    "histogram": lambda: metric.histogram("a.histogram", "s", "A", bounds=[1]),
    "info": lambda: metric.info("a.info", "A"),
    "observable_counter": lambda: metric.observable_counter("a.observed.counter", "1", "A"),
    "observable_gauge": lambda: metric.observable_gauge("a.observed.gauge", "1", "A"),
}


@pytest.fixture(scope="module", name="telemetry")
def of_each_kind() -> Iterator[Telemetry]:
    """A telemetry with one metric of each kind."""
    telemetry = Telemetry(Catalogue([build() for build in BUILDERS.values()]), workers=False)
    yield telemetry
    telemetry.shutdown()


@pytest.mark.parametrize("name", BUILDERS)
def test_instrument_has_the_type_that_is_declared(name: str, telemetry: Telemetry) -> None:
    """``telemetry[metric]`` returns exactly the class that its overload names for the type of the metric."""
    kind = get_type_hints(getattr(metric, name))["return"]
    declared: dict[Any, Any] = {}
    for overload in get_overloads(Telemetry.__getitem__):
        hints = get_type_hints(overload)
        declared[hints["metric"]] = hints["return"]
    assert type(telemetry[BUILDERS[name]()]) is declared[kind]


def test_options_are_the_arguments_of_the_constructor() -> None:
    """``TelemetryOptions`` has the keyword arguments of ``Telemetry`` with their types."""
    arguments = inspect.signature(Telemetry).parameters.values()
    keywords = {each.name: each.annotation for each in arguments if each.kind is each.KEYWORD_ONLY}
    assert {name: hint.__forward_arg__ for name, hint in TelemetryOptions.__annotations__.items()} == keywords


def test_from_environment_takes_what_it_does_not_build() -> None:
    """``EnvironmentOptions`` lacks the arguments that ``from_environment`` makes of the environment."""
    built = {"resource", "span_processors", "metric_readers"}
    assert set(TelemetryOptions.__annotations__) - set(EnvironmentOptions.__annotations__) == built


@pytest.mark.parametrize(
    ("method", "details"),
    [(Recorder.agent_invocation, AgentDetails), (Recorder.workflow, WorkflowDetails), (Recorder.tool_call, ToolDetails)],
    ids=["agent_invocation", "workflow", "tool_call"],
)
def test_functions_of_agents_take_what_the_recorders_methods_take(method: Any, details: Any) -> None:
    """The keywords of ``telemetry.agentos.agent_invocation``, ``workflow`` and ``tool_call`` are those of the recorder's."""
    arguments = inspect.signature(method).parameters.values()
    assert get_type_hints(details) == {
        each.name: get_type_hints(method)[each.name] for each in arguments if each.kind is each.KEYWORD_ONLY
    }


@pytest.mark.parametrize("checker", CHECKERS)
def test_checker_reports_the_mistakes_of_an_application(checker: str, tmp_path: Path) -> None:
    """A type checker reports exactly the marked lines of ``tests/typing/consumer.py``: wrong methods, timers and keywords."""
    if not (TOOLS / checker).exists():
        pytest.skip(f"{checker} is not installed here")
    cache = [f"--cache-dir={tmp_path}"] if checker == "mypy" else []
    command = [str(TOOLS / checker), *CHECKERS[checker], *cache]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    errors = re.findall(r"(?m)^\s*(\S+\.py):(\d+):(?:\d+ -)? error: ", done.stdout)
    reported = {(Path(name).name, int(line)) for name, line in errors}
    marked = [n for n, line in enumerate(CONSUMER.read_text().splitlines(), 1) if line.endswith("  # E")]
    assert reported == {(CONSUMER.name, line) for line in marked}, done.stdout + done.stderr
