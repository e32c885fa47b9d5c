"""What a release refuses before it builds anything, and what the parts of it do by themselves."""

from __future__ import annotations

import gzip
import re
import tarfile
from datetime import date
from pathlib import Path

import pytest

from stack.release import archive, checks
from stack.release.artifacts import Artifacts, write_sums
from stack.release.changelog import prepared
from stack.release.image import context, in_context
from stack.release.refused import RefusedError
from stack.release.source import Source, snapshot, tagged
from tests.helpers.source_tree import METADATA, commit, copy, git

ROOT = Path(__file__).parents[1]
IGNORED = (ROOT / ".dockerignore").read_text().splitlines()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A repository whose only commit has the tag v9.8.7 and the changelog's section of it."""
    folder = copy((*METADATA, "Dockerfile", ".dockerignore"), tmp_path / "tree")
    changelog = (ROOT / "CHANGELOG.md").read_text()
    if "## [Unreleased]\n\n### " not in changelog:
        changelog = changelog.replace("## [Unreleased]\n", "## [Unreleased]\n\n### Added\n\n- A change.\n", 1)
    (folder / "CHANGELOG.md").write_text(prepared(changelog, "9.8.7", date(2099, 1, 1)))
    commit(folder)
    git(folder, "tag", "v9.8.7")
    return folder


def refused(tree: Path) -> str:
    """Returns the sentence by which a tree is not released."""
    with pytest.raises(RefusedError) as reason:
        tagged(tree)
    return str(reason.value)


def test_a_tagged_commit_is_released(tree: Path) -> None:
    """A commit with its tag and its section of the changelog is released at that version, with the commit's time."""
    assert tagged(tree) == Source(tree, "9.8.7", int(git(tree, "log", "-1", "--format=%ct")))


def test_a_tree_with_changes_is_refused(tree: Path) -> None:
    """Changes that are not committed, and files that git does not know, are named."""
    (tree / "LICENSE").write_text("mine")
    assert refused(tree) == "The tree has changes that are not committed: LICENSE."
    (tree / "new").touch()
    assert refused(tree) == "The tree has changes that are not committed: LICENSE and 1 more."


def test_a_commit_without_a_tag_is_refused(tree: Path) -> None:
    """A commit without a tag of the form vX.Y.Z, or with two of them, is refused."""
    git(tree, "tag", "v9.9.0")
    assert refused(tree) == "HEAD has v9.8.7, v9.9.0: one is needed, as in `git tag v1.2.3`."
    git(tree, "tag", "--delete", "v9.9.0", "v9.8.7")
    git(tree, "tag", "v9.8")
    assert refused(tree) == "HEAD has no tag vX.Y.Z: one is needed, as in `git tag v1.2.3`."


def test_a_tag_below_the_last_one_is_refused(tree: Path) -> None:
    """A version below that of a commit before is refused; compared are numbers, so that 9.8.7 is below 9.8.10."""
    git(tree, "tag", "--delete", "v9.8.7")
    git(tree, "tag", "v9.8.10")
    git(tree, "commit", "--quiet", "--allow-empty", "--message", "Later")
    git(tree, "tag", "v9.8.7")
    assert refused(tree) == "The tag v9.8.7 is below the last one, v9.8.10."


def test_a_version_that_the_changelog_does_not_have_is_refused(tree: Path) -> None:
    """The section below `Unreleased` has to be that of the tag."""
    git(tree, "tag", "--delete", "v9.8.7")
    git(tree, "tag", "v9.8.8")
    assert refused(tree) == "CHANGELOG.md's first section below `Unreleased` is not `## [9.8.8] - YYYY-MM-DD`."


def test_a_changelog_that_has_not_its_form_is_refused(tree: Path) -> None:
    """A section without a date is named."""
    text = (tree / "CHANGELOG.md").read_text()
    (tree / "CHANGELOG.md").write_text(text.replace("## [9.8.7] - 2099-01-01", "## [9.8.7]"))
    git(tree, "commit", "--quiet", "--all", "--message", "Later")
    git(tree, "tag", "--force", "v9.8.7")
    assert refused(tree) == "CHANGELOG.md: `## [9.8.7]` is not `## [X.Y.Z] - YYYY-MM-DD`."


def test_a_version_from_elsewhere_is_refused(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that gives builds another version than the tag's is noticed."""
    monkeypatch.setenv("SETUPTOOLS_SCM_PRETEND_VERSION", "9.8.6")
    assert refused(tree) == "Builds get the version 9.8.6, not the tag's: is a variable SETUPTOOLS_SCM_* set?"


def test_a_snapshot_needs_neither_tag_nor_clean_tree(tree: Path) -> None:
    """A snapshot has a version after the last tag, and one that chart and image can have."""
    git(tree, "commit", "--quiet", "--allow-empty", "--message", "Later")
    (tree / "LICENSE").write_text("mine")
    source = snapshot(tree)
    assert source.version.startswith("9.8.8.dev1+g")
    assert source.tag == "9.8.8-dev.1"


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("agents/main.py", True),
        ("agents/build-hooks/library_version.py", True),
        ("telemetry/metric/__init__.py", True),
        ("requirements.lock", True),
        ("agents/__pycache__/main.pyc", False),
        ("docs/README.md", False),
        ("tests/agents/test_main.py", False),
        ("README.md", False),
    ],
)
def test_dockerignore_says_what_is_sent(name: str, sent: bool) -> None:
    """The context has the packages and what their build needs."""
    assert in_context(name, IGNORED) == sent


@pytest.mark.parametrize(
    ("patterns", "name", "sent"),
    [
        (["# none"], "a/b", True),
        (["/a"], "a/b", False),
        (["a/*", "!a/b"], "a/b", True),
        (["!a/b", "a"], "a/b", False),
        (["*.md"], "a/b.md", True),
        (["**/*.md"], "a/b.md", False),
        (["**/*.md"], "b.md", False),
        (["a?"], "ab", False),
        (["a?"], "a/", True),
        (["a/**", " !a/b "], "a/b/c", True),
    ],
)
def test_patterns_are_those_of_dockerignore(patterns: list[str], name: str, sent: bool) -> None:
    """The last pattern that matches a path, or a folder above it, decides."""
    assert in_context(name, patterns) == sent


def test_the_context_has_the_version(tree: Path) -> None:
    """The Dockerfile of a context builds the version of the source without an argument; the other files are as they are."""
    files = context(tagged(tree))
    assert b"\nARG VERSION=9.8.7\n" in files["Dockerfile"]
    assert files["agents/pyproject.toml"] == (tree / "agents/pyproject.toml").read_bytes()
    assert "CHANGELOG.md" not in files


def test_an_archive_depends_on_names_contents_and_time_alone(tmp_path: Path) -> None:
    """Two archives of the same files have the same bytes: sorted names, one time, one mode, no owner."""
    archive.write(tmp_path / "one", {"b": b"2", "a/c": b"1"}, 1_700_000_000)
    archive.write(tmp_path / "two", {"a/c": b"1", "b": b"2"}, 1_700_000_000)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert archive.read(tmp_path / "one") == {"a/c": b"1", "b": b"2"}
    with tarfile.open(tmp_path / "one") as opened:
        facts = [(one.name, one.mtime, one.mode, one.uid, one.gid, one.uname) for one in opened.getmembers()]
    assert facts == [(name, 1_700_000_000, 0o644, 0, 0, "") for name in ("a/c", "b")]
    with gzip.open(tmp_path / "one") as compressed:
        compressed.read()
        assert compressed.mtime == 1_700_000_000


@pytest.fixture
def built(tmp_path: Path) -> Artifacts:
    """Files with the names of a release's, and their checksums."""
    artifacts = Artifacts(tmp_path, Source(ROOT, "9.8.7", 1_700_000_000))
    for path in artifacts.all():
        path.write_text(path.name)
    write_sums(artifacts)
    return artifacts


def test_a_release_has_eight_files_with_their_checksums(built: Artifacts) -> None:
    """Two wheels, two source distributions, two SBOMs, the chart and the context are what is released."""
    checks.sums(built)
    assert [line.split("  ")[1] for line in built.sums.read_text().splitlines()] == [
        "agentos-9.8.7-py3-none-any.whl",
        "agentos-9.8.7.cdx.json",
        "agentos-9.8.7.tar.gz",
        "agentos-9.8.7.tgz",
        "agentos-image-context-9.8.7.tgz",
        "agentos_telemetry-9.8.7-py3-none-any.whl",
        "agentos_telemetry-9.8.7.cdx.json",
        "agentos_telemetry-9.8.7.tar.gz",
    ]


def test_the_document_names_the_files(built: Artifacts) -> None:
    """docs/releasing.md has each file of a release in its table."""
    table = (ROOT / "docs/releasing.md").read_text().partition("## What is released")[2].partition("\n## ")[0]
    named = re.findall(r"`((?:agentos|SHA256)[^` ]*)`", table.replace("agentos:0.2.0", ""))
    assert sorted(set(named)) == sorted(path.name.replace("9.8.7", "0.2.0") for path in (*built.all(), built.sums))


def test_a_file_that_differs_from_its_checksum_is_refused(built: Artifacts) -> None:
    """A file that was changed, and one that is not of the release, are noticed."""
    built.chart.write_text("another")
    with pytest.raises(RefusedError, match=r"^SHA256SUMS does not have the files of the release\.$"):
        checks.sums(built)
    write_sums(built)
    (built.folder / "another").touch()
    with pytest.raises(RefusedError, match=r"^SHA256SUMS does not have the files of the release\.$"):
        checks.sums(built)


def test_a_context_that_builds_another_wheel_is_refused(built: Artifacts, tmp_path: Path) -> None:
    """The wheels that the Dockerfile builds are compared byte by byte with those of the release."""
    (tmp_path / "dist").mkdir()
    for wheel in built.wheels:
        (tmp_path / "dist" / wheel.name).write_bytes(wheel.read_bytes())
    checks.context(built, tmp_path / "dist")
    (tmp_path / "dist" / built.wheels[1].name).write_text("another")
    with pytest.raises(RefusedError, match=r"^The context does not build agentos-9\.8\.7-py3-none-any\.whl\.$"):
        checks.context(built, tmp_path / "dist")
