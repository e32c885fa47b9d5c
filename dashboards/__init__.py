"""Dashboards, rules, data sources and the metric reference of AgentOS, derived from ``telemetry.agentos.catalogue``.

``python -m dashboards`` writes the generated files; ``python -m dashboards --check`` fails if one differs.
"""
