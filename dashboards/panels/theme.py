"""How all panels look: units, colours, legends. A series with a colour of its own has it in every panel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from grafana_foundation_sdk.builders import bargauge, common, gauge, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models import prometheus as queries

__all__ = [
    "AGE",
    "BYTES",
    "CALLS",
    "CALLS_A_SECOND",
    "CORES",
    "DATASOURCE",
    "DATE",
    "DOLLARS",
    "DOLLARS_AN_HOUR",
    "EACH",
    "ERRORS_A_MINUTE",
    "EVENTS",
    "GREEN",
    "MINUTE_RATES",
    "ORANGE",
    "PERCENT",
    "RATES",
    "RED",
    "SECONDS",
    "TASKS",
    "TIMES",
    "TOKENS_A_SECOND",
    "Column",
    "bars",
    "dashed",
    "levels",
    "number",
    "over_time",
    "round_gauge",
    "rows",
]

DATASOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")

SECONDS = "s"
AGE = "dthms"
"""Seconds as hours, minutes and seconds."""
PERCENT = "percentunit"
TASKS = "none"
EVENTS = "locale"
"""Whole numbers in full, 1,612 rather than 2 K."""
RATES = {
    "{request}": "reqps",
    "{hit}": "suffix:decisions/s",
    "{operation}": "ops",
    "{token}": "suffix:tokens/s",
    "{collection}": "suffix:runs/s",
}
"""Grafana's unit of a rate, by the counter's unit."""
MINUTE_RATES = {
    "{error}": "suffix:errors/min",
    "{retry}": "suffix:retries/min",
    "{fallback}": "suffix:fall-backs/min",
    "{skip}": "suffix:skips/min",
    "{change}": "suffix:changes/min",
    "{call}": "suffix:calls/min",
    "{state}": "suffix:states/min",
}
"""Grafana's unit of a rate of rare events, by the counter's unit: per minute, so that the number is readable."""
BYTES = "decbytes"
DOLLARS = "currencyUSD"
DOLLARS_AN_HOUR = "suffix:USD/h"
TIMES = "suffix:times"
TOKENS_A_SECOND = "suffix:tokens/s"
CORES = "suffix:cores"
CALLS = "suffix:calls"
CALLS_A_SECOND = "suffix:calls/s"
ERRORS_A_MINUTE = "suffix:errors/min"
EACH = "none"
DATE = "dateTimeAsIso"
"""Milliseconds since 1970, as date and time."""

_DECIMALS = {EVENTS: 0, PERCENT: 1, DOLLARS: 2, EACH: 1}
"""Decimals of the numbers in a table, by their unit."""

GREEN, YELLOW, ORANGE, RED, GREY = "green", "yellow", "orange", "red", "#8e8e8e"

_MEANING = {
    "success": GREEN,
    "allowed": GREEN,
    "hit": GREEN,
    "miss": YELLOW,
    "denied": ORANGE,
    "error": RED,
    "p50": "super-light-blue",
    "p95": "blue",
    "p99": "dark-blue",
    "get": "blue",
    "set": "purple",
    "delete": "#37bbca",
    "input": "blue",
    "cached": "super-light-blue",
    "cache_write": "dark-blue",
    "output": "purple",
    "reasoning": "#37bbca",
    "unknown": GREY,
    "timeout": YELLOW,
    "rate_limit": ORANGE,
    "server": RED,
    "cancelled": GREY,
    "TASK_STATE_COMPLETED": GREEN,
    "TASK_STATE_FAILED": RED,
    "TASK_STATE_REJECTED": ORANGE,
    "TASK_STATE_CANCELED": GREY,
    "invalid": GREY,
    "other": GREY,
    "none": GREY,
    "no prices": ORANGE,
}
"""Series that have a colour of their own wherever they appear.

Agents, providers and task types take the colours of Grafana's classic palette in turn, where a colour only tells lines apart;
the palette by series name has tones that are hard to see on a light background.
"""

_Panel = TypeVar("_Panel", stat.Panel, gauge.Panel, timeseries.Panel, bargauge.Panel, table.Panel)
_Now = TypeVar("_Now", stat.Panel, gauge.Panel, bargauge.Panel)
_Step = tuple[float | None, str]


def number(expr: str, unit: str, *, orange: float | None = None, red: float | None = None) -> stat.Panel:
    """Returns a big number as of the end of the time range, coloured only if it has a threshold."""
    plain = orange is None and red is None
    panel = stat.Panel().graph_mode(kinds.BigValueGraphMode.NONE).text_mode(kinds.BigValueTextMode.VALUE)
    panel = panel.color_mode(kinds.BigValueColorMode.NONE if plain else kinds.BigValueColorMode.VALUE)
    return _now(panel, expr, unit, GREEN, (orange, ORANGE), (red, RED))


def round_gauge(expr: str, unit: str, *, green: float) -> gauge.Panel:
    """Returns a gauge from 0 to 1 as of the end of the time range: orange below ``green``, else green."""
    return _now(gauge.Panel().min(0).max(1), expr, unit, ORANGE, (green, GREEN))


def over_time(
    exprs: Mapping[str, str],
    unit: str,
    *,
    fixed: Iterable[str] = (),
    exemplars: bool = False,
    stacked: bool = False,
    from_zero: bool = True,
) -> timeseries.Panel:
    """Returns lines over time.

    Args:
        exprs: Legend -> query.
        unit: Grafana's unit.
        fixed: Names of the series that may have a colour of their own.
        exemplars: Whether the queries ask for exemplars.
        stacked: Whether the lines are stacked.
        from_zero: Whether the axis begins at 0, for values that are never negative.
    """
    legend = common.VizLegendOptions().show_legend(True).placement(kinds.LegendPlacement.BOTTOM)
    legend = legend.display_mode(kinds.LegendDisplayMode.LIST)
    tooltip = common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(kinds.SortOrder.DESCENDING)
    panel = timeseries.Panel().legend(legend).tooltip(tooltip).line_width(1.5).fill_opacity(30 if stacked else 8)
    panel = panel.min(0) if from_zero else panel
    if stacked:
        panel = panel.stacking(common.StackingConfig().mode(kinds.StackingMode.NORMAL))
    for ref, (name, expr) in zip("ABCDE", exprs.items(), strict=False):
        panel = panel.with_target(_query(ref, expr, name).range().exemplar(exemplars))
    color = builders.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC)
    panel = _common(panel, unit, GREEN).color_scheme(color)
    panel = panel.decimals(0) if unit == TASKS else panel
    for name in sorted({*fixed, "invalid", "other", "none", "no prices"} & _MEANING.keys()):
        # Grafana takes a text between slashes as a pattern, any other text as the whole name.
        color_of = _property("color", {"mode": "fixed", "fixedColor": _MEANING[name]})
        panel = panel.override_by_regexp(f"/^{name}\\b/", [color_of])
    return panel.override_by_regexp("/ mean$/", dashed())


def dashed(color: str = "") -> list[models.DynamicConfigValue]:
    """Returns the look of a line that is no measurement of its own: dashed, without a filled area."""
    style = [_property("custom.lineStyle", {"fill": "dash", "dash": [6, 4]})]
    if color:
        style += [_property("color", {"mode": "fixed", "fixedColor": color}), _property("custom.fillOpacity", 0)]
    return style


def bars(expr: str, legend: str, unit: str) -> bargauge.Panel:
    """Returns horizontal bars as of the end of the time range, the longest one first.

    Args:
        expr: The query.
        legend: Template of the bars' names.
        unit: Grafana's unit.
    """
    panel = bargauge.Panel().orientation(kinds.VizOrientation.HORIZONTAL).display_mode(kinds.BarGaugeDisplayMode.BASIC)
    panel = panel.value_mode(kinds.BarGaugeValueMode.TEXT).name_placement(kinds.BarGaugeNamePlacement.TOP).min(0)
    panel = panel.text(common.VizTextDisplayOptions().title_size(12).value_size(14))  # else a long name shrinks the bars
    return _now(panel, f"sort_desc({expr})", unit, "blue", legend=legend)


@dataclass(frozen=True, slots=True)
class Column:
    """A column of numbers in a table.

    Attributes:
        title: Its heading.
        expr: Its query, about the last hour or now.
        unit: Grafana's unit.
        orange: The value from which the numbers are orange.
        red: The value from which they are red.
        labels: Template of the rows' names in the query's legend, where it is not the table's.
    """

    title: str
    expr: str
    unit: str
    orange: float | None = None
    red: float | None = None
    labels: str = ""


def rows(key: str, heading: str, columns: Sequence[Column], *, labels: str, hidden: Sequence[str] = ()) -> table.Panel:
    """Returns a table as of the end of the time range: a row for each value of a label, in the order of the values.

    Args:
        key: Prometheus' key of that label.
        heading: The heading of its column.
        columns: The columns of numbers.
        labels: Template of the rows' names in the queries' legends; a table does not show it.
        hidden: Prometheus' keys of further labels of the queries, which have no column.
    """
    panel = (
        table.Panel()
        .show_header(True)
        .cell_height(kinds.TableCellHeight.SM)
        .align(kinds.FieldTextAlignment.AUTO)
        .inspect(False)
    )
    titles = {key: heading}
    for ref, column in zip("ABCDEFGH", columns, strict=False):
        query = (
            _query(ref, column.expr, f"{column.labels or labels} {column.title}")
            .instant()
            .format(queries.PromQueryFormat.TABLE)
        )
        panel = panel.with_target(query)
        titles[f"Value #{ref}"] = column.title
    order = {name: index for index, name in enumerate(titles)}
    panel = panel.with_transformation(_transformation("merge", {}))
    panel = panel.with_transformation(
        _transformation(
            "organize", {"excludeByName": dict.fromkeys(("Time", *hidden), True), "indexByName": order, "renameByName": titles}
        )
    )
    panel = panel.with_transformation(_transformation("sortBy", {"fields": {}, "sort": [{"field": heading}]}))
    panel = _common(panel, EVENTS, "text")
    for column in columns:
        panel = panel.override_by_name(column.title, _cells(column))
    return panel.override_by_name(heading, [_property("custom.minWidth", 220)])


def _cells(column: Column) -> list[models.DynamicConfigValue]:
    properties = [_property("unit", column.unit)]
    properties.append(_property("noValue", "-"))
    if column.unit in _DECIMALS:
        properties.append(_property("decimals", _DECIMALS[column.unit]))
    if column.orange is not None or column.red is not None:
        steps = [(None, "text"), (column.orange, ORANGE), (column.red, RED)]
        found = [{"value": value, "color": color} for value, color in steps if color == "text" or value is not None]
        properties.append(_property("thresholds", {"mode": "absolute", "steps": found}))
        properties.append(_property("custom.cellOptions", {"type": "color-text"}))
    return properties


def levels(exprs: Mapping[str, str], names: Mapping[str, tuple[int, str]]) -> timeseries.Panel:
    """Returns steps over time between named levels.

    Args:
        exprs: Legend -> query.
        names: Name -> level and colour.
    """
    shown: dict[str, models.ValueMappingResult] = {
        str(level): models.ValueMappingResult(text=name, color=color, index=level) for name, (level, color) in names.items()
    }
    panel = over_time(exprs, TASKS).line_interpolation(kinds.LineInterpolation.STEP_AFTER)
    panel = panel.max(max(level for level, _ in names.values()))
    return panel.mappings([models.ValueMap(options=shown)])


def _now(panel: _Now, expr: str, unit: str, base: str, *steps: _Step, legend: str = "now") -> _Now:
    panel = _common(panel, unit, base, *steps).with_target(_query("A", expr, legend).instant())
    panel = panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
    panel = panel.color_scheme(builders.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))
    return panel.decimals(0) if unit == EVENTS else panel


def _common(panel: _Panel, unit: str, base: str, *steps: _Step) -> _Panel:
    colors = [(None, base), *(step for step in steps if step[0] is not None)]
    scale = builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE)
    scale = scale.steps([models.Threshold(value=value, color=color) for value, color in colors])
    return panel.datasource(DATASOURCE).unit(unit).thresholds(scale)


def _query(ref: str, expr: str, legend: str) -> prometheus.Dataquery:
    return prometheus.Dataquery().ref_id(ref).expr(expr).legend_format(legend)


def _transformation(name: str, options: object) -> models.DataTransformerConfig:
    return models.DataTransformerConfig(id_val=name, options=options)


def _property(name: str, value: object) -> models.DynamicConfigValue:
    return models.DynamicConfigValue(name, value)
