"""The metric reference, docs/metrics.md."""

from __future__ import annotations

from collections.abc import Iterator

from dashboards.site import JOB
from dashboards.slo import SHARES, WINDOWS, record
from telemetry.catalogue import AGENTOS, DESCRIPTIVE
from telemetry.label import INVALID, OTHER
from telemetry.metric import Kind, Label, Metric

__all__ = ["metrics_markdown"]

_TYPES = {
    Kind.COUNTER: "counter",
    Kind.OBSERVABLE_COUNTER: "counter",
    Kind.UP_DOWN_COUNTER: "gauge",
    Kind.OBSERVABLE_GAUGE: "gauge",
    Kind.HISTOGRAM: "histogram",
    Kind.INFO: "info",
}

_HEAD = f"""<!-- Written by `python -m dashboards`; change telemetry/catalogue.py, not this file. -->

# Metrics

What `/metrics` shows, and how to ask for it. All of it comes from `telemetry/catalogue.py`.

- Every query names the scrape job, `job="{JOB}"`: the same numbers can arrive by another way under another job.
- Counters start at 0 for the closed values of their labels as soon as the open ones are known.
- Any label may be `{INVALID}`: it was given something outside its domain.
- An open label is `{OTHER}` for what comes after its limit. Values that the settings name do not count towards it.
- Bucket bounds are written as Prometheus writes them, `1.0`. Match them with a pattern, not as text.
"""

_EXTRA = "# Shown where the settings ask for it\n"

_TABLE = """| label | values |
|---|---|
"""


def metrics_markdown() -> str:
    """The whole reference."""
    contents = "".join(f"- [`{m.prometheus_name}`](#{m.prometheus_name}): {m.help}\n" for m in (*AGENTOS, *DESCRIPTIVE))
    sections = [_section(metric) for metric in AGENTOS]
    return "\n".join([_HEAD, contents, *sections, _EXTRA, *map(_section, DESCRIPTIVE), _records()])


def _section(metric: Metric) -> str:
    unit = f", unit `{metric.unit}`" if metric.unit else ""
    lines = [
        f"## `{metric.prometheus_name}`\n",
        f"{metric.help}.\n",
        f"- Prometheus type: {_TYPES[metric.kind]}",
        f"- OpenTelemetry: {metric.kind.value} `{metric.name}`{unit}",
        f"- Recorded in: `{metric.recorded}`",
        *_buckets(metric),
    ]
    labels = "".join(f"| `{label.key}` | {_domain(label)} |\n" for label in metric.labels)
    return "\n".join([*lines, "", _TABLE + labels if labels else "No labels.\n", f"```promql\n{_example(metric)}\n```\n"])


def _buckets(metric: Metric) -> Iterator[str]:
    if metric.bounds:
        samples = ", ".join(f"`{metric.prometheus_name}_{part}`" for part in ("bucket", "sum", "count"))
        yield f"- Samples: {samples}"
        yield f"- Bucket bounds: {', '.join(str(bound) for bound in metric.bounds)}, +Inf"


def _domain(label: Label) -> str:
    if label.is_open:
        pattern = f"; at most {label.limit} beside the configured ones"
        return f"{label.description}{pattern}"
    values = ", ".join(f"`{value}`" for value in label.values)
    late = [f"`{value}`" for value in label.values if value not in label.start]
    return f"{label.description}: {values}" + (f" ({', '.join(late)} only once it is seen)" if late else "")


def _example(metric: Metric) -> str:
    selector, first = f'{{job="{JOB}"}}', metric.keys[:1]
    total = f"sum by ({first[0]})" if first else "sum"
    match _TYPES[metric.kind]:
        case "counter":
            return f"{total} (rate({metric.prometheus_name}{selector}[5m]))"
        case "histogram":
            buckets = f"sum by ({', '.join(('le', *first))}) (rate({metric.prometheus_name}_bucket{selector}[5m]))"
            return f"histogram_quantile(0.95, {buckets}) >= 0"
        case "gauge":
            return f"{total} ({metric.prometheus_name}{selector})"
        case _:
            return f"{metric.prometheus_name}{selector}"


def _records() -> str:
    names = "".join(
        f"- `{record(share.name, '<window>')}`: share of A2A calls that are bad for the {share.objective.name} objective "
        f"({share.objective.target:.1%} good)\n"
        for share in SHARES
    )
    windows = ", ".join(f"`{window}`" for window in WINDOWS)
    return f"## Recorded by Prometheus\n\n`dashboards/rules/agentos-recording.yml`, for the windows {windows}:\n\n{names}"
