"""Several workers behind one /metrics, under load: no call is lost or counted twice, and no counter falls."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from stack.load import traffic
from stack.load.wrk import loading
from stack.servers.jaeger import Jaeger
from stack.servers.process import until
from stack.servers.service import GUNICORN, UVICORN, Service
from tests.helpers.required_servers import packaged_server

SETTINGS = {"AGENTOS_RATE_LIMIT": "off", "AGENTOS_CLIENT_RATE_LIMIT": "off"}
Key = tuple[str, tuple[tuple[str, str], ...]]
Counters = dict[Key, float]

SERVERS = pytest.mark.parametrize("server", [UVICORN, GUNICORN], ids=["uvicorn", "gunicorn"])


def counters(body: str) -> Counters:
    """Returns the samples of counters and histograms, which must never fall."""
    families = text_string_to_metric_families(body)  # type: ignore[no-untyped-call]  # prometheus_client leaves it so
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        if family.type in ("counter", "histogram")
        for sample in family.samples
    }


def requests(found: Mapping[Key, float]) -> dict[tuple[str, str], float]:
    """Returns ``a2a_requests_total`` by agent and status, without zeros."""
    shown: dict[tuple[str, str], float] = {}
    for (name, labels), value in found.items():
        if name == "a2a_requests_total" and value:
            of = dict(labels)
            shown[of["agent"], of["status"]] = shown.get((of["agent"], of["status"]), 0) + value
    return shown


class Watch:
    """Scrapes ten times a second; keeps samples that fell and scrapes that failed."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = Event()
        self.fell: list[tuple[Key, float, float]] = []
        self.failed: list[str] = []
        self.scrapes = 0

    def run(self) -> None:
        before: Counters = {}
        while not self._stop.wait(0.1):
            try:
                found = scrape(self._url)
            except httpx.TransportError:  # the worker that accepted the connection has ended
                continue
            except Exception as error:
                self.failed.append(repr(error))
                continue
            self.scrapes += 1
            self.fell += [(key, value, found.get(key, 0)) for key, value in before.items() if found.get(key, 0) < value]
            before = found

    def stop(self) -> None:
        self._stop.set()


def scrape(url: str) -> Counters:
    """Scrapes the worker that accepts the connection."""
    answer = httpx.get(f"{url}/metrics", headers={"Accept": "application/openmetrics-text"}, timeout=10)
    answer.raise_for_status()
    return counters(answer.text)


@contextmanager
def watching(url: str) -> Iterator[Watch]:
    watch = Watch(url)
    thread = Thread(target=watch.run)
    thread.start()
    try:
        yield watch
    finally:
        watch.stop()
        thread.join()


@contextmanager
def recycling(service: Service, state: Path, how: signal.Signals) -> Iterator[list[int]]:
    """Sends the signal to the oldest worker every two seconds, while two others have joined."""
    stop, ended = Event(), list[int]()

    def run() -> None:
        while not stop.wait(2):
            answering = [pid for pid in service.workers() if pid not in ended and list(state.glob(f"*/{pid}-*.sock"))]
            if len(answering) > 2:
                ended.append(answering[0])
                os.kill(answering[0], how)

    thread = Thread(target=run)
    thread.start()
    try:
        yield ended
    finally:
        stop.set()
        thread.join()


@pytest.fixture
def wrk() -> Path:
    return packaged_server("wrk", "wrk")


Start = Callable[..., Service]


@pytest.fixture
def workers(service: Start, tmp_path: Path) -> Start:
    """Starts the service with four workers that share a state directory of their own."""

    def start(server: tuple[str, ...] = UVICORN) -> Service:
        settings = {**SETTINGS, "AGENTOS_STATE_DIRECTORY": str(tmp_path / "state")}
        started = service(settings, server=server, workers=4)
        until("four workers", lambda: len(list((tmp_path / "state").glob("*/*-*.state"))) == 4)
        return started

    return start


@SERVERS
def test_every_answer_is_counted_once(workers: Start, tmp_path: Path, wrk: Path, server: tuple[str, ...]) -> None:
    """With four workers under load by wrk no counter falls between scrapes, and at the end every call is counted."""
    service = workers(server)
    with ExitStack() as stack:
        watch = stack.enter_context(watching(service.url))
        navi = stack.enter_context(loading(wrk, tmp_path, service.url, agent="navi", operation="query"))
        herald = stack.enter_context(loading(wrk, tmp_path, service.url, agent="herald", operation="announce"))
        for load in (navi, herald):
            load.wait()
    assert (navi.failed, herald.failed) == (0, 0)
    assert requests(scrape(service.url)) == {("navi", "success"): navi.answered, ("herald", "success"): herald.answered}
    assert (watch.fell, watch.failed) == ([], [])
    assert watch.scrapes > 5


@SERVERS
def test_counts_of_workers_that_end_are_kept(workers: Start, tmp_path: Path, wrk: Path, server: tuple[str, ...]) -> None:
    """With a worker ended by SIGTERM every two seconds, every answer is counted once."""
    service = workers(server)
    with ExitStack() as stack:
        watch = stack.enter_context(watching(service.url))
        ended = stack.enter_context(recycling(service, tmp_path / "state", signal.SIGTERM))
        load = stack.enter_context(loading(wrk, tmp_path, service.url, agent="navi", operation="query", seconds=12))
        load.wait()
    assert len(ended) >= 2
    assert load.failed == 0
    assert requests(scrape(service.url)) == {("navi", "success"): load.answered}
    assert (watch.fell, watch.failed) == ([], [])


def test_killed_workers_lose_at_most_a_second(workers: Start, tmp_path: Path, wrk: Path) -> None:
    """With a worker killed every two seconds no counter falls, and each kill loses at most the calls of one second."""
    service = workers()
    with ExitStack() as stack:
        watch = stack.enter_context(watching(service.url))
        ended = stack.enter_context(recycling(service, tmp_path / "state", signal.SIGKILL))
        load = stack.enter_context(loading(wrk, tmp_path, service.url, agent="navi", operation="query", seconds=12))
        load.wait()
    counted = requests(scrape(service.url))["navi", "success"]
    assert len(ended) >= 2
    a_second = load.answered / 12
    # Each killed worker may have counted calls on its four connections that wrk never saw answered.
    assert load.answered - len(ended) * a_second <= counted <= load.answered + 4 * len(ended)
    assert (watch.fell, watch.failed) == ([], [])


def test_every_exemplar_of_all_workers_leads_to_its_trace(
    workers: Start, jaeger: Jaeger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each exemplar of each worker names a trace in the trace store, and agentos_info appears once."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{jaeger.otlp}")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    service = workers()
    outcomes = traffic.make(service.url, traffic.mixed(60))
    assert {outcome.status for outcome in outcomes} == {"success"}
    body = service.metrics("application/openmetrics-text")
    families = text_string_to_metric_families(body)  # type: ignore[no-untyped-call]  # prometheus_client leaves it so
    found = {s.exemplar.labels["trace_id"] for family in families for s in family.samples if s.exemplar}
    assert found
    until("the traces", lambda: all(jaeger.trace(trace_id) for trace_id in found))
    assert body.count("agentos_info{") == 1


def test_totals_outlive_all_workers(workers: Start, tmp_path: Path) -> None:
    """When all workers are killed, the totals continue in the new ones; a new service starts from zero."""
    service = workers()
    for n in range(20):
        service.run("navi", f"question {n}")
    before = scrape(service.url)
    killed = service.workers()
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    until("the new workers", lambda: len(set(service.workers()) - set(killed)) == 4)
    until("an answer", lambda: _answers(service))
    service.run("navi", "question 21")
    assert requests(before) == {("navi", "success"): 20}
    assert requests(scrape(service.url)) == {("navi", "success"): 21}
    old = next((tmp_path / "state").iterdir())
    service.stop()
    service.start()
    assert requests(scrape(service.url)) == {}
    assert not old.exists()


def _answers(service: Service) -> bool:
    try:
        return httpx.get(f"{service.url}/health/ready", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
