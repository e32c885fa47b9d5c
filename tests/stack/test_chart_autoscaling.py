"""What the HorizontalPodAutoscaler reads: prometheus-adapter's rule, by the adapter's own code, against a real Prometheus."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
import yaml

from dashboards.adapter import adapter_yaml
from stack.servers.process import free_port, until
from stack.servers.prometheus import Prometheus
from stack.servers.service import Service
from tests.helpers.required_servers import built_server

METRIC = "a2a_active_tasks"
SLOW = {
    "AGENTOS_PROVIDERS": '{"slow": {"latency": 120}}',
    "AGENTOS_ROUTES": '{"question": ["slow"]}',
    "AGENTOS_SHUTDOWN_TIMEOUT": "0.5",
}


def _job(namespace: str, pods: dict[str, str]) -> dict[str, object]:
    """Returns a scrape job whose targets have the labels that a ServiceMonitor gives them."""
    targets = [{"targets": [at], "labels": {"namespace": namespace, "pod": pod}} for pod, at in pods.items()]
    relabel = [{"target_label": "job", "replacement": "agentos"}]
    return {"job_name": namespace, "scrape_interval": "200ms", "static_configs": targets, "relabel_configs": relabel}


@pytest.fixture
def autoscaler(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Reads a metric of pods as the HorizontalPodAutoscaler does: the value by pod."""
    program = built_server("adapter")
    rules = tmp_path / "adapter.yaml"
    rules.write_text(yaml.safe_dump({"rules": yaml.safe_load(adapter_yaml())["rules"]["custom"]}))

    def read(store: Prometheus, namespace: str, *pods: str) -> dict[str, str]:
        command: list[str | Path] = [program, "-prometheus", store.url, "-config", rules, "-metric", METRIC]
        command += ["-namespace", namespace, "-pods", ",".join(pods)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        values: dict[str, str] = json.loads(done.stdout)
        return values

    return read


def test_each_pod_has_the_number_of_its_own_active_tasks(
    service: Callable[..., Service], prometheus: Callable[..., Prometheus], autoscaler: Callable[..., dict[str, str]]
) -> None:
    """A pod with three runs under way has 3, an idle one 0, one that cannot be scraped none; other namespaces do not count."""
    busy, idle, elsewhere = (service(SLOW, name=name) for name in ("busy", "idle", "elsewhere"))
    gone = f"127.0.0.1:{free_port()}"
    pods = {"busy": busy.address, "idle": idle.address, "gone": gone}
    store = prometheus([_job("agents", pods), _job("staging", {"busy": elsewhere.address})])
    with ExitStack() as runs:
        for url, agents in ((busy.url, ("herald", "herald", "navi")), (elsewhere.url, ("herald",))):
            client = runs.enter_context(httpx.Client(base_url=url, timeout=30))
            for agent in agents:
                _start(runs, client, agent)
        until("the runs", lambda: store.value(f"sum({METRIC})") == 4)
        until("a scrape of each pod", lambda: store.value('count(up{namespace="agents"})') == 3)
        assert autoscaler(store, "agents", "busy", "idle", "gone") == {"busy": "3", "idle": "0"}


def _start(runs: ExitStack, client: httpx.Client, agent: str) -> None:
    """Starts a run that is under way until the stack is left."""
    headers = {"Accept": "text/event-stream", "X-Workspace-Id": "slow.one"}
    body = {"input": "wait", "operation": "query"}
    runs.enter_context(client.stream("POST", f"/agents/{agent}/runs", json=body, headers=headers))
