"""Prometheus on a loopback port, and the queries of the tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from stack.servers.process import Server, ServerError, free_port, until

__all__ = ["Bucket", "NativeHistogram", "Prometheus", "Sample", "scrape_job"]

RUNBOOKS = Path(__file__).parents[2] / "docs/runbooks"

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Sample:
    """One series of an instant query."""

    labels: dict[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket of a native histogram that is not empty."""

    lower: float
    upper: float
    count: float


@dataclass(frozen=True, slots=True)
class NativeHistogram:
    """One native histogram of an instant query, its buckets in rising order."""

    count: float
    sum: float
    buckets: list[Bucket]


def scrape_job(
    job: str, target: str, *, interval: str = "200ms", socket: Path | None = None, **extra: object
) -> dict[str, object]:
    """Returns a scrape configuration for one target.

    Args:
        job: The label ``job``.
        target: The address, and the label ``instance``.
        interval: The time between two scrapes.
        socket: A Unix socket that is scraped in place of the address.
        extra: Further options, such as ``scrape_protocols``.
    """
    labels = {} if socket is None else {"labels": {"__unix_socket__": str(socket)}}
    return {"job_name": job, "scrape_interval": interval, "static_configs": [{"targets": [target], **labels}], **extra}


class Prometheus(Server):
    """A real Prometheus with exemplars and the OTLP endpoint on.

    Args:
        program: Path of Prometheus.
        folder: Holds the configuration, the data and the log.
        jobs: The scrape configurations.
        extra: Further sections of the configuration file.
        features: Further feature flags.
    """

    def __init__(
        self,
        program: Path,
        folder: Path,
        jobs: Sequence[Mapping[str, object]] = (),
        *,
        extra: Mapping[str, object] = {},
        features: Sequence[str] = (),
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.config = folder / "prometheus.yml"
        folder.mkdir(parents=True, exist_ok=True)
        # Retried OTLP batches arrive late: they need room for samples out of order.
        content = {"storage": {"tsdb": {"out_of_order_time_window": "30m"}}, "scrape_configs": list(jobs), **extra}
        self.config.write_text(yaml.safe_dump(content))
        command: list[str | Path] = [
            program,
            f"--config.file={self.config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            "--scrape.discovery-reload-interval=100ms",  # a new target is scraped at once, not after up to 5 s
            "--web.enable-otlp-receiver",
            f"--web.user-assets={RUNBOOKS}",  # the alerts' runbook links lead to /user
            f"--enable-feature={','.join(['exemplar-storage', 'metadata-wal-records', *features])}",
        ]
        super().__init__("prometheus", command, folder=folder, ready=f"{self.url}/-/ready")

    def get(self, path: str, **params: str) -> Any:
        """Returns the ``data`` of an answer of the HTTP API."""
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=params, timeout=10)
        answer.raise_for_status()
        return answer.json()["data"]

    def query(self, expression: str) -> list[Sample]:
        """Returns the samples of an instant query that yields a vector."""
        result = self.get("query", query=expression)["result"]
        return [Sample(dict(s["metric"]), float(s["value"][1])) for s in result]

    def value(self, expression: str) -> float | None:
        """Returns the value of a query that yields one series, or None if it yields none.

        Raises:
            ValueError: If the query yields several series.
        """
        samples = self.query(expression)
        if len(samples) > 1:
            raise ValueError(f"{expression} has {len(samples)} series")
        return samples[0].value if samples else None

    def histogram(self, series: str) -> NativeHistogram:
        """Returns the native histogram that the query selects.

        Raises:
            ValueError: If the query does not yield one series.
        """
        (row,) = self.get("query", query=series)["result"]
        found = row["histogram"][1]
        buckets = [Bucket(*map(float, bucket[1:])) for bucket in found.get("buckets", ())]
        return NativeHistogram(float(found["count"]), float(found["sum"]), buckets)

    def health(self, job: str) -> str:
        """Returns ``up``, ``down`` or ``unknown``, as the targets page says, or ``no such target``."""
        targets = self.get("targets")["activeTargets"]
        return next((t["health"] for t in targets if t["labels"]["job"] == job), "no such target")

    def await_scrape(self, job: str) -> None:
        """Waits until a scrape of the job has been stored.

        Raises:
            ServerError: If none is in time; it names why the last one failed.
        """
        try:
            # Not the target's health, which is told before the scrape is committed.
            until(f"a scrape of {job}", lambda: self.value(f'up{{job="{job}"}}'))
        except ServerError as error:
            failed = [t["lastError"] for t in self.get("targets")["activeTargets"] if t["labels"]["job"] == job]
            raise ServerError(f"{error}; its last scrapes: {failed}") from None

    def last_scrape_after(self, job: str, time_text: str) -> str | None:
        """Returns the time of the job's last scrape if it is later than the given one, else None."""
        targets = self.get("targets")["activeTargets"]
        last = max((t["lastScrape"] for t in targets if t["labels"]["job"] == job), default="")
        return last if last > time_text else None

    def metadata(self) -> dict[str, dict[str, str]]:
        """Returns type, help and unit by family name."""
        return {name: rows[0] for name, rows in self.get("metadata").items()}

    def exemplars(self, expression: str, start: float, end: float) -> list[dict[str, Any]]:
        """Returns the exemplars of each series that the expression selects, between two times in seconds since the epoch."""
        found: list[dict[str, Any]] = self.get("query_exemplars", query=expression, start=str(start), end=str(end))
        return found
