"""Alertmanager on a loopback port, with the sample configuration of ``dashboards/alertmanager.yml``."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import yaml

from stack.servers.process import Server, free_port

__all__ = ["SAMPLE", "Alertmanager"]

SAMPLE = Path(__file__).parents[2] / "dashboards/alertmanager.yml"


class Alertmanager(Server):
    """An Alertmanager that sends to ``webhook``; the waits of the sample are shortened to 200 ms or less."""

    def __init__(self, program: Path, folder: Path, webhook: str) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "alertmanager.yml"
        config.write_text(yaml.safe_dump(_shortened(webhook)))
        command: list[str | Path] = [
            program,
            f"--config.file={config}",
            f"--storage.path={folder / 'data'}",
            f"--web.listen-address={self.address}",
            "--cluster.listen-address=",
        ]
        super().__init__("alertmanager", command, folder=folder, ready=f"http://{self.address}/-/ready")


def _shortened(webhook: str) -> object:
    content = yaml.safe_load(SAMPLE.read_text())
    for route in (content["route"], *content["route"]["routes"]):
        route |= {"group_wait": "100ms", "group_interval": "200ms"}
    for receiver in content["receivers"]:
        for config in receiver["webhook_configs"]:
            config["url"] = webhook + urlsplit(config["url"]).path
    return content
