"""The compose files as Compose itself reads them: its own loader checks them against its specification and merges them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.compose_files import PLAIN, ROOT, WITH_TEMPO, merged
from tests.helpers.required_servers import built_server

BOTH = pytest.mark.parametrize("files", [PLAIN, WITH_TEMPO], ids=["plain", "with Tempo"])


def _model(*files: Path) -> subprocess.CompletedProcess[str]:
    command = [str(built_server("compose-model")), *map(str, files)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def _mount(mount: dict[str, Any]) -> str:
    """Returns a mount in the form in which the files have it."""
    own = mount["source"].removeprefix(f"{ROOT}/")
    source = f"./{own}" if mount["type"] == "bind" else mount["source"]
    return f"{source}:{mount['target']}{':ro' if mount.get('read_only') else ''}"


@BOTH
def test_compose_accepts_the_files(files: tuple[str, ...]) -> None:
    """Compose's loader finds nothing to warn of, and each service of the files in the model."""
    done = _model(*(ROOT / name for name in files))
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["services"].keys() == merged(files)["services"].keys()


@BOTH
def test_the_static_tests_see_what_compose_sees(files: tuple[str, ...]) -> None:
    """The model of the static tests has each service's command, environment, mounts, health check and dependencies."""
    found = json.loads(_model(*(ROOT / name for name in files)).stdout)["services"]
    for name, ours in merged(files)["services"].items():
        theirs = found[name]
        assert theirs["command"] == ours.get("command")
        assert theirs.get("environment", {}) == ours.get("environment", {})
        assert {_mount(mount) for mount in theirs.get("volumes", ())} == set(ours.get("volumes", ()))
        assert theirs.get("healthcheck", {}).get("test") == ours.get("healthcheck", {}).get("test")
        assert {other: how["condition"] for other, how in theirs.get("depends_on", {}).items()} == {
            other: how["condition"] for other, how in ours.get("depends_on", {}).items()
        }


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (("mem_limit: 1g", "memory_limit: 1g"), "services.agentos.memory_limit"),
        (
            ("redis: {condition: service_healthy}", "rediss: {condition: service_healthy}"),
            'depends on undefined service "rediss"',
        ),
        (("  silences: {}\n", ""), "refers to undefined volume silences"),
        (('AGENTOS_MODEL_METRICS: "on"', 'AGENTOS_AGENT_METRICS: "on"'), 'key "AGENTOS_AGENT_METRICS" already'),
    ],
    ids=["unknown key", "unknown service", "unknown volume", "key twice"],
)
def test_compose_refuses_a_mistake(tmp_path: Path, change: tuple[str, str], complaint: str) -> None:
    """An unknown key, a service or volume that is not declared, and a key that stands twice fail the load by name."""
    text = (ROOT / "compose.yaml").read_text()
    assert change[0] in text
    (tmp_path / "compose.yaml").write_text(text.replace(*change, 1))
    done = _model(tmp_path / "compose.yaml")
    assert done.returncode == 1
    assert complaint in done.stderr
