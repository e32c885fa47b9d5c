"""Jaeger 2 with its memory store, on free loopback ports: its default ports are the Collector's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import yaml

from stack.servers.process import Server, free_port

__all__ = ["Jaeger", "Span"]


class Span:
    """One span as Jaeger's API shows it."""

    def __init__(self, found: dict[str, Any], services: dict[str, str]) -> None:
        self.name: str = found["operationName"]
        self.trace_id: str = found["traceID"]
        self.span_id: str = found["spanID"]
        self.parent_id: str | None = next((r["spanID"] for r in found["references"] if r["refType"] == "CHILD_OF"), None)
        self.service = services[found["processID"]]
        self.start: float = found["startTime"] / 1e6
        """Seconds since the epoch."""
        self.seconds: float = found["duration"] / 1e6
        self.tags: dict[str, Any] = {tag["key"]: tag["value"] for tag in found["tags"]}
        self.events = [{field["key"]: field["value"] for field in log["fields"]} for log in found["logs"]]


class Jaeger(Server):
    """A trace store that takes OTLP over gRPC."""

    def __init__(self, program: Path, folder: Path) -> None:
        self.otlp, self.port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        health = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "jaeger.yaml"
        config.write_text(yaml.safe_dump(_config(self.otlp, self.port, free_port(), health)))
        super().__init__(
            "jaeger",
            [program, "--config", config],
            folder=folder,
            ready=f"http://127.0.0.1:{health}/status",
            environment={"OTEL_TRACES_SAMPLER": "always_off"},  # no traces of its own: it would send them to the Collector
        )

    def trace(self, trace_id: str) -> list[Span]:
        """Returns the spans of a trace; an empty list if Jaeger does not know it."""
        answer = httpx.get(f"{self.url}/api/traces/{trace_id}", timeout=10)
        return [] if answer.status_code == 404 else _spans(answer)

    def search(self, service: str, tags: dict[str, str]) -> list[list[Span]]:
        """Returns the spans of each trace that has a span with these tags, 20 traces at most."""
        parameters = {"service": service, "tags": json.dumps(tags), "limit": "20"}
        found = httpx.get(f"{self.url}/api/traces", params=parameters, timeout=60).json()["data"]
        return [self.trace(trace["traceID"]) for trace in found]

    def spans(self, service: str) -> list[Span]:
        """Returns every span of the service."""
        answer = httpx.get(f"{self.url}/api/traces", params={"service": service, "limit": "100000"}, timeout=60)
        return _spans(answer)


def _spans(answer: httpx.Response) -> list[Span]:
    answer.raise_for_status()
    spans = []
    for trace in answer.json()["data"]:
        services = {key: process["serviceName"] for key, process in trace["processes"].items()}
        spans += [Span(found, services) for found in trace["spans"]]
    return spans


def _config(otlp: int, query: int, query_grpc: int, health: int) -> dict[str, object]:
    return {
        "extensions": {
            "healthcheckv2": {"use_v2": True, "http": {"endpoint": f"127.0.0.1:{health}"}},
            "jaeger_storage": {"backends": {"memory": {"memory": {"max_traces": 200_000}}}},
            "jaeger_query": {
                "storage": {"traces": "memory"},
                "http": {"endpoint": f"127.0.0.1:{query}"},
                "grpc": {"endpoint": f"127.0.0.1:{query_grpc}"},
            },
        },
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": f"127.0.0.1:{otlp}"}}}},
        "exporters": {"jaeger_storage_exporter": {"trace_storage": "memory"}},
        "service": {
            "extensions": ["healthcheckv2", "jaeger_storage", "jaeger_query"],
            "telemetry": {"metrics": {"level": "none"}},  # Jaeger would serve them on the Collector's port
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["jaeger_storage_exporter"]}},
        },
    }
