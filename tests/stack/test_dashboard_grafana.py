"""The dashboard in Grafana's own code: variables, Prometheus data source, links from exemplars to traces and back."""

from __future__ import annotations

import json
import math
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

from stack.load import traffic
from stack.pipeline_checks import MIXED, SCRAPED, Pipeline, running_pipeline
from stack.servers.binaries import BinaryMissingError
from stack.servers.grafana import judge
from stack.servers.process import until
from tests.helpers.dashboard_panels import FORMS, PANELS, Selection, asked
from tests.helpers.required_servers import built_server

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "dashboards/agentos-dashboard.json").read_text())


def _datasources(folder: str) -> list[dict[str, Any]]:
    """Returns the provisioned data sources as Grafana reads them: it writes $ for $$."""
    text = (ROOT / "dashboards/grafana" / folder / "agentos.yml").read_text()
    sources: list[dict[str, Any]] = yaml.safe_load(text.replace("$$", "$"))["datasources"]
    return sources


DATASOURCES = _datasources("datasources")

ALL = Selection("all", {})
ONE = Selection("one", {"agent": ["navi"], "operation": ["query"], "provider": ["swift"], "workspace_id": ["acme"]})
SEVERAL = Selection(
    "several",
    {
        "agent": ["navi", "herald"],
        "operation": ["query", "summarize"],
        "provider": ["swift", "steady"],
        "workspace_id": ["acme", "globex"],
    },
)

NATIVE, BOTH, CUSTOM = (Selection(job, {}, job) for job in ("native", "both", "custom"))
SELECTIONS = {one.name: one for one in (ALL, ONE, SEVERAL, NATIVE, BOTH, CUSTOM)}


@dataclass(frozen=True, slots=True)
class Shown:
    """The pipeline after the traffic, and the time range of the panels."""

    pipeline: Pipeline
    start: float
    end: float


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """120 mixed calls have been scraped, their traces stored, and a whole step of 15 s has passed after them."""
    settings = MIXED | {"AGENTOS_NATIVE_HISTOGRAMS": "on"}
    with running_pipeline(tmp_path_factory.mktemp("chain"), settings, program=built_server, forms=FORMS) as pipeline:
        jobs = "|".join(FORMS)
        zeros = f'count(count by (job) (a2a_requests_total{{job=~"{jobs}"}}))'
        until("the zeros", lambda: pipeline.prometheus.value(zeros) == len(FORMS))
        started = time.time()
        seen = traffic.tally(traffic.make(pipeline.service.url, traffic.mixed(120)))
        calls = sum(count for (_, _, status), count in seen.items() if status != "denied")
        total = f'sum(a2a_requests_total{{job=~"{jobs}"}})'
        until("the scrapes", lambda: pipeline.prometheus.value(total) == calls * len(FORMS))
        until("Jaeger", lambda: len(pipeline.spans("a2a.request")) == calls)
        # Grafana queries whole steps only: the last one must lie after the traffic.
        step = math.ceil(time.time() / 15) * 15
        until("a whole step", lambda: time.time() > step, timeout=20)
        until(
            "samples behind it",
            lambda: len(pipeline.prometheus.query(f'timestamp(up{{job=~"{jobs}"}}) > {step}')) == len(FORMS),
        )
        yield Shown(pipeline, started, step)


@cache
def _judged(prometheus: str, start: float, end: float, selection: str) -> dict[str, Any]:
    values = {**SELECTIONS[selection].chosen, "job": [SELECTIONS[selection].job]}
    try:
        return judge(DASHBOARD, DATASOURCES, prometheus, start, end, values)
    except BinaryMissingError as reason:
        if os.environ.get("CI") == "true":
            pytest.fail(str(reason), pytrace=False)
        pytest.skip(str(reason))


def _grafana(shown: Shown, selection: Selection = ALL) -> dict[str, Any]:
    return _judged(shown.pipeline.prometheus.url, shown.start, shown.end, selection.name)


@pytest.mark.parametrize("selection", SELECTIONS.values(), ids=SELECTIONS)
@pytest.mark.parametrize("title", PANELS)
def test_grafana_shows_the_values_of_prometheus(shown: Shown, title: str, selection: Selection) -> None:
    """With All, one value, several, and each form of the histograms, Grafana shows each panel's series by name and value."""
    series = _grafana(shown, selection)["panels"][title]["series"]
    at = {points[-1][0] / 1000 for points in series.values()}
    assert len(at) == 1
    expected = asked(shown.pipeline.prometheus, title, selection, at.pop())
    assert {name: points[-1][1] for name, points in series.items()} == pytest.approx(expected, rel=1e-9)


def test_grafana_finds_the_values_of_the_variables(shown: Shown) -> None:
    """Each variable offers the service's values, and the jobs include the scraped one."""
    options = _grafana(shown)["variables"]
    assert SCRAPED in options.pop("job")
    assert {name: sorted(values) for name, values in options.items()} == {
        "agent": ["herald", "navi"],
        "operation": ["announce", "brief", "query", "research", "summarize"],
        "provider": ["steady", "swift"],
        "workspace_id": ["acme", "globex", "initech"],
    }


@pytest.mark.parametrize("selection", [ALL, NATIVE, BOTH, CUSTOM], ids=lambda selection: selection.name)
def test_an_exemplar_leads_to_its_trace(shown: Shown, selection: Selection) -> None:
    """Each exemplar of the latency panels has a link, built from our provisioning, to a trace in Jaeger."""
    stored = {span.trace_id for span in shown.pipeline.jaeger.spans("agentos")}
    checked = 0
    for title, panel in _grafana(shown, selection)["panels"].items():
        assert bool(panel["links"]) == any(target.get("exemplar") for target in PANELS[title]["targets"]), title
        for link in panel["links"]:
            (to,) = link["to"]
            explore = json.loads(parse_qs(urlsplit(to["href"]).query)["left"][0])
            assert (to["title"], explore["datasource"]) == ("Trace", "agentos-jaeger")
            assert explore["queries"][0]["query"] == link["trace"]
            assert link["trace"] in stored, title
            checked += 1
    print(f"{checked} exemplar links lead to their traces")
    assert checked >= 3


@pytest.mark.parametrize("title", [title for title, panel in PANELS.items() if panel["type"] == "timeseries"])
def test_a_series_leads_to_its_traces(shown: Shown, title: str) -> None:
    """A click on a series opens a search whose tags, given to Jaeger, find traces of exactly that label value."""
    for name, links in _grafana(shown)["panels"][title]["clicks"].items():
        for link in (link for link in links if link["title"] == "Traces of this series"):
            pane = json.loads(parse_qs(urlsplit(link["url"]).query)["panes"][0])["a"]
            (query,) = pane["queries"]
            assert pane["datasource"] == query["datasource"]["uid"] == "agentos-jaeger"
            key, _, value = query["tags"].partition("=")
            assert value in name.split()
            found = shown.pipeline.jaeger.search(query["service"], {key: value})
            counted = shown.pipeline.prometheus.value(f'sum({{job="{SCRAPED}", __name__=~".+_total", {key}="{value}"}})')
            assert bool(found) == bool(counted), link
            assert all(any(span.tags.get(key) == value for span in trace) for trace in found)


@pytest.mark.parametrize("store", ["Jaeger", "Tempo"])
def test_a_span_leads_to_its_series(shown: Shown, store: str) -> None:
    """The links of every measured span, filled with its labels as Grafana does, count the events of exactly its series."""
    sources = _datasources("datasources-tempo")
    options = next(source for source in sources if source["name"] == store)["jsonData"]["tracesToMetrics"]
    queries = {query["name"]: query["query"] for query in options["queries"]}
    keys = [tag["key"] for tag in options["tags"]]
    # Only the tags that the span has: https://grafana.com/docs/grafana/latest/datasources/jaeger/#trace-to-metrics
    spans = [
        [f'{key}="{span.tags[key]}"' for key in keys if key in span.tags] for span in shown.pipeline.jaeger.spans("agentos")
    ]
    kinds = Counter(", ".join(labels) for labels in spans if len(labels) > 1)
    for labels, count in kinds.items():
        assert shown.pipeline.prometheus.value(queries["Count of this series"].replace("$__tags", labels)) == count
        assert shown.pipeline.prometheus.value(queries["Rate of this series"].replace("$__tags", labels)) is not None
        p95 = shown.pipeline.prometheus.value(queries["p95 of this series (A2A calls)"].replace("$__tags", labels))
        assert (p95 is not None) == labels.startswith("agent="), labels
    print(f"{len(kinds)} kinds of spans lead to their series")
    assert len(kinds) > 10


def test_the_collector_shows_how_full_its_queues_are(shown: Shown) -> None:
    """The alert about filling queues finds the Collector's own metrics: a ratio for each exporter."""
    rules = yaml.safe_load((ROOT / "dashboards/rules/agentos-alerts.yml").read_text())["groups"][0]["rules"]
    expr = next(rule["expr"] for rule in rules if rule["alert"] == "ExporterQueueFilling")
    samples = shown.pipeline.prometheus.query(expr.replace("> 0.8", ">= 0"))
    assert {sample.labels["exporter"] for sample in samples} >= {"otlp_grpc/traces", "otlp_http/prometheus"}
    assert all(0 <= sample.value < 0.8 for sample in samples)
