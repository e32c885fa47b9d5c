"""The rules checked by Prometheus' own tools."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack.servers.alertmanager import SAMPLE
from tests.helpers.required_servers import packaged_server

ROOT = Path(__file__).parents[2]
RULES = sorted((ROOT / "dashboards/rules").glob("*.yml"))
TESTS = sorted((ROOT / "dashboards/rules/tests").glob("*.yml"))


def _rules() -> list[dict[str, Any]]:
    content = yaml.safe_load((ROOT / "dashboards/rules/agentos-alerts.yml").read_text())
    return [rule for group in content["groups"] for rule in group["rules"]]


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_rules_are_valid(promtool: Path) -> None:
    """``promtool check rules`` finds each alert and each record, and reports no problem."""
    said = _run(promtool, "check", "rules", "--lint=all", "--lint-fatal", *RULES)
    written = [len(re.findall(r"(?m)^ *- (?:alert|record): ", file.read_text())) for file in RULES]
    assert [line for line in said.splitlines() if "rules found" in line] == [f"  SUCCESS: {n} rules found" for n in written]
    assert min(written) > 10


@pytest.mark.parametrize("file", TESTS, ids=lambda file: file.stem)
def test_the_rules_do_what_their_cases_say(promtool: Path, file: Path) -> None:
    """``promtool test rules`` passes: each alert fires when it must, with its texts, and at no other time."""
    _run(promtool, "test", "rules", file)


def _halves(expr: str) -> dict[str, str]:
    """Returns the expression without each side of its ``and``, ``or`` or ``unless``."""
    left, *right = re.split(r"\n(?:and|or|unless)\n", expr)
    return {"without its second half": left, "without its first half": right[0]} if right else {}


def _mutants() -> Iterator[Any]:
    """Yields broken alerts: position in the file and the wrong expression."""
    for place, rule in enumerate(_rules()):
        wrong = {"always": "vector(1)", "never": "vector(0) > 1", **_halves(rule["expr"])}
        for what, expr in wrong.items():
            name = "-".join(filter(None, (rule["alert"], rule["labels"].get("window"), what)))
            yield pytest.param(place, expr, id=name.replace(" ", "-"))


def _cases(rule: dict[str, Any]) -> dict[str, Any]:
    """Returns the unit tests of one alert, and of its window if it has one."""
    window = rule["labels"].get("window")
    for file in TESTS:
        cases: dict[str, Any] = yaml.safe_load(file.read_text())
        cases["tests"] = [
            case
            for case in cases["tests"]
            if case["name"].startswith(f"{rule['alert']}: ") and (window is None or f" over {window}" in case["name"])
        ]
        if cases["tests"]:
            return cases
    raise LookupError(rule["alert"])


@pytest.mark.parametrize(("place", "expr"), list(_mutants()))
def test_the_cases_notice_an_alert_that_is_wrong(promtool: Path, tmp_path: Path, place: int, expr: str) -> None:
    """The cases of an alert fail if the alert always fires, never fires, or lacks half of its condition."""
    rule = _rules()[place]
    records = yaml.safe_load((ROOT / "dashboards/rules/agentos-recording.yml").read_text())
    for group in records["groups"]:
        group["rules"] = [record for record in group["rules"] if record["record"] in rule["expr"]]
    (tmp_path / "agentos-recording.yml").write_text(yaml.safe_dump(records))
    alerts = {"name": "agentos_alerts", "rules": [{**rule, "expr": expr}]}
    (tmp_path / "agentos-alerts.yml").write_text(yaml.safe_dump({"groups": [alerts]}))
    test = tmp_path / "tests" / "cases.yml"
    test.parent.mkdir()
    test.write_text(yaml.safe_dump(_cases(rule)))
    done = subprocess.run([promtool, "test", "rules", test], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "  FAILED:\n" in done.stderr


def test_prometheus_accepts_its_configuration(promtool: Path) -> None:
    """``promtool check config`` accepts ``dashboards/prometheus.yml`` and finds both rule files through it."""
    said = _run(promtool, "check", "config", ROOT / "dashboards/prometheus.yml")
    assert "SUCCESS: 2 rule files found" in said


def test_prometheus_accepts_the_configuration_with_an_alertmanager(promtool: Path, tmp_path: Path) -> None:
    """``promtool check config`` accepts a configuration that loads the rules and sends to an Alertmanager."""
    config = tmp_path / "prometheus.yml"
    content = {
        "rule_files": [str(ROOT / "dashboards/rules/*.yml")],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": ["alertmanager:9093"]}]}]},
    }
    config.write_text(yaml.safe_dump(content))
    assert "SUCCESS: 2 rule files found" in _run(promtool, "check", "config", config)


def test_alertmanager_accepts_the_sample_configuration() -> None:
    """``amtool check-config`` accepts the sample: pages at once, tickets daily, and tickets inhibited by a page."""
    said = _run(packaged_server("amtool", "prometheus-alertmanager"), "check-config", SAMPLE)
    assert "SUCCESS" in said
    assert " - 1 inhibit rules" in said
    assert " - 2 receivers" in said
