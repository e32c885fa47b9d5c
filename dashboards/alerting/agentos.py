"""The alerts. A page says that people are being hurt now; a ticket can wait for the morning."""

from __future__ import annotations

from collections.abc import Iterator

from dashboards.alerting.alert import Alert, error_ratio
from dashboards.alerting.models import MODEL_ALERTS
from dashboards.alerting.slo import FAILED, RULES, SLOW, Share, burning
from dashboards.config import BURNS, JOB, SLO_DAYS
from telemetry.agentos.catalogue import A2A_ACTIVE_TASKS, A2A_REQUESTS, CACHE_OPERATIONS, CCR_REQUESTS, RATE_LIMIT_HITS
from telemetry.metric import telemetry_metrics

__all__ = ["ALERTS", "Alert"]


def _burns(name: str, share: Share, what: str, panel: str) -> Iterator[Alert]:
    for burn in BURNS:
        yield Alert(
            name,
            burn.severity,
            burn.wait,
            burning(share, burn),
            summary=f"{what}, over {burn.long} and still over {burn.short}",
            description=(
                f"The error budget ({share.objective.budget:.1%} of the calls of {SLO_DAYS} days) burns "
                f'{{{{ $value | printf "%.1f" }}}} times too fast over the last {burn.long}. '
                f"At {burn.rate:g} times it is gone within {burn.gone_in}."
            ),
            panel=panel,
            labels={"window": burn.long},
        )


def _service() -> Iterator[Alert]:
    yield Alert(
        "AgentOSDown",
        "page",
        "2m",
        f'absent(up{{job="{JOB}"}} == 1)',
        summary="No instance of AgentOS answers its scrape",
        description=f"Prometheus has reached no target of job {JOB} for 2 minutes: AgentOS is down, or out of reach.",
        labels={"job": JOB},
    )
    yield Alert(
        "AgentOSInstanceDown",
        "ticket",
        "5m",
        f'up{{job="{JOB}"}} == 0',
        summary="An instance of AgentOS does not answer its scrape: {{ $labels.instance }}",
        description="Prometheus has not reached {{ $labels.instance }} for 5 minutes. Its calls are missing from all numbers.",
    )


def _a2a() -> Iterator[Alert]:
    quiet, before = (RULES.increase(A2A_REQUESTS, "10m", "job"), RULES.increase(A2A_REQUESTS, "1h", "job", offset="10m"))
    yield Alert(
        "A2ANoTraffic",
        "ticket",
        "5m",
        f"{before} > 60\nand\n{quiet} == 0",
        summary="No A2A call ends any more",
        description='No A2A call in the last 10 minutes; {{ $value | printf "%.0f" }} in the hour before.',
        panel="Request Rate by Agent",
    )
    ended = RULES.increase(A2A_REQUESTS, "15m", "job", "agent")
    yield Alert(
        "A2ATasksStuck",
        "ticket",
        "5m",
        f"min_over_time({RULES.level(A2A_ACTIVE_TASKS, 'job', 'agent')}[15m:1m]) > 0\nunless\n{ended} > 0",
        summary="Calls to agent {{ $labels.agent }} do not end",
        description="{{ $value }} or more calls to {{ $labels.agent }} have been running for 15 minutes; none has ended.",
        panel="Active Tasks by Agent",
        narrow=("agent",),
    )


def _backends() -> Iterator[Alert]:
    share, count = error_ratio(CCR_REQUESTS, "10m", "job", "provider", status="error")
    yield Alert(
        "CCRProviderFailing",
        "ticket",
        "5m",
        f"{share} > 0.25\nand\n{count} > 5",
        summary="Model provider {{ $labels.provider }} fails",
        description="{{ $value | humanizePercentage }} of the calls to {{ $labels.provider }} failed in the last 10 minutes.",
        panel="Request Rate by Provider",
        narrow=("provider",),
    )
    share, count = error_ratio(RATE_LIMIT_HITS, "10m", "job", "workspace_id", result="denied")
    yield Alert(
        "RateLimitWorkspaceDenied",
        "ticket",
        "5m",
        f"{share} > 0.5\nand\n{count} > 20",
        summary="Workspace {{ $labels.workspace_id }} is mostly refused",
        description=(
            "{{ $value | humanizePercentage }} of the requests of workspace {{ $labels.workspace_id }} were refused "
            "with 429 in the last 10 minutes."
        ),
        panel="Rate Limit Decisions",
        narrow=("workspace_id",),
    )
    share, _ = error_ratio(RATE_LIMIT_HITS, "5m", "job", result="error")
    yield Alert(
        "RateLimitBackendFailing",
        "ticket",
        "5m",
        f"{share} > 0.01",
        summary="The rate limiter's backend fails: requests pass unlimited",
        description="{{ $value | humanizePercentage }} of the requests of the last 5 minutes passed without a limit.",
        panel="Rate Limit Decisions",
    )
    share, _ = error_ratio(CACHE_OPERATIONS, "5m", "job", result="error")
    yield Alert(
        "CacheBackendFailing",
        "ticket",
        "5m",
        f"{share} > 0.05",
        summary="The cache's backend fails",
        description="{{ $value | humanizePercentage }} of the cache operations of the last 5 minutes failed.",
        panel="Cache Hit/Miss Rate",
    )


def _telemetry() -> Iterator[Alert]:
    by = ("job", *telemetry_metrics.OVERFLOW.keys)
    series = RULES.series(telemetry_metrics.OVERFLOW)
    # The counter has no zero to start from: a series that was not there before counts in full.
    new = f"sum by ({', '.join(by)}) ({series} unless {series} offset 15m)"
    yield Alert(
        "TelemetryLabelOverflow",
        "ticket",
        "1m",
        f"{RULES.increase(telemetry_metrics.OVERFLOW, '15m', *by)} > 0\nor\n{new} > 0",
        summary="Label {{ $labels.label }} of {{ $labels.metric }} is full",
        description=(
            'About {{ $value | printf "%.0f" }} measurements of the last 15 minutes are counted under {{ $labels.label }} '
            '"other": the label has reached its limit.'
        ),
    )
    yield Alert(
        "ExporterQueueFilling",
        "ticket",
        "5m",
        # The collector's own metrics: https://opentelemetry.io/docs/collector/internal-telemetry/
        "otelcol_exporter_queue_size\n/ on (job, instance, exporter) group_left ()\n"
        "max by (job, instance, exporter) (otelcol_exporter_queue_capacity)\n> 0.8",
        summary="The collector's queue to {{ $labels.exporter }} is nearly full",
        description=(
            "{{ $value | humanizePercentage }} of the queue of {{ $labels.exporter }} on {{ $labels.instance }} is taken. "
            "When it is full, traces and pushed metrics are lost."
        ),
    )


ALERTS: tuple[Alert, ...] = (
    *_service(),
    *_burns("A2AErrorBudgetBurn", FAILED, "Too many A2A calls fail", "Success vs Error Rate"),
    *_burns("A2ALatencyBudgetBurn", SLOW, "Too many A2A calls are slow", "Request Duration Percentiles (p50, p95, p99)"),
    *_a2a(),
    *_backends(),
    *MODEL_ALERTS,
    *_telemetry(),
)
