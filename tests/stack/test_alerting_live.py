"""Alerts from failing calls to the pager: the real service, Alertmanager, and Prometheus with each minute cut to a second."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from stack.servers.alertmanager import Alertmanager
from stack.servers.process import until
from stack.servers.prometheus import Prometheus, scrape_job
from stack.servers.service import Service
from tests.helpers.agent_instances import Instance, running
from tests.helpers.blocked_loop import BLOCKING_APP, blocked
from tests.helpers.required_servers import built_server, packaged_server

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "AGENTOS_PROVIDERS": '{"steady": {}, "broken": {"failure_rate": 1}}',
    "AGENTOS_ROUTES": '{"question": ["steady"], "summary": ["broken"]}',
    "AGENTOS_RATE_LIMIT": "off",
    "AGENTOS_CLIENT_RATE_LIMIT": "off",
}


class Webhook:
    """An HTTP server that keeps the alerts which Alertmanager sends."""

    def __init__(self) -> None:
        self.alerts: list[tuple[str, dict[str, Any]]] = []
        """Receiver and alert, in the order of arrival."""
        taken = self.alerts

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                taken.extend((body["receiver"], alert) for alert in body["alerts"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Suppresses the server's log."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @contextmanager
    def listening(self) -> Iterator[Webhook]:
        """Serves while the block runs."""
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def said(self, name: str, status: str, to: str = "pager", **labels: str) -> dict[str, Any] | None:
        """Returns the first alert to this receiver with this name, status and labels."""
        for receiver, alert in list(self.alerts):
            wanted = {"alertname": name, **labels}.items()
            if receiver == to and alert["status"] == status and wanted <= alert["labels"].items():
                return alert
        return None


def shortened(rules: str) -> str:
    """Returns the rules with each minute of windows, offsets and waits shortened to a second; records keep their names."""

    def seconds(found: re.Match[str]) -> str:
        number, unit = int(found[2]), {"m": 1, "h": 60, "d": 1440}[found[3]]
        return f"{found[1]}{number * unit}s"

    return re.sub(r"(\[|:(?=\d)|offset |for: )(\d+)([mhd])\b", seconds, rules)


def _alerting(stack: ExitStack, folder: Path, address: str) -> tuple[Prometheus, Webhook]:
    """Runs Prometheus with the shortened rules on one target, and Alertmanager behind it."""
    for file in (ROOT / "dashboards/rules").glob("*.yml"):
        (folder / file.name).write_text(shortened(file.read_text()))
    webhook = stack.enter_context(Webhook().listening())
    program = packaged_server("prometheus-alertmanager", "prometheus-alertmanager")
    alertmanager = stack.enter_context(Alertmanager(program, folder / "alertmanager", webhook.url))
    extra = {
        "global": {"evaluation_interval": "250ms"},
        "rule_files": [str(folder / "*.yml")],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [alertmanager.address]}]}]},
    }
    jobs = [scrape_job("agentos", address)]
    return stack.enter_context(Prometheus(built_server("prometheus"), folder / "prometheus", jobs, extra=extra)), webhook


@pytest.fixture(scope="module")
def pager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Prometheus, Webhook]]:
    """All servers run; no call has failed yet."""
    folder = tmp_path_factory.mktemp("alerting")
    with ExitStack() as stack:
        service = stack.enter_context(Service(folder / "service", SETTINGS))
        prometheus, webhook = _alerting(stack, folder, service.address)
        until("the zeros", lambda: prometheus.value('count(a2a_requests_total{job="agentos"})'))
        yield service, prometheus, webhook


@pytest.fixture(scope="module")
def tickets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Instance, Webhook]]:
    """An instance with agents and workspaces has been scraped; nothing is wrong yet."""
    folder = tmp_path_factory.mktemp("tickets")
    with ExitStack() as stack:
        instance = running(stack, folder / "instance")
        instance.start()
        prometheus, webhook = _alerting(stack, folder, instance.address)
        until("the budgets", lambda: prometheus.value('count(workspace_budget_USD{job="agentos"})') == 2)
        yield instance, webhook


def test_errors_page_and_their_end_resolves(pager: tuple[Service, Prometheus, Webhook]) -> None:
    """While calls fail, the page arrives with its labels, values and links; once calls succeed again, it is resolved."""
    service, prometheus, webhook = pager
    window = {"severity": "page", "window": "1h"}

    def failing() -> dict[str, Any] | None:
        assert service.run("navi", "a text", operation="summarize").status_code == 502
        return webhook.said("A2AErrorBudgetBurn", "firing", **window)

    alert = until("the page", failing, timeout=60)
    assert alert["labels"] == {"alertname": "A2AErrorBudgetBurn", "job": "agentos", **window}
    said = alert["annotations"]
    assert said["summary"] == "Too many A2A calls fail, over 1h and still over 5m"
    assert "(0.5% of the calls of 30 days) burns 200.0 times too fast over the last 1h" in said["description"]
    assert said["dashboard_url"] == "http://localhost:3000/d/agentos?var-job=agentos&viewPanel=12"
    page = httpx.get(said["runbook_url"].replace("http://localhost:9090", prometheus.url))
    assert page.text.startswith("# A2AErrorBudgetBurn (page, ticket)")
    assert page.headers["content-type"].startswith("text/")

    def well() -> dict[str, Any] | None:
        assert service.run("navi", "a question").status_code == 200
        return webhook.said("A2AErrorBudgetBurn", "resolved", **window)

    assert until("the all-clear", well, timeout=60)["labels"] == alert["labels"]


def test_a_stopped_service_pages(pager: tuple[Service, Prometheus, Webhook]) -> None:
    """When the only target stops, AgentOSDown arrives; when it runs again, the alert is resolved."""
    service, _, webhook = pager
    assert webhook.said("AgentOSDown", "firing") is None
    service.stop()
    alert = until("the page", lambda: webhook.said("AgentOSDown", "firing"), timeout=60)
    assert alert["labels"] == {"alertname": "AgentOSDown", "job": "agentos", "severity": "page"}
    service.start()
    until("the all-clear", lambda: webhook.said("AgentOSDown", "resolved"), timeout=60)


def test_an_overspent_workspace_makes_a_ticket(tickets: tuple[Instance, Webhook]) -> None:
    """When a workspace spends more than its budget, the ticket arrives with what is left, and nobody is paged."""
    instance, webhook = tickets
    assert webhook.said("WorkspaceOverspent", "firing", "tickets") is None
    instance.spend("zen", "12.34", output=7)
    alert = until("the ticket", lambda: webhook.said("WorkspaceOverspent", "firing", "tickets"), timeout=60)
    own = {"workspace_id": "zen", "severity": "ticket"}
    assert alert["labels"] == {"alertname": "WorkspaceOverspent", "job": "agentos", **own}
    said = alert["annotations"]
    assert said["description"] == "zen has -2.34 USD left of its budget in this period."
    assert said["dashboard_url"].startswith(
        "http://localhost:3000/d/agentos-agents?var-job=agentos&var-workspace_id=zen&viewPanel="
    )
    assert webhook.said("WorkspaceOverspent", "firing", "pager") is None


def test_a_lost_mcp_server_makes_a_ticket_until_it_answers(tickets: tuple[Instance, Webhook]) -> None:
    """When an MCP server stays away, the ticket names it; when it answers again, the ticket is resolved."""
    instance, webhook = tickets
    instance.lose("files")
    alert = until("the ticket", lambda: webhook.said("MCPServerDown", "firing", "tickets"), timeout=60)
    assert alert["labels"]["mcp_server"] == "files"
    instance.find("files")
    until("the all-clear", lambda: webhook.said("MCPServerDown", "resolved", "tickets", mcp_server="files"), timeout=60)


def test_a_blocked_loop_makes_a_ticket_until_it_runs_again(tmp_path: Path) -> None:
    """When the loop of one of two workers is blocked for some seconds, the ticket arrives; when it runs, it is resolved."""
    settings = {**SETTINGS, "AGENTOS_RUNTIME_METRICS": "on"}
    with ExitStack() as stack:
        service = stack.enter_context(Service(tmp_path / "service", settings, app=BLOCKING_APP, workers=2))
        prometheus, webhook = _alerting(stack, tmp_path, service.address)
        until("both workers", lambda: prometheus.value("process_workers") == 2)
        with blocked(service, tmp_path / "pipe"):
            assert webhook.said("EventLoopBlocked", "firing", "tickets") is None
            alert = until("the ticket", lambda: webhook.said("EventLoopBlocked", "firing", "tickets"), timeout=60)
        own = {"instance": service.address, "severity": "ticket"}
        assert alert["labels"] == {"alertname": "EventLoopBlocked", "job": "agentos", **own}
        late = re.search(r"runs ([0-9.]+) seconds late", alert["annotations"]["description"])
        assert late is not None
        assert float(late[1]) > 5
        assert alert["annotations"]["dashboard_url"].startswith(
            f"http://localhost:3000/d/agentos-runtime?var-job=agentos&var-instance={service.address}&viewPanel="
        )
        until("the all-clear", lambda: webhook.said("EventLoopBlocked", "resolved", "tickets"), timeout=60)
        assert webhook.said("EventLoopStuck", "firing") is None
