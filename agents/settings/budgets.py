"""The types of the settings that give workspaces budgets. See ``values``, and ``telemetry.agentos.budgets`` for their form."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, PlainValidator

from telemetry._base.json_text import parse_json
from telemetry._base.printable import is_text
from telemetry.agentos.budgets import Budget, BudgetFile, parse_budgets

__all__ = ["Budgets", "GivenBudgets", "LedgerPath"]


@dataclass(frozen=True, slots=True)
class GivenBudgets:
    """Budgets by workspace, and the file that they are from, if they are from one."""

    budgets: Mapping[str, Budget] = field(default_factory=dict)
    path: Path | None = None


def _budgets(value: object) -> GivenBudgets:
    """JSON, or the path of a file."""
    if isinstance(value, GivenBudgets):
        return value
    if not isinstance(value, str) or value.lstrip().startswith(("{", "[")):
        return GivenBudgets(parse_budgets(parse_json(value, Decimal) if isinstance(value, str) else value))
    if not is_text(value):
        raise ValueError("JSON, or the path of a file is needed")
    try:
        return GivenBudgets(BudgetFile(Path(value)).budgets, Path(value))
    except ValueError as error:
        raise ValueError(f"JSON, or the path of a file with it is needed; this one: {error}") from None


def _ledger(value: str) -> str:
    if value and not _may_be_file(value):
        raise ValueError("the path of a file in a directory that exists is needed")
    if value and not os.access(Path(value) if Path(value).exists() else Path(value).parent, os.W_OK):
        raise ValueError("the path of a file that can be written is needed")
    return value


def _may_be_file(value: str) -> bool:
    path = Path(value)
    try:
        usable = is_text(value) and value.strip(", ") != "" and path.parent.is_dir()
        return usable and (path.is_file() or not path.exists())
    except OSError:  # a name is too long, or a directory cannot be entered
        return False


Budgets = Annotated[GivenBudgets, PlainValidator(_budgets)]
LedgerPath = Annotated[str, AfterValidator(_ledger)]
