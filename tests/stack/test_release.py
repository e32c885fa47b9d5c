"""A whole release, built and checked by its command from a tagged commit. Needs the package index and Helm."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack.environments import Environment
from stack.release import archive, artifacts, checks, sbom
from stack.release.artifacts import Artifacts
from stack.release.changelog import problems, sections
from stack.release.refused import RefusedError
from stack.release.source import Source, tagged
from tests.helpers.required_servers import built_server
from tests.helpers.source_tree import commit, copy, git, tracked

ROOT = Path(__file__).parents[2]
VERSION = "98.7.6"


def command(tree: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs the release's command of a tree."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    whole = [sys.executable, "-m", "stack.release", *words]
    return subprocess.run(whole, cwd=tree, env=variables, capture_output=True, text=True, timeout=1200, check=False)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """This source tree, prepared, committed and tagged in a repository of its own."""
    built_server("helm")
    tree = copy(tracked(), tmp_path_factory.mktemp("tree"))
    changelog = tree / "CHANGELOG.md"
    if "## [Unreleased]\n\n### " not in changelog.read_text():
        changelog.write_text(changelog.read_text().replace("[Unreleased]\n", "[Unreleased]\n\n### Added\n\n- A change.\n", 1))
    prepared = command(tree, "--prepare", VERSION)
    assert prepared.stdout.startswith(f"CHANGELOG.md has the section {VERSION}: "), prepared.stderr
    commit(tree)
    git(tree, "tag", f"v{VERSION}")
    return tagged(tree)


@pytest.fixture(scope="module")
def release(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    """The files of the release."""
    out = tmp_path_factory.mktemp("out")
    done = command(source.root, "--out", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    return Artifacts(out / VERSION, source)


@pytest.fixture(scope="module")
def again(source: Source, tmp_path_factory: pytest.TempPathFactory) -> Artifacts:
    """The distributions, the chart and the context, built a second time."""
    files = Artifacts(tmp_path_factory.mktemp("again"), source)
    artifacts.build_distributions(files)
    artifacts.build_chart(files)
    artifacts.build_context(files)
    return files


@pytest.fixture(scope="module")
def alone(again: Artifacts, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The library alone, installed from the index at the versions that the lock file pins."""
    environment = Environment(tmp_path_factory.mktemp("alone") / "environment")
    locked = again.source.root / "requirements.lock"
    environment.install("--constraint", locked, "--find-links", again.folder, f"agentos-telemetry=={VERSION}")
    return environment


def test_the_changelog_is_prepared(source: Source) -> None:
    """The command gives what was unreleased its version and today's date, in the form that is checked."""
    text = (source.root / "CHANGELOG.md").read_text()
    assert problems(text) == []
    unreleased, newest, *_ = sections(text)
    assert unreleased.groups == []
    assert newest.version == (98, 7, 6)
    assert newest.released is not None
    assert abs((newest.released - datetime.now(UTC).date()).days) <= 1


def test_the_files_are_those_that_the_checksums_name(release: Artifacts) -> None:
    """The folder of a release has eight files and their checksums, as `sha256sum --check` reads them."""
    assert sorted(release.folder.iterdir()) == sorted([*release.all(), release.sums])
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", release.sums.name], cwd=release.folder, capture_output=True, text=True, check=True
    )
    assert checked.stdout.splitlines() == [f"{path.name}: OK" for path in release.all()]


def test_a_second_build_has_the_same_bytes(release: Artifacts, again: Artifacts) -> None:
    """Wheels, source distributions, chart and context of one commit are the same whenever they are built."""
    names = [path.name for path in (*again.wheels, *again.sdists, again.chart, again.context)]
    digests = [hashlib.sha256((again.folder / name).read_bytes()).hexdigest() for name in names]
    assert digests == [hashlib.sha256((release.folder / name).read_bytes()).hexdigest() for name in names]


def test_a_second_sbom_has_the_same_bytes(release: Artifacts, alone: Environment, tmp_path: Path) -> None:
    """The SBOM of an environment made anew is the same."""
    sbom.write(alone, "agentos-telemetry", "library", release.source.epoch, tmp_path / "sbom")
    assert (tmp_path / "sbom").read_text() == release.sboms[0].read_text()


def test_the_sbom_of_the_service_has_what_the_lock_file_pins(release: Artifacts) -> None:
    """The service is described, with its library, and each other component at the version of the lock file."""
    bom = json.loads(release.sboms[1].read_text())
    versions = {one["name"]: one["version"] for one in bom["components"]}
    assert (bom["metadata"]["component"]["name"], bom["metadata"]["component"]["version"]) == ("agentos", VERSION)
    assert versions.pop("agentos-telemetry") == VERSION
    pinned = set(re.findall(r"(?m)^([a-z0-9.-]+)==([^ ;]+)", (ROOT / "requirements.lock").read_text()))
    assert {(re.sub(r"[-_.]+", "-", name.lower()), version) for name, version in versions.items()} <= pinned
    assert {"openai", "mcp", "fastapi"} <= versions.keys()


def test_the_time_of_the_sbom_is_that_of_the_commit(release: Artifacts) -> None:
    """An SBOM has the time of the commit and no serial number."""
    bom = json.loads(release.sboms[0].read_text())
    assert datetime.fromisoformat(bom["metadata"]["timestamp"]).timestamp() == release.source.epoch
    assert "serialNumber" not in bom


def without_a_component(bom: dict[str, Any]) -> None:
    bom["components"].pop()


def without_a_licence(bom: dict[str, Any]) -> None:
    (api,) = (one for one in bom["components"] if one["name"] == "opentelemetry-api")
    del api["licenses"]


def with_a_path(bom: dict[str, Any]) -> None:
    bom["components"][0]["externalReferences"] = [{"type": "distribution", "url": "file:///build/one.whl"}]


def with_an_unknown_field(bom: dict[str, Any]) -> None:
    bom["components"][0]["colour"] = "red"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (without_a_component, "The SBOM of agentos-telemetry does not have the distributions of its environment."),
        (without_a_licence, "The SBOM of agentos-telemetry has no licence of opentelemetry-api."),
        (with_a_path, "The SBOM of agentos-telemetry contains file:."),
        (with_an_unknown_field, "The SBOM of agentos-telemetry does not fit CycloneDX's schema: "),
    ],
)
def test_an_sbom_with_a_fault_is_refused(
    release: Artifacts, alone: Environment, change: Callable[[dict[str, Any]], None], sentence: str
) -> None:
    """A missing distribution or licence, a path and what the schema does not have are each noticed."""
    bom = json.loads(release.sboms[0].read_text())
    sbom.check(json.dumps(bom), alone, "agentos-telemetry")
    change(bom)
    with pytest.raises(RefusedError) as refused:
        sbom.check(json.dumps(bom), alone, "agentos-telemetry")
    assert str(refused.value).startswith(sentence)


def test_the_chart_has_the_version(release: Artifacts) -> None:
    """The packaged chart has the version of the release, for itself and for the image, and the rules that it links to."""
    files = archive.read(release.chart)
    about = yaml.safe_load(files["agentos/Chart.yaml"])
    assert (about["version"], about["appVersion"]) == (VERSION, VERSION)
    assert files["agentos/files/agentos-alerts.yml"] == (ROOT / "dashboards/rules/agentos-alerts.yml").read_bytes()


def test_a_chart_of_another_version_is_refused(again: Artifacts, tmp_path: Path) -> None:
    """A chart that would run another image than that of the release is noticed."""
    files = Artifacts(tmp_path, Source(again.source.root, "98.7.7", again.source.epoch))
    files.chart.write_bytes(again.chart.read_bytes())
    with pytest.raises(RefusedError, match=r"^The chart runs agentos:98\.7\.6, not agentos:98\.7\.7\.$"):
        checks.chart(files)


def test_the_command_refuses_in_one_sentence(source: Source) -> None:
    """A tree that cannot be released ends the command with status 1 and one sentence, before anything is built."""
    (source.root / "left").touch()
    done = command(source.root)
    (source.root / "left").unlink()
    assert done.stderr == "The tree has changes that are not committed: left.\n"
    assert (done.returncode, done.stdout) == (1, "")
