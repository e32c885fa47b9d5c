"""The files that Prometheus reads, recording rules and alerts, and the unit tests that promtool runs on them.

Each alert brings its own cases. The cases of the objectives' alerts and of the recorded shares are made here, for all
windows alike.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dashboards.alerting.agentos import AGENTOS_ALERTS
from dashboards.alerting.agents import AGENT_ALERTS
from dashboards.alerting.alert import Alert, Case, series
from dashboards.alerting.models import MODEL_ALERTS
from dashboards.alerting.observed import Form, Stretch, observed, written
from dashboards.alerting.runtime import RUNTIME_ALERTS
from dashboards.alerting.slo import FAILED, SHARES, SLOW, WINDOWS, Share, minutes, record
from dashboards.alerting.telemetry import TELEMETRY_ALERTS
from dashboards.alerting.workspaces import RECORDS, WORKSPACE_ALERTS
from dashboards.config import BURNS, JOB, LATENCY, Burn
from dashboards.yaml_text import to_yaml
from telemetry.agentos.catalogue import A2A_ERRORS, A2A_REQUEST_DURATION, A2A_REQUESTS

__all__ = ["alerts_yaml", "days_tests_yaml", "hours_tests_yaml", "recording_yaml", "tests_yaml"]

_ALERTS = (*AGENTOS_ALERTS, *MODEL_ALERTS, *AGENT_ALERTS, *WORKSPACE_ALERTS, *RUNTIME_ALERTS, *TELEMETRY_ALERTS)

_MONEY = "agentos_workspaces"
"""The group of the records about money."""

_CALLS = 80_000
"""A2A calls per step in the cases of the objectives: every share that they need is a whole number of calls."""

_STEPS = {"minutes": 1, "hours": 5, "days": 15}
"""Test file -> minutes per step in the cases of its windows: promtool evaluates every rule at each step."""

_FORMS = {"minutes": tuple(Form), "hours": tuple(Form), "days": (Form.CLASSIC, Form.NATIVE, Form.CHANGED)}
"""Test file -> the forms of the histogram in its cases of records."""


def recording_yaml() -> str:
    """Returns the recording rules: the share of bad A2A calls over each window that an alert looks at, and money."""
    groups = [
        {
            "name": f"agentos_{share.objective.name}",
            "rules": [{"record": record(share.name, window), "expr": share.expr(window)} for window in WINDOWS],
        }
        for share in SHARES
    ]
    money = {"name": _MONEY, "rules": [{"record": one.name, "expr": one.expr} for one in RECORDS]}
    return to_yaml({"groups": [*groups, money]})


def alerts_yaml() -> str:
    """Returns the alerts, each with severity, summary, description, and links to its panel and its runbook."""
    rules = [
        {
            "alert": alert.name,
            "expr": alert.expr,
            "for": alert.wait,
            "labels": {"severity": alert.severity, **alert.labels},
            "annotations": alert.annotations,
        }
        for alert in _ALERTS
    ]
    return to_yaml({"groups": [{"name": "agentos_alerts", "rules": rules}]})


def tests_yaml() -> str:
    """Returns the cases in steps of one minute: all but those whose windows are hours or days."""
    alerts = (*AGENTOS_ALERTS, *TELEMETRY_ALERTS, *MODEL_ALERTS, *AGENT_ALERTS, *WORKSPACE_ALERTS, *RUNTIME_ALERTS)
    cases = [_test(alert, case) for alert in alerts for case in alert.cases]
    return _file([*cases, *_objectives("minutes"), *_money(), _cancelled(), _slow_before_the_change()], "minutes")


def hours_tests_yaml() -> str:
    """Returns the cases of windows of 2 hours or more, in longer steps."""
    return _file(list(_objectives("hours")), "hours")


def days_tests_yaml() -> str:
    """Returns the cases of windows of days, in the longest steps."""
    return _file(list(_objectives("days")), "days")


def _file(tests: list[dict[str, object]], file: str) -> str:
    return to_yaml(
        {
            "rule_files": ["../agentos-recording.yml", "../agentos-alerts.yml"],
            "evaluation_interval": f"{_STEPS[file]}m",
            "group_eval_order": [*(f"agentos_{share.objective.name}" for share in SHARES), _MONEY, "agentos_alerts"],
            "tests": tests,
        }
    )


def _test(alert: Alert, case: Case) -> dict[str, object]:
    looks: list[tuple[int, list[dict[str, object]]]] = [(case.at, [])]
    if case.fires is not None:
        looks = [(case.at - 1, []), (case.at, [_expected(alert, case.fires, case.value)])]
    return {
        "name": f"{alert.name}: {case.what}",
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in case.given.items()],
        "alert_rule_test": [{"alertname": alert.name, "eval_time": f"{at}m", "exp_alerts": alerts} for at, alerts in looks],
    }


def _expected(alert: Alert, labels: Mapping[str, str], value: str) -> dict[str, object]:
    """The firing alert as promtool expects it, its templates filled in."""
    everything = {"job": JOB, **alert.labels, **labels}

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


def _objectives(file: str) -> Iterator[dict[str, object]]:
    """The cases of the objectives whose windows belong to a test file."""
    step = _STEPS[file]
    for share in SHARES:
        for burn in BURNS:
            if _belongs(burn.long, file):
                yield from _alerts(share, burn, step)
        for window in WINDOWS:
            if _belongs(window, file):
                for form in _FORMS[file] if share is SLOW else (Form.CLASSIC,):
                    yield from _record(share, form, window, step)


def _belongs(window: str, file: str) -> bool:
    return file == ("days" if window.endswith("d") else "hours" if minutes(window) >= 2 * 60 else "minutes")


def _alerts(share: Share, burn: Burn, step: int) -> Iterator[dict[str, object]]:
    name = next(alert.name for alert in _ALERTS if alert.expr.startswith(f"job:{share.name}:"))
    yield _burns(share, Form.CLASSIC, name, burn, step)
    if share is SLOW:
        yield _burns(share, Form.NATIVE, name, burn, step)
    yield _burns_slower(share, name, burn, step)
    yield _burst(share, name, burn, step)


def _stretch(bad: float, steps: int) -> Stretch:
    """A stretch with this share of bad calls."""
    return round(_CALLS * (1 - bad)), round(_CALLS * bad), steps


def _calls(share: Share, form: Form, *stretches: Stretch, start: tuple[int, int] = (0, 0)) -> list[dict[str, str]]:
    """Input series of A2A calls that are good and bad."""
    navi = {"agent": "navi", "operation": "query"}
    if share is SLOW:
        given = observed(form, A2A_REQUEST_DURATION, LATENCY.under, *stretches, start=start, **navi, status="success")
    else:
        counters = {
            series(A2A_REQUESTS, **navi, status="success"): lambda good, _: str(good),
            series(A2A_REQUESTS, **navi, status="error"): lambda _, bad: str(bad),
            series(A2A_ERRORS, **navi, error_type="timeout"): lambda _, bad: str(bad),
        }
        given = written(counters, start, stretches)
    return [{"series": name, "values": values} for name, values in given.items()]


def _burns(share: Share, form: Form, name: str, burn: Burn, step: int) -> dict[str, object]:
    """At 1.25 times the alert's rate it fires after its wait, and ends when the short window has no bad call left."""
    long, short, wait = (minutes(duration) for duration in (burn.long, burn.short, burn.wait))
    rate = 1.25 * burn.rate
    firing = f'count(ALERTS{{alertname="{name}", window="{burn.long}", alertstate="firing"}}) or vector(0)'
    alert = next(alert for alert in _ALERTS if alert.name == name and alert.labels["window"] == burn.long)
    expected = [_expected(alert, {}, f"{rate:.1f}")]
    what = f"{rate:g} times too fast fires over {burn.long} after {burn.wait}, ends {burn.short} after the last"
    return {
        "name": f"{name}: {what}{_in(form)}",
        "interval": f"{step}m",
        "input_series": _calls(
            share, form, _stretch(rate * share.objective.budget, long // step), _stretch(0, short // step + 2)
        ),
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
    """At 0.9 times the alert's rate it is silent."""
    rate, long = 0.9 * burn.rate, minutes(burn.long)
    alerts = f'count(ALERTS{{alertname="{name}", window="{burn.long}"}}) or vector(0)'
    return {
        "name": f"{name}: {rate:g} times too fast is not enough over {burn.long}",
        "interval": f"{step}m",
        "input_series": _calls(share, Form.CLASSIC, _stretch(rate * share.objective.budget, long // step)),
        "promql_expr_test": [_value(alerts, long, 0)],
    }


def _burst(share: Share, name: str, burn: Burn, step: int) -> dict[str, object]:
    """At 1.25 times the alert's rate over the short window alone, after a long time without a bad call, it is silent."""
    long, short = minutes(burn.long), minutes(burn.short)
    bad = 1.25 * burn.rate * share.objective.budget
    alerts = f'count(ALERTS{{alertname="{name}", window="{burn.long}"}}) or vector(0)'
    return {
        "name": f"{name}: a burst of {burn.short} is not enough over {burn.long}",
        "interval": f"{step}m",
        "input_series": _calls(share, Form.CLASSIC, _stretch(0, long // step), _stretch(bad, short // step)),
        "promql_expr_test": [_value(alerts, long + short, 0)],
    }


def _record(share: Share, form: Form, window: str, step: int) -> Iterator[dict[str, object]]:
    """A record has the right value under load, and no sample without calls."""
    name, at = record(share.name, window), minutes(window)
    millionths = [{"labels": '{job="agentos"}', "value": 250_000}]
    for what, given, samples in (
        ("a quarter", _calls(share, form, _stretch(0.25, at // step)), millionths),
        ("no sample without calls", _calls(share, form, (0, 0, at // step), start=(7, 7)), []),
    ):
        yield {
            "name": f"{name}: {what}{_in(form)}",
            "interval": f"{step}m",
            "input_series": given,
            "promql_expr_test": [{"expr": f"round({name} * 1e6)", "eval_time": f"{at}m", "exp_samples": samples}],
        }


def _money() -> Iterator[dict[str, object]]:
    """A record about money has the right value, and no sample without workspaces."""
    for record_of in RECORDS:
        sample = {"labels": '{job="agentos", workspace_id="acme"}', "value": record_of.value}
        for what, given, samples in (
            ("its value", record_of.given, [sample]),
            ("no sample without workspaces", {"up": "1x60"}, []),
        ):
            yield {
                "name": f"{record_of.name}: {what}",
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in given.items()],
                "promql_expr_test": [{"expr": f"round({record_of.name}, 0.01)", "eval_time": "60m", "exp_samples": samples}],
            }


def _in(form: Form) -> str:
    return "" if form is Form.CLASSIC else f" ({form})"


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


def _slow_before_the_change() -> dict[str, object]:
    name = record(SLOW.name, "1h")
    return {
        "name": f"{name}: half of the calls are slow before the form changes in the middle of the window, none after",
        "interval": "1m",
        "input_series": _calls(SLOW, Form.CHANGED, _stretch(0.5, 30), _stretch(0, 30)),
        "promql_expr_test": [
            {"expr": f"round({name} * 100)", "eval_time": "60m", "exp_samples": [{"labels": '{job="agentos"}', "value": 25}]}
        ],
    }


def _value(expr: str, at: int, value: int) -> dict[str, object]:
    return {"expr": expr, "eval_time": f"{at}m", "exp_samples": [{"labels": "{}", "value": value}]}
