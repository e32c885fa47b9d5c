"""Prometheus and the Collector send the token that /metrics requires, as their configurations show."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from stack.servers.collector import Collector
from stack.servers.process import until
from stack.servers.prometheus import Prometheus, scrape_job
from stack.servers.service import ROOT, Service
from stack.servers.victoria import VictoriaMetrics

TOKEN = "scrape-token-0123456789"
ASKS = {"AGENTOS_METRICS_TOKENS": f"{TOKEN},next-token-0123456789"}
CONFIG = ROOT / "dashboards" / "prometheus.yml"


def test_prometheus_sends_the_token_of_its_file(
    service: Callable[..., Service], prometheus: Callable[..., Prometheus], tmp_path: Path
) -> None:
    """With credentials_file the target is up; without it the target is down with status 401."""
    agentos = service(ASKS)
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    store = prometheus(
        [
            scrape_job("with", agentos.address, authorization={"credentials_file": str(file)}),
            scrape_job("without", agentos.address),
        ]
    )
    until("both targets to be scraped", lambda: {store.health("with"), store.health("without")} == {"up", "down"})
    assert (store.health("with"), store.health("without")) == ("up", "down")
    errors = [target["lastError"] for target in store.get("targets")["activeTargets"] if target["labels"]["job"] == "without"]
    assert errors == ["server returned HTTP status 401 Unauthorized"]


def test_the_shown_configuration_is_valid(promtool: Path, tmp_path: Path) -> None:
    """dashboards/prometheus.yml passes promtool with its commented lines about the token enabled."""
    file = tmp_path / "token"
    file.write_text(TOKEN)
    text = re.sub(r"(?m)^( *)# (authorization:|  credentials_file: )", r"\1\2", CONFIG.read_text())
    shown = tmp_path / "prometheus.yml"
    shown.write_text(text.replace("/etc/prometheus/agentos-token", str(file)).replace("rules/*.yml", "none/*.yml"))
    assert f"      credentials_file: {file}\n" in shown.read_text()
    done = subprocess.run([promtool, "check", "config", shown], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_collector_sends_the_token_of_its_environment(
    service: Callable[..., Service], collector: Callable[..., Collector], victoria: VictoriaMetrics
) -> None:
    """With SCRAPE_TOKEN the Collector scrapes the service and passes the samples on by remote write."""
    agentos = service(ASKS)
    collector(
        {
            "SCRAPE_TARGETS": f'["{agentos.address}"]',
            "SCRAPE_TOKEN": TOKEN,
            "REMOTE_WRITE": "prometheus_remote_write",
            "REMOTE_WRITE_ENDPOINT": victoria.write_url,
        }
    )
    assert until("the target to be up", lambda: victoria.query('up{job="agentos"} == 1'), timeout=60)
