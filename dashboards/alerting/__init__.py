"""Recording rules, alerts, and their promtool tests."""
