"""No secret passes ``otel-collector.yaml``: raw OTLP through the real Collector, read where its exporters send it."""

from __future__ import annotations

import base64
import os
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AGGREGATION_TEMPORALITY_CUMULATIVE,
    Exemplar,
    ExponentialHistogram,
    ExponentialHistogramDataPoint,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
    Summary,
    SummaryDataPoint,
)
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from stack.servers.collector import CONFIG, Collector
from stack.servers.process import until
from tests.helpers.collected import Collected, Value, attributes, collecting, post, read
from tests.helpers.required_servers import built_server

NOW = 1_800_000_000_000_000_000
"""A time in 2027, in nanoseconds."""


def _words(table: str) -> list[str]:
    return table.split()


CREDENTIALS = _words("""
    token id_token access_token refresh_token csrf_token x-auth-token sessionToken auth.token token.value token_hash Token
    access_key accessKey aws.secret_access_key AWS_ACCESS_KEY_ID api_key api-key apikey apiKey x-api-key openai.api.key
    private_key signing_key ssh_key encryption-key account_key storage.account.key x-functions-key webhook.key
    secret client_secret app.secret.name secrets pwd user_pwd passwd password db.password password.0 passphrase passcode
    smtp_pass PASS authorization proxy-authorization http.request.header.authorization http.response.header.set-cookie
    http.request.header.x-internal http.request.header.cookie rpc.grpc.request.metadata.x-internal cookie set-cookie cookies
    session session.id session_id sessionid jwt bearer_value credential credentials x-amz-credential signature x-amz-signature
    sig auth auth.header otp pin mfa_code connection_string db.connection_string dsn sentry.dsn baggage baggage.user
    process.command_args process.command_line process.environment_variable.HOME xsrf db.query.parameter.name
    x-goog-api-key Ocp-Apim-Subscription-Key X-Amz-Security-Token refreshToken idToken clientSecret secretKey privateKey
    PGPASSWORD MYSQL_PWD authToken basicAuth basic_auth authentication userPass PHPSESSID JSESSIONID mnemonic cost_token
""")
"""Keys whose values are credentials, of any type."""

CONTENT = _words("""
    content message.content gen_ai.prompt gen_ai.completion gen_ai.prompt.0.content gen_ai.completion.1.content gen_ai.content
    gen_ai.input.messages gen_ai.output.messages gen_ai.system_instructions gen_ai.tool.call.arguments gen_ai.tool.call.result
    gen_ai.event.content gen_ai.request.messages llm.prompts llm.completions llm.prompts.0 llm.request.messages
    llm.input_messages.0.message.content llm.output_messages.1.message.content llm.prompt_template.template
    llm.prompt_template.variables traceloop.entity.input traceloop.entity.output traceloop.prompt.template input.value
    output.value retrieval.documents.0.document.content embedding.text embedding.embeddings.0.embedding.text reranker.query
    tool.parameters langfuse.observation.input langfuse.trace.output ai.prompt ai.prompt.messages ai.response.text
    ai.response.object
    ai.toolCall.args ai.toolCall.result mlflow.spanInputs mlflow.spanOutputs all_messages_events pydantic_ai.all_messages
    tool_arguments tool_response final_result request_data response_data http.request.body request.body payload system_prompt
    userPrompt prompt prompts completion instructions
    gen_ai.user.message gen_ai.assistant.message llm.response message.function_call_arguments_json braintrust.input_json
    promptText completion_text response_text chat_history question
""")
"""Keys under which libraries send prompts, answers, and what tools are given and return."""

TEXTS = """
    token={}&a=b | token=****&a=b
    a=b&token={} | a=b&token=****
    a=b;token={} | a=b;token=****
    id_token={} top | id_token=**** top
    https://h.example/cb#access_token={}&token_type=bearer | https://h.example/cb#access_token=****&token_type=bearer
    https://h.example/cb?code={}&page=2 | https://h.example/cb?code=****&page=2
    /v1/models?key={}&page=2 | /v1/models?key=****&page=2
    https://u:{}@h.example:8080/p?a=b | https://****@h.example:8080/p?a=b
    https://{}@h.example/p | https://****@h.example/p
    redis://:{}@h.example:6379/0 | redis://****@h.example:6379/0
    redis://:a/b#{}@h.example:6379/0 | redis://****@h.example:6379/0
    postgresql://u:p@{}@h.example/db | postgresql://****@h.example/db
    to //u:{}@h.example/p | to //u:****@h.example/p
    root:{}@tcp(127.0.0.1:3306)/db | root:****@tcp(127.0.0.1:3306)/db
    https://b.example/f?sv=2&sig={}&se=3 | https://b.example/f?sv=2&sig=****&se=3
    https://b.example/f?X-Amz-Credential={}%2F2026&X-Amz-Signature={}&x=1 | https://b.example/f?X-Amz-Credential=****&X-Amz-Signature=****&x=1
    https://h.example/?next=https%3A%2F%2Fi.example%3Ftoken%3D{} | https://h.example/?next=https%3A%2F%2Fi.example%3Ftoken%3D****
    https://h.example/?next=https%3A%2F%2Fu%3A{}%40i.example | https://h.example/?next=https%3A%2F%2F****%40i.example
    https://h.example/token/{}/use | https://h.example/token/****/use
    https://hooks.slack.com/services/T0/B0/{} | https://hooks.slack.com/services/****
    https://api.telegram.org/bot1:{}/send | https://api.telegram.org/bot****
    sent with Bearer {} now | sent with Bearer **** now
    sent with bearer%20{} now | sent with bearer **** now
    sent with Basic {}== now | sent with Basic **** now
    Authorization: Digest username={}, uri=/ | Authorization: ****
    {'Authorization': 'Key {}', 'Accept': '*/*'} | {'Authorization': ****, 'Accept': '*/*'}
    (b'authorization', b'Key {}'), (b'a', b'b') | (b'authorization', ****), (b'a', b'b')
    Cookie: a={}; b=2 | Cookie: ****
    set-cookie: sid={}; HttpOnly | set-cookie: ****
    X-Auth-Token: {} | X-Auth-Token: ****
    eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{} | eyJ****
    key sk-proj-{} refused | key sk-**** refused
    key sk_live_{} refused | key sk_**** refused
    key ghp_{} refused | key ghp_**** refused
    key github_pat_{} refused | key github_pat_**** refused
    key xoxb-{} refused | key xoxb-**** refused
    key glpat-{} refused | key glpat-**** refused
    key AKIA{} refused | key AKIA**** refused
    key AIza{} refused | key AIza**** refused
    -----BEGIN RSA PRIVATE KEY-----\\n{}\\n-----END RSA PRIVATE KEY----- | ****
    at -----BEGIN PRIVATE KEY-----\\nAAAA{} | at ****
    password={} host=h | password=**** host=h
    password: {} host: h | password: **** host: h
    passwd = "{} {}" host | passwd = **** host
    {"password": "{}\\"{}", "user": "bob"} | {"password": ****, "user": "bob"}
    {'api_key': '{}', 'user': 'bob'} | {'api_key': ****, 'user': 'bob'}
    {"user": "bob", "token": {"value": "{}"}} | {"user": "bob", "token": ****
    {"user": "bob", "secrets": ["a", "{}"]} | {"user": "bob", "secrets": ****
    client_secret={}, a=b | client_secret=**** a=b
    AccountKey={}==;EndpointSuffix=e | AccountKey=****;EndpointSuffix=e
    Server=h;Pwd={};Database=d | Server=h;Pwd=****;Database=d
    run --token {} --verbose | run --token **** --verbose
    run --api-key={} --verbose | run --api-key=**** --verbose
    key xapp-1-{} refused | key xapp-**** refused
    key glsa_{} refused | key glsa_**** refused
    key shpat_{} refused | key shpat_**** refused
    key 12345678:AA{} refused | key 12345678:AA**** refused
    Incorrect API key provided: {}. You | Incorrect API key provided: **** You
    /logout?id_token_hint={}&x=1 | /logout?id_token_hint=****&x=1
    /acs?SAMLResponse={}&x=1 | /acs?SAMLResponse=****&x=1
    <user>bob</user><password>{}</password> | <user>bob</user><password>****</password>
    at Redis(host='h',password='{}',db=0) | at Redis(host='h',password=****,db=0)
    CREATE USER u IDENTIFIED BY '{}' | CREATE USER u IDENTIFIED BY ****
"""
"""Texts under an ordinary key: what is sent, and what remains of it."""

STATEMENTS = """
    AUTH {} | AUTH ?
    HELLO 3 AUTH default {} | HELLO ?
    SET answer:1 {} EX 5 | SET ?
    GET a\\nSET b {} | GET a\\nSET ?
    SELECT * FROM t WHERE name = '{}' AND a = 1 | SELECT * FROM t WHERE name = ? AND a = 1
    INSERT INTO users (name, password) VALUES ('bob', 'a''{}') | INSERT INTO users (name, password) VALUES (?, ?)
    {"find": "users", "filter": {"name": "{}"}} | {?: ?, ?: {?: ?}}
"""
"""Statements sent to a database."""

KEPT: dict[str, Value] = {
    "agent": "navi",
    "operation": "query",
    "status": "error",
    "workspace_id": "acme-1",
    "task_type": "chat",
    "provider": "openai",
    "direction": "input",
    "result": "denied",
    "kind": "token",
    "token_type": "input",
    "gen_ai.token.type": "output",
    "gen_ai.usage.input_tokens": 7,
    "gen_ai.usage.output_tokens": 0,
    "gen_ai.usage.cache_read.input_tokens": 3,
    "gen_ai.request.max_tokens": 4096,
    "max_tokens": 100,
    "total_tokens": "12",
    "llm.token_count.prompt": 5,
    "llm.usage.prompt_tokens": 6,
    "tokens_per_second": 41.5,
    "time_to_first_token": 0.5,
    "gen_ai.time_per_output_token": 0.01,
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.finish_reasons": ["stop", "length"],
    "gen_ai.response.id": "chatcmpl-9x1",
    "gen_ai.conversation.id": "5b9c1c3e-97a4-4a0b-8b5c-0e7d9c4b1f6a",
    "gen_ai.output.type": "json",
    "cache_key": "a:1",
    "hf_model_name": "hf_hub_download with global_config and npm_lifecycle",
    "error.type": "timeout",
    "exception.message": "no answer from agents.example:8001 within 5 s",
    "http.request.method": "GET",
    "http.response.status_code": 200,
    "http.request.header.content-type": ["application/json"],
    "http.response.body.size": 512,
    "http.url": "https://h.example:8443/a/b;c=1/@scope/pkg?q=a+b&page=2#part",
    "http.target": "/a2a/navi?stream=true",
    "url.full": "http://[::1]:8080/a/@b",
    "url.path": "/a2a/navi/v1",
    "url.query": "q=a&page=2",
    "db.query.text": "SELECT a FROM t WHERE b = 1",
    "mail": "from bob@example.com",
    "trace": "4bf92f3577b34da6a3ce929d0e0e4736",
    "big": 9007199254740993,
    "small": 1e-300,
    "yes": True,
    "no": False,
    "empty": "",
    "tilde": "~~a",
    "texts": ["eu-west", "a b", "Zürich"],
    "numbers": [1, 2.5, -3],
    "flags": [True, False],
}
"""Attributes that pass unchanged."""


def _rows(table: str) -> list[tuple[str, str]]:
    lines = [line.strip().replace("\\n", "\n") for line in table.splitlines() if line.strip()]
    return [(sent, remains) for sent, _, remains in (line.partition(" | ") for line in lines)]


class Marks:
    """Gives out secrets, each once, and remembers by name where each was put."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}

    def secret(self, where: str) -> str:
        """Returns the secret of ``where``: 16 letters and digits that no other has."""
        return self.secrets.setdefault(where, f"Hu{len(self.secrets):06d}ShHush07")


def shapes(secret: str) -> dict[str, Value]:
    """Returns a secret as the values of each type."""
    return {
        "text": secret,
        "bytes": secret.encode(),
        "array": ["a", secret],
        "array of bytes": [secret.encode()],
        "map": {"a": secret},
        "nested": [{"a": [{"b": [secret, 1]}]}, float("nan")],
    }


def span(name: str = "call", **fields: Any) -> Span:
    return Span(
        name=name,
        trace_id=os.urandom(16),
        span_id=os.urandom(8),
        start_time_unix_nano=NOW,
        end_time_unix_nano=NOW + 1_000,
        **fields,
    )


def spans(*given: Span, resource: Mapping[str, Value] = {}, **scope: Any) -> ResourceSpans:
    return ResourceSpans(
        resource=Resource(attributes=attributes({"service.name": "leaky", **resource})),
        scope_spans=[ScopeSpans(scope=InstrumentationScope(**{"name": "test", **scope}), spans=given)],
    )


def everywhere(marks: Marks, where: str, key: str, shape: str) -> Iterator[ResourceSpans]:
    """Yields spans that have a secret of this key and type in each place that has attributes."""

    def given(place: str) -> Mapping[str, Value]:
        return {key: shapes(marks.secret(f"{place}: {where}"))[shape]}

    yield spans(span(attributes=attributes(given("span"))))
    yield spans(span(events=[Span.Event(name="e", attributes=attributes(given("event")))]))
    link = Span.Link(trace_id=b"t" * 16, span_id=b"s" * 8, attributes=attributes(given("link")), trace_state=f"{key}=1")
    yield spans(span(links=[link]))
    yield spans(span(), resource=given("resource"))
    yield spans(span(), attributes=attributes(given("scope")))


def texts_everywhere(marks: Marks, text: str) -> Iterator[ResourceSpans]:
    """Yields spans that have this text in each place that holds one."""

    def given(place: str) -> str:
        return text.replace("{}", marks.secret(f"{place}: {text}"))

    yield spans(span(attributes=attributes({"note": given("attribute"), "notes": ["a", given("array")]})))
    yield spans(span(given("name"), status=Status(code=Status.STATUS_CODE_ERROR, message=given("message"))))
    yield spans(span(events=[Span.Event(name=given("event name"))]))
    yield spans(span(events=[Span.Event(name="exception", attributes=attributes({"exception.message": given("exception")}))]))
    stacktrace = {"exception.stacktrace": f"Traceback:\n  line\nError: {given('stacktrace')}\n"}
    yield spans(span(events=[Span.Event(name="exception", attributes=attributes(stacktrace))]))
    yield spans(span(attributes=attributes({given("key"): "a"})))
    yield spans(span(), name=given("scope name"), version=given("scope version"))
    yield spans(span(), resource={"note": given("resource")})
    for key in ("url.full", "url.query", "http.url", "http.target", "url.path"):
        yield spans(span(attributes=attributes({key: given(key)})))


def trace_rows(marks: Marks) -> Iterator[ResourceSpans]:
    """Yields all rows of the tables."""
    shape_names = list(shapes(""))
    for number, key in enumerate(CREDENTIALS + CONTENT):
        for shape in shape_names:
            yield spans(span(attributes=attributes({key: shapes(marks.secret(f"{key} {shape}"))[shape]})))
        shape = shape_names[number % len(shape_names)]
        yield from everywhere(marks, f"{key} {shape}", key, shape)
    for shape in shape_names[1:]:  # a text under an ordinary key is no secret
        secret = marks.secret(f"Bearer {shape}")
        yield spans(span(attributes=attributes({"ordinary": shapes(f"Bearer {secret}")[shape]})))
    for text, _ in _rows(TEXTS):
        yield from texts_everywhere(marks, text)
    for text, _ in _rows(STATEMENTS):
        for key in ("db.statement", "db.query.text"):
            secret = marks.secret(f"{key}: {text}")
            yield spans(span(attributes=attributes({key: text.replace("{}", secret)})))
    for event in ("gen_ai.user.message", "gen_ai.choice", "gen_ai.content.prompt"):
        for key in ("message", "body", "text", "content", "gen_ai.event.content", "tool_calls.0.function.arguments"):
            attribute = attributes({key: marks.secret(f"{event} {key}"), "index": 1})
            yield spans(span(events=[Span.Event(name=event, attributes=attribute)]))
    yield spans(span(trace_state=f"vendor={marks.secret('trace state')},ot=th:8"))
    numbered = [f"tokens {kind}" for kind in ("tokens", "refresh_tokens", "token_usage", "gen_ai.usage.input_tokens")]
    yield spans(span(attributes=attributes({name.split()[1]: marks.secret(name) for name in numbered})))


def nested(chosen: random.Random, marks: Marks, depth: int, *, secret: bool = False) -> Value:
    """Returns a random value, in which a secret is under a key or in a text of the tables."""
    if depth and chosen.random() < 0.7:
        if chosen.random() < 0.4:
            return [nested(chosen, marks, depth - 1, secret=secret) for _ in range(chosen.randrange(4))]
        keys = chosen.sample(["a", "b.c", "list", "0", chosen.choice(CREDENTIALS), chosen.choice(CONTENT)], 3)
        known = {*CREDENTIALS, *CONTENT}
        return {key: nested(chosen, marks, depth - 1, secret=secret or key in known) for key in keys}
    if secret:
        mark = marks.secret(f"random {len(marks.secrets)}")
        secrets: list[Value] = [mark, mark.encode(), f"{mark} and more", [mark, None]]
        return chosen.choice(secrets)
    text, _ = chosen.choice(list(_rows(TEXTS)))
    leaves: list[Value] = ["plain", 7, 1.5, float("nan"), True, None, "", [], {}]
    return chosen.choice([text.replace("{}", marks.secret(f"random {len(marks.secrets)}"))] * 9 + leaves)


def random_rows(marks: Marks) -> Iterator[ResourceSpans]:
    """Yields 300 spans with randomly nested attributes in random places."""
    chosen = random.Random(26)
    for _ in range(300):
        key = chosen.choice(["a", "deep.er", *CREDENTIALS, *CONTENT])
        given = {key: nested(chosen, marks, 5, secret=key in {*CREDENTIALS, *CONTENT})}
        place = chosen.randrange(4)
        if place == 0:
            yield spans(span(attributes=attributes(given)))
        elif place == 1:
            yield spans(span(events=[Span.Event(name="e", attributes=attributes(given))]))
        elif place == 2:
            yield spans(span(), resource=given)
        else:
            yield spans(span(), attributes=attributes(given))


def metrics(given: Mapping[str, Value], of_exemplar: Mapping[str, Value], resource: Mapping[str, Value]) -> ResourceMetrics:
    """Returns one metric of each kind whose point has ``given`` as attributes."""
    times: dict[str, Any] = {
        "start_time_unix_nano": NOW - 1_000_000_000,
        "time_unix_nano": NOW,
        "attributes": attributes(given),
    }
    exemplar = Exemplar(
        filtered_attributes=attributes(of_exemplar), time_unix_nano=NOW, as_double=0.5, trace_id=b"t" * 16, span_id=b"s" * 8
    )
    number = NumberDataPoint(as_int=1, exemplars=[exemplar], **times)
    held = HistogramDataPoint(count=1, sum=0.5, bucket_counts=[1, 0], explicit_bounds=[1], exemplars=[exemplar], **times)
    wide = ExponentialHistogramDataPoint(count=1, sum=0.5, zero_count=1, exemplars=[exemplar], **times)
    cumulative = AGGREGATION_TEMPORALITY_CUMULATIVE
    kinds = [
        Metric(name="a.gauge", description="Depth, with tokens (max)", unit="{token}/s", gauge=Gauge(data_points=[number])),
        Metric(name="a.token.usage", sum=Sum(data_points=[number], aggregation_temporality=cumulative, is_monotonic=True)),
        Metric(name="a.histogram", histogram=Histogram(data_points=[held], aggregation_temporality=cumulative)),
        Metric(
            name="a.wide", exponential_histogram=ExponentialHistogram(data_points=[wide], aggregation_temporality=cumulative)
        ),
        Metric(name="a.summary", summary=Summary(data_points=[SummaryDataPoint(count=1, sum=0.5, **times)])),
    ]
    scope = ScopeMetrics(scope=InstrumentationScope(name="test", attributes=attributes(resource)), metrics=kinds)
    return ResourceMetrics(
        resource=Resource(attributes=attributes({"service.name": "leaky", **resource})), scope_metrics=[scope]
    )


def metric_rows(marks: Marks) -> Iterator[ResourceMetrics]:
    for number, key in enumerate([*CREDENTIALS, *CONTENT]):
        shape = list(shapes(""))[number % 6]
        found = [shapes(marks.secret(f"{place} {key} {shape}"))[shape] for place in ("point", "exemplar", "metric resource")]
        yield metrics({key: found[0]}, {key: found[1], "agent": "navi"}, {key: found[2]})
    for text, _ in _rows(TEXTS):
        found = [text.replace("{}", marks.secret(f"{place} {text}")) for place in ("point", "exemplar", "metric resource")]
        yield metrics({"note": found[0]}, {"note": found[1]}, {"note": found[2]})
    for text in ("password={}", "sent with Bearer {}", "to https://u:{}@h.example/p", "key sk-{}", '{"token": "{}"}'):
        found = [text.replace("{}", marks.secret(f"{place} {text}")) for place in ("description", "unit", "metadata")]
        described = metrics({}, {}, {})
        for metric in described.scope_metrics[0].metrics:
            metric.description, metric.unit = found[:2]
            metric.metadata.extend(attributes({"note": found[2]}))
        yield described


class Passed:
    """What the Collector sent on of all rows."""

    def __init__(self, collected: Collected, port: int) -> None:
        self.marks = Marks()
        sent = [*trace_rows(self.marks), *random_rows(self.marks)]
        for key, table in (("note", TEXTS), ("db.query.text", STATEMENTS)):
            for number, (text, _) in enumerate(_rows(table)):
                found: dict[str, Value] = {"row": number, key: text.replace("{}", "HushHush00000000")}
                sent.append(spans(span(f"{key} remains", attributes=attributes(found))))
        sent.append(
            spans(
                span("kept", attributes=attributes(KEPT), events=[Span.Event(name="e", attributes=attributes(KEPT))]),
                resource=KEPT,
            )
        )
        measured = [*metric_rows(self.marks), metrics(KEPT, {}, {"kept": True})]
        for number, one in enumerate(measured):
            one.resource.attributes.extend(attributes({"row": number}))
        assert post(port, "traces", ExportTraceServiceRequest(resource_spans=sent)).status_code == 200
        assert post(port, "metrics", ExportMetricsServiceRequest(resource_metrics=measured)).status_code == 200
        until("all spans", lambda: len({one.span_id for one in collected.spans()}) == len(sent))
        self.spans = list({one.span_id: one for one in collected.spans()}.values())
        self.metrics: list[ExportMetricsServiceRequest] = []
        until("all metrics", lambda: self._rows(collected) >= set(range(len(measured))))
        self.bytes = b"".join(
            [*(one.SerializeToString() for one in collected.traces), *(one.SerializeToString() for one in self.metrics)]
        )
        self.resources = [one.resource for request in collected.traces for one in request.resource_spans]

    def _rows(self, collected: Collected) -> set[Value]:
        """Returns the numbers of the rows whose metrics have arrived, some perhaps twice."""
        while not collected.receiver.metrics.empty():
            self.metrics.append(collected.receiver.metrics.get())
        return {read(one.resource.attributes).get("row") for one in self.resource_metrics()}

    def resource_metrics(self) -> list[ResourceMetrics]:
        return [one for request in self.metrics for one in request.resource_metrics]

    def remains(self, key: str) -> dict[Value, Value]:
        """Returns what is left of each row's text under this key."""
        found = [read(one.attributes) for one in self.spans if one.name == f"{key} remains"]
        return {one["row"]: one[key] for one in found}

    def leaked(self, wanted: Callable[[str], bool] = lambda where: True) -> list[str]:
        """Returns the places whose secret was sent on, in plain or as base64."""
        return [
            where
            for where, secret in self.marks.secrets.items()
            if wanted(where) and (secret.encode() in self.bytes or base64.b64encode(secret.encode())[:-4] in self.bytes)
        ]


def started(folder: Path, collected: Collected, **options: Any) -> Collector:
    """Returns a Collector, not yet started, that sends to ``collected``."""
    return Collector(built_server("otelcol"), folder, collected.environment(), **options)


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Passed]:
    with collecting() as collected, started(tmp_path_factory.mktemp("collector"), collected) as running:
        yield Passed(collected, running.http)


@pytest.mark.parametrize("key", [*CREDENTIALS, *CONTENT])
def test_a_secret_under_its_key_does_not_pass(passed: Passed, key: str) -> None:
    """What is under the key is removed, whatever its type, wherever there are attributes."""
    assert passed.leaked(lambda where: f" {key} " in f" {where} ") == []


@pytest.mark.parametrize("text", [text for text, _ in _rows(TEXTS)])
def test_a_secret_in_a_text_does_not_pass(passed: Passed, text: str) -> None:
    """What looks like a secret is removed from names, messages, exceptions, keys and values."""
    assert passed.leaked(lambda where: text in where) == []


def test_no_other_secret_passes(passed: Passed) -> None:
    """Nor does one nested at random, in a statement of a database, in an event of a model call, or in a trace state."""
    assert passed.leaked() == []
    assert len(passed.marks.secrets) > 2_500


@pytest.mark.parametrize("row", range(len(_rows(TEXTS))))
def test_the_rest_of_a_text_remains(passed: Passed, row: int) -> None:
    """Only the secret itself is replaced in a text."""
    assert passed.remains("note")[row] == _rows(TEXTS)[row][1]


@pytest.mark.parametrize("row", range(len(_rows(STATEMENTS))))
def test_the_rest_of_a_statement_remains(passed: Passed, row: int) -> None:
    """A database's statement keeps its words."""
    assert passed.remains("db.query.text")[row] == _rows(STATEMENTS)[row][1]


def test_what_is_no_secret_passes_unchanged(passed: Passed) -> None:
    """Our labels, token counts, addresses and plain arrays are unchanged in spans, events and resources."""
    (kept,) = [one for one in passed.spans if one.name == "kept"]
    assert read(kept.attributes) == KEPT
    assert read(kept.events[0].attributes) == KEPT
    assert {**KEPT, "service.name": "leaky"} in [read(one.attributes) for one in passed.resources]


def test_metrics_keep_labels_and_exemplars(passed: Passed) -> None:
    """Points keep names, labels and values; an exemplar keeps its value, trace and span."""
    kept = next(one for one in passed.resource_metrics() if "kept" in read(one.resource.attributes))
    found = {metric.name: metric for metric in kept.scope_metrics[0].metrics}
    assert list(found) == ["a.gauge", "a.token.usage", "a.histogram", "a.wide", "a.summary"]
    assert (found["a.gauge"].description, found["a.gauge"].unit) == ("Depth, with tokens (max)", "{token}/s")
    (point,) = found["a.token.usage"].sum.data_points
    assert read(point.attributes) == KEPT
    assert point.as_int == 1
    (exemplar,) = found["a.histogram"].histogram.data_points[0].exemplars
    assert (exemplar.as_double, exemplar.trace_id, exemplar.span_id) == (0.5, b"t" * 16, b"s" * 8)
    assert read(found["a.summary"].summary.data_points[0].attributes) == KEPT


def test_links_are_counted_as_dropped(passed: Passed) -> None:
    """A span that had links arrives without them, and says how many it lost."""
    assert [one for one in passed.spans if one.links] == []
    assert sum(one.dropped_links_count for one in passed.spans) == len(CREDENTIALS + CONTENT)


def test_without_the_feature_gate_spans_with_links_are_dropped(tmp_path: Path) -> None:
    """A Collector without the gate that clears links sends no span that has one."""
    linked = span("linked", links=[Span.Link(trace_id=b"t" * 16, span_id=b"s" * 8, attributes=attributes({"token": "a"}))])
    message = ExportTraceServiceRequest(resource_spans=[spans(linked, span("other"))])
    with collecting() as collected, started(tmp_path, collected, gates=()) as running:
        assert post(running.http, "traces", message).status_code == 200
        until("the other span", collected.spans)
        assert [one.name for one in collected.spans()] == ["other"]


@pytest.mark.parametrize("step", ["transform/secrets", "transform/texts"])
def test_a_statement_that_fails_lets_nothing_pass(tmp_path: Path, step: str) -> None:
    """A batch for which a statement fails is refused with a status that makes the sender try again."""
    config = yaml.safe_load(CONFIG.read_text())
    group = {"context": "span", "statements": ['set(name, ParseJSON("{"))']}
    config["processors"][step]["trace_statements"].insert(1, group)
    changed = tmp_path / "changed.yaml"
    changed.write_text(yaml.safe_dump(config))
    with collecting() as collected, started(tmp_path, collected, config=changed) as running:
        answer = post(running.http, "traces", ExportTraceServiceRequest(resource_spans=[spans(span())]))
        assert answer.status_code == 503
    assert collected.traces == []
