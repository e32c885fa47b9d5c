"""What of a caller's trace context reaches the service's spans and the agents."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    Decision,
    ParentBased,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)

from agents.middleware.trace_context import TraceContext
from telemetry.tracing.provider import GlobalTracerProvider
from tests.helpers.scripted_agent import replying, task

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
ON, OFF = f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-00"
Headers = list[tuple[bytes, bytes]]


def passed(*headers: tuple[str, str | bytes], provider: Any = None, trusted: bool = False) -> list[tuple[bytes, bytes]]:
    """The headers that the application behind the middleware gets."""
    found: list[Headers] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found.append(scope["headers"])

    raw = [(name.encode(), value if isinstance(value, bytes) else value.encode()) for name, value in headers]
    middleware = TraceContext(app, provider or TracerProvider(sampler=ParentBased(ALWAYS_ON)), trusted=trusted)
    asyncio.run(middleware({"type": "http", "headers": raw}, None, None))  # type: ignore[arg-type]
    return found[0]


@pytest.mark.parametrize("given", [ON, OFF, f"00-{TRACE}-{SPAN}-03", f"cc-{TRACE}-{SPAN}-00"])
@pytest.mark.parametrize(
    ("sampler", "flags"),
    [
        (ParentBased(ALWAYS_ON), "01"),
        (ParentBased(ALWAYS_OFF), "00"),
        (ALWAYS_ON, "01"),
        (ALWAYS_OFF, "00"),
        (ParentBased(TraceIdRatioBased(1)), "01"),
        (ParentBased(TraceIdRatioBased(0)), "00"),
    ],
)
def test_sampler_decides_and_not_the_caller(given, sampler, flags):
    """Whatever the caller's flags, the trace is sampled as the sampler says of a trace that begins here."""
    provider = TracerProvider(sampler=sampler)
    assert passed(("traceparent", given), provider=provider) == [(b"traceparent", f"00-{TRACE}-{SPAN}-{flags}".encode())]


def test_trace_id_of_the_caller_does_not_decide():
    """A trace id that a ratio always takes, or never, makes no difference: the sampler is asked for another one."""
    provider = TracerProvider(sampler=ParentBased(TraceIdRatioBased(0.5)))
    always = f"00-{'0' * 31}1-{SPAN}-01"
    flags = {passed(("traceparent", always), provider=provider)[0][1][-2:] for _ in range(100)}
    assert flags == {b"00", b"01"}


@pytest.mark.parametrize("given", [ON, OFF])
def test_trusted_caller_decides(given):
    """A trusted caller's decision and trace state are kept, and its baggage is not."""
    headers = (("traceparent", given), ("tracestate", "a=1,b=2"), ("baggage", "user=1"))
    assert passed(*headers, trusted=True) == [(b"traceparent", given.encode()), (b"tracestate", b"a=1,b=2")]


def test_other_headers_are_left_alone():
    """All other headers are passed on, in their order."""
    others = (("host", "x"), ("x-baggage", "1"), ("accept", b"\xff"))
    assert passed(*others, ("traceparent", ON)) == [
        *[(n.encode(), v.encode() if isinstance(v, str) else v) for n, v in others],
        (b"traceparent", ON.encode()),
    ]
    assert passed(*others)[2] == (b"accept", b"\xff")


@pytest.mark.parametrize(
    "headers",
    [
        [("traceparent", b"00-\xff-00-01")],
        [("traceparent", b"\x00")],
        [("traceparent", "")],
        [("traceparent", f"00-{'0' * 32}-{SPAN}-01")],
        [("traceparent", f"00-{TRACE}-{'0' * 16}-01")],
        [("traceparent", f"ff-{TRACE}-{SPAN}-01")],
        [("traceparent", "x" * 100_000)],
        [("tracestate", "a=1")],
        [("tracestate", b"\xff=\xfe")],
        [("baggage", "user=alice")],
        [("baggage", b"\xff=\xfe,=,;")],
        [("baggage", "a=b," * 10_000)],
        [("uberctx-user", "alice"), ("ot-baggage-user", "alice")],
    ],
)
@pytest.mark.parametrize("trusted", [False, True])
def test_context_that_names_no_trace_is_dropped(headers, trusted):
    """Headers that name no trace are dropped whatever their bytes, and the request goes on."""
    assert passed(*headers, trusted=trusted) == []


@pytest.mark.parametrize("state", ["a=1", b"\xff", "a=1," * 100])
def test_trace_state_of_an_untrusted_caller_is_dropped(state):
    """Trace state, of which the sampler or a vendor's code may make anything, is not kept."""
    assert passed(("tracestate", state), ("traceparent", OFF)) == [(b"traceparent", ON.encode())]


def test_each_of_several_headers_is_dropped():
    """A header that comes twice leaves nothing of the caller behind."""
    assert passed(("traceparent", OFF), ("traceparent", OFF)) == [(b"traceparent", ON.encode())]


@pytest.fixture
def no_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "get_tracer_provider", trace.ProxyTracerProvider)


@pytest.mark.usefixtures("no_provider")
@pytest.mark.parametrize("given", [ON, OFF])
def test_without_a_provider_the_decision_is_passed_on(given):
    """Where nothing records spans, the caller's decision is passed on to those who do; its baggage and state are not."""
    headers = (("traceparent", given), ("tracestate", "a=1"), ("baggage", "a=1"))
    assert passed(*headers, provider=GlobalTracerProvider()) == [(b"traceparent", given.encode())]


def test_provider_of_the_host_is_asked(monkeypatch):
    """Where the host's provider opens the spans, its sampler decides."""
    host = TracerProvider(sampler=ALWAYS_OFF)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: host)
    assert passed(("traceparent", ON), provider=GlobalTracerProvider()) == [(b"traceparent", OFF.encode())]


def test_unknown_provider_begins_a_trace():
    """A provider whose sampler cannot be asked gets no parent, since it would follow the parent's decision."""
    assert passed(("traceparent", OFF), provider=trace.NoOpTracerProvider()) == []


class Broken(Sampler):
    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        raise OSError("no decision")

    def get_description(self) -> str:
        return "broken"


class RecordOnly(Broken):
    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        return SamplingResult(Decision.RECORD_ONLY)


def test_broken_sampler_breaks_no_request():
    """A sampler that raises costs the request its parent, and nothing else."""
    assert passed(("traceparent", ON), provider=TracerProvider(sampler=Broken())) == []


def test_recording_alone_is_no_sampling():
    """A span that is recorded and not sampled has no sampled flag."""
    assert passed(("traceparent", ON), provider=TracerProvider(sampler=RecordOnly())) == [(b"traceparent", OFF.encode())]


def test_baggage_of_a_host_around_the_service_is_dropped():
    """Baggage of a host's own middleware around the application is not current in it, and is current again after it."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(dict(baggage.get_all()))

    async def host() -> None:
        token = context.attach(baggage.set_baggage("user", "alice"))
        await TraceContext(app, TracerProvider(), trusted=True)({"type": "http", "headers": []}, None, None)  # type: ignore[arg-type]
        seen.append(dict(baggage.get_all()))
        context.detach(token)

    asyncio.run(host())
    assert seen == [{}, {"user": "alice"}]


class OneHeader(TextMapPropagator):
    """A propagator of another format: a single header with trace id, span id and decision."""

    fields = {"x-one"}  # noqa: RUF012 - the SDK's own have it so

    def extract(self, carrier: Any, context: Context | None = None, getter: Any = None) -> Context:
        trace_id, span_id, flags = getter.get(carrier, "X-One")[0].split(":")
        span = trace.SpanContext(int(trace_id, 16), int(span_id, 16), True, trace.TraceFlags(int(flags)))
        return trace.set_span_in_context(trace.NonRecordingSpan(span), context)

    def inject(self, carrier: Any, context: Context | None = None, setter: Any = None) -> None:
        found = trace.get_current_span(context).get_span_context()
        setter.set(carrier, "X-One", f"{found.trace_id:x}:{found.span_id:x}:{found.trace_flags:d}")


@pytest.fixture
def one_header() -> Iterator[None]:
    before = propagate.get_global_textmap()
    propagate.set_global_textmap(OneHeader())
    yield
    propagate.set_global_textmap(before)


@pytest.mark.usefixtures("one_header")
def test_other_propagators_are_asked():
    """The formats of OTEL_PROPAGATORS are treated as the standard one, and what they cannot read is dropped."""
    assert passed(("x-one", "ab:cd:0"), ("baggage", "a=1")) == [(b"x-one", b"ab:cd:1")]
    assert passed(("x-one", b"\xff")) == []
    assert "baggage" in W3CBaggagePropagator().fields


def run(service: Any, headers: Sequence[tuple[str, str]], workspace: str = "w") -> dict[str, Any]:
    answer = service.client.post("/agents/peer/runs", json={"input": "q"}, headers=[*headers, ("X-Workspace-Id", workspace)])
    assert answer.status_code == 200
    return dict(answer.json())


@pytest.mark.parametrize(
    ("trusted", "given", "sampled"), [(False, OFF, True), (False, ON, True), (True, ON, True), (True, OFF, False)]
)
def test_caller_switches_tracing_off_only_where_it_is_trusted(start, agent, trusted, given, sampled):
    """A run is traced, in the caller's trace, unless a trusted caller says otherwise; the agent gets the same decision."""
    peer = agent(replying(task("TASK_STATE_COMPLETED", "hi")))
    service = start(agents={"peer": peer.url}, trust_traceparent=trusted)
    assert run(service, [("traceparent", given)])["trace_id"] == TRACE
    assert peer.headers[0]["traceparent"].startswith(f"00-{TRACE}-")
    assert peer.headers[0]["traceparent"][-2:] == ("01" if sampled else "00")
    if sampled:
        server = service.spans.wait("POST /agents/{agent}/runs")[0]
        assert (f"{server.context.trace_id:032x}", f"{server.parent.span_id:016x}") == (TRACE, SPAN)
    else:
        assert service.spans.named("a2a.request") == []


@pytest.mark.parametrize("trusted", [False, True])
def test_nothing_of_a_caller_reaches_an_agent(start, agent, trusted):
    """An agent gets the text, operation, workspace and trace, and no header of the caller's."""
    peer = agent(replying(task("TASK_STATE_COMPLETED", "hi")))
    service = start(agents={"peer": peer.url}, trust_traceparent=trusted)
    secrets = ("baggage", "cookie", "authorization", "x-api-key", "x-forwarded-for", "user-agent", "referer")
    run(service, [("traceparent", ON), *((name, "secret=1") for name in secrets)])
    assert "secret" not in str(peer.headers)
    assert set(peer.headers[0]) == {
        "host",
        "accept",
        "accept-encoding",
        "connection",
        "user-agent",
        "a2a-version",
        "cache-control",
        "traceparent",
        "content-length",
        "content-type",
    }


def test_cookie_of_one_caller_is_not_sent_for_another(start, agent):
    """A cookie that an agent sets in the answer to one workspace does not come back with the run of another."""

    async def reply(call: dict[str, Any]) -> Any:
        answer = await replying(task("TASK_STATE_COMPLETED", "hi"))(call)
        answer.headers["Set-Cookie"] = f"session={call['params']['message']['metadata']['workspace_id']}; Path=/"
        return answer

    peer = agent(reply)
    service = start(agents={"peer": peer.url})
    for workspace in ("a", "b"):
        run(service, [], workspace)
    assert [headers.get("cookie") for headers in peer.headers] == [None, None]
