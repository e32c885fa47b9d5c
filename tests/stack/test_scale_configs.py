"""The configurations of ``deploy/scale`` on real servers: addresses, intervals and waits alone differ from the files."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

from stack.servers.process import Server, free_port, until
from stack.servers.prometheus import Prometheus, scrape_job
from stack.servers.service import Service
from stack.servers.victoria import VictoriaMetrics
from telemetry.exposition import metrics_app
from tests.helpers.asgi_server import serving
from tests.helpers.kubeconform import Kubeconform, Validation
from tests.helpers.recorded import BOTHS, LABEL, WAITS, Recorded, buckets
from tests.helpers.required_servers import built_server

ROOT = Path(__file__).parents[2]
SCALE = ROOT / "deploy/scale"
RULES = sorted((SCALE / "rules").glob("*.yml"))

Start = Callable[[Server], Server]
Stores = Callable[..., Prometheus]


def _run(*command: str | Path, folder: Path | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("targets", ["scrape-machines.yml", "scrape-pods.yml"])
def test_the_agents_configuration_is_valid(promtool: Path, tmp_path: Path, targets: str) -> None:
    """``promtool check config --agent`` accepts the agent's configuration with either file of targets."""
    shutil.copytree(SCALE, tmp_path / "scale")
    config = tmp_path / "scale/prometheus-agent.yml"
    config.write_text(config.read_text().replace("scrape-machines.yml", targets))
    (tmp_path / "scale/targets").mkdir()
    (tmp_path / "scale/targets/agentos.yml").write_text('- targets: ["agentos-1:8000"]\n')
    assert "SUCCESS" in _run(promtool, "check", "config", "--agent", "--lint=all", "--lint-fatal", config)


def test_the_shards_divide_the_targets(promtool: Path, tmp_path: Path) -> None:
    """By the commented lines of ``scrape-machines.yml`` each of 30 targets belongs to one of three shards; none is empty."""
    text = (SCALE / "scrape-machines.yml").read_text()
    relabelled = text.replace("    # relabel_configs:", "    relabel_configs:").replace("    #   - {", "      - {")
    (tmp_path / "targets").mkdir()
    targets = [f"agentos-{number}:8000" for number in range(30)]
    (tmp_path / "targets/agentos.yml").write_text(yaml.safe_dump([{"targets": targets}]))
    found = []
    for shard in range(3):
        config = tmp_path / f"shard-{shard}.yml"
        config.write_text(relabelled.replace('regex: "0"', f'regex: "{shard}"'))
        said = json.loads(_run(promtool, "check", "service-discovery", "--timeout=5s", config, "agentos"))
        found.append([one["labels"]["instance"] for one in said if one.get("labels")])
    assert sorted(target for each in found for target in each) == sorted(targets)
    assert all(found)


RESOURCES = ["prometheus-agent-operator.yaml", "target-allocator.yaml"]


@pytest.mark.parametrize("file", RESOURCES)
def test_the_operators_resources_fit_their_schemas(kubeconform: Kubeconform, file: str) -> None:
    """The operators' own schemas accept each resource, and no field is unknown to them."""
    assert kubeconform.validate((SCALE / file).read_text()) == Validation(1, {}, 0)


def test_the_schema_notices_a_wrong_field(kubeconform: Kubeconform) -> None:
    """A misspelt field of the target allocator is refused."""
    wrong = (SCALE / "target-allocator.yaml").read_text().replace("allocationStrategy", "allocationStrategie")
    assert "OpenTelemetryCollector/agentos-scraper" in kubeconform.validate(wrong).refused


def test_the_scraping_collectors_configuration_is_valid(tmp_path: Path) -> None:
    """``otelcol validate`` accepts the configuration in the resource, with a target in the allocator's place."""
    config = yaml.safe_load((SCALE / "target-allocator.yaml").read_text())["spec"]["config"]
    config["receivers"]["prometheus"]["config"]["scrape_configs"] = [scrape_job("agentos", "agentos:8000")]
    (tmp_path / "collector.yaml").write_text(yaml.safe_dump(config))
    _run(built_server("otelcol"), "validate", "--config", tmp_path / "collector.yaml")


def test_the_operators_agent_is_configured_as_the_plain_one() -> None:
    """The resource of the Prometheus Operator has the options of the plain configuration, in the Operator's spelling."""
    (plain,) = yaml.safe_load((SCALE / "prometheus-agent.yml").read_text())["remote_write"]
    (store,) = yaml.safe_load((SCALE / "prometheus-agent-operator.yaml").read_text())["spec"]["remoteWrite"]
    plain["queue_config"]["retry_on_rate_limit"] = plain["queue_config"].pop("retry_on_http_429")
    assert _snake(store) == plain


def _snake(options: dict[str, Any]) -> dict[str, Any]:
    """Spells the keys as Prometheus does; headers keep theirs."""
    found = {re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), key): value for key, value in options.items()}
    return {key: _snake(value) if isinstance(value, dict) and key != "headers" else value for key, value in found.items()}


def test_the_global_configuration_is_valid(promtool: Path) -> None:
    """``promtool check config`` accepts the configuration over several clusters, with its rules."""
    assert "SUCCESS" in _run(promtool, "check", "config", "--lint=all", "--lint-fatal", SCALE / "prometheus-global.yml")


def test_the_rules_are_valid(promtool: Path) -> None:
    """``promtool check rules`` reports no problem."""
    said = _run(promtool, "check", "rules", "--lint=all", "--lint-fatal", *RULES)
    assert said.count("SUCCESS") == len(RULES) == 2


def test_the_rules_do_what_their_cases_say(promtool: Path) -> None:
    """Quantiles, burn rates and levels over two clusters' records are those of the instances' own series."""
    _run(promtool, "test", "rules", SCALE / "rules/tests/agentos-federation-tests.yml")


def _agent(started: Start, folder: Path, remotes: Mapping[str, str], target: str, environment: Mapping[str, str]) -> str:
    """Starts a Prometheus in agent mode with the committed configuration, for these stores and this target; returns its URL."""
    folder.mkdir(parents=True)
    config = yaml.safe_load((SCALE / "prometheus-agent.yml").read_text())
    config["global"]["scrape_interval"] = "200ms"
    (store,) = config["remote_write"]
    store["queue_config"]["batch_send_deadline"] = "100ms"
    config["remote_write"] = [{**store, "name": name, "url": url} for name, url in remotes.items()]
    (folder / "prometheus-agent.yml").write_text(yaml.safe_dump(config))
    shutil.copy(SCALE / "scrape-machines.yml", folder)
    (folder / "targets").mkdir()
    (folder / "targets/agentos.yml").write_text(yaml.safe_dump([{"targets": [target]}]))
    port = free_port()
    command: list[str | Path] = [
        built_server("prometheus"),
        "--agent",
        "--config.file=prometheus-agent.yml",
        f"--storage.agent.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--enable-feature=exemplar-storage,metadata-wal-records",
        "--scrape.discovery-reload-interval=100ms",
    ]
    url = f"http://127.0.0.1:{port}"
    started(Server("prometheus-agent", command, folder=folder, ready=f"{url}/-/ready", environment=environment))
    return url


def test_an_agent_passes_everything_on(started: Start, prometheus: Stores, victoria: VictoriaMetrics, tmp_path: Path) -> None:
    """Counters, exemplars, native histograms and the label of the cluster arrive; in VictoriaMetrics the counters do."""
    recorded = Recorded()
    store = prometheus(flags=["--web.enable-remote-write-receiver"])
    remotes = {"store": f"{store.url}/api/v1/write", "victoria": victoria.write_url}
    with serving(metrics_app(recorded.reader), lifespan="off") as url:
        environment = {"CLUSTER": "eu", "REPLICA": ""}
        _agent(started, tmp_path / "agent", remotes, urlsplit(url).netloc, environment)
        before = time.time() - 600
        until("the counter", lambda: store.query('work_done_bytes_total{job="agentos"}'))
        until("the counter in VictoriaMetrics", lambda: victoria.query('work_done_bytes_total{job="agentos"}'))
        until("the exemplars", lambda: store.exemplars("wait_seconds_bucket", before, time.time() + 600))
        (work,) = store.query("work_done_bytes_total")
        both = store.histogram('both_seconds{how="first"}')
        ends = store.query('wait_seconds_bucket{le="+Inf"}')
        named = store.exemplars("wait_seconds_bucket", before, time.time() + 600)
        ((kept, value),) = victoria.query("work_done_bytes_total")
    instance = urlsplit(url).netloc
    assert work.labels == {
        "__name__": "work_done_bytes_total", "cluster": "eu", "instance": instance, "job": "agentos", "k": LABEL,
    }  # fmt: skip
    assert (work.value, kept, value) == (5.0, work.labels, 5.0)
    assert [sample.value for sample in ends] == [len(WAITS)]
    assert (both.count, both.sum, len(both.buckets)) == (len(BOTHS[1]), sum(BOTHS[1]), len(buckets(*BOTHS)))
    traces = {f"{one.trace_id:032x}" for one in recorded.point("wait").exemplars}
    assert {one["labels"]["trace_id"] for row in named for one in row["exemplars"]} == traces


def _own(url: str, name: str) -> float:
    """Returns the sum of a server's own samples of this name."""
    text = httpx.get(f"{url}/metrics", timeout=10).text
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith((name + "{", name + " ")))


def test_an_outage_of_the_store_costs_no_sample(started: Start, prometheus: Stores, tmp_path: Path) -> None:
    """Every sample that the agent scraped while its store was away is in the store afterwards."""
    store = prometheus(flags=["--web.enable-remote-write-receiver"])
    with serving(metrics_app(Recorded().reader), lifespan="off") as target:
        remotes = {"store": f"{store.url}/api/v1/write"}
        url = _agent(started, tmp_path / "agent", remotes, urlsplit(target).netloc, {"CLUSTER": "eu", "REPLICA": ""})
        until("a sample", lambda: store.query('up{job="agentos"}'))
        store.kill()
        scraped = _own(url, "prometheus_agent_samples_appended_total")
        until("ten more scrapes", lambda: _own(url, "prometheus_agent_samples_appended_total") > 10 * scraped)
        store.start()
        (tmp_path / "agent/targets/agentos.yml").write_text("[]")
        until("the end of the target", lambda: not httpx.get(f"{url}/api/v1/targets").json()["data"]["activeTargets"])

    def stored() -> int:
        """The samples, and one marker for the end of each series, which no query returns."""
        rows = store.get("query", query='{job="agentos"}[1h]')["result"]
        return sum(len(row.get("values", ())) + len(row.get("histograms", ())) + 1 for row in rows)

    # The agent writes the markers two intervals after the target's end.
    until("every sample", lambda: stored() == _own(url, "prometheus_agent_samples_appended_total"))


def _cluster(prometheus: Stores, folder: Path, name: str, target: str) -> Prometheus:
    """Starts a cluster's Prometheus that evaluates the rules of the clusters once a second."""
    groups = yaml.safe_load((SCALE / "rules/agentos-federation.yml").read_text())
    for group in groups["groups"]:
        group["interval"] = "1s"
    rules = folder / f"{name}.rules.yml"
    rules.write_text(yaml.safe_dump(groups))
    job = scrape_job("agentos", target, scrape_native_histograms=True, always_scrape_classic_histograms=True)
    return prometheus([job], name=name, extra={"global": {"external_labels": {"cluster": name}}, "rule_files": [str(rules)]})


def _await(store: Prometheus, query: str) -> None:
    until(query, lambda: store.query(query))


def _samples(store: Prometheus, matcher: str) -> dict[str, set[tuple[float, str]]]:
    """Returns time and value of each sample of the clusters' records, by the series' labels without the cluster."""
    rows = store.get("query", query=f'{{__name__=~"fleet:.+", {matcher}}}[5m]')["result"]
    found = {}
    for row in rows:
        labels = {key: value for key, value in row["metric"].items() if key != "cluster"}
        found[str(sorted(labels.items()))] = {(at, str(value)) for at, value in row.get("values", row.get("histograms", ()))}
    return found


def test_a_global_prometheus_has_what_the_clusters_record(
    prometheus: Stores, service: Callable[..., Service], tmp_path: Path
) -> None:
    """Rates, buckets and native histograms of two clusters arrive unchanged; the shares of the objectives are made of them."""
    instance = service({"AGENTOS_NATIVE_HISTOGRAMS": "on", "AGENTOS_CACHE_TTL": "0.001"})
    clusters = {name: _cluster(prometheus, tmp_path, name, instance.address) for name in ("eu", "us")}
    for store in clusters.values():
        store.await_scrape("agentos")  # a series that begins with all calls has no rate
    for _ in range(3):
        instance.run("navi", "hello").raise_for_status()
    for store in clusters.values():
        _await(store, "sum(a2a_requests_total) == 3")
        _await(store, "fleet:a2a_request_duration_seconds_bucket:rate5m > 0")
    config = yaml.safe_load((SCALE / "prometheus-global.yml").read_text())
    targets = [f"127.0.0.1:{each.port}" for each in clusters.values()]
    job = config["scrape_configs"][0] | {"scrape_interval": "200ms", "static_configs": [{"targets": targets}]}
    often = {"global": {"evaluation_interval": "1s"}, "rule_files": [str(SCALE / "rules/agentos-global.yml")]}
    whole = prometheus([job], name="global", extra=often)
    _await(whole, "count(count by (cluster) (fleet:a2a_requests:rate5m)) == 2")
    _await(whole, "count(count by (cluster) (fleet:a2a_request_duration_seconds:rate5m)) == 2")  # native histograms
    shares = until("the shares", lambda: whole.query("job:a2a_calls_failed:ratio_rate5m"))
    assert [sample.labels for sample in shares] == [{"__name__": "job:a2a_calls_failed:ratio_rate5m", "job": "agentos"}]
    for name, store in clusters.items():
        taken, recorded = _samples(whole, f'cluster="{name}"'), _samples(store, 'cluster=""')
        assert taken.keys() == recorded.keys()
        assert all(samples and samples <= recorded[labels] for labels, samples in taken.items())
