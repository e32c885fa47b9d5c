"""A dashboard from its outline: places, ids and links of its rows and panels."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import bargauge, gauge, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models

from dashboards.panels import links

__all__ = ["Board", "Panel", "Row"]

Panel = stat.Panel | gauge.Panel | timeseries.Panel | bargauge.Panel | table.Panel


@dataclass(frozen=True, slots=True)
class Row:
    """A row of panels: its title, the panels, and their width and height on Grafana's grid of 24 columns.

    Grafana cannot hide a row without data: it draws a row at least once even if the variable that repeats it has no value
    (https://github.com/grafana/grafana/issues/10764). So a row that many sites have no data for is collapsed, where it asks
    nothing until it is opened, and a variable in its title says how much there is in it.
    """

    title: str
    panels: Callable[[], list[Panel]]
    width: int
    height: int
    collapsed: bool = False


@dataclass(frozen=True, slots=True)
class Board:
    """A dashboard's outline."""

    title: str
    uid: str
    description: str
    variables: Callable[[], list[Builder[models.VariableModel]]]
    rows: Sequence[Row]
    runbooks: Mapping[str, str]
    """Panel title -> page in ``docs/runbooks`` that the panel links to."""
    details: Mapping[str, str]
    """Title of a number -> title of the panel over time that it links to."""
    empty: str = "nothing in this time"
    """What a panel says that has nothing to show, if it has no words of its own."""

    def panel_ids(self) -> dict[str, int]:
        """Returns the id of each panel by its title, for links to it."""
        built = [panel.build() for _, _, row in self._numbered() for panel in row]
        return {str(panel.title): panel.id_val or 0 for panel in built}

    def json(self) -> str:
        """Returns the dashboard as the JSON that Grafana imports."""
        board = (
            builders.Dashboard(self.title)
            .uid(self.uid)
            .description(self.description)
            .tags(["agentos"])
            .editable()
            .tooltip(models.DashboardCursorSync.CROSSHAIR)
            .time("now-1h", "now")
            .refresh("30s")
            .timezone("browser")
            .variables(self.variables())
            .links(links.top(self.uid))
        )
        ids = self.panel_ids()
        for number, outline, row in self._numbered():
            heading = builders.Row(outline.title).id(number).collapsed(outline.collapsed)
            linked = [self._worded(panel).links(self._links(str(panel.build().title), ids)) for panel in row]
            if outline.collapsed:
                for panel in linked:
                    heading = heading.with_panel(panel)
            board = board.with_row(heading)
            for panel in () if outline.collapsed else linked:
                board = board.with_panel(panel)
        return json.dumps(board.build(), cls=JSONEncoder, indent=2, ensure_ascii=False) + "\n"

    def _worded(self, panel: Panel) -> Panel:
        config = panel.build().field_config
        return panel if config and config.defaults.no_value else panel.no_value(self.empty)

    def _numbered(self) -> Iterator[tuple[int, Row, list[Panel]]]:
        number = 1
        for row in self.rows:
            panels = [panel.span(row.width).height(row.height).id(number + n) for n, panel in enumerate(row.panels(), start=1)]
            yield number, row, panels
            number += len(panels) + 1

    def _links(self, title: str, ids: Mapping[str, int]) -> list[links.Link]:
        found = [links.panel(ids[self.details[title]], self.details[title])] if title in self.details else []
        return found + ([links.runbook(self.runbooks[title])] if title in self.runbooks else [])
