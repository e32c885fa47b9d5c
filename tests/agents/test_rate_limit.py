"""Rate limits over real sockets: decisions, answers and counts."""

from __future__ import annotations

import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from agents.main import create_app
from agents.middleware.rate_limit import _client
from agents.settings import Settings
from telemetry import AgentOSTelemetry
from tests.helpers.asgi_server import TIMEOUT, closed_port, serving_on_file
from tests.helpers.scripted_agent import replying, stalling, status, task

ANSWER = (task("TASK_STATE_SUBMITTED"), status("TASK_STATE_COMPLETED", "done"))
RUNS = "/agents/{agent}/runs"


@pytest.fixture
def limited(start, agent):
    """Starts a service with one agent that answers."""
    return lambda **settings: start(agents={"peer": agent(replying(*ANSWER)).url}, **settings)


def codes(service, count: int, **options: str) -> list[int]:
    return [service.run(**options).status_code for _ in range(count)]


def test_as_many_as_the_limit_are_allowed(limited):
    """Of 5 requests under a limit of 3 a minute 3 are allowed and 2 denied, and so they are counted."""
    service = limited(rate_limit="3/minute")
    assert codes(service, 5, workspace="w") == [200, 200, 200, 429, 429]
    assert service.counted("rate_limit_hits_total") == {f"{RUNS}/allowed/w": 3, f"{RUNS}/denied/w": 2}


def test_denied_request_says_why_and_until_when(limited):
    """A 429 carries RateLimit, RateLimit-Policy, Retry-After and a reason in JSON."""
    service = limited(rate_limit="1/minute", client_rate_limit="100/hour")
    codes(service, 1)
    answer = service.run()
    assert answer.status_code == 429
    assert answer.headers["RateLimit-Policy"] == '"client";q=100;w=3600, "workspace";q=1;w=60'
    seconds = int(answer.headers["Retry-After"])
    assert 1 <= seconds <= 60
    assert answer.headers["RateLimit"] == f'"workspace";r=0;t={seconds}'
    assert answer.json() == {"error": "rate_limited", "reason": f"the limit by workspace is used up for {seconds} s"}


def test_workspaces_have_limits_of_their_own(limited):
    """The requests of one workspace do not count against another one."""
    service = limited(rate_limit="1/minute")
    assert codes(service, 2, workspace="a") == [200, 429]
    assert codes(service, 2, workspace="b") == [200, 429]


def test_routes_have_limits_of_their_own(limited):
    """The limit is by route: another route of the same workspace is not used up."""
    service = limited(rate_limit="1/minute")
    assert codes(service, 2) == [200, 429]
    assert service.client.get("/agents").status_code == 200


def test_rotated_workspace_does_not_help(limited):
    """A client that takes a new workspace for each request is stopped by the limit of its address."""
    service = limited(client_rate_limit="3/minute")
    found = [service.run(workspace=f"w{number}") for number in range(4)]
    assert [one.status_code for one in found] == [200, 200, 200, 429]
    assert found[-1].headers["RateLimit"].startswith('"client";r=0;t=')


def test_decision_is_counted_when_it_is_taken(start, agent):
    """An allowed request is counted before its answer: the decision shows while the agent still works."""
    release = threading.Event()
    peer = agent(stalling(release, ANSWER[0], then=ANSWER[1:]))
    service = start(agents={"peer": peer.url})
    accept = {"Accept": "text/event-stream", "X-Workspace-Id": "w"}
    with service.client.stream("POST", "/agents/peer/runs", json={"input": "hi"}, headers=accept) as answer:
        assert next(answer.iter_lines()) == "event: started"
        assert service.counted("rate_limit_hits_total") == {f"{RUNS}/allowed/w": 1}
        release.set()


@pytest.mark.parametrize("path", ["/metrics", "/health/live", "/health/ready"])
def test_operators_routes_are_never_limited(limited, path):
    """/metrics and health have no limit and make no series."""
    service = limited(rate_limit="1/minute", client_rate_limit="1/minute")
    assert [service.client.get(path).status_code for _ in range(3)] == [200, 200, 200]
    assert service.samples("rate_limit_hits_total") == {}


@pytest.mark.parametrize("path", ["/nowhere", "//agents", "/agents/", "/agents/peer", "/agents/peer/runs/7", "/%61gents/"])
def test_unmatched_path_makes_no_series(limited, path):
    """A path that no route matches is a 404, takes nothing from a limit and becomes no label."""
    service = limited(rate_limit="1/minute")
    assert service.client.get(service.url + path).status_code == 404
    assert service.samples("rate_limit_hits_total") == {}


def test_limits_switched_off_decide_nothing(limited):
    """With both limits off everything passes, and there is no decision to count."""
    service = limited(rate_limit="off", client_rate_limit="off")
    assert codes(service, 100) == [200] * 100
    assert service.samples("rate_limit_hits_total") == {}


def test_redis_outage_lets_through_and_counts_error(limited):
    """While Redis does not answer requests go through, each counted once, as error alone."""
    service = limited(redis_url=f"redis://127.0.0.1:{closed_port()}", rate_limit="1/minute")
    assert codes(service, 3, workspace="w") == [200, 200, 200]
    assert service.counted("rate_limit_hits_total") == {f"{RUNS}/error/w": 3}


def test_redis_outage_denies_where_that_is_set(limited):
    """With AGENTOS_RATE_LIMIT_ON_ERROR=deny a request is a 503 instead, and counted as error too."""
    service = limited(redis_url=f"redis://127.0.0.1:{closed_port()}", rate_limit_on_error="deny")
    answer = service.run(workspace="w")
    assert (answer.status_code, answer.json()["error"]) == (503, "limiter_away")
    assert service.counted("rate_limit_hits_total") == {f"{RUNS}/error/other": 1}


def test_hung_redis_is_an_error_too(limited):
    """A Redis that accepts connections and never answers does not hold requests up; each counts as error."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        service = limited(redis_url=f"redis://127.0.0.1:{silent.getsockname()[1]}")
        assert codes(service, 3, workspace="w") == [200, 200, 200]
        assert service.counted("rate_limit_hits_total") == {f"{RUNS}/error/w": 3}


def test_mapped_and_plain_ipv4_are_one_client():
    """One host cannot double its limit by the notation of its address, nor multiply it within an IPv6 /64."""
    for one, other, client in (
        ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::ffff:2", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::2%eth0", "2001:db8:0:1::/64"),
    ):
        assert client_of(one) == client_of(other) == client
    assert client_of(None) == "unknown"


def client_of(peer: str | None, *forwarded: str, proxies: str = "unix") -> str:
    """The client of a request over a connection with this peer."""
    headers = [(b"x-forwarded-for", one.encode("latin-1")) for one in forwarded]
    scope = {"client": None if peer is None else (peer, 1), "headers": headers}
    return _client(scope, Settings(trusted_proxies=proxies).trusted_proxies)


@pytest.mark.parametrize(
    ("proxies", "peer", "forwarded", "client"),
    [
        ("unix", None, ["192.0.2.1"], "192.0.2.1"),
        ("unix", None, ["192.0.2.9, 192.0.2.1"], "192.0.2.1"),
        ("unix", None, ["192.0.2.9", "192.0.2.1"], "192.0.2.1"),
        ("unix", None, ["2001:db8::1"], "2001:db8::/64"),
        ("unix", None, ["nonsense"], "unknown"),
        ("unix", None, ["192.0.2.1, "], "unknown"),
        ("unix", "10.0.0.1", ["192.0.2.1"], "10.0.0.1"),
        ("unix,10.0.0.0/8", None, ["192.0.2.1, 10.0.0.1"], "192.0.2.1"),
        ("10.0.0.0/8", None, ["192.0.2.1"], "unknown"),
        ("10.0.0.0/8", "10.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("10.0.0.0/8", "10.0.0.1", ["192.0.2.9, 192.0.2.1, 10.0.0.2"], "192.0.2.1"),
        ("10.0.0.0/8", "10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.0/8", "::ffff:10.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("10.0.0.0/8", "192.0.2.7", ["192.0.2.1"], "192.0.2.7"),
        ("10.0.0.0/8", "10.0.0.1", ["\xff"], "10.0.0.1"),
    ],
)
def test_only_a_trusted_proxy_names_the_client(proxies, peer, forwarded, client):
    """The address that a trusted proxy appended is the client; that of another peer is the peer's own."""
    assert client_of(peer, *forwarded, proxies=proxies) == client


def test_clients_over_a_unix_socket_have_limits_of_their_own(tmp_path, request):
    """Behind a proxy on a Unix socket each forwarded client has its own limit."""
    telemetry = AgentOSTelemetry(strict=True)
    request.addfinalizer(telemetry.shutdown)
    app = create_app(Settings(client_rate_limit="2/minute"), telemetry)
    with serving_on_file(app, tmp_path / "socket"):
        transport = httpx.HTTPTransport(uds=str(tmp_path / "socket"))
        with httpx.Client(transport=transport, base_url="http://test", timeout=TIMEOUT) as client:
            found = {
                name: [client.get("/agents", headers={"X-Forwarded-For": name}).status_code for _ in range(3)]
                for name in ("192.0.2.1", "192.0.2.2")
            }
    assert found == {"192.0.2.1": [200, 200, 429], "192.0.2.2": [200, 200, 429]}


def test_retry_after_is_the_same_in_both_headers(limited):
    """t= and Retry-After name the same second, also when the client's limit is the one that is used up."""
    service = limited(client_rate_limit="1/10seconds")
    codes(service, 1)
    answer: httpx.Response = service.run()
    found = re.fullmatch(r'"client";r=0;t=(\d+)', answer.headers["RateLimit"])
    assert found is not None
    assert found[1] == answer.headers["Retry-After"]
    assert 1 <= int(found[1]) <= 10


def refused(service, workspace: str) -> list[int]:
    """The statuses of requests that are refused for all reasons there are, in the name of this workspace."""
    headers = {"X-Workspace-Id": workspace}
    client = service.client
    return [
        service.run(agent="nobody", workspace=workspace).status_code,
        service.run(operation="nonsense", workspace=workspace).status_code,
        service.run(text="", workspace=workspace).status_code,
        client.post("/agents/peer/runs", content=b"{", headers=headers).status_code,
        client.post("/agents/peer/runs", content=b"a" * 2**21, headers=headers).status_code,
        client.get("/agents/peer/runs", headers=headers).status_code,
        client.get("/nowhere", headers=headers).status_code,
    ]


def test_refused_requests_give_a_workspace_no_series(limited):
    """Unknown agent or operation, a bad body and a wrong method count under ``other``; the next workspace has its series."""
    service = limited(label_limits={"workspace_id": 1})
    assert refused(service, "junk") == [404, 400, 422, 422, 413, 405, 404]
    assert codes(service, 1, workspace="customer") == [200]
    assert service.counted("rate_limit_hits_total") == {f"{RUNS}/allowed/other": 5, f"{RUNS}/allowed/customer": 1}


def test_denied_requests_give_a_workspace_no_series(limited):
    """A thousand workspaces over the client's limit count under ``other``."""
    service = limited(client_rate_limit="1/minute", label_limits={"workspace_id": 2})
    codes(service, 1, workspace="customer")
    for number in range(1000):
        service.run(workspace=f"junk{number}")
    assert service.counted("rate_limit_hits_total") == {f"{RUNS}/allowed/customer": 1, f"{RUNS}/denied/other": 1000}


def test_a_workspace_with_series_keeps_its_refusals(limited):
    """Requests of a workspace that was served before are counted under it, also those that are refused."""
    service = limited(rate_limit="3/minute")
    codes(service, 1, workspace="w")
    refused(service, "w")
    assert service.counted("rate_limit_hits_total") == {f"{RUNS}/allowed/w": 3, f"{RUNS}/denied/w": 3}


def test_requests_without_a_workspace_have_their_series(limited):
    """Requests that name no workspace count as ``unknown``, also when they are refused."""
    service = limited(rate_limit="1/minute")
    assert [service.run(agent="nobody").status_code, *codes(service, 1)] == [404, 429]
    assert service.counted("rate_limit_hits_total") == {f"{RUNS}/allowed/unknown": 1, f"{RUNS}/denied/unknown": 1}


def test_an_outage_with_denial_gives_a_workspace_no_series(limited):
    """While Redis does not answer and requests are denied, new workspaces count under ``other``."""
    service = limited(redis_url=f"redis://127.0.0.1:{closed_port()}", rate_limit_on_error="deny")
    assert codes(service, 2, workspace="junk") == [503, 503]
    assert service.counted("rate_limit_hits_total") == {f"{RUNS}/error/other": 2}


def test_a_failed_run_is_served(start):
    """A run whose agent cannot be reached is no refusal: its workspace has its series."""
    service = start(agents={"peer": f"http://127.0.0.1:{closed_port()}"})
    assert service.run(workspace="w").status_code == 502
    assert service.counted("rate_limit_hits_total") == {f"{RUNS}/allowed/w": 1}


@pytest.mark.parametrize("separator", [";", ",", "|", " ; "])
def test_all_limits_of_a_setting_hold(limited, separator):
    """Of several limits each one refuses, and the answer names the one that ends last."""
    service = limited(rate_limit=separator.join(("3/hour", "2/minute")), client_rate_limit="100/day")
    assert codes(service, 2, workspace="w") == [200, 200]
    answer = service.run(workspace="w")
    assert answer.status_code == 429
    assert answer.headers["RateLimit-Policy"] == (
        '"client";q=100;w=86400, "workspace-60s";q=2;w=60, "workspace-3600s";q=3;w=3600'
    )
    assert answer.headers["RateLimit"] == f'"workspace-60s";r=0;t={answer.headers["Retry-After"]}'
    assert 1 <= int(answer.headers["Retry-After"]) <= 60


def test_several_limits_of_a_client_hold(limited):
    """The client's limits can be several as well, and the one that ends last is named."""
    service = limited(client_rate_limit="2/minute;2/hour")
    assert [service.run(workspace=f"w{number}").status_code for number in range(3)] == [200, 200, 429]
    assert service.run(workspace="w").headers["RateLimit"].startswith('"client-3600s";r=0;t=3')


@pytest.mark.parametrize("rate", ["2/minute;2/minute", "2/minute;5/60seconds", "9/minute,2/minute"])
def test_of_one_period_the_smallest_limit_holds(limited, rate):
    """Limits with the same period are one: a request is counted once, and the smallest amount holds."""
    service = limited(rate_limit=rate)
    assert codes(service, 3, workspace="w") == [200, 200, 429]
    assert '"workspace";q=2;w=60' in service.run(workspace="w").headers["RateLimit-Policy"]


def test_a_denied_request_takes_nothing_from_other_limits(limited):
    """A workspace that sends on after its limit does not use up the limit of its client's address."""
    service = limited(rate_limit="1/minute", client_rate_limit="3/minute")
    assert codes(service, 10, workspace="a") == [200] + [429] * 9
    assert [service.run(workspace=name).status_code for name in ("b", "c", "d")] == [200, 200, 429]


def test_requests_at_once_are_never_too_many(limited):
    """Of 40 requests at once under a limit of 10 exactly 10 are allowed."""
    service = limited(rate_limit="10/minute;1000/hour")
    with ThreadPoolExecutor(8) as pool:
        found = sorted(pool.map(lambda _: service.run(workspace="w").status_code, range(40)))
    assert found == [200] * 10 + [429] * 30
