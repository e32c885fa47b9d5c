"""Dashboards: boards, their rows and panels, links, theme and lint."""
