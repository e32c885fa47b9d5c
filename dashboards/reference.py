"""The metric reference, ``docs/metrics.md``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from dashboards.alerting.slo import SHARES, WINDOWS, record
from dashboards.alerting.workspaces import RECORDS
from dashboards.config import JOB
from dashboards.promql import Query, aggregation
from telemetry.agentos import catalogue_agents, catalogue_workspaces
from telemetry.agentos.catalogue import AGENTOS
from telemetry.agentos.catalogue_genai import LATEST, V1_36, V1_41
from telemetry.agentos.catalogue_models import ROWS
from telemetry.metric import Kind, Label, Metric, MultiprocessMode
from telemetry.metric.label import INVALID, OTHER
from telemetry.metric.telemetry_metrics import DESCRIPTIVE
from telemetry.runtime import RUNTIME

__all__ = ["metrics_markdown"]

_TYPES = {
    Kind.COUNTER: "counter",
    Kind.OBSERVABLE_COUNTER: "counter",
    Kind.UP_DOWN_COUNTER: "gauge",
    Kind.OBSERVABLE_GAUGE: "gauge",
    Kind.HISTOGRAM: "histogram",
    Kind.INFO: "info",
}

_HEAD = f"""<!-- Written by `python -m dashboards`; change the catalogues, not this file. -->

# Metrics

What `/metrics` shows, and how to ask for it. All of it comes from the catalogues: `telemetry/agentos/catalogue.py` and
`catalogue_*.py` beside it, `telemetry/runtime/catalogue.py` and `telemetry/metric/telemetry_metrics.py`.

- Every query names the scrape job, `job="{JOB}"`: the same numbers can arrive by another way under another job.
- Counters start at 0 for the closed values of their labels as soon as the open ones are known.
- Any label may be `{INVALID}`: it was given something outside its domain.
- An open label is `{OTHER}` for what comes after its limit. Values that the settings name do not count towards it.
- Prometheus stores a histogram `x` as `x_bucket`, `x_sum` and `x_count`, as the native histogram `x`, or as both. The queries
  read what they find.
- Bucket bounds are written as Prometheus writes them, `1.0`. Match them with a pattern, not as text.
"""

_DESCRIPTIVE = "# Shown with AGENTOS_TELEMETRY_METRICS\n"
_MODELS = "# Shown with AGENTOS_MODEL_METRICS\n\nWhich names come from where, and what they are for: [models.md](models.md).\n"
_AGENTS = "# Shown with AGENTOS_AGENT_METRICS\n"
_RUNTIME = """# Shown with AGENTOS_RUNTIME_METRICS

The names are those of `prometheus_client`'s own collectors where it has them.
"""
_GENAI = """# OpenTelemetry's GenAI metrics

`AGENTOS_GENAI_METRICS` switches them on, pushed over OTLP or on `/metrics` as well. These are the latest ones, for
`gen_ai_latest_experimental` in `OTEL_SEMCONV_STABILITY_OPT_IN` or `AGENTOS_GENAI_VERSION=genai-0.1.0`. The older ones stand
behind them.
"""

_TABLE = """| label | values |
|---|---|
"""


def metrics_markdown() -> str:
    """Returns the whole reference as Markdown."""
    agents = (*catalogue_agents.ROWS, *catalogue_workspaces.ROWS)
    every = (*AGENTOS, *DESCRIPTIVE, *ROWS, *agents, *RUNTIME, *LATEST.rows)
    contents = "".join(f"- [`{m.prometheus_name}`](#{m.prometheus_name.lower()}): {m.help.rstrip('.')}\n" for m in every)
    parts = [
        *_sections(AGENTOS),
        *_sections(DESCRIPTIVE, _DESCRIPTIVE),
        *_sections(ROWS, _MODELS),
        *_sections(agents, _AGENTS),
        *_sections(RUNTIME, _RUNTIME),
        *_sections(LATEST.rows, _GENAI),
        *_before(),
        _records(),
    ]
    return "\n".join([_HEAD, contents, *parts])


def _sections(metrics: Sequence[Metric], title: str = "") -> Iterator[str]:
    if title:
        yield title
    yield from map(_section, metrics)


def _section(metric: Metric) -> str:
    unit = f", unit `{metric.unit}`" if metric.unit else ""
    lines = [
        f"## `{metric.prometheus_name}`\n",
        f"{metric.help.rstrip('.')}.\n",
        f"- Prometheus type: {_TYPES[metric.kind]}",
        f"- OpenTelemetry: {metric.kind.value} `{metric.name}`{unit}",
        f"- Recorded in: `{metric.recorded_in}`",
        *_several(metric),
        *_buckets(metric),
    ]
    labels = "".join(f"| `{label.prometheus_key}` | {_domain(label)} |\n" for label in metric.labels)
    return "\n".join([*lines, "", _TABLE + labels if labels else "No labels.\n", f"```promql\n{_example(metric)}\n```\n"])


def _several(metric: Metric) -> Iterator[str]:
    """The line about a gauge that shows the maximum or minimum of several workers instead of their sum."""
    which = {MultiprocessMode.MAX: "highest", MultiprocessMode.MIN: "lowest"}.get(metric.multiprocess_mode)
    if which is not None:
        yield f"- Of several workers the {which} is shown, and of several instances the {which} counts"


def _buckets(metric: Metric) -> Iterator[str]:
    if metric.kind is Kind.HISTOGRAM:
        yield "- Samples: " + ", ".join(f"`{metric.prometheus_name}_{part}`" for part in ("bucket", "sum", "count"))
    if metric.bounds:
        yield f"- Bucket bounds: {', '.join(str(bound) for bound in metric.bounds)}, +Inf"
    if metric.native:
        yield f"- Native buckets: scale {metric.native.max_scale} or coarser, at most {metric.native.max_size} a series"


def _domain(label: Label) -> str:
    if label.is_open:
        text = f"{label.description}; at most {label.limit} beside the configured ones"
    else:
        values = ", ".join(f"`{value}`" for value in label.values)
        late = [f"`{value}`" for value in label.values if value not in label.start]
        text = f"{label.description}: {values}" + (f" ({', '.join(late)} only once it is seen)" if late else "")
    dotted = f"; OpenTelemetry's `{label.key}`" if label.key != label.prometheus_key else ""
    return text + dotted + ("; may be missing" if label.optional else "")


def _example(metric: Metric) -> str:
    selector, first = f'{{job="{JOB}"}}', [label.prometheus_key for label in metric.labels[:1]]
    total = f"sum by ({first[0]})" if first else "sum"
    match _TYPES[metric.kind]:
        case "counter":
            return f"{total} (rate({metric.prometheus_name}{selector}[5m]))"
        case "histogram":
            return Query(job=JOB, variables={}).quantile(0.95, metric, "5m", *(label.key for label in metric.labels[:1]))
        case "gauge":
            return f"{total.replace('sum', aggregation(metric))} ({metric.prometheus_name}{selector})"
        case _:
            return f"{metric.prometheus_name}{selector}"


def _before() -> Iterator[str]:
    """The older versions of the conventions: of each the rows that differ from those of the version after it."""
    known = {row.name: row for row in LATEST.rows}
    yield (
        "## GenAI metrics of version 1.41.0\n\nThey are recorded with `AGENTOS_GENAI_VERSION=1.41.0`: those of the server as "
        "above, and those of the client below.\n"
    )
    yield from (_section(row) for row in V1_41.rows if known.get(row.name) != row)
    old = {row.name: row for row in V1_36.rows}
    missing = [f"`{row.prometheus_name}`" for row in V1_41.rows if row.name not in old]
    yield (
        "## GenAI metrics of version 1.36.0\n\nThey are recorded without the opt-in. "
        f"`{V1_36.provider.prometheus_key}` stands for `{V1_41.provider.prometheus_key}`"
        + (f", and {' and '.join(missing)} are missing" if missing else "")
        + ". All else is as in version 1.41.0.\n"
    )
    new = {row.name: _with_provider(row) for row in V1_41.rows}
    for row in V1_36.rows:
        if new.get(row.name) != row:
            yield _section(row)


def _with_provider(row: Metric) -> Metric:
    """A row of 1.41.0 with the provider key of 1.36.0."""
    return replace(row, labels=tuple(V1_36.provider if label == V1_41.provider else label for label in row.labels))


def _records() -> str:
    names = "".join(
        f"- `{record(share.name, '<window>')}`: share of A2A calls that are bad for the {share.objective.name} objective "
        f"({share.objective.target:.1%} good)\n"
        for share in SHARES
    )
    windows = ", ".join(f"`{window}`" for window in WINDOWS)
    money = "".join(f"- `{one.name}`: {one.help}\n" for one in RECORDS)
    shares = f"`dashboards/rules/agentos-recording.yml`, for the windows {windows}:\n\n{names}"
    return f"## Recorded by Prometheus\n\n{shares}\nAnd for each workspace:\n\n{money}"
