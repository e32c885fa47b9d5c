"""Alerting: recording rules, alerts, and their promtool tests."""
