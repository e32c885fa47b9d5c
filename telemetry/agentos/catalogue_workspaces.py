"""The catalogue's fifth part: tokens, money and budgets of the workspaces. Switched on by setting, with the fourth part."""

from __future__ import annotations

from telemetry.agentos.catalogue import WORKSPACE
from telemetry.agentos.catalogue_models import TOKEN_DIRECTION, TOKEN_KIND
from telemetry.metric import Metric, MultiprocessMode, counter, observable_counter, observable_gauge

_WORKSPACES = "telemetry/agentos/workspaces.py"

WORKSPACE_TOKENS = counter(
    "workspace.tokens",
    "{token}",
    "Tokens that a workspace used by kind, each token once",
    WORKSPACE,
    TOKEN_KIND,
    recorded_in=_WORKSPACES,
)
WORKSPACE_ESTIMATED_TOKENS = counter(
    "workspace.estimated_tokens",
    "{token}",
    "Tokens of a workspace's calls that were cancelled before the provider reported them, estimated",
    WORKSPACE,
    TOKEN_DIRECTION,
    recorded_in=_WORKSPACES,
)
WORKSPACE_COST = observable_counter(
    "workspace.cost", "USD", "Cost of a workspace by the operator's prices", WORKSPACE, recorded_in=_WORKSPACES
)
WORKSPACE_UNPRICED = counter(
    "workspace.unpriced",
    "{call}",
    "Model calls of a workspace whose cost is not, or not fully, known",
    WORKSPACE,
    recorded_in=_WORKSPACES,
)
WORKSPACE_BUDGET = observable_gauge(
    "workspace.budget",
    "USD",
    "What a workspace may spend in a period",
    WORKSPACE,
    multiprocess_mode=MultiprocessMode.MIN,
    recorded_in=_WORKSPACES,
)
WORKSPACE_BUDGET_REMAINING = observable_gauge(
    "workspace.budget.remaining",
    "USD",
    "What a workspace may still spend in this period; negative where it has spent more",
    WORKSPACE,
    multiprocess_mode=MultiprocessMode.MIN,
    recorded_in=_WORKSPACES,
)
WORKSPACE_PERIOD_END = observable_gauge(
    "workspace.budget.period_end_timestamp",
    "s",
    "When the period of a workspace's budget ends, as Unix time",
    WORKSPACE,
    multiprocess_mode=MultiprocessMode.MIN,
    recorded_in=_WORKSPACES,
)

ROWS = tuple(row for row in list(globals().values()) if isinstance(row, Metric))
"""The rows above, in their order."""
