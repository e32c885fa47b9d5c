"""The command ``agentos``: ``uvicorn agents.main:app``, with uvicorn's options."""

from __future__ import annotations

# First: the imports below fail where `agents` is another distribution's package, or a variable cannot be used.
import agents.own_package
import agents.read_at_import

# isort: split
import os
import sys
from pathlib import Path

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from agents.settings import Settings, SettingsError
from telemetry._base.otel_settings import ExportSettingsError, check

__all__ = ["main"]


def main() -> None:
    """Starts the service of this package, also where the current directory has a folder ``agents``.

    The settings are read here too, before there are workers: uvicorn's supervisor ends with status 0 when they fail to start.
    """
    if not {"--help", "--version"} & set(sys.argv):
        try:
            Settings.from_environment()
            check(os.environ)
        except (SettingsError, ExportSettingsError) as error:
            sys.stderr.write(f"{error}\n")
            sys.exit(STARTUP_FAILURE)
    folder = Path(agents.own_package.__file__).parents[1]
    uvicorn.main(["--app-dir", str(folder), "agents.main:app", *sys.argv[1:]], prog_name="agentos")
