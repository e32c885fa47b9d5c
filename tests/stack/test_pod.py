"""The container of the committed Deployment, run as its manifest says but on other ports and in another directory."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from stack.servers.process import Server, free_port

ROOT = Path(__file__).parents[2]
MANIFEST = [one for one in yaml.safe_load_all((ROOT / "deploy/kubernetes/agentos.yaml").read_text()) if one]
POD: dict[str, Any] = next(one["spec"]["template"]["spec"] for one in MANIFEST if one["kind"] == "Deployment")
CONTAINER: dict[str, Any] = POD["containers"][0]
WORKERS = 2
VARIABLES: dict[str, str] = next(one["data"] for one in MANIFEST if one["kind"] == "ConfigMap")


class Pod(Server):
    """The container's command, arguments and variables, below a directory that others may write to, as an emptyDir is."""

    def __init__(self, folder: Path) -> None:
        self.ports = {port["name"]: free_port() for port in CONTAINER["ports"]}
        self.mounted = folder / "run"
        self.mounted.mkdir()
        self.mounted.chmod(0o2777)
        given = {str(port["containerPort"]): str(self.ports[port["name"]]) for port in CONTAINER["ports"]}
        arguments = [_replaced(word, "=", given) for word in CONTAINER["args"]]
        assert CONTAINER["command"] == ["agentos"]
        assert f"--workers={WORKERS}" in CONTAINER["args"]
        super().__init__(
            "pod",
            [sys.executable, "-c", "from agents.command import main; main()", *arguments],
            folder=folder,
            ready=lambda: len(list(self.mounted.glob("state/*/*.sock"))) == WORKERS and self._is_live(),
            environment={"PYTHONPATH": str(ROOT)}
            | {name: _replaced(value, ":", given) for name, value in VARIABLES.items()}
            | {"AGENTOS_STATE_DIRECTORY": VARIABLES["AGENTOS_STATE_DIRECTORY"].replace("/run/agentos", str(self.mounted))},
        )

    def _is_live(self) -> bool:
        try:
            return httpx.get(self.url(CONTAINER["startupProbe"]["httpGet"]), trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def url(self, get: dict[str, str]) -> str:
        """Returns the address of a probe."""
        return f"http://127.0.0.1:{self.ports[get['port']]}{get['path']}"


def _replaced(text: str, separator: str, given: dict[str, str]) -> str:
    """Returns the text with another port behind its last separator."""
    name, _, port = text.rpartition(separator)
    return f"{name}{separator}{given[port]}" if port in given else text


@pytest.fixture
def pod(tmp_path: Path, started: Callable[[Server], Server]) -> Pod:
    pod = Pod(tmp_path)
    started(pod)
    return pod


def test_the_container_runs_as_the_manifest_says(pod: Pod) -> None:
    """Its probes are answered, /metrics is on its own port alone, and its state directory is private."""
    probes = [CONTAINER[name]["httpGet"] for name in ("startupProbe", "readinessProbe", "livenessProbe")]
    assert [httpx.get(pod.url(get), trust_env=False).status_code for get in probes] == [200, 200, 200]
    scrape = {name: httpx.get(pod.url({"port": name, "path": "/metrics"}), trust_env=False) for name in pod.ports}
    assert {name: answer.status_code for name, answer in scrape.items()} == {"http": 404, "metrics": 200}
    assert "\na2a_active_tasks{" in scrape["metrics"].text
    assert 'environment="production"' in scrape["metrics"].text
    assert f"\nprocess_workers {WORKERS}\n" in scrape["metrics"].text
    (state,) = pod.mounted.iterdir()
    assert (state.name, state.stat().st_mode & 0o777) == ("state", 0o700)


def test_sigterm_ends_the_container_in_order(pod: Pod) -> None:
    """An idle container ends with status 0, and its log says that each worker did so."""
    assert pod.stop(timeout=120) == 0
    assert pod.log.read_text().count("Application shutdown complete.") == WORKERS
