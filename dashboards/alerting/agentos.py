"""The alerts of the service, the A2A calls and the backends, each with its test cases.

A page says that users are affected now; a ticket can wait for the morning.
"""

from __future__ import annotations

from dashboards.alerting.alert import Alert, Case, error_ratio, series
from dashboards.alerting.slo import FAILED, QUERY, SLOW, Share, burning
from dashboards.config import BURNS, JOB, SLO_DAYS
from telemetry.agentos.catalogue import A2A_ACTIVE_TASKS, A2A_REQUESTS, CACHE_OPERATIONS, CCR_REQUESTS, RATE_LIMIT_HITS

__all__ = ["AGENTOS_ALERTS"]


def _up(instance: str) -> str:
    return f'up{{job="{JOB}", instance="{instance}"}}'


def _navi(status: str) -> str:
    return series(A2A_REQUESTS, agent="navi", operation="query", status=status)


def _model(status: str) -> str:
    return series(CCR_REQUESTS, provider="openai", task_type="chat", status=status)


def _limit(workspace: str, result: str) -> str:
    return series(RATE_LIMIT_HITS, endpoint="/api/runs", workspace_id=workspace, result=result)


def _get(result: str) -> str:
    return series(CACHE_OPERATIONS, operation="get", result=result)


_TASKS = series(A2A_ACTIVE_TASKS, agent="navi")


def _burns(name: str, share: Share, what: str, panel: str) -> tuple[Alert, ...]:
    """The alerts of an objective, one for each pair of windows; ``rules.py`` makes their cases."""
    return tuple(
        Alert(
            name,
            severity=burn.severity,
            wait=burn.wait,
            expr=burning(share, burn),
            summary=f"{what}, over {burn.long} and still over {burn.short}",
            description=(
                f"The error budget ({share.objective.budget:.1%} of the calls of {SLO_DAYS} days) burns "
                f'{{{{ $value | printf "%.1f" }}}} times too fast over the last {burn.long}. '
                f"At {burn.rate:g} times it is gone within {burn.gone_in}."
            ),
            panel=panel,
            labels={"window": burn.long},
        )
        for burn in BURNS
    )


AGENTOS_ALERTS: tuple[Alert, ...] = (
    Alert(
        "AgentOSDown",
        severity="page",
        wait="2m",
        expr=f'absent(up{{job="{JOB}"}} == 1)',
        summary="No instance of AgentOS answers its scrape",
        description=f"Prometheus has reached no target of job {JOB} for 2 minutes: AgentOS is down, or out of reach.",
        labels={"job": JOB},
        cases=(
            Case("fires when no target answers", {_up("a"): "1x5 0x5", _up("b"): "1x4 0x6"}, 8, {}),
            Case("fires when the job has no target any more", {_up("a"): "1x5 _x20"}, 12, {}),
            Case("is silent while one of two answers", {_up("a"): "1x10", _up("b"): "0x10"}, 10),
        ),
    ),
    Alert(
        "AgentOSInstanceDown",
        severity="ticket",
        wait="5m",
        expr=f'up{{job="{JOB}"}} == 0',
        summary="An instance of AgentOS does not answer its scrape: {{ $labels.instance }}",
        description="Prometheus has not reached {{ $labels.instance }} for 5 minutes. Its calls are missing from all numbers.",
        cases=(
            Case("fires for the one that does not answer", {_up("a"): "1x20", _up("b"): "1x5 0x15"}, 11, {"instance": "b"}),
            Case("is silent during a restart of four minutes", {_up("a"): "1x5 0x3 1x10"}, 11),
        ),
    ),
    *_burns("A2AErrorBudgetBurn", FAILED, "Too many A2A calls fail", "Success vs Error Rate"),
    *_burns("A2ALatencyBudgetBurn", SLOW, "Too many A2A calls are slow", "Request Duration Percentiles (p50, p95, p99)"),
    Alert(
        "A2ANoTraffic",
        severity="ticket",
        wait="5m",
        expr=f"{QUERY.increase(A2A_REQUESTS, '1h', 'job', offset='10m')} > 60\n"
        f"and\n{QUERY.increase(A2A_REQUESTS, '10m', 'job')} == 0",
        summary="No A2A call ends any more",
        description='No A2A call in the last 10 minutes; {{ $value | printf "%.0f" }} in the hour before.',
        panel="Request Rate by Agent",
        cases=(
            Case("fires ten minutes after the last call, and the wait", {_navi("success"): "0+3x100 300x30"}, 114, {}, "168"),
            Case("is silent where calls are rare", {_navi("success"): "0x40 1x10 2x60"}, 110),
            Case("is silent where one call comes now and then", {_navi("success"): "0+3x100 300x8 301x8 302x8"}, 124),
        ),
    ),
    Alert(
        "A2ATasksStuck",
        severity="ticket",
        wait="5m",
        expr=f"min_over_time({QUERY.level(A2A_ACTIVE_TASKS, 'job', 'agent')}[15m:1m]) > 0\n"
        f"unless\n{QUERY.increase(A2A_REQUESTS, '15m', 'job', 'agent')} > 0",
        summary="Calls to agent {{ $labels.agent }} do not end",
        description="{{ $value }} or more calls to {{ $labels.agent }} have been running for 15 minutes; none has ended.",
        panel="Active Tasks by Agent",
        narrow=("agent",),
        cases=(
            Case(
                "fires when calls run and none ends",
                {_TASKS: "0x5 2x40", _navi("success"): "7x45", _navi("error"): "0x45"},
                25,
                {"agent": "navi"},
                "2",
            ),
            Case(
                "fires when the first call of all hangs, before its counters exist",
                {_TASKS: "0x5 1x40"},
                25,
                {"agent": "navi"},
                "1",
            ),
            Case("is silent while calls end", {_TASKS: "2x60", _navi("success"): "0+1x60"}, 45),
            Case("is silent while nothing runs", {_TASKS: "0x60", _navi("success"): "7x60"}, 45),
        ),
    ),
    Alert(
        "CCRProviderFailing",
        severity="ticket",
        wait="5m",
        expr=f"{error_ratio(CCR_REQUESTS, '10m', 'job', 'provider', status='error')} > 0.25\n"
        f"and\n{QUERY.increase(CCR_REQUESTS, '10m', 'job', 'provider', status='error')} > 5",
        summary="Model provider {{ $labels.provider }} fails",
        description="{{ $value | humanizePercentage }} of the calls to {{ $labels.provider }} failed in the last 10 minutes.",
        panel="Request Rate by Provider",
        narrow=("provider",),
        cases=(
            Case(
                "fires when a third of the calls fail",
                {_model("success"): "0+2x20", _model("error"): "0+1x20"},
                11,
                {"provider": "openai"},
                "33.33%",
            ),
            Case("is silent when a fifth fails", {_model("success"): "0+4x20", _model("error"): "0+1x20"}, 20),
            Case("is silent when four calls in all failed", {_model("error"): "0 1 2 3 4x20"}, 12),
        ),
    ),
    Alert(
        "RateLimitWorkspaceDenied",
        severity="ticket",
        wait="5m",
        expr=f"{error_ratio(RATE_LIMIT_HITS, '10m', 'job', 'workspace_id', result='denied')} > 0.5\n"
        f"and\n{QUERY.increase(RATE_LIMIT_HITS, '10m', 'job', 'workspace_id', result='denied')} > 20",
        summary="Workspace {{ $labels.workspace_id }} is mostly refused",
        description=(
            "{{ $value | humanizePercentage }} of the requests of workspace {{ $labels.workspace_id }} were refused "
            "with 429 in the last 10 minutes."
        ),
        panel="Rate Limit Decisions",
        narrow=("workspace_id",),
        cases=(
            Case(
                "fires for the workspace that is refused",
                {_limit("acme", "allowed"): "0+1x20", _limit("acme", "denied"): "0+9x20", _limit("zen", "allowed"): "0+9x20"},
                8,
                {"workspace_id": "acme"},
                "90%",
            ),
            Case(
                "is silent when less than half is refused",
                {_limit("acme", "allowed"): "0+6x20", _limit("acme", "denied"): "0+4x20"},
                20,
            ),
            Case(
                "is silent over a few refusals",
                {_limit("acme", "allowed"): "0x30", _limit("acme", "denied"): "0x5 0+2x8 16x16"},
                20,
            ),
        ),
    ),
    Alert(
        "RateLimitBackendFailing",
        severity="ticket",
        wait="5m",
        expr=f"{error_ratio(RATE_LIMIT_HITS, '5m', 'job', result='error')} > 0.01",
        summary="The rate limiter's backend fails: requests pass unlimited",
        description="{{ $value | humanizePercentage }} of the requests of the last 5 minutes passed without a limit.",
        panel="Rate Limit Decisions",
        cases=(
            Case(
                "fires when requests pass without a limit",
                {_limit("acme", "allowed"): "0+96x20", _limit("acme", "error"): "0+4x20"},
                6,
                {},
                "4%",
            ),
            Case(
                "is silent over one failure", {_limit("acme", "allowed"): "0+100x20", _limit("acme", "error"): "0x5 1x15"}, 12
            ),
        ),
    ),
    Alert(
        "CacheBackendFailing",
        severity="ticket",
        wait="5m",
        expr=f"{error_ratio(CACHE_OPERATIONS, '5m', 'job', result='error')} > 0.05",
        summary="The cache's backend fails",
        description="{{ $value | humanizePercentage }} of the cache operations of the last 5 minutes failed.",
        panel="Cache Hit/Miss Rate",
        cases=(
            Case(
                "fires when cache operations fail",
                {_get("hit"): "0+1x20", _get("miss"): "0+2x20", _get("error"): "0+1x20"},
                6,
                {},
                "25%",
            ),
            Case("is silent over misses", {_get("miss"): "0+9x20", _get("error"): "0x20"}, 20),
        ),
    ),
)
