"""Prometheus on a loopback port, as a server and as an agent, and the queries of the tests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml
from prometheus_client.parser import text_string_to_metric_families

from stack.servers.process import Server, ServerError, free_port, until

__all__ = [
    "Block",
    "Bucket",
    "NativeHistogram",
    "Prometheus",
    "PrometheusAgent",
    "QueriedServer",
    "Sample",
    "own_metric",
    "scrape_job",
    "size_on_disk",
]

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


@dataclass(frozen=True, slots=True)
class Block:
    """A block of a time series database on disk."""

    samples: int
    series: int
    chunk_bytes: int
    index_bytes: int

    @classmethod
    def read(cls, folder: Path) -> Block:
        """Reads a block's metadata and the sizes of its files."""
        stats = json.loads((folder / "meta.json").read_text())["stats"]
        return cls(stats["numSamples"], stats["numSeries"], size_on_disk(folder / "chunks"), size_on_disk(folder / "index"))


def size_on_disk(path: Path) -> int:
    """Returns the bytes of a file, or of all files in a folder."""
    return sum(each.stat().st_size for each in (path, *path.rglob("*")) if each.is_file())


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


class QueriedServer(Server):
    """A server with Prometheus' HTTP API below the address ``api``."""

    api: str

    def get(self, path: str, **params: str) -> Any:
        """Returns the ``data`` of an answer of the HTTP API."""
        answer = httpx.get(f"{self.api}/{path}", params=params, timeout=30)
        answer.raise_for_status()
        return answer.json()["data"]

    def query(self, expression: str, *, at: float | None = None) -> list[Sample]:
        """Returns the samples of an instant query that yields a vector.

        Args:
            expression: The query.
            at: Seconds since the epoch; None: now.
        """
        moment = {} if at is None else {"time": str(at)}
        result = self.get("query", query=expression, **moment)["result"]
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


class Prometheus(QueriedServer):
    """A real Prometheus with exemplars and the OTLP endpoint on.

    Args:
        program: Path of Prometheus.
        folder: Holds the configuration, the data and the log.
        jobs: The scrape configurations.
        extra: Further sections of the configuration file.
        features: Further feature flags.
        flags: Further flags of the command line.
    """

    def __init__(
        self,
        program: Path,
        folder: Path,
        jobs: Sequence[Mapping[str, object]] = (),
        *,
        extra: Mapping[str, object] = {},
        features: Sequence[str] = (),
        flags: Sequence[str] = (),
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.api = f"{self.url}/api/v1"
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
            *flags,
        ]
        super().__init__("prometheus", command, folder=folder, ready=f"{self.url}/-/ready")

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

    def snapshot(self) -> list[Block]:
        """Writes all samples, also those in memory, to blocks of a snapshot; needs the flag ``--web.enable-admin-api``."""
        answer = httpx.post(f"{self.api}/admin/tsdb/snapshot", timeout=120)
        answer.raise_for_status()
        folder = self.config.parent / "data/snapshots" / answer.json()["data"]["name"]
        return [Block.read(meta.parent) for meta in sorted(folder.glob("*/meta.json"))]

    def wal_bytes(self) -> int:
        """Returns the size of the write-ahead log on disk."""
        return size_on_disk(self.config.parent / "data/wal")

    def metadata(self) -> dict[str, dict[str, str]]:
        """Returns type, help and unit by family name."""
        return {name: rows[0] for name, rows in self.get("metadata").items()}

    def exemplars(self, expression: str, start: float, end: float) -> list[dict[str, Any]]:
        """Returns the exemplars of each series that the expression selects, between two times in seconds since the epoch."""
        found: list[dict[str, Any]] = self.get("query_exemplars", query=expression, start=str(start), end=str(end))
        return found


class PrometheusAgent(Server):
    """A Prometheus in agent mode: it scrapes, and keeps what it has scraped in its WAL until each remote store has taken it.

    A remote store has one address, in production that of the load balancer in front of the cluster. While that address refuses
    samples, or answers 429 because a tenant's rate is exceeded, the agent keeps them and sends them again. Without
    ``retry_on_http_429`` it would drop them.

    Args:
        program: Path of Prometheus.
        folder: Holds the configuration, the WAL and the log.
        jobs: The scrape configurations.
        remotes: Name of a remote store -> its address for remote write.
    """

    def __init__(self, program: Path, folder: Path, jobs: Sequence[Mapping[str, object]], remotes: Mapping[str, str]) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        folder.mkdir(parents=True, exist_ok=True)
        queue = {"retry_on_http_429": True, "min_backoff": "50ms", "max_backoff": "1s", "batch_send_deadline": "1s"}
        stores = [{"name": name, "url": url, "queue_config": queue} for name, url in remotes.items()]
        config = folder / "agent.yml"
        config.write_text(yaml.safe_dump({"scrape_configs": list(jobs), "remote_write": stores}))
        command: list[str | Path] = [
            program,
            "--agent",
            f"--config.file={config}",
            f"--storage.agent.path={folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--scrape.discovery-reload-interval=100ms",
            "--storage.remote.flush-deadline=5s",  # what a store that is away has not taken by the end stays in the WAL
        ]
        super().__init__("agent", command, folder=folder, ready=f"{self.url}/-/ready")

    @property
    def targets(self) -> int:
        """The number of targets that are scraped now."""
        answer = httpx.get(f"{self.url}/api/v1/targets", params={"state": "active"}, timeout=30)
        answer.raise_for_status()
        return len(answer.json()["data"]["activeTargets"])

    @property
    def appended(self) -> int:
        """The number of samples in the WAL since the start, markers of ended series included."""
        return int(own_metric(self.url, "prometheus_agent_samples_appended_total", type="float"))

    def remote(self, counter: str, store: str) -> float:
        """Returns a counter of one remote store, such as ``samples_failed_total``."""
        return own_metric(self.url, f"prometheus_remote_storage_{counter}", remote_name=store)

    def delivered(self, store: str) -> int:
        """Returns how many samples a remote store has taken, those on their way included: all but failed attempts."""
        sent = own_metrics(self.url)
        total, retried, failed = (
            _total(sent, f"prometheus_remote_storage_samples_{kind}total", {"remote_name": store})
            for kind in ("", "retried_", "failed_")
        )
        return int(total - retried - failed)


def own_metric(url: str, name: str, **labels: str) -> float:
    """Returns the sum of a server's own samples of this name and these labels, from its ``/metrics``."""
    return _total(own_metrics(url), name, labels)


def own_metrics(url: str) -> list[Sample]:
    """Returns a server's own samples, from its ``/metrics``."""
    answer = httpx.get(f"{url}/metrics", timeout=30)
    answer.raise_for_status()
    families = text_string_to_metric_families(answer.text)
    return [Sample({"__name__": s.name, **s.labels}, s.value) for family in families for s in family.samples]


def _total(samples: Sequence[Sample], name: str, labels: Labels) -> float:
    wanted = {"__name__": name, **labels}.items()
    return sum(sample.value for sample in samples if wanted <= sample.labels.items())
