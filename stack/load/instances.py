"""Simulated instances of the service in one process: each has its own telemetry, a real exposition, and a log of its events.

The log is the truth that a store is compared with. An event counts as seen once an answered scrape has shown it. A pod that
ends gracefully stays in discovery until that holds for all its events. A pod that crashes takes its last events with it: no
store can know them, and ``Fleet.unseen`` counts them.
"""

from __future__ import annotations

import itertools
import json
import random
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import accumulate
from math import ceil, fsum
from typing import Any, NamedTuple, Self

from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import NoOpTracerProvider
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from stack.servers.process import free_port
from telemetry import AgentOSTelemetry
from telemetry.agentos.catalogue import A2A_REQUEST_DURATION
from telemetry.exposition.reader import Exposition

__all__ = ["REPORTED", "Activity", "Event", "Fleet", "Instance", "Life", "Truth"]

REPORTED = 5
"""Samples that the scraper adds to each scrape: ``up`` and four ``scrape_*``."""
_SKILLS = {"navi": ("query", "summarize"), "herald": ("announce", "query"), "scribe": ("draft", "edit")}
_MEDIAN_SECONDS = {"navi": 0.12, "herald": 0.04, "scribe": 0.9}
_FAILING = {"navi": 0.02, "herald": 0.005, "scribe": 0.08}
_TICKS = 1024
"""Durations are whole 1/1024 s, so that their sums are exact in whatever order they are added."""
_INSTANCES, _TARGETS = "/instances/", "/targets"
_TICK_SECONDS = 0.5


class Event(NamedTuple):
    """One recorded A2A request."""

    agent: str
    operation: str
    status: str
    seconds: float
    size: int


class Life(Enum):
    """What an instance still does."""

    RUNNING = "records and answers scrapes"
    DRAINING = "answers scrapes; in discovery until one has shown its last event"
    CRASHED = "refuses scrapes; in discovery until it has refused one"


class Instance:
    """One simulated pod.

    Args:
        name: The label ``instance``.
        seed: Seed of its events.

    Attributes:
        events: All recorded events, in order.
        seen: How many of them the last answered scrape has shown.
        scrapes: Number of answered scrapes.
        failed: Number of scrapes that a crashed instance has refused.
        samples: Number of samples in all answers together.
        exposition: The last answer.
    """

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.life = Life.RUNNING
        self.events: list[Event] = []
        self.seen = self.scrapes = self.failed = self.samples = 0
        self.exposition = b""
        self._random = random.Random(seed)
        self._lock = threading.Lock()
        self._telemetry = AgentOSTelemetry(
            resource=Resource({"service.name": "agentos", "service.instance.id": name}),
            registry=CollectorRegistry(),
            tracer_provider=NoOpTracerProvider(),
            workers=False,
        )
        self._telemetry.recorder.initialize_series(agents=_SKILLS)

    def record(self, count: int) -> None:
        """Records events drawn from the instance's random; none unless it is running."""
        with self._lock:
            if self.life is not Life.RUNNING:
                return
            for _ in range(count):
                event = _drawn(self._random)
                self._telemetry.recorder.record_a2a_request(*event)
                self.events.append(event)

    def drain(self) -> None:
        """Ends the instance gracefully: it records no more, and waits for the scrape that shows its last event."""
        self._become(Life.DRAINING)

    def crash(self) -> None:
        """Ends the instance at once: its scrapes fail from now on."""
        self._become(Life.CRASHED)

    def _become(self, life: Life) -> None:
        with self._lock:
            if self.life is Life.RUNNING:
                self.life = life

    def scrape(self, accept: str | None) -> Exposition | None:
        """Returns the exposition and notes what it shows; None from a crashed instance."""
        with self._lock:
            if self.life is Life.CRASHED:
                self.failed += 1
                return None
            answer = self._telemetry.reader.expose(accept)
            self.scrapes += 1
            self.seen = len(self.events)
            self.samples += sum(not line.startswith(b"#") for line in answer.body.splitlines())
            self.exposition = answer.body
            return answer

    def listed(self) -> bool:
        """Whether discovery names the instance: as long as it has something left to show. Does not wait for a scrape."""
        if self.life is Life.CRASHED:
            return self.failed == 0
        return self.life is Life.RUNNING or self.scrapes == 0 or self.seen < len(self.events)

    def stored_samples(self) -> int:
        """Returns how many samples a store has of this instance if none was lost."""
        return self.samples + REPORTED * (self.scrapes + self.failed)

    def last_values(self) -> dict[frozenset[tuple[str, str]], float]:
        """Returns the samples of the last answered scrape by their labels, ``instance`` included."""
        families = text_string_to_metric_families(self.exposition.decode())  # type: ignore[no-untyped-call]  # it has no types
        return {
            series({**sample.labels, "__name__": sample.name, "instance": self.name}): sample.value
            for family in families
            for sample in family.samples
        }


def series(labels: dict[str, str]) -> frozenset[tuple[str, str]]:
    """Returns the identity of a series; ``job`` is left out, and ``le`` is normalized, which stores spell in several ways."""
    kept = {key: value for key, value in labels.items() if key != "job"}
    if "le" in kept:
        kept["le"] = repr(float(kept["le"]))
    return frozenset(kept.items())


def _drawn(source: random.Random) -> Event:
    agent = source.choice(tuple(_SKILLS))
    ticks = round(_TICKS * _MEDIAN_SECONDS[agent] * source.lognormvariate(0, 1))
    status = "error" if source.random() < _FAILING[agent] else "success"
    return Event(agent, source.choice(_SKILLS[agent]), status, max(1, ticks) / _TICKS, source.randrange(50, 20_000))


class Truth:
    """Totals and quantiles of events, computed without the library and without a store."""

    def __init__(self, events: Iterable[Event]) -> None:
        statuses = ("success", "error")
        self.requests = Counter({(agent, op, status): 0 for agent, ops in _SKILLS.items() for op in ops for status in statuses})
        self._seconds: dict[str, list[float]] = {}
        for event in events:
            self.requests[event.agent, event.operation, event.status] += 1
            self._seconds.setdefault(event.agent, []).append(event.seconds)
        for seconds in self._seconds.values():
            seconds.sort()

    @property
    def agents(self) -> list[str]:
        return sorted(self._seconds)

    def seconds(self, agent: str) -> float:
        """Returns the sum of all durations."""
        return fsum(self._seconds[agent])

    def buckets(self, agent: str) -> list[tuple[float, int]]:
        """Returns the cumulative buckets, as upper bound and count."""
        bounds = [*A2A_REQUEST_DURATION.bounds, float("inf")]
        counts = Counter(bisect_left(bounds, seconds) for seconds in self._seconds[agent])
        return list(zip(bounds, accumulate(counts[n] for n in range(len(bounds))), strict=True))

    def quantile(self, agent: str, q: float) -> float:
        """Returns the quantile by the interpolation of ``histogram_quantile``."""
        buckets = self.buckets(agent)
        rank = q * buckets[-1][1]
        index = next(n for n, (_, count) in enumerate(buckets) if count >= rank)
        if index == len(buckets) - 1:
            return buckets[-2][0]
        lower, before = buckets[index - 1] if index else (0.0, 0)
        upper, count = buckets[index]
        return lower + (upper - lower) * ((rank - before) / (count - before))

    def bucket_of_quantile(self, agent: str, q: float) -> tuple[float, float]:
        """Returns the bounds of the bucket that holds the quantile of the durations themselves."""
        ranked = self._seconds[agent]
        exact = ranked[max(0, ceil(q * len(ranked)) - 1)]
        bounds = [0.0, *A2A_REQUEST_DURATION.bounds, float("inf")]
        at = bisect_left(bounds, exact)
        return bounds[at - 1], bounds[at]


class Fleet:
    """Instances behind one HTTP server, which also answers the scraper's HTTP service discovery.

    Args:
        seed: Seed of all events.
    """

    def __init__(self, seed: int = 18) -> None:
        self.instances: list[Instance] = []
        self.by_path: dict[str, Instance] = {}
        self.address = f"127.0.0.1:{free_port()}"
        self._seeds = random.Random(seed)
        self._numbers = itertools.count()
        self._retracted = False
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="instances", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def launch(self, count: int) -> list[Instance]:
        """Starts instances, whose names have not been used before, and returns them."""
        made = [Instance(f"agentos-{next(self._numbers):04}", self._seeds.getrandbits(64)) for _ in range(count)]
        self.by_path = self.by_path | {f"{_INSTANCES}{each.name}": each for each in made}
        self.instances = [*self.instances, *made]  # a new list: other threads may read the old one
        return made

    def running(self) -> list[Instance]:
        """Returns the instances that record events."""
        return [each for each in self.instances if each.life is Life.RUNNING]

    def retract(self) -> None:
        """Empties discovery, so that the scraper ends its scrapes."""
        self._retracted = True

    def all_seen(self) -> bool:
        """Whether scrapes have shown all events but those that crashes took."""
        return all(each.seen == len(each.events) and each.scrapes for each in self.instances if each.life is not Life.CRASHED)

    def seen(self) -> Iterator[Event]:
        """Yields the events that scrapes have shown."""
        for each in self.instances:
            yield from each.events[: each.seen]

    def unseen(self) -> int:
        """Returns the number of events that no scrape has shown, because their instance crashed before."""
        return sum(len(each.events) - each.seen for each in self.instances)

    @property
    def broken(self) -> int:
        """The number of connections that the scraper has left before it had the answer: a scrape took too long."""
        return self._server.broken

    def job(self, interval: str) -> dict[str, object]:
        """Returns the scrape configuration that finds the instances."""
        discovery = {"url": f"http://{self.address}{_TARGETS}", "refresh_interval": "1s"}
        return {"job_name": "agentos", "scrape_interval": interval, "scrape_timeout": interval, "http_sd_configs": [discovery]}

    def targets(self) -> list[dict[str, object]]:
        """Returns the answer of service discovery."""
        if self._retracted:
            return []
        return [
            {"targets": [self.address], "labels": {"instance": each.name, "__metrics_path__": path}}
            for path, each in self.by_path.items()
            if each.listed()
        ]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.broken = 0
        host, _, port = fleet.address.partition(":")
        super().__init__((host, int(port)), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Counts a connection that the scraper has left before it had the answer."""
        self.broken += 1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet
    server: _Server

    def do_GET(self) -> None:
        fleet = self.server.fleet
        if self.path == _TARGETS:
            self._answer(200, "application/json", json.dumps(fleet.targets()).encode())
            return
        instance = fleet.by_path.get(self.path)
        answer = instance.scrape(self.headers["Accept"]) if instance is not None else None
        if answer is None:
            self._answer(503, "text/plain", b"no such instance runs\n")
        else:
            self._answer(200, answer.content_type, answer.body)

    def _answer(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Logs nothing: the instances note their scrapes."""


class Activity:
    """Events of all running instances, and churn, in a thread until ``stop``.

    Args:
        fleet: The instances.
        events_a_second: Mean number of events of one instance.
        churn_seconds: Seconds between two waves, in which two instances are drained, one crashes, and three new ones start.
        seed: Seed of the choice of instances and of the number of events.
    """

    def __init__(self, fleet: Fleet, *, events_a_second: float = 2.0, churn_seconds: float = 10.0, seed: int = 18) -> None:
        self._fleet = fleet
        self._most = round(2 * events_a_second * _TICK_SECONDS)
        self._ticks_a_wave = max(1, round(churn_seconds / _TICK_SECONDS))
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="activity", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends recording and churn."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        for tick in itertools.count(1):
            if self._stop.wait(_TICK_SECONDS):
                return
            for instance in self._fleet.running():
                instance.record(self._random.randint(0, self._most))
            if tick % self._ticks_a_wave == 0:
                self._wave()

    def _wave(self) -> None:
        crashing, *draining = self._random.sample(self._fleet.running(), 3)
        crashing.crash()
        for instance in draining:
            instance.drain()
        self._fleet.launch(3)
