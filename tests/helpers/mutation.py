"""``python -m tests.helpers.mutation``: changes each row of the catalogue in every way and lists the unnoticed changes.

A change is noticed if the build of the generated files fails, or if a file differs from the committed one.
"""

from __future__ import annotations

import dataclasses
import importlib
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from types import ModuleType
from typing import Any
from unittest.mock import patch

import telemetry.runtime
from telemetry.agentos import catalogue, catalogue_agents, catalogue_genai, catalogue_models, catalogue_workspaces
from telemetry.agentos.catalogue_genai import LATEST, V1_36, V1_41, GenAI
from telemetry.metric import Catalogue, Label, Metric, MultiprocessMode, telemetry_metrics
from telemetry.runtime import catalogue as catalogue_runtime

__all__ = ["EVERY", "mutants", "noticed"]

MODULES = (
    *(catalogue, catalogue_models, catalogue_agents, catalogue_workspaces, catalogue_genai),
    *(catalogue_runtime, telemetry.runtime, telemetry_metrics),
)

EVERY = (
    *(*catalogue.AGENTOS, *telemetry_metrics.DESCRIPTIVE, *catalogue_models.ROWS),
    *(*catalogue_agents.ROWS, *catalogue_workspaces.ROWS, *catalogue_runtime.RUNTIME),
    *(*LATEST.rows, *V1_41.rows, *V1_36.rows),
)
"""Every row of every catalogue."""


def mutants(metric: Metric) -> Iterator[tuple[str, Metric]]:
    """Yields the row with a new name or rule for workers, without or with renamed labels, without a value or bound."""
    yield (
        "renamed",
        _changed(metric, name=metric.name.replace(".info", "2.info") if metric.name.endswith(".info") else f"{metric.name}2"),
    )
    for label in metric.labels:
        yield (
            f"without label {label.key}",
            _changed(metric, labels=tuple(other for other in metric.labels if other is not label)),
        )
        new = dataclasses.replace(label, key=f"{label.key}2")
        yield f"label {label.key} renamed", _changed(metric, labels=_replaced(metric.labels, label, new))
        for value in label.values:
            less = dataclasses.replace(label, values=tuple(other for other in label.values if other != value) or ("none",))
            yield f"without {label.key}={value}", _changed(metric, labels=_replaced(metric.labels, label, less))
    if metric.multiprocess_mode in (MultiprocessMode.MAX, MultiprocessMode.MIN):
        yield "multiprocess mode summed", _changed(metric, multiprocess_mode=MultiprocessMode.SUM)
    for bound in metric.bounds:
        yield f"without bound {bound:g}", _changed(metric, bounds=tuple(other for other in metric.bounds if other != bound))


def _changed(metric: Metric, **fields: object) -> Metric:
    return dataclasses.replace(metric, **fields)  # type: ignore[arg-type]  # the fields' types are those of the row


def _replaced(labels: tuple[Label, ...], old: Label, new: Label) -> tuple[Label, ...]:
    return tuple(new if label is old else label for label in labels)


def noticed(original: Metric, changed: Metric) -> str:
    """Returns the file or error that first shows the change, or an empty string."""
    # The modules read the rows at import, so they are imported again for each change and restored afterwards.
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "dashboards"}
    try:
        with ExitStack() as patches:
            for module in MODULES:
                patches.enter_context(patch.dict(vars(module), _with(module, original, changed)))
            return next(importlib.import_module("dashboards.__main__").stale(), "")
    except (KeyError, ValueError) as error:
        return f"build: {error}"
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "dashboards"]:
            del sys.modules[name]
        sys.modules.update(kept)


def _with(module: ModuleType, original: Metric, changed: Metric) -> dict[str, object]:
    """The module's names that hold the row, or a collection with it, with the changed row in its place."""

    def replaced(value: Any) -> Any:  # the type stays that of the value
        match value:
            case Metric():
                return changed if value is original else value
            case Catalogue():
                return Catalogue(replaced(metric) for metric in value)
            case tuple():
                return tuple(replaced(one) for one in value)
            case GenAI():
                fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
                return GenAI(**{name: replaced(one) for name, one in fields.items()})
            case _:
                return value

    return {name: new for name, value in vars(module).items() if (new := replaced(value)) is not value}


def main() -> int:
    """Prints the number of changes and the unnoticed ones; returns 1 if there are any."""
    survivors, tried, stopped = [], 0, 0
    for metric in EVERY:
        for what, changed in mutants(metric):
            by = noticed(metric, changed)
            tried += 1
            stopped += by.startswith("build")
            if not by:
                survivors.append(f"{metric.name} {what}")
    sys.stdout.write(
        f"{tried} changes of {len(EVERY)} metrics: {stopped} stop the build, {tried - stopped - len(survivors)} "
        f"make files stale\nsurvivors: {', '.join(survivors) or 'none'}\n"
    )
    return 1 if survivors else 0


if __name__ == "__main__":
    raise SystemExit(main())
