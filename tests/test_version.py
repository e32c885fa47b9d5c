"""The version of both distributions comes from the git tag; what has no tag says so."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import agents
import telemetry
from tests.helpers.source_tree import METADATA, commit, copy, git

ROOT = Path(__file__).parents[1]
DEVELOPMENT = "0.0.0.dev0"
"""The version where git knows none."""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source tree, outside git, with what the metadata of both distributions are made from."""
    return copy(METADATA, tmp_path)


def metadata(folder: Path, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Returns a distribution's metadata as its build writes them."""
    command = [sys.executable, "-m", "hatchling", "metadata"]
    variables = {**os.environ, **(environ or {})}
    built = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=True).stdout
    found: dict[str, Any] = json.loads(built)
    return found


def built_versions(tree: Path, environ: Mapping[str, str] | None = None) -> tuple[str, str, str]:
    """Returns the versions of the library, of the service, and of the library that the service needs."""
    service = metadata(tree / "agents", environ)
    (needed,) = (one for one in service["dependencies"] if one.startswith("agentos-telemetry"))
    assert needed.startswith("agentos-telemetry[otlp]==")
    return metadata(tree, environ)["version"], service["version"], needed.partition("==")[2]


def test_the_tag_is_the_version(tree: Path) -> None:
    """At the tag v1.4.2 library and service are 1.4.2, and the service needs the library 1.4.2."""
    commit(tree)
    git(tree, "tag", "v1.4.2")
    assert built_versions(tree) == ("1.4.2",) * 3


def test_commits_after_a_tag_are_development_of_the_next_version(tree: Path) -> None:
    """One commit after v1.4.2 the version counts it, names it and sorts after 1.4.2; all three are alike."""
    commit(tree)
    git(tree, "tag", "v1.4.2")
    git(tree, "commit", "--quiet", "--allow-empty", "--message", "Second")
    library, *others = built_versions(tree)
    assert re.fullmatch(r"1\.4\.3\.dev1\+g([0-9a-f]+)", library)
    assert git(tree, "rev-parse", "HEAD").startswith(library.partition("+g")[2])
    assert others == [library, library]


def test_a_clone_without_tags_counts_its_commits(tree: Path) -> None:
    """A clone without tags, such as a shallow one, builds a development version of no release."""
    commit(tree)
    library, *others = built_versions(tree)
    assert re.fullmatch(r"0\.0\.0\.dev1\+g[0-9a-f]+", library)
    assert others == [library, library]


def test_a_source_tree_without_git_builds(tree: Path) -> None:
    """An unpacked source tree builds; its version says that none is known."""
    assert built_versions(tree) == (DEVELOPMENT,) * 3


def test_a_variable_gives_the_version_where_git_is_not(tree: Path) -> None:
    """SETUPTOOLS_SCM_PRETEND_VERSION gives an image's build, whose context has no git, the version of both distributions."""
    assert built_versions(tree, {"SETUPTOOLS_SCM_PRETEND_VERSION": "1.4.2"}) == ("1.4.2",) * 3


def test_a_tree_that_is_not_installed_has_the_version_of_one_without_git() -> None:
    """Both packages, imported from a source tree, have the version that a build without git has."""
    program = "import agents, telemetry; print(agents.__version__, telemetry.__version__)"
    command = [sys.executable, "-S", "-c", program]  # -S: no installed distribution is seen
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert shown.split() == [DEVELOPMENT, DEVELOPMENT]
    assert [
        tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["tool"]["hatch"]["version"]["fallback-version"]
        for folder in (".", "agents")
    ] == [DEVELOPMENT, DEVELOPMENT]
    assert f"\nARG VERSION={DEVELOPMENT}\n" in (ROOT / "Dockerfile").read_text()


def test_the_service_has_the_version_of_its_installed_distribution(monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed, the service's version is the one that the metadata of `agentos` name."""
    monkeypatch.setattr("importlib.metadata.version", {"agentos": "7.8.9"}.__getitem__)
    assert agents.__version__ == "7.8.9"


def test_the_version_is_not_read_before_it_is_asked_for() -> None:
    """Importing the service's package alone does not load ``importlib.metadata``."""
    program = "import sys, agents; print('importlib.metadata' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert shown == "False\n"


def test_no_file_names_a_version_of_its_own() -> None:
    """Neither pyproject.toml has a version that a release would have to change."""
    projects = [tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"] for folder in (".", "agents")]
    assert [project.get("version") for project in projects] == [None, None]
    assert telemetry._SOURCE_VERSION == DEVELOPMENT


def test_both_distributions_bring_the_same_licence() -> None:
    """The service's copy of the licence is the project's."""
    assert (ROOT / "agents/LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
