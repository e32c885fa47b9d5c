"""Keys of the API over real sockets: who may do what, and where no key may show."""

from __future__ import annotations

import json
import logging

import httpx
import pytest

from agents.api.keys import ApiKeys
from agents.settings import Settings, SettingsError
from tests.helpers.asgi_server import TIMEOUT
from tests.helpers.scripted_agent import replying, status, task

ANSWER = (task("TASK_STATE_SUBMITTED"), status("TASK_STATE_COMPLETED", "done"))
ACME, ZEN, OLD = "acme-key-0123456789", "zen-key-0123456789ab", "old-key-0123456789ab"
KEYS = json.dumps({"acme": ACME, "zen": [ZEN, OLD]})
RUNS = "/agents/{agent}/runs"


@pytest.fixture
def closed(start, agent):
    """Starts a service with keys and one agent that answers."""
    return lambda **settings: start(agents={"peer": agent(replying(*ANSWER)).url}, api_keys=KEYS, **settings)


def bearer(key: str, **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", **more}


def run(service, headers) -> httpx.Response:
    return service.client.post("/agents/peer/runs", json={"input": "hi"}, headers=headers)


@pytest.mark.parametrize(("key", "workspace"), [(ACME, "acme"), (ZEN, "zen"), (OLD, "zen")])
def test_a_key_is_a_workspace(closed, key, workspace):
    """A key, also the older one of a workspace, admits the request in its workspace, without another header."""
    service = closed()
    assert run(service, bearer(key)).status_code == 200
    assert run(service, bearer(key, **{"X-Workspace-Id": workspace})).status_code == 200
    assert service.counted("rate_limit_hits_total") == {f"{RUNS}/allowed/{workspace}": 2}


WRONG = [
    {},
    bearer("wrong-key-0123456789"),
    bearer(ACME[:-1]),
    bearer(ACME + "x"),
    bearer(f"{ACME},{ZEN}"),
    bearer(ACME.upper()),
    {"Authorization": f"Basic {ACME}"},
    {"Authorization": ACME},
    {"Cookie": f"key={ACME}"},
    {"X-Api-Key": ACME},
]


@pytest.mark.parametrize("headers", WRONG)
def test_a_wrong_key_is_refused(closed, headers):
    """Without exactly a key a request is a 401 that says how to authenticate, and counts for no workspace."""
    service = closed()
    answer = run(service, {**headers, "X-Workspace-Id": "acme"})
    assert (answer.status_code, answer.json()["error"]) == (401, "unauthorized")
    assert answer.headers["WWW-Authenticate"].startswith('Bearer realm="agentos"')
    assert service.counted("rate_limit_hits_total") == {f"{RUNS}/allowed/other": 1}


def test_two_keys_are_none(closed):
    """A request with two Authorization headers is refused."""
    service = closed()
    headers = [("Authorization", f"Bearer {ACME}"), ("Authorization", f"Bearer {ACME}")]
    assert service.client.get("/agents", headers=headers).status_code == 401


def test_the_workspace_of_another_key_is_forbidden(closed):
    """A workspace header other than the key's is a 403."""
    service = closed()
    answer = run(service, bearer(ACME, **{"X-Workspace-Id": "zen"}))
    assert (answer.status_code, answer.json()["error"]) == (403, "forbidden")
    assert service.counted("rate_limit_hits_total") == {f"{RUNS}/allowed/other": 1}


def test_wrong_keys_are_limited_by_the_client(closed):
    """After its limit a client that tries keys gets 429, also with a right one, and other limits are not used up."""
    service = closed(client_rate_limit="5/minute", rate_limit="100/minute")
    found = [run(service, bearer(f"wrong-key-0123456789{number}")).status_code for number in range(7)]
    assert found == [401] * 5 + [429] * 2
    assert run(service, bearer(ACME)).status_code == 429


@pytest.mark.parametrize(
    ("path", "code"),
    [("/health/live", 200), ("/health/ready", 200), ("/metrics", 200), ("/openapi.json", 200), ("/", 401), ("/agents", 401)],
)
def test_probes_scrapes_and_the_document_need_no_key(closed, path, code):
    """Health, /metrics (which has its own tokens) and the OpenAPI document are open, all other routes closed."""
    assert closed().client.get(path).status_code == code


def test_the_document_shows_the_scheme(closed, start):
    """The OpenAPI document has the bearer scheme and the refusals where keys are set, and only there."""
    document = closed().client.get("/openapi.json").json()
    operation = document["paths"]["/agents/{agent}/runs"]["post"]
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert operation["security"] == [{"key": []}]
    assert {"401", "403"} <= set(operation["responses"])
    assert "securitySchemes" not in start().client.get("/openapi.json").json().get("components", {})


def test_no_key_shows_anywhere(closed, monkeypatch, caplog):
    """No key is in a log line, a span (headers captured), an answer, or a repr."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST", ".*")
    service = closed()
    answers = [run(service, bearer(key)) for key in (ACME, OLD, "wrong-key-0123456789")]
    service.spans.wait("POST /agents/{agent}/runs", 3)
    settings = Settings(api_keys=KEYS)
    shown = [
        *(record.getMessage() for record in caplog.records if record.name not in ("httpx", "httpcore.http11")),
        *(str(dict(span.attributes)) for span in service.spans.ended),
        *(answer.text for answer in answers),
        *(repr(one) for one in (settings, settings.api_keys, vars(ApiKeys(settings.api_keys)))),
    ]
    assert [text for text in shown for key in (ACME, ZEN, OLD, "wrong-key-0123456789") if key in text] == []


def test_all_keys_are_compared(monkeypatch):
    """A token is compared with each key, whichever matches, so that the time does not tell its place."""
    compared = []
    keys = Settings(api_keys=KEYS).api_keys
    monkeypatch.setattr("telemetry.exposition.access.hmac.compare_digest", lambda a, b: compared.append(a) or a == b)
    scope = {"headers": [(b"authorization", f"Bearer {ACME}".encode())]}
    assert ApiKeys(keys).refusal(scope, RUNS) is None
    assert len(compared) == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{}",
        "[]",
        "null",
        "secret-text-0123456789",
        '{"acme": ""}',
        '{"acme": []}',
        '{"acme": null}',
        '{"acme": {}}',
        '{"acme": 12345678901234567890}',
        '{"acme": ["secret-text-0123456789", 7]}',
        '{"acme": "secret-short"}',
        '{"acme": "secret text of 16 or more"}',
        '{"acme": "secret-text-0123456789\\u00e4"}',
        '{"a b": "secret-text-0123456789"}',
        '{"": "secret-text-0123456789"}',
        '{"secret-text-0123456789!": "x"}',
        '{"a": "secret-text-0123456789", "b": "secret-text-0123456789"}',
        '{"a": ["secret-text-0123456789", "secret-text-0123456789"]}',
        '{"a": "secret-text-0123456789", "a": "secret-text-9876543210"}',
    ],
)
def test_keys_that_cannot_be_used_stop_the_start(text):
    """Empty, weak, doubled or misspelled keys are refused with one sentence that shows none of them."""
    with pytest.raises(SettingsError, match=r"^AGENTOS_API_KEYS is .*\.$") as refused:
        Settings.from_environment({"AGENTOS_API_KEYS": text})
    assert "secret" not in str(refused.value)


def test_without_keys_the_workspace_is_the_callers_claim(start, agent):
    """Without the setting any caller is served in the workspace that it names."""
    service = start(agents={"peer": agent(replying(*ANSWER)).url})
    assert run(service, {"X-Workspace-Id": "claimed"}).status_code == 200
    assert httpx.get(f"{service.url}/agents", timeout=TIMEOUT).status_code == 200
