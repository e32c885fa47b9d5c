"""Rules for faults of a dashboard that stay unseen until they matter: those of Grafana's dashboard-linter, and ours.

https://github.com/grafana/dashboard-linter/blob/main/docs/index.md
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from telemetry.runtime.catalogue import EVENT_LOOP_LAG

__all__ = ["RULES", "problems"]

UNITS = {"s", "reqps", "ops", "percentunit", "locale", "none", "decbytes", "currencyUSD", "dateTimeAsIso", "dthms"}
WINDOW = re.compile(r"\[([^\]]+)\]")
SELECTOR = re.compile(r"\b[a-zA-Z_:][a-zA-Z0-9_:]*\{[^}]*\}")
LEGENDS = re.compile(r"\{\{\s*(\w+)\s*\}\}")

WITHOUT_SPANS = (EVENT_LOOP_LAG.prometheus_name,)
"""Histograms that are recorded outside of any span."""

HIDDEN = 2
"""Grafana's number for a variable that is not on the screen."""

JsonObject = dict[str, Any]


def problems(board: str) -> list[str]:
    """Checks a dashboard against every rule.

    Args:
        board: The dashboard's JSON.

    Returns:
        One line for each fault: the rule's name and what is wrong.
    """
    parsed: JsonObject = json.loads(board)
    return [f"{rule.__name__.replace('_', '-')}: {problem}" for rule in RULES for problem in rule(parsed)]


def _all(board: JsonObject) -> list[JsonObject]:
    """The rows and the panels, those of collapsed rows too."""
    return [one for panel in board["panels"] for one in (panel, *panel.get("panels", ()))]


def _panels(board: JsonObject) -> list[JsonObject]:
    return [panel for panel in _all(board) if panel["type"] != "row"]


def _targets(board: JsonObject) -> Iterator[tuple[JsonObject, JsonObject]]:
    for panel in _panels(board):
        for target in panel.get("targets", []):
            yield panel, target


def _variables(board: JsonObject) -> dict[str, JsonObject]:
    return {variable["name"]: variable for variable in board["templating"]["list"]}


def template_datasource(board: JsonObject) -> Iterator[str]:
    """The data source is a variable."""
    if _variables(board).get("datasource", {}).get("type") != "datasource":
        yield "there is no variable `datasource` of the type datasource"


def template_job(board: JsonObject) -> Iterator[str]:
    """The job is a variable with a default and a single value: two jobs may hold the same numbers twice."""
    job = _variables(board).get("job", {})
    if job.get("multi", True) or not job.get("current", {}).get("value"):
        yield "the variable `job` must have a default and take one value"


def template_multi(board: JsonObject) -> Iterator[str]:
    """Label variables take several values, and All."""
    for name, variable in _variables(board).items():
        if variable["type"] == "query" and name != "job" and variable.get("hide") != HIDDEN:
            if not (variable.get("multi") and variable.get("includeAll") and variable.get("allValue") == ".*"):
                yield f"the variable `{name}` must take several values, and All as .*"
            if 'job="$job"' not in variable["query"]["query"]:
                yield f"the variable `{name}` does not ask for the job"


def template_hidden(board: JsonObject) -> Iterator[str]:
    """A hidden variable asks for the job, and stands in the title of a collapsed row and in no query."""
    titles = " ".join(panel["title"] for panel in board["panels"] if panel.get("collapsed"))
    queries = " ".join(target["expr"] for _, target in _targets(board))
    for name, variable in _variables(board).items():
        if variable.get("hide") == HIDDEN:
            if f"${{{name}}}" not in titles or f"${{{name}" in queries:
                yield f"the hidden variable `{name}` must stand in the title of a collapsed row, and in no query"
            if 'job="$job"' not in variable["query"]["query"]:
                yield f"the hidden variable `{name}` does not ask for the job"


def template_used(board: JsonObject) -> Iterator[str]:
    """Every variable is used, and every used variable exists."""
    text = json.dumps([board["panels"], board.get("links", []), *(v.get("query") for v in _variables(board).values())])
    used = set(re.findall(r"\$\{?([a-z]\w*)", text))
    for name in sorted(used - _variables(board).keys()):
        yield f"there is no variable `{name}`"
    for name in sorted(_variables(board).keys() - used):
        yield f"the variable `{name}` is used nowhere"


def template_refresh(board: JsonObject) -> Iterator[str]:
    """The values of variables follow the time range."""
    for name, variable in _variables(board).items():
        if variable["type"] == "query" and variable.get("refresh") != 2:
            yield f"the variable `{name}` is not refreshed when the time range changes"


def panel_datasource(board: JsonObject) -> Iterator[str]:
    """No panel and no variable names a data source by its uid."""
    places = [(panel["title"], panel.get("datasource")) for panel in _panels(board)]
    places += [(name, v.get("datasource")) for name, v in _variables(board).items() if v["type"] == "query"]
    for title, source in places:
        if not source or source.get("uid") != "${datasource}":
            yield f"{title}: its data source is not ${{datasource}}"


def panel_title_description(board: JsonObject) -> Iterator[str]:
    """Each panel has a unique title and a description."""
    titles = [panel.get("title", "") for panel in _all(board)]
    for panel in _panels(board):
        if not panel.get("title") or not panel.get("description"):
            yield f"panel {panel['id']} lacks a title or a description"
    for title in sorted({title for title in titles if titles.count(title) > 1}):
        yield f"two panels are called {title!r}"


def panel_units(board: JsonObject) -> Iterator[str]:
    """Each panel has a unit that Grafana knows."""
    for panel in _panels(board):
        unit = panel["fieldConfig"]["defaults"].get("unit", "")
        if unit not in UNITS and not re.fullmatch(r"suffix:\S+", unit):
            yield f"{panel['title']}: {unit!r} is no unit in use here"


def panel_place(board: JsonObject) -> Iterator[str]:
    """No two panels overlap, none leaves the grid, no two share an id."""
    taken: dict[tuple[int, int], str] = {}
    for panel in _all(board):
        place = panel["gridPos"]
        if place["x"] + place["w"] > 24:
            yield f"{panel['title']} leaves the grid"
        cells = [(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])]
        for other in sorted({taken[cell] for cell in cells if cell in taken}):
            yield f"{panel['title']} lies on {other}"
        taken |= dict.fromkeys(cells, str(panel["title"]))
    ids = [panel["id"] for panel in _all(board)]
    for number in sorted({number for number in ids if ids.count(number) > 1}):
        yield f"two panels have the id {number}"


def panel_targets(board: JsonObject) -> Iterator[str]:
    """Each panel has queries, and each query a refId of its own."""
    for panel in _panels(board):
        refs = [target.get("refId") for target in panel.get("targets", [])]
        if not refs or len(set(refs)) != len(refs) or not all(refs):
            yield f"{panel['title']}: its queries {refs} are none, or have no refId of their own"


def target_job(board: JsonObject) -> Iterator[str]:
    """Each selector matches the job."""
    for panel, target in _targets(board):
        for selector in SELECTOR.findall(target["expr"]):
            if 'job="$job"' not in selector:
                yield f'{panel["title"]}: {selector} lacks job="$job"'


def target_rate_interval(board: JsonObject) -> Iterator[str]:
    """Range queries use $__rate_interval, instant queries a fixed window."""
    for panel, target in _targets(board):
        fixed = target.get("instant", False)
        for window in WINDOW.findall(target["expr"]):
            if fixed == window.startswith("$"):
                yield f"{panel['title']}: the window is {window}, the query is {'instant' if fixed else 'a range'}"


def target_le(board: JsonObject) -> Iterator[str]:
    """No bucket bound is compared as text."""
    for panel, target in _targets(board):
        if re.search(r'\ble="', target["expr"]):
            yield f"{panel['title']}: le is compared as text"


def target_number(board: JsonObject) -> Iterator[str]:
    """A division or quantile drops the NaN of zero traffic. What follows an ``and`` gives no values."""
    for panel, target in _targets(board):
        values = target["expr"].split("\nand\n")[0]
        if re.search(r"\s/\s|histogram_quantile", values) and not values.rstrip(")").endswith(">= 0"):
            yield f"{panel['title']}: NaN where there is no traffic"


def target_legend(board: JsonObject) -> Iterator[str]:
    """Each query has a legend that names exactly the labels that the query keeps; every series has the same job."""
    for panel, target in _targets(board):
        legend = target.get("legendFormat", "")
        kept = {key.strip() for by in re.findall(r"by \(([^)]*)\)", target["expr"]) for key in by.split(",")}
        kept = set() if _one_value(target["expr"]) else kept - {"le", "job"}
        if not legend or set(LEGENDS.findall(legend)) != kept:
            yield f"{panel['title']}: the legend {legend!r} does not name the labels {sorted(kept)}"


def _one_value(expr: str) -> bool:
    """Whether the whole query is one sum or one maximum, which keeps no label."""
    open_ones = 0
    for place, character in enumerate(expr):
        open_ones += (character == "(") - (character == ")")
        if character == ")" and not open_ones:
            return expr.startswith(("sum(", "max(")) and place == len(expr) - 1
    return False


def target_exemplars(board: JsonObject) -> Iterator[str]:
    """Percentiles over time show exemplars, but of what no span measures, which has none."""
    for panel, target in _targets(board):
        measured = "histogram_quantile" in target["expr"] and not any(name in target["expr"] for name in WITHOUT_SPANS)
        if measured and target.get("range") and not target.get("exemplar"):
            yield f"{panel['title']}: {target['refId']} shows no exemplars"


RULES = (
    template_datasource,
    template_job,
    template_multi,
    template_hidden,
    template_used,
    template_refresh,
    panel_datasource,
    panel_title_description,
    panel_units,
    panel_place,
    panel_targets,
    target_job,
    target_rate_interval,
    target_le,
    target_number,
    target_legend,
    target_exemplars,
)
