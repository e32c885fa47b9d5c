"""The stable import surface for what AgentOS measures, see ``agents.observability.metrics``."""

from agents.observability import metrics as metrics
from agents.observability.metrics import *  # noqa: F403  # explicit through metrics.__all__
from agents.observability.metrics import __all__ as __all__
from agents.observability.metrics import __getattr__ as __getattr__
