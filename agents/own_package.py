"""Ends the start with one sentence where the package ``agents`` is not the service's; ``agents.main`` imports this first.

``openai-agents`` brings a package of the same name: an installer writes both into one folder, where the later ``__init__.py``
replaces the earlier. Status 3 is that of a start that failed, for uvicorn and gunicorn.
"""

from __future__ import annotations

import sys

import agents

if getattr(agents, "DISTRIBUTION", None) != "agentos":
    sys.stderr.write(
        f"The package `agents` is not the service's but {next(iter(agents.__path__))}: "
        "install agentos into an environment of its own.\n"
    )
    sys.exit(3)
