"""``python -m dashboards.mutation``: changes each row of the catalogue in every way, and says which change nobody noticed.

A change is noticed when the generated files cannot be built from it, or differ from the committed ones.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import io
import sys
from collections.abc import Iterator
from unittest.mock import patch

from telemetry import catalogue
from telemetry.metric import Catalogue, Label, Metric

__all__ = ["mutants", "noticed"]


def mutants(metric: Metric) -> Iterator[tuple[str, Metric]]:
    """A row with its name changed, each label dropped or renamed, and each bucket bound dropped."""
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
    for bound in metric.bounds:
        yield f"without bound {bound:g}", _changed(metric, bounds=tuple(other for other in metric.bounds if other != bound))


def _changed(metric: Metric, **fields: object) -> Metric:
    return dataclasses.replace(metric, **fields)  # type: ignore[arg-type]  # the fields' types are those of the row


def _replaced(labels: tuple[Label, ...], old: Label, new: Label) -> tuple[Label, ...]:
    return tuple(new if label is old else label for label in labels)


def noticed(original: Metric, changed: Metric) -> str:
    """What notices the change, empty if nothing does."""
    rows: dict[str, object] = {name: changed for name, row in vars(catalogue).items() if row is original}
    rows["AGENTOS"] = Catalogue(changed if metric is original else metric for metric in catalogue.AGENTOS)
    rows["DESCRIPTIVE"] = tuple(changed if metric is original else metric for metric in catalogue.DESCRIPTIVE)
    # The modules take the rows when they are imported: they are imported anew, and put back afterwards.
    kept = {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] == "dashboards"}
    errors = io.StringIO()
    try:
        with patch.dict(vars(catalogue), rows), contextlib.redirect_stderr(errors):
            status = importlib.import_module("dashboards.__main__").main(["--check"])
    except (KeyError, ValueError) as error:
        return f"build: {error}"
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "dashboards"]:
            del sys.modules[name]
        sys.modules.update(kept)
    stale = [line.split(" is stale")[0] for line in errors.getvalue().splitlines() if " is stale" in line]
    return ", ".join(stale) if status else ""


def main() -> int:
    """Prints what was tried and who noticed; 1 if a change survived."""
    survivors, tried, stopped = [], 0, 0
    every = (*catalogue.AGENTOS, *catalogue.DESCRIPTIVE)
    for metric in every:
        for what, changed in mutants(metric):
            by = noticed(metric, changed)
            tried += 1
            stopped += by.startswith("build")
            if not by:
                survivors.append(f"{metric.name} {what}")
    sys.stdout.write(
        f"{tried} changes of {len(every)} metrics: {stopped} stop the build, {tried - stopped - len(survivors)} "
        f"make files stale\nsurvivors: {', '.join(survivors) or 'none'}\n"
    )
    return 1 if survivors else 0


if __name__ == "__main__":
    raise SystemExit(main())
