"""VictoriaMetrics, filled by remote write or by its own scrapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx
import yaml

from stack.servers.process import Server, free_port

__all__ = ["VictoriaMetrics"]


class VictoriaMetrics(Server):
    """A single-node VictoriaMetrics on a loopback port.

    Args:
        program: Path of VictoriaMetrics.
        folder: Holds the configuration, the data and the log.
        jobs: The scrape configurations.
    """

    def __init__(self, program: Path, folder: Path, jobs: Sequence[Mapping[str, object]] = ()) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        config = folder / "scrape.yml"
        folder.mkdir(parents=True, exist_ok=True)
        config.write_text(yaml.safe_dump({"scrape_configs": list(jobs)}))
        command: list[str | Path] = [
            program,
            f"-httpListenAddr=127.0.0.1:{self.port}",
            f"-storageDataPath={folder / 'data'}",
            f"-promscrape.config={config}",
            "-search.latencyOffset=0s",  # written samples are found at once
        ]
        super().__init__("victoria-metrics", command, folder=folder, ready=f"{self.url}/health")

    @property
    def write_url(self) -> str:
        return f"{self.url}/api/v1/write"

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Returns the series and values of an instant query."""
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": expression, "nocache": "1"}, timeout=10)
        answer.raise_for_status()
        return [(row["metric"], float(row["value"][1])) for row in answer.json()["data"]["result"]]
