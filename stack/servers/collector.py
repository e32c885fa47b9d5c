"""The Collector with the operator's own ``otel-collector.yaml``; only addresses and folders are set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from stack.servers.process import Server, free_port

__all__ = ["CONFIG", "GATES", "Collector"]

CONFIG = Path(__file__).parents[2] / "otel-collector.yaml"
GATES = ("--feature-gates=ottl.set.allowNil",)
"""What the Collector is started with: without it the configuration drops spans that have links."""


class Collector(Server):
    """A Collector that sends traces and metrics to the addresses in ``environment``, such as ``TRACES_ENDPOINT``.

    Args:
        program: Path of the Collector.
        folder: Holds its queues and its log.
        environment: Variables beside those of the ports.
        config: The configuration.
        overlays: Further configurations, each of which goes over those before it; files, or ``yaml:`` and one key.
        gates: Feature gates.
    """

    def __init__(
        self,
        program: Path,
        folder: Path,
        environment: Mapping[str, str] | None = None,
        *,
        config: Path = CONFIG,
        overlays: Sequence[str | Path] = (),
        gates: Sequence[str] = GATES,
    ) -> None:
        self.grpc, self.http, self.statsd = free_port(), free_port(), free_port()
        self.telemetry = free_port()
        health = free_port()
        self.queue = folder / "queue"
        ports = {
            "OTLP_GRPC_ENDPOINT": f"127.0.0.1:{self.grpc}",
            "OTLP_HTTP_ENDPOINT": f"127.0.0.1:{self.http}",
            "STATSD_ENDPOINT": f"127.0.0.1:{self.statsd}",
            "HEALTH_ENDPOINT": f"127.0.0.1:{health}",
            "TELEMETRY_PORT": str(self.telemetry),
            "QUEUE_DIRECTORY": str(self.queue),
            "REMOTE_WRITE_DIRECTORY": str(folder / "remote-write"),
        }
        super().__init__(
            "otelcol",
            [program, *(word for each in (config, *overlays) for word in ("--config", each)), *gates],
            folder=folder,
            ready=f"http://127.0.0.1:{health}/",
            environment={**ports, **(environment or {})},
        )

    def otlp(self, protocol: str = "grpc") -> dict[str, str]:
        """Returns the ``OTEL_*`` variables that make a service push metrics and traces to this Collector."""
        port = self.grpc if protocol == "grpc" else self.http
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
