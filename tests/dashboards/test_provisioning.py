"""Grafana's data sources: with Jaeger alone, and with Tempo beside it."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest
import yaml

from dashboards.__main__ import BOARDS, ROOT
from dashboards.provisioning import datasources_with_tempo_yaml, datasources_yaml

ALONE: list[dict[str, Any]] = yaml.safe_load(datasources_yaml())["datasources"]
WITH_TEMPO: list[dict[str, Any]] = yaml.safe_load(datasources_with_tempo_yaml())["datasources"]
BOTH = pytest.mark.parametrize("sources", [ALONE, WITH_TEMPO], ids=["alone", "with Tempo"])


def test_without_tempo_nothing_leads_to_it() -> None:
    """The data sources are Prometheus and Jaeger, and the text does not name Tempo."""
    assert [(source["name"], source["url"]) for source in ALONE] == [
        ("Prometheus", "$PROMETHEUS_URL"),
        ("Jaeger", "$JAEGER_URL"),
    ]
    assert "tempo" not in datasources_yaml().lower()


def test_with_tempo_it_is_added_and_nothing_else_changes() -> None:
    """Tempo comes last; Jaeger is the same, and Prometheus but for the links of its exemplars."""
    assert [source["name"] for source in WITH_TEMPO] == ["Prometheus", "Jaeger", "Tempo"]
    assert WITH_TEMPO[1] == ALONE[1]
    alone, with_tempo = deepcopy(ALONE[0]), deepcopy(WITH_TEMPO[0])
    links = [source["jsonData"].pop("exemplarTraceIdDestinations") for source in (alone, with_tempo)]
    assert alone == with_tempo
    assert [[(link["datasourceUid"], link["urlDisplayLabel"]) for link in each] for each in links] == [
        [("agentos-jaeger", "Trace")],
        [("agentos-tempo", "Trace"), ("agentos-jaeger", "Trace in Jaeger")],
    ]


def test_tempo_leads_from_spans_to_the_same_series_as_jaeger() -> None:
    """Tempo's options are Jaeger's."""
    assert WITH_TEMPO[2]["jsonData"] == WITH_TEMPO[1]["jsonData"]
    assert (WITH_TEMPO[2]["type"], WITH_TEMPO[2]["url"]) == ("tempo", "$TEMPO_URL")


@BOTH
def test_each_link_leads_to_a_source_of_the_same_file(sources: list[dict[str, Any]]) -> None:
    """Each uid that a data source names is the uid of one beside it, and uids and names are used once."""
    uids = [source["uid"] for source in sources]
    assert len(set(uids)) == len({source["name"] for source in sources}) == len(sources)
    assert set(_named(sources)) <= set(uids)


@BOTH
@pytest.mark.parametrize("board", BOARDS)
def test_the_dashboards_find_a_source_of_each_kind_that_they_ask_for(sources: list[dict[str, Any]], board: str) -> None:
    """Each variable of a dashboard that chooses a data source has one of its type to choose."""
    variables = json.loads((ROOT / board).read_text())["templating"]["list"]
    asked = {variable["query"] for variable in variables if variable["type"] == "datasource"}
    assert asked == {"prometheus", "jaeger"}
    assert asked <= {source["type"] for source in sources}


def _named(part: Any) -> list[str]:
    """Returns each ``datasourceUid`` in a part of the provisioning."""
    if isinstance(part, list):
        return [uid for each in part for uid in _named(each)]
    if not isinstance(part, dict):
        return []
    return [uid for key, value in part.items() for uid in ([value] if key == "datasourceUid" else _named(value))]
