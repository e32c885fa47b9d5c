"""Service, Collector, Prometheus and Jaeger, connected as an operator connects them: scraped and pushed at once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from math import fsum
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from stack.servers.binaries import binary
from stack.servers.collector import Collector
from stack.servers.jaeger import Jaeger, Span
from stack.servers.prometheus import Prometheus, scrape_job
from stack.servers.service import Service

__all__ = ["MIXED", "OURS", "PUSHED", "SCRAPED", "Pipeline", "own_series", "running_pipeline", "series", "stored_series"]

SCRAPED = "agentos"
PUSHED = "otlp/agentos"
_NAMES = r"(a2a|cache|rate_limit|ccr)_.+|agentos_(info|telemetry_.+)"
OURS = f'__name__=~"{_NAMES}"'
"""Matches every metric of the catalogue."""
MIXED = {
    "AGENTOS_PROVIDERS": (
        '{"swift": {"latency": 0.005, "failure_rate": 0.4}, "steady": {"latency": 0.01, "failure_rate": 0.4}}'
    ),
    "AGENTOS_RATE_LIMIT": "150/hour",
    "AGENTOS_BREAKER_FAILURES": "0",  # an open breaker would turn all further calls into errors
}
"""Settings that make some calls fail and some denied."""
_PUSH = {"OTEL_METRIC_EXPORT_INTERVAL": "1000", "OTEL_BSP_SCHEDULE_DELAY": "500"}


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The four running servers."""

    jaeger: Jaeger
    prometheus: Prometheus
    collector: Collector
    service: Service

    def counts(self, metric: str, job: str, *keys: str) -> Counter[tuple[str, ...]]:
        """Returns a counter's nonzero values by label keys; ``metric`` may have matchers."""
        name, _, matchers = metric.rstrip("}").partition("{")
        selector = ",".join(filter(None, (matchers, f'job="{job}"')))
        samples = self.prometheus.query(f"sum by ({','.join(keys)}) ({name}{{{selector}}})")
        return Counter({tuple(s.labels[k] for k in keys): int(s.value) for s in samples if s.value})

    def spans(self, name: str) -> list[Span]:
        """Returns all spans of this name in the trace store."""
        return [span for span in self.jaeger.spans("agentos") if span.name == name]


@contextmanager
def running_pipeline(
    folder: Path,
    settings: Mapping[str, str] = {},
    *,
    protocol: str = "grpc",
    collector: Mapping[str, str] = {},
    program: Callable[[str], Path] = binary,
    workers: int = 1,
    forms: Mapping[str, Mapping[str, Any]] = {},
) -> Iterator[Pipeline]:
    """Starts the four servers, the service last, and stops them at the end.

    Args:
        folder: Holds the servers' files.
        settings: Environment variables of the service.
        protocol: The OTLP protocol of the service, ``grpc`` or ``http/protobuf``.
        collector: Environment variables of the Collector.
        program: Returns the path of a server's program by its name.
        workers: Number of the service's workers.
        forms: Further scrape jobs of the service, each with its options.
    """
    jaeger = Jaeger(program("jaeger"), folder / "jaeger")
    service = Service(folder / "service", {"AGENTOS_STATE_DIRECTORY": str(folder / "state")}, workers=workers)
    between = Collector(program("otelcol"), folder / "collector", collector)
    jobs = [scrape_job(job, service.address, **options) for job, options in {SCRAPED: {}, **forms}.items()]
    jobs.append(scrape_job("otel-collector", f"127.0.0.1:{between.telemetry}", interval="1s"))
    prometheus = Prometheus(program("prometheus"), folder / "prometheus", jobs)
    between.configure(
        {"TRACES_ENDPOINT": f"127.0.0.1:{jaeger.otlp}", "PROMETHEUS_OTLP_ENDPOINT": f"{prometheus.url}/api/v1/otlp"}
    )
    service.configure({**_PUSH, **between.otlp(protocol), **settings})
    with ExitStack() as stack:
        for server in (jaeger, prometheus, between, service):
            stack.enter_context(server)
        yield Pipeline(jaeger, prometheus, between, service)


Series = dict[tuple[tuple[str, str], ...], float]


def series(prometheus: Prometheus, job: str) -> Series:
    """Returns a job's samples of the catalogue's metrics by name and labels.

    ``le`` is normalized, because scrape and push spell it differently.
    """
    return stored_series((sample.labels, sample.value) for sample in prometheus.query(f'{{job="{job}",{OURS}}}'))


def stored_series(samples: Iterable[tuple[Mapping[str, str], float]]) -> Series:
    """Returns a store's samples without the labels that the store adds; the values of several instances are summed."""
    found: dict[tuple[tuple[str, str], ...], list[float]] = {}
    for labels, value in samples:
        found.setdefault(_key(labels), []).append(value)
    return {key: values[0] if ("__name__", "agentos_info") in key else fsum(values) for key, values in found.items()}


def own_series(service: Service) -> Series:
    """Returns the same from the service's own ``/metrics``."""
    families = text_string_to_metric_families(service.metrics())
    samples = [sample for family in families for sample in family.samples if re.fullmatch(_NAMES, sample.name)]
    return {_key({**sample.labels, "__name__": sample.name}): sample.value for sample in samples}


def _key(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    kept = {key: value for key, value in labels.items() if key not in ("job", "instance")}
    if re.fullmatch(r"\d+\.0", kept.get("le", "")):
        kept["le"] = kept["le"].removesuffix(".0")
    return tuple(sorted(kept.items()))
