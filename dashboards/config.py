"""The settings of a site: the scrape job, the targets of the links, and the service level objectives.

Change them here, then run ``python -m dashboards``.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "AGENTS_UID",
    "AVAILABILITY",
    "BUDGET_LOW",
    "BUDGET_PACE",
    "BURNS",
    "DESCRIPTORS_HIGH",
    "FIRST_TOKEN",
    "GRAFANA",
    "INVOCATION",
    "JOB",
    "LATENCY",
    "LOOP_BLOCKED",
    "LOOP_LAG",
    "LOOP_STUCK",
    "MODELS_UID",
    "QUOTA_LOW",
    "RUNBOOKS",
    "RUNTIME_UID",
    "SHARED_LEDGER",
    "SLO_DAYS",
    "SPENDING",
    "UID",
    "Budget",
    "Burn",
    "Objective",
]

JOB = "agentos"
"""The scrape job that dashboards and rules read. Another job's copy of the same numbers is never added to it."""

GRAFANA = "http://localhost:3000"
"""Base address of the alerts' dashboard links: Grafana as the people on call reach it."""

RUNBOOKS = "http://localhost:9090/user"
"""Base address of the runbooks. Prometheus itself serves them when started with ``--web.user-assets=docs/runbooks``."""

UID = "agentos"
"""The dashboard's uid in Grafana."""

MODELS_UID = "agentos-models"
"""The uid in Grafana of the second dashboard, about the model calls."""

AGENTS_UID = "agentos-agents"
"""The uid in Grafana of the third dashboard, about agents, tools and workspaces."""

RUNTIME_UID = "agentos-runtime"
"""The uid in Grafana of the fourth dashboard, about the process and its runtime."""

SLO_DAYS = 30
"""The period of the objectives, in days."""


@dataclass(frozen=True, slots=True)
class Objective:
    """A service level objective: the share of calls that must be good."""

    name: str
    target: float
    under: float = 0.0
    """For a latency objective: the seconds within which a call is good, a bucket bound of the histogram."""

    @property
    def budget(self) -> float:
        """The share of calls that may be bad."""
        return round(1 - self.target, 10)


AVAILABILITY = Objective("availability", 0.995)
LATENCY = Objective("latency", 0.95, under=2.5)
FIRST_TOKEN = Objective("first_token", 0.9, under=5)
"""Streams of a model provider whose first text comes within 5 s. It has an alert per provider and no error budget."""

INVOCATION = Objective("invocation", 0.9, under=25.6)
"""Invocations of an agent that take at most 25.6 s. It has an alert per agent and no error budget."""

SHARED_LEDGER = False
"""Whether all instances have one ledger (``AGENTOS_LEDGER``), so that each shows what all have spent of a budget.

Otherwise each shows what it has spent itself, and the sums of the instances count.
"""

QUOTA_LOW = 0.1
"""The share of a provider's quota below which the alert fires."""
BUDGET_LOW = 0.1
"""The share of a workspace's budget below which the alert fires."""
BUDGET_PACE = 1.5
"""The alert fires when a workspace spends this many times too fast for its budget to last until the period ends."""

LOOP_BLOCKED = 5
"""The seconds for which an event loop may be blocked before the ticket is made."""
LOOP_LAG = 0.5
"""The p99 of the lag of an instance's event loops over 5 minutes, in seconds, from which the ticket is made: a bucket bound."""
LOOP_STUCK = 30
"""The seconds for which an event loop may be blocked before the page is sent."""
DESCRIPTORS_HIGH = 0.5
"""The share of open file descriptors above which the alert fires. It is the mean of an instance's workers: a single one may be
near its limit while the mean is at half of it."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The money that model calls may cost, by the operator's prices, and the speed of spending that raises the alert."""

    usd: float
    """US dollars per ``SLO_DAYS`` days."""
    rate: float
    """The alert fires when the money is spent this many times too fast, over the long window and the short one."""
    long: str
    short: str

    @property
    def hourly(self) -> float:
        """US dollars per hour that use up the budget exactly."""
        return round(self.usd / (SLO_DAYS * 24), 4)


SPENDING = Budget(1000, 6, long="1h", short="10m")


@dataclass(frozen=True, slots=True)
class Burn:
    """An alert of an objective: the error budget burns ``rate`` times too fast over a long and a short window."""

    severity: str
    rate: float
    long: str
    short: str
    wait: str
    gone_in: str
    """How long the whole budget lasts at this rate, in words."""


# https://sre.google/workbook/alerting-on-slos/ (6: Multiwindow, Multi-Burn-Rate Alerts)
BURNS = (
    Burn("page", 14.4, "1h", "5m", "2m", "2 days"),
    Burn("page", 6, "6h", "30m", "5m", "5 days"),
    Burn("ticket", 3, "1d", "2h", "15m", "10 days"),
    Burn("ticket", 1, "3d", "6h", "30m", "30 days"),
)
