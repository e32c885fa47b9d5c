"""The command ``agentos``: ``uvicorn agents.main:app``, with uvicorn's options."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn

import agents.own_package

__all__ = ["main"]


def main() -> None:
    """Starts the service of this package, also where the current directory has a folder ``agents``."""
    folder = Path(agents.own_package.__file__).parents[1]
    uvicorn.main(["--app-dir", str(folder), "agents.main:app", *sys.argv[1:]], prog_name="agentos")
