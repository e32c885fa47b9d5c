"""The dashboards: their rows, panels, variables, links, theme and lint."""
