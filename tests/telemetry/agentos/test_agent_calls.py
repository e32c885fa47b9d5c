"""Agents, workflows and tools: spans and metrics by the conventions, and each call counted for the agent that makes it."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from telemetry import AgentOSTelemetry, LabelError, install
from telemetry.agentos import agent_invocation, count_inference, default, tool_call, workflow
from telemetry.agentos.catalogue_agents import AGENTS
from telemetry.agentos.recorder import Recorder
from tests.helpers.clock import Clock
from tests.helpers.samples import Samples, above_zero, labelled, read

DURATION = "gen_ai_invoke_agent_duration_seconds"
TOOL_DURATION = "gen_ai_execute_tool_duration_seconds"


@pytest.fixture
def telemetry(spans: InMemorySpanExporter, clock: Clock) -> AgentOSTelemetry:
    """A strict telemetry with the rows of agents, whose spans are kept in ``spans``."""
    return AgentOSTelemetry(AGENTS, span_processors=[SimpleSpanProcessor(spans)], strict=True, clock=clock)


@pytest.fixture
def recorder(telemetry: AgentOSTelemetry) -> Recorder:
    return telemetry.recorder


def own_calls(telemetry: AgentOSTelemetry, agent: str) -> tuple[float, float, float]:
    """Returns an agent's invocations, and the calls of models and of tools that these made themselves."""
    found = read(telemetry)
    label = {"gen_ai_agent_name": agent} if agent else {}
    invocations = found[labelled("gen_ai_invoke_agent_inference_calls_count", **label)]
    assert found[labelled("gen_ai_invoke_agent_tool_calls_count", **label)] == invocations
    inferences = found[labelled("gen_ai_invoke_agent_inference_calls_sum", **label)]
    return invocations, inferences, found[labelled("gen_ai_invoke_agent_tool_calls_sum", **label)]


def model(recorder: Recorder) -> None:
    with recorder.model_call(provider="p", task_type="chat"):
        pass


def tool(recorder: Recorder, name: str = "t") -> None:
    with recorder.tool_call(name):
        pass


def counts_of(samples: Samples, name: str) -> dict[tuple[str, ...], float]:
    """Returns the observations of a histogram by its labels' values, in the order of their keys."""
    return {tuple(value for _, value in labels): n for (key, labels), n in samples.items() if key == f"{name}_count" and n}


def seconds_of(span: ReadableSpan) -> float:
    assert span.end_time is not None
    assert span.start_time is not None
    return (span.end_time - span.start_time) / 1e9


# Spans and metrics


def test_invocation(telemetry: AgentOSTelemetry, spans: InMemorySpanExporter, clock: Clock) -> None:
    """An invocation has an internal span of the conventions' attributes, and a duration that is exactly the span's."""
    details: dict[str, Any] = {"description": "finds things", "conversation": "c-1", "model": "gpt-4"}
    with telemetry.recorder.agent_invocation("navi", **details):
        clock.now += 1.5
    (span,) = spans.get_finished_spans()
    assert (span.name, span.kind, seconds_of(span)) == ("invoke_agent navi", SpanKind.INTERNAL, 1.5)
    assert span.attributes == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "navi",
        "gen_ai.agent.description": "finds things",
        "gen_ai.conversation.id": "c-1",
        "gen_ai.request.model": "gpt-4",
    }
    labels = {"gen_ai_operation_name": "invoke_agent", "gen_ai_agent_name": "navi", "gen_ai_request_model": "gpt-4"}
    assert read(telemetry)[labelled(f"{DURATION}_sum", **labels)] == 1.5
    assert own_calls(telemetry, "navi") == (1, 0, 0)


def test_remote_invocation(recorder: Recorder, telemetry: AgentOSTelemetry, spans: InMemorySpanExporter) -> None:
    """A remote agent has a client span and no metric; what runs here meanwhile counts for the agent that called it."""
    details: dict[str, Any] = {"id": "asst_1", "version": "2", "provider": "aws.bedrock", "address": "a.test", "port": 443}
    with recorder.agent_invocation("navi"), recorder.agent_invocation("far", remote=True, **details):
        tool(recorder)
    _, far, _ = spans.get_finished_spans()
    assert (far.name, far.kind) == ("invoke_agent far", SpanKind.CLIENT)
    assert far.attributes == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "far",
        "gen_ai.agent.id": "asst_1",
        "gen_ai.agent.version": "2",
        "gen_ai.provider.name": "aws.bedrock",
        "server.address": "a.test",
        "server.port": 443,
    }
    assert counts_of(read(telemetry), DURATION) == {("navi", "invoke_agent"): 1}
    assert own_calls(telemetry, "navi") == (1, 0, 1)
    assert [labels for _, labels in read(telemetry) if ("gen_ai_agent_name", "far") in labels] == []


def test_failed_remote_invocation(recorder: Recorder, telemetry: AgentOSTelemetry, spans: InMemorySpanExporter) -> None:
    """A remote agent that fails has the failure on its span, and still no series."""
    with pytest.raises(Refused), recorder.agent_invocation("far", remote=True):
        raise Refused
    (span,) = spans.get_finished_spans()
    assert ((span.attributes or {})["error.type"], span.status.status_code) == ("429", StatusCode.ERROR)
    assert [labels for _, labels in read(telemetry) if ("gen_ai_agent_name", "far") in labels] == []


def test_workflow(recorder: Recorder, telemetry: AgentOSTelemetry, spans: InMemorySpanExporter, clock: Clock) -> None:
    """A workflow is an invocation of its own operation; each of its agents' calls counts for the agent alone."""
    with recorder.workflow("report", conversation="c-1"):
        model(recorder)
        with recorder.agent_invocation("navi"):
            tool(recorder)
        clock.now += 2
    span = spans.get_finished_spans()[-1]
    assert (span.name, span.kind) == ("invoke_workflow report", SpanKind.INTERNAL)
    assert span.attributes == {
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.agent.name": "report",
        "gen_ai.workflow.name": "report",
        "gen_ai.conversation.id": "c-1",
    }
    labels = {"gen_ai_operation_name": "invoke_workflow", "gen_ai_agent_name": "report"}
    assert read(telemetry)[labelled(f"{DURATION}_sum", **labels)] == 2.0
    assert own_calls(telemetry, "report") == (1, 1, 0)
    assert own_calls(telemetry, "navi") == (1, 0, 1)


def test_tool_call(recorder: Recorder, telemetry: AgentOSTelemetry, spans: InMemorySpanExporter, clock: Clock) -> None:
    """A tool has an internal span below its agent's, and a duration with the agent's name that is exactly the span's."""
    with recorder.agent_invocation("navi"), recorder.tool_call("search", type="datastore", id="call-1", description="looks up"):
        clock.now += 0.25
    span, agent = spans.get_finished_spans()
    assert (span.name, span.kind, seconds_of(span)) == ("execute_tool search", SpanKind.INTERNAL, 0.25)
    assert span.parent is not None
    assert span.parent.span_id == agent.context.span_id
    assert span.attributes == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "search",
        "gen_ai.tool.type": "datastore",
        "gen_ai.tool.call.id": "call-1",
        "gen_ai.tool.description": "looks up",
        "gen_ai.agent.name": "navi",
    }
    labels = {"gen_ai_agent_name": "navi", "gen_ai_tool_name": "search", "gen_ai_tool_type": "datastore"}
    assert read(telemetry)[labelled(f"{TOOL_DURATION}_sum", **labels)] == 0.25


def test_tool_outside_of_any_agent(recorder: Recorder, telemetry: AgentOSTelemetry, spans: InMemorySpanExporter) -> None:
    """A tool that no agent calls has no agent's name."""
    tool(recorder, "search")
    assert counts_of(read(telemetry), TOOL_DURATION) == {("search", "function"): 1}
    assert "gen_ai.agent.name" not in (spans.get_finished_spans()[0].attributes or {})


def test_agent_without_a_name(recorder: Recorder, telemetry: AgentOSTelemetry, spans: InMemorySpanExporter) -> None:
    """An agent need not have a name: its span is named by the operation, and its series have no name."""
    with recorder.agent_invocation():
        tool(recorder)
    assert spans.get_finished_spans()[-1].name == "invoke_agent"
    assert own_calls(telemetry, "") == (1, 0, 1)


def test_exemplars_name_spans_with_the_series_labels(telemetry: AgentOSTelemetry, spans: InMemorySpanExporter) -> None:
    """Each metric of an agent and a tool has an exemplar of the span that carries all of its labels."""
    recorder = telemetry.recorder
    with pytest.raises(Refused), recorder.agent_invocation("navi"), recorder.tool_call("search"):
        raise Refused
    text = telemetry.reader.expose("application/openmetrics-text").body.decode()
    tool_span, agent_span = (format(span.context.trace_id, "032x") for span in spans.get_finished_spans())
    assert tool_span == agent_span
    with_exemplar = {line.partition("_bucket")[0] for line in text.splitlines() if f'trace_id="{tool_span}"' in line}
    assert with_exemplar == {
        "gen_ai_execute_tool_duration_seconds",
        "gen_ai_invoke_agent_duration_seconds",
        "gen_ai_invoke_agent_inference_calls",
        "gen_ai_invoke_agent_tool_calls",
    }


def test_series_start_at_zero(recorder: Recorder, telemetry: AgentOSTelemetry) -> None:
    """The series of an agent and a tool are there, at 0, as soon as the first call begins."""
    with recorder.agent_invocation("navi"), recorder.tool_call("search"):
        found = read(telemetry)
    assert found[labelled("gen_ai_invoke_agent_tool_calls_count", gen_ai_agent_name="navi")] == 0
    labels = {"gen_ai_agent_name": "navi", "gen_ai_tool_name": "search", "gen_ai_tool_type": "function"}
    assert found[labelled(f"{TOOL_DURATION}_count", **labels)] == 0


def test_catalogue_without_the_rows(traced: AgentOSTelemetry, spans: InMemorySpanExporter) -> None:
    """Without the rows the spans are made, and nothing is recorded."""
    recorder = traced.recorder
    before = read(traced)
    with recorder.agent_invocation("navi"), recorder.tool_call("search"):
        pass
    assert [span.name for span in spans.get_finished_spans()] == ["execute_tool search", "invoke_agent navi"]
    assert (spans.get_finished_spans()[0].attributes or {})["gen_ai.agent.name"] == "navi"
    assert read(traced) == before


# Failures


class Refused(Exception):
    status = 429


class Answered(Exception):
    response = Refused


class Named(Exception):
    error_type = "quota"


class Talkative(Exception):
    error_type = "a sentence with what the user said"


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (ValueError("text"), "ValueError"),
        (Refused(), "429"),
        (Answered(), "429"),
        (Named(), "quota"),
        (Talkative(), f"{__name__}.Talkative"),
        (TimeoutError(), "timeout"),
        (asyncio.CancelledError(), "cancelled"),
        (KeyboardInterrupt(), "cancelled"),
    ],
)
def test_failures(error: BaseException, failure: str, telemetry: AgentOSTelemetry, spans: InMemorySpanExporter) -> None:
    """An exception ends agent and tool as failed, by its identifier, status or class, and is not changed."""
    recorder = telemetry.recorder
    with pytest.raises(type(error)) as raised, recorder.agent_invocation("navi"), recorder.tool_call("search"):
        raise error
    assert raised.value is error
    found = read(telemetry)
    assert counts_of(found, DURATION) == {(failure, "navi", "invoke_agent"): 1}
    assert counts_of(found, TOOL_DURATION) == {(failure, "navi", "search", "function"): 1}
    assert own_calls(telemetry, "navi") == (1, 0, 1)
    for span in spans.get_finished_spans():
        assert (span.attributes or {})["error.type"] == failure
        assert span.status.status_code is StatusCode.ERROR
        assert (span.status.description, span.events) == (None, ())


def test_failure_without_an_exception(recorder: Recorder, telemetry: AgentOSTelemetry, spans: InMemorySpanExporter) -> None:
    """A tool that says it failed counts as failed although no exception leaves the block."""
    with recorder.tool_call("search") as call:
        call.fail("tool_error")
    assert counts_of(read(telemetry), TOOL_DURATION) == {("tool_error", "search", "function"): 1}
    assert (spans.get_finished_spans()[0].attributes or {})["error.type"] == "tool_error"


def test_failed_calls_count(recorder: Recorder, telemetry: AgentOSTelemetry) -> None:
    """Calls of models and tools that fail count as those that succeed."""
    with recorder.agent_invocation("navi"):
        with pytest.raises(ConnectionError), recorder.model_call(provider="p", task_type="chat"):
            raise ConnectionError
        with pytest.raises(ConnectionError), recorder.tool_call("search"):
            raise ConnectionError
    assert own_calls(telemetry, "navi") == (1, 1, 1)


# Whose calls they are


def test_own_calls_only(recorder: Recorder, telemetry: AgentOSTelemetry) -> None:
    """An inner agent's calls count for it alone; the outer one's before and after for the outer one."""
    with recorder.agent_invocation("outer"):
        tool(recorder)
        with recorder.tool_call("ask inner"), recorder.agent_invocation("inner"):
            model(recorder)
            tool(recorder)
            tool(recorder)
        model(recorder)
        recorder.record_ccr_request("p", "chat", "success")
        count_inference()
    model(recorder)  # outside of any
    assert own_calls(telemetry, "outer") == (1, 3, 2)
    assert own_calls(telemetry, "inner") == (1, 1, 2)


async def test_concurrent_tasks_count_for_their_agent(recorder: Recorder, telemetry: AgentOSTelemetry) -> None:
    """Tasks of ``gather`` and of a TaskGroup, and threads with a copy of the context, count for the agent they run for."""

    async def work() -> None:
        async with recorder.tool_call("t"):
            await asyncio.sleep(0)
        await asyncio.to_thread(model, recorder)

    async with recorder.agent_invocation("navi"):
        await asyncio.gather(work(), work())
        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(work())
        thread = threading.Thread(target=contextvars.copy_context().run, args=(model, recorder))
        thread.start()
        thread.join()
    assert own_calls(telemetry, "navi") == (1, 6, 5)


async def test_agents_side_by_side(recorder: Recorder, telemetry: AgentOSTelemetry) -> None:
    """Agents that run at the same time below one agent count their own calls each."""

    async def run(agent: str, calls: int) -> None:
        async with recorder.agent_invocation(agent):
            for _ in range(calls):
                await asyncio.sleep(0)
                model(recorder)

    async with recorder.agent_invocation("outer"):
        await asyncio.gather(run("a", 2), run("b", 3), run("a", 4))
    assert own_calls(telemetry, "outer") == (1, 0, 0)
    assert own_calls(telemetry, "a") == (2, 6, 0)
    assert own_calls(telemetry, "b") == (1, 3, 0)


def test_threads_at_once_are_counted_exactly(recorder: Recorder, telemetry: AgentOSTelemetry) -> None:
    """Eight threads that count at the same time lose no call."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool, recorder.agent_invocation("navi"):
            started = threading.Barrier(8)

            def work() -> None:
                started.wait()
                for _ in range(2000):
                    count_inference()

            for done in [pool.submit(contextvars.copy_context().run, work) for _ in range(8)]:
                done.result()
    finally:
        sys.setswitchinterval(before)
    assert own_calls(telemetry, "navi") == (1, 16_000, 0)


async def test_calls_after_the_end_count_for_nobody(recorder: Recorder, telemetry: AgentOSTelemetry) -> None:
    """A task that outlives its agent counts neither for it nor for the agent around it."""
    ended = asyncio.Event()

    async def late() -> None:
        await ended.wait()
        model(recorder)
        tool(recorder)

    async with recorder.agent_invocation("outer"):
        async with recorder.agent_invocation("inner"):
            task = asyncio.create_task(late())
        ended.set()
        await task
        tool(recorder)
    assert own_calls(telemetry, "inner") == (1, 0, 0)
    assert own_calls(telemetry, "outer") == (1, 0, 1)


async def test_generator_that_is_closed_in_another_context(recorder: Recorder, telemetry: AgentOSTelemetry) -> None:
    """A block in a generator that another task closes ends without an error; the consumer's calls count for its own agent."""

    async def answer() -> AsyncIterator[str]:
        with recorder.agent_invocation("inner"):
            tool(recorder)
            yield "first"
            yield "second"

    async with recorder.agent_invocation("outer"):
        pieces: Any = answer()
        assert await anext(pieces) == "first"
        await asyncio.create_task(pieces.aclose())
        tool(recorder)
        with recorder.agent_invocation("next"):
            model(recorder)
        model(recorder)
    assert own_calls(telemetry, "inner") == (1, 0, 1)
    assert own_calls(telemetry, "next") == (1, 1, 0)
    assert own_calls(telemetry, "outer") == (1, 1, 1)


def test_generators_whose_steps_alternate(recorder: Recorder, telemetry: AgentOSTelemetry) -> None:
    """Of two generators with blocks that end in the order of their begin, neither loses a call, and the consumer none after."""

    def steps(agent: str) -> Iterator[None]:
        with recorder.agent_invocation(agent):
            tool(recorder)
            yield
        yield

    with recorder.agent_invocation("outer"):
        first, second = steps("first"), steps("second")
        next(first)
        next(second)
        next(first)
        model(recorder)  # the second block's, which is still current here
        next(second)
        tool(recorder)
        model(recorder)
    with recorder.agent_invocation("later"):
        model(recorder)
    assert own_calls(telemetry, "first") == (1, 0, 1)
    assert own_calls(telemetry, "second") == (1, 1, 1)
    assert own_calls(telemetry, "outer") == (1, 1, 1)
    assert own_calls(telemetry, "later") == (1, 1, 0)


@pytest.mark.parametrize("tasks", [False, True], ids=["one task", "a task for each step"])
async def test_block_inside_a_decorated_generator(tasks: bool, recorder: Recorder, telemetry: AgentOSTelemetry) -> None:
    """A block that is open while the generator waits goes on with it, in whatever task its steps run."""

    @recorder.agent_invocation("generator")
    async def stream() -> AsyncIterator[int]:
        tool(recorder)
        with recorder.agent_invocation("inner"):
            model(recorder)
            yield 1
            model(recorder)
            yield 2
            model(recorder)
        tool(recorder)
        yield 3

    pieces: Any = stream()

    async def step() -> int:
        return int(await anext(pieces, 0))

    async with recorder.agent_invocation("outer"):
        for _ in range(4):
            await (asyncio.create_task(step()) if tasks else step())
            tool(recorder)
    assert own_calls(telemetry, "inner") == (1, 3, 0)
    assert own_calls(telemetry, "generator") == (1, 0, 2)
    assert own_calls(telemetry, "outer") == (1, 0, 4)


Tree = st.recursive(
    st.sampled_from(["model", "failing model", "tool", "failing tool"]).map(lambda kind: (kind, ())),
    lambda inner: st.tuples(
        st.sampled_from(["agent a", "agent b", "workflow w", "stream s", "tool", "failing tool", "task", "thread"]),
        st.lists(inner, max_size=4).map(tuple),
    ),
    max_leaves=25,
)


@given(st.lists(Tree, max_size=5))
@settings(max_examples=60, deadline=None)
def test_random_trees(trees: list[Any]) -> None:
    """In any tree of agents, workflows, generators, tools, tasks and threads a call counts once, for its innermost agent."""
    telemetry = AgentOSTelemetry(AGENTS, strict=True)
    expected: dict[str, list[int]] = {}

    def count(node: Any, owner: str | None) -> None:
        kind, inner = node
        if owner is not None:
            expected[owner][1] += kind.endswith("model")
            expected[owner][2] += kind.endswith("tool") + len(inner) * kind.startswith("stream")
        if kind.startswith(("agent", "workflow", "stream")):
            owner = kind.split()[1]
            expected.setdefault(owner, [0, 0, 0])[0] += 1
        for one in inner:
            count(one, owner)

    for tree in trees:
        count(tree, None)
        asyncio.run(walk(telemetry.recorder, tree))
    assert {agent: list(own_calls(telemetry, agent)) for agent in expected} == expected


async def walk(recorder: Recorder, node: Any) -> None:
    """Does what a tree of ``test_random_trees`` says."""
    kind, inner = node

    async def go_on() -> None:
        for one in inner:
            await walk(recorder, one)
        if kind.startswith("failing"):
            raise OSError

    if kind.startswith("agent"):
        async with recorder.agent_invocation(kind.split()[1]):
            await go_on()
    elif kind.startswith("workflow"):
        async with recorder.workflow(kind.split()[1]):
            await go_on()
    elif kind.startswith("stream"):

        @recorder.agent_invocation(kind.split()[1])
        async def stream() -> AsyncIterator[None]:
            for one in inner:
                await walk(recorder, one)
                yield

        async for _ in stream():
            tool(recorder)  # the consumer's own
    elif kind == "task":
        await asyncio.gather(*(asyncio.create_task(walk(recorder, one)) for one in inner))
    elif kind == "thread":
        await asyncio.to_thread(lambda: [asyncio.run(walk(recorder, one)) for one in inner])
    else:
        block: Any = recorder.tool_call("t") if kind.endswith("tool") else recorder.model_call(provider="p", task_type="chat")
        try:
            async with block:
                await go_on()
        except OSError:
            assert kind.startswith("failing")


# Decorators


async def test_decorated_functions(recorder: Recorder, telemetry: AgentOSTelemetry, spans: InMemorySpanExporter) -> None:
    """Functions, coroutines and methods are measured at each call, under their own names where none is given."""

    @recorder.tool_call()
    def search(what: str) -> str:
        """Searches."""
        return f"found {what}"

    @recorder.agent_invocation("navi")
    async def answer(question: str) -> str:
        model(recorder)
        return search(question)

    class Report:
        @recorder.workflow()
        async def write(self) -> str:
            return await answer("it")

    assert await Report().write() == "found it"
    assert await answer("that") == "found that"
    assert (search.__name__, search.__doc__) == ("search", "Searches.")
    names = [span.name for span in spans.get_finished_spans() if span.name != "ccr.request"]
    assert names == ["execute_tool search", "invoke_agent navi", "invoke_workflow write", *names[:2]]
    assert own_calls(telemetry, "navi") == (2, 2, 2)
    assert own_calls(telemetry, "write") == (1, 0, 0)


async def test_decorated_generators(
    recorder: Recorder, telemetry: AgentOSTelemetry, spans: InMemorySpanExporter, clock: Clock
) -> None:
    """A generator's invocation lasts until the generator ends; between two items its consumer's calls are not the agent's."""

    @recorder.agent_invocation()
    def pieces() -> Iterator[str]:
        tool(recorder)
        yield "one"
        tool(recorder)
        yield "two"

    @recorder.agent_invocation()
    async def stream() -> AsyncIterator[str]:
        for piece in pieces():
            model(recorder)
            yield piece

    async with recorder.agent_invocation("consumer"):
        outer = trace.get_current_span()
        found = []
        async for piece in stream():
            assert trace.get_current_span() is outer
            tool(recorder)
            clock.now += 1
            found.append(piece)
    assert found == ["one", "two"]
    assert own_calls(telemetry, "pieces") == (1, 0, 2)
    assert own_calls(telemetry, "stream") == (1, 2, 0)
    assert own_calls(telemetry, "consumer") == (1, 0, 2)
    durations = {span.name: seconds_of(span) for span in spans.get_finished_spans() if span.name.startswith("invoke")}
    assert durations == {"invoke_agent pieces": 2, "invoke_agent stream": 2, "invoke_agent consumer": 2}


async def test_generator_whose_reader_leaves(recorder: Recorder, telemetry: AgentOSTelemetry) -> None:
    """A reader who closes a generator early cancels the invocation; after ``succeed`` it is none."""

    async def stream(complete: bool) -> AsyncIterator[str]:
        async with recorder.agent_invocation("navi") as invocation:
            yield "answer"
            if complete:
                invocation.succeed()
                yield "end"

    for complete in (False, True):
        pieces: Any = stream(complete)
        await anext(pieces)
        if complete:
            await anext(pieces)
        await pieces.aclose()
    assert counts_of(read(telemetry), DURATION) == {("cancelled", "navi", "invoke_agent"): 1, ("navi", "invoke_agent"): 1}


async def test_decorated_generator_over_several_tasks(recorder: Recorder, telemetry: AgentOSTelemetry) -> None:
    """A decorated generator whose steps run in different tasks, and which a third one closes, counts all of its calls."""

    @recorder.agent_invocation("navi")
    async def stream() -> AsyncIterator[int]:
        for n in range(5):
            tool(recorder)
            yield n

    pieces: Any = stream()

    async def step() -> int:
        return int(await anext(pieces))

    assert [await asyncio.create_task(step()) for _ in range(3)] == [0, 1, 2]
    await asyncio.create_task(pieces.aclose())
    assert own_calls(telemetry, "navi") == (1, 0, 3)
    assert counts_of(read(telemetry), DURATION) == {("cancelled", "navi", "invoke_agent"): 1}


def test_decorator_without_parentheses(recorder: Recorder) -> None:
    """A decorator without parentheses says so when it is applied, not in the calls."""
    bare: Callable[[Any], Any] = recorder.tool_call
    with pytest.raises(TypeError, match=r"needs parentheses: @...\(\)"):

        @bare
        def search() -> None: ...


def test_block_is_for_one_use(recorder: Recorder) -> None:
    """A block that is entered again raises at once."""
    block = recorder.agent_invocation("navi")
    with block:
        pass
    with pytest.raises(RuntimeError, match="one block"), block:
        pass


# Labels


def test_wrong_names_are_loud_in_strict_mode(recorder: Recorder) -> None:
    """In strict mode a tool or agent whose name is no name raises."""
    with pytest.raises(LabelError, match=r"gen_ai\.tool\.name must be text"), recorder.tool_call(""):
        pass
    with pytest.raises(LabelError, match=r"gen_ai\.tool\.type must be one of"), recorder.tool_call("t", type="robot"):
        pass
    with pytest.raises(LabelError, match=r"gen_ai\.agent\.name must be text"), recorder.agent_invocation("a\nb"):
        pass


def test_names_are_bounded(spans: InMemorySpanExporter) -> None:
    """Names over the limit become ``other``, wrong ones ``invalid``, in the series and on the span alike."""
    limits = {"gen_ai.tool.name": 2, "gen_ai.agent.name": 1}
    telemetry = AgentOSTelemetry(AGENTS, span_processors=[SimpleSpanProcessor(spans)], limits=limits)
    for n in range(5):
        with telemetry.recorder.agent_invocation(f"agent {n}"), telemetry.recorder.tool_call(f"tool {n}"):
            pass
    anything: Any = [object()]
    with telemetry.recorder.tool_call(anything):
        pass
    assert counts_of(read(telemetry), TOOL_DURATION) == {
        ("agent 0", "tool 0", "function"): 1,
        ("other", "tool 1", "function"): 1,
        ("other", "other", "function"): 3,
        ("invalid", "function"): 1,
    }
    names = {span.name for span in spans.get_finished_spans()}
    tools = {"execute_tool tool 0", "execute_tool tool 1", "execute_tool other", "execute_tool invalid"}
    assert names == {"invoke_agent agent 0", "invoke_agent other"} | tools
    metrics = telemetry.recorder._agents
    assert (len(metrics._tools), len(metrics._invocations)) == (2, 1)


# Content


def test_content_is_only_on_spans_that_ask_for_it(recorder: Recorder, spans: InMemorySpanExporter) -> None:
    """Arguments and result are on the span as JSON where the call asked for it, and nowhere else."""
    for content in (False, True):
        with recorder.tool_call("search", content=content) as call:
            call.record_arguments({"what": "müsli", "when": complex(1, 2)})
            call.record_result("found")
    plain, full = (dict(span.attributes or {}) for span in spans.get_finished_spans())
    assert {key for key in plain if "call" in key} == set()
    assert full["gen_ai.tool.call.arguments"] == '{"what": "müsli", "when": "(1+2j)"}'
    assert full["gen_ai.tool.call.result"] == "found"


def test_texts_on_spans_are_bounded_and_can_be_exported(recorder: Recorder, spans: InMemorySpanExporter) -> None:
    """Ids, descriptions and content keep their begin; half a surrogate pair, which UTF-8 cannot carry, is a ``?``."""
    half, long = "caf\u00e9 \ud800", "x" * 100_000
    with (
        recorder.agent_invocation("a", description=long, conversation=half),
        recorder.tool_call("t", id=half, description=long, content=True) as call,
    ):
        call.record_arguments({"question": half})
        call.record_result(half)
    tool, agent = ({**(span.attributes or {})} for span in spans.get_finished_spans())
    assert (agent["gen_ai.agent.description"], agent["gen_ai.conversation.id"]) == ("x" * 1024, "caf\u00e9 ?")
    assert (tool["gen_ai.tool.description"], tool["gen_ai.tool.call.id"]) == ("x" * 1024, "caf\u00e9 ?")
    assert tool["gen_ai.tool.call.arguments"] == '{"question": "caf\u00e9 ?"}'
    assert tool["gen_ai.tool.call.result"] == "caf\u00e9 ?"


def test_content_is_bounded_and_never_raises(recorder: Recorder, spans: InMemorySpanExporter) -> None:
    """A result is cut at 65,536 characters; one that cannot be written is left out."""

    class Broken:
        def __str__(self) -> str:
            raise ValueError

    with recorder.tool_call("search", content=True) as call:
        call.record_arguments(Broken())
        call.record_result("x" * 100_000)
    attributes = spans.get_finished_spans()[0].attributes or {}
    assert "gen_ai.tool.call.arguments" not in attributes
    assert attributes["gen_ai.tool.call.result"] == "x" * 65_536


# The process's telemetry


async def test_functions_record_in_the_processs_telemetry(telemetry: AgentOSTelemetry, monkeypatch: pytest.MonkeyPatch) -> None:
    """The functions of ``telemetry.agentos`` record in the telemetry that is installed when the call is made."""
    monkeypatch.setattr(default, "_current", None)
    monkeypatch.setattr(default, "_is_default", False)

    @tool_call()
    def search() -> None:
        count_inference()

    @workflow()
    async def write() -> None:
        async with agent_invocation("navi", description="finds"), tool_call("other tool"):
            search()

    install(telemetry)
    await write()
    assert own_calls(telemetry, "navi") == (1, 1, 2)
    assert own_calls(telemetry, "write") == (1, 0, 0)
    assert above_zero(telemetry, "gen_ai_execute_tool").keys() >= {
        labelled(f"{TOOL_DURATION}_count", gen_ai_agent_name="navi", gen_ai_tool_name=name, gen_ai_tool_type="function")
        for name in ("search", "other tool")
    }


def test_decorating_loads_no_sdk() -> None:
    """A module that imports and applies the decorators loads no SDK."""
    code = """
import sys
from telemetry.agentos import agent_invocation, tool_call, workflow

@tool_call()
def search(): ...

@agent_invocation("navi")
async def answer(): ...

@workflow()
async def write(): ...

print([name for name in sys.modules if name.startswith("opentelemetry.sdk")])
search()
print(any(name.startswith("opentelemetry.sdk") for name in sys.modules))
"""
    printed = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert printed.splitlines() == ["[]", "True"]
