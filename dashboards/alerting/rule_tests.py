"""Unit tests of the rules, as promtool runs them: for each alert when it must fire and when not, for each record its value.

``rule_cases.py`` has the alerts' cases; those of the objectives are made here, for all windows alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from dashboards.alerting.agentos import ALERTS
from dashboards.alerting.alert import Alert
from dashboards.alerting.rule_case import Case, series
from dashboards.alerting.rule_cases import CASES
from dashboards.alerting.slo import FAILED, SHARES, WINDOWS, Share, minutes, record
from dashboards.config import BURNS, LATENCY, Burn
from dashboards.yaml_text import text
from telemetry.agentos.catalogue import A2A_ERRORS, A2A_REQUEST_DURATION, A2A_REQUESTS

__all__ = ["slow_tests_yaml", "tests_yaml"]

CALLS = 80_000
"""A2A calls a step in the cases of the objectives: every share that they need is a whole number of calls."""

SLOW_STEP = 15
"""Minutes of a step in the cases whose windows are days."""


def tests_yaml() -> str:
    """Cases in steps of a minute: all but those of windows of days."""
    return _file([*(_test(case) for case in CASES), *_objectives(1), _cancelled()], "1m")


def slow_tests_yaml() -> str:
    """Cases of the windows of days, in longer steps: promtool evaluates every rule at each step."""
    return _file(list(_objectives(SLOW_STEP)), f"{SLOW_STEP}m")


def _file(tests: list[dict[str, object]], step: str) -> str:
    return text(
        {
            "rule_files": ["../agentos-recording.yml", "../agentos-alerts.yml"],
            "evaluation_interval": step,
            "group_eval_order": [*(f"agentos_{share.objective.name}" for share in SHARES), "agentos_alerts"],
            "tests": tests,
        }
    )


def _test(case: Case) -> dict[str, object]:
    alert = next(alert for alert in ALERTS if alert.name == case.alert)
    expected = [_expected(alert, labels, values) for labels, values in case.fires]
    return {
        "name": f"{case.alert}: {case.what}",
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in case.given.items()],
        "alert_rule_test": [
            {"alertname": case.alert, "eval_time": f"{case.at - 1}m", "exp_alerts": []} for _ in [None] if case.fires
        ]
        + [{"alertname": case.alert, "eval_time": f"{case.at}m", "exp_alerts": expected}],
    }


def _expected(alert: Alert, labels: Mapping[str, str], value: str) -> dict[str, object]:
    """The alert with the texts that its labels and value give."""
    everything = {"job": "agentos", **alert.labels, **labels}

    def filled(template: str) -> str:
        for key, said in everything.items():
            template = template.replace(f"{{{{ $labels.{key} }}}}", said)
        for form in (
            "{{ $value }}",
            '{{ $value | printf "%.0f" }}',
            '{{ $value | printf "%.1f" }}',
            '{{ $value | printf "%.2f" }}',
            "{{ $value | humanizePercentage }}",
        ):
            template = template.replace(form, value)
        return template

    return {
        "exp_labels": {"severity": alert.severity, **everything},
        "exp_annotations": {name: filled(template) for name, template in alert.annotations.items()},
    }


def _objectives(step: int) -> Iterator[dict[str, object]]:
    """The cases that are taken in this step."""
    for share in SHARES:
        name = next(alert.name for alert in ALERTS if alert.expr.startswith(f"job:{share.name}:"))
        for burn in BURNS:
            if (step == SLOW_STEP) == burn.long.endswith("d"):
                yield _burns(share, name, burn, step)
                yield _burns_slower(share, name, burn, step)
                yield _burst(share, name, burn, step)
        for window in WINDOWS:
            if (step == SLOW_STEP) == (minutes(window) >= 2 * 60):
                yield from _record(share, window, step)


def _calls(share: Share, *stretches: tuple[float, int]) -> list[dict[str, str]]:
    """A2A calls, stretch after stretch: the share of bad ones, and for how many steps."""

    def grows(part: Callable[[int], int]) -> str:
        """A counter that takes this part of the calls; told is how many of them are bad."""
        values: list[str] = []
        total = 0
        for bad, steps in stretches:
            by = part(round(CALLS * bad))
            values.append(f"{total + by}+{by}x{steps - 1}" if values else f"0+{by}x{steps}")
            total += by * steps
        return " ".join(values)

    good, bad, every = grows(lambda bad: CALLS - bad), grows(lambda bad: bad), grows(lambda _: CALLS)
    if share is FAILED:
        navi = {"agent": "navi", "operation": "query"}
        return [
            {"series": series(A2A_REQUESTS, **navi, status="success"), "values": good},
            {"series": series(A2A_REQUESTS, **navi, status="error"), "values": bad},
            {"series": series(A2A_ERRORS, **navi, error_type="timeout"), "values": bad},
        ]
    labels = {"agent": "navi", "operation": "query", "status": "success"}
    return [
        {"series": series(A2A_REQUEST_DURATION, "bucket", le=str(LATENCY.under), **labels), "values": good},
        {"series": series(A2A_REQUEST_DURATION, "count", **labels), "values": every},
    ]


def _burns(share: Share, name: str, burn: Burn, step: int) -> dict[str, object]:
    """Burning a quarter too fast: fires after its wait, and is over when the short window is clean."""
    long, short, wait = (minutes(duration) for duration in (burn.long, burn.short, burn.wait))
    rate = 1.25 * burn.rate
    firing = f'count(ALERTS{{alertname="{name}", window="{burn.long}", alertstate="firing"}}) or vector(0)'
    alert = next(alert for alert in ALERTS if alert.name == name and alert.labels["window"] == burn.long)
    expected = [_expected(alert, {}, f"{rate:.1f}")]
    return {
        "name": f"{name}: {rate:g} times too fast fires over {burn.long} after {burn.wait}, ends {burn.short} after the last",
        "interval": f"{step}m",
        "input_series": _calls(share, (rate * share.objective.budget, long // step), (0, short // step + 2)),
        # The first step has no rate yet. The alerts of the longer windows still wait at this time.
        "alert_rule_test": [{"alertname": name, "eval_time": f"{wait + step}m", "exp_alerts": expected}],
        "promql_expr_test": [
            _value(firing, wait, 0),
            _value(firing, wait + step, 1),
            _value(firing, long, 1),
            _value(firing, long + short + step, 0),
        ],
    }


def _burns_slower(share: Share, name: str, burn: Burn, step: int) -> dict[str, object]:
    """Burning a tenth slower than the alert allows: silence."""
    rate, long = 0.9 * burn.rate, minutes(burn.long)
    alerts = f'count(ALERTS{{alertname="{name}", window="{burn.long}"}}) or vector(0)'
    return {
        "name": f"{name}: {rate:g} times too fast is not enough over {burn.long}",
        "interval": f"{step}m",
        "input_series": _calls(share, (rate * share.objective.budget, long // step)),
        "promql_expr_test": [_value(alerts, long, 0)],
    }


def _burst(share: Share, name: str, burn: Burn, step: int) -> dict[str, object]:
    """Burning a quarter too fast over the short window alone, after a long time without a bad call: silence."""
    long, short = minutes(burn.long), minutes(burn.short)
    bad = 1.25 * burn.rate * share.objective.budget
    alerts = f'count(ALERTS{{alertname="{name}", window="{burn.long}"}}) or vector(0)'
    return {
        "name": f"{name}: a burst of {burn.short} is not enough over {burn.long}",
        "interval": f"{step}m",
        "input_series": _calls(share, (0, long // step), (bad, short // step)),
        "promql_expr_test": [_value(alerts, long + short, 0)],
    }


def _record(share: Share, window: str, step: int) -> Iterator[dict[str, object]]:
    """A record with its value, and without a sample where nobody called."""
    name, at = record(share.name, window), minutes(window)
    millionths = [{"labels": '{job="agentos"}', "value": 250_000}]
    quiet = [{**line, "values": f"7x{at // step}"} for line in _calls(share, (0.25, 0))]
    for what, given, samples in (
        ("a quarter", _calls(share, (0.25, at // step)), millionths),
        ("no sample without calls", quiet, []),
    ):
        yield {
            "name": f"{name}: {what}",
            "interval": f"{step}m",
            "input_series": given,
            "promql_expr_test": [{"expr": f"round({name} * 1e6)", "eval_time": f"{at}m", "exp_samples": samples}],
        }


def _cancelled() -> dict[str, object]:
    navi = {"agent": "navi", "operation": "query"}
    return {
        "name": "A2AErrorBudgetBurn: callers who leave are neither good calls nor bad ones",
        "interval": "1m",
        "input_series": [
            {"series": series(A2A_REQUESTS, **navi, status="success"), "values": "0+90x60"},
            {"series": series(A2A_REQUESTS, **navi, status="error"), "values": "0+910x60"},
            {"series": series(A2A_ERRORS, **navi, error_type="cancelled"), "values": "0+900x60"},
            {"series": series(A2A_ERRORS, **navi, error_type="internal"), "values": "0+10x60"},
        ],
        "promql_expr_test": [
            {
                "expr": f"round({record(FAILED.name, '5m')} * 1e6)",
                "eval_time": "60m",
                "exp_samples": [{"labels": '{job="agentos"}', "value": 100_000}],
            }
        ],
    }


def _value(expr: str, at: int, value: int) -> dict[str, object]:
    return {"expr": expr, "eval_time": f"{at}m", "exp_samples": [{"labels": "{}", "value": value}]}
