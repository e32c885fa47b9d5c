"""CHANGELOG.md has the form of Keep a Changelog 1.1.0, which a release's command checks and keeps."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from stack.release.changelog import prepared, problems, sections
from stack.release.refused import RefusedError

ROOT = Path(__file__).parents[1]
GOOD = """# Changelog

Words before the sections.

## [Unreleased]

### Added

- A metric
  with a second line.

### Security

- A limit.

## [0.2.0] - 2026-02-28 [YANKED]

### Fixed

- A bug.

## [0.1.0] - 2026-01-31

### Added

- The first.
"""
EACH = "each once, of and in the order Added, Changed, Deprecated, Removed, Fixed, Security, is needed."


def test_the_changelog_has_the_form() -> None:
    """CHANGELOG.md has what is unreleased first, then versions downwards with their dates, and groups in their order."""
    text = (ROOT / "CHANGELOG.md").read_text()
    assert problems(text) == []
    assert sections(text)[-1].title == "[0.1.0] - 2026-11-24"


def test_a_good_changelog_has_no_problem() -> None:
    """Entries of several lines and a version that was withdrawn fit the form."""
    assert problems(GOOD) == []
    assert [section.version for section in sections(GOOD)] == [(), (0, 2, 0), (0, 1, 0)]


@pytest.mark.parametrize(
    ("good", "bad", "problem"),
    [
        ("# Changelog\n", "# Changes\n", "The first line is not `# Changelog`."),
        ("## [Unreleased]", "## Unreleased", "The first section is not `## [Unreleased]`."),
        ("2026-02-28 [YANKED]", "2026-02-29", "`## [0.2.0] - 2026-02-29` is not `## [X.Y.Z] - YYYY-MM-DD`."),
        ("2026-01-31", "31.1.2026", "`## [0.1.0] - 31.1.2026` is not `## [X.Y.Z] - YYYY-MM-DD`."),
        ("2026-01-31", "20260131", "`## [0.1.0] - 20260131` is not `## [X.Y.Z] - YYYY-MM-DD`."),
        ("[0.1.0] -", "[0.3.0] -", "`## [0.2.0] - 2026-02-28 [YANKED]` stands above `## [0.3.0] - 2026-01-31`."),
        ("[0.1.0] -", "[0.2.0] -", "`## [0.2.0] - 2026-02-28 [YANKED]` stands above `## [0.2.0] - 2026-01-31`."),
        ("2026-01-31", "2026-03-01", "`## [0.2.0] - 2026-02-28 [YANKED]` stands above `## [0.1.0] - 2026-03-01`."),
        ("### Fixed", "### Repaired", f"`## [0.2.0] - 2026-02-28 [YANKED]` has Repaired: {EACH}"),
        ("### Security", "### Added", f"`## [Unreleased]` has Added, Added: {EACH}"),
        ("### Added\n\n- A metric", "### Security\n\n- A metric", f"`## [Unreleased]` has Security, Security: {EACH}"),
        ("- A limit.\n", "", "`### Security` of `## [Unreleased]` is empty."),
        ("### Fixed\n\n- A bug.\n", "", "`## [0.2.0] - 2026-02-28 [YANKED]` is empty."),
        ("- A bug.", "A bug.", "`## [0.2.0] - 2026-02-28 [YANKED]` has text outside the entries of its groups: 'A bug.'."),
    ],
)
def test_a_departure_from_the_form_is_named(good: str, bad: str, problem: str) -> None:
    """Each departure from the form has its sentence."""
    assert problem in problems(GOOD.replace(good, bad, 1))


def test_what_is_unreleased_becomes_a_version() -> None:
    """A version takes over what was unreleased, and a new empty section stands above it."""
    text = prepared(GOOD, "0.3.0", date(2026, 3, 1))
    assert text == GOOD.replace("## [Unreleased]\n", "## [Unreleased]\n\n## [0.3.0] - 2026-03-01\n")
    assert problems(text) == []


@pytest.mark.parametrize(
    ("text", "version", "sentence"),
    [
        (GOOD, "0.2.0", "0.2.0 is not above the last version, `## [0.2.0] - 2026-02-28 [YANKED]`."),
        (GOOD, "v0.3.0", "'v0.3.0' is no version: X.Y.Z is needed."),
        (prepared(GOOD, "0.3.0", date(2026, 3, 1)), "0.4.0", "CHANGELOG.md has nothing under `## [Unreleased]`."),
        ("", "0.3.0", "CHANGELOG.md: The first line is not `# Changelog`."),
    ],
)
def test_a_version_that_cannot_be_prepared_is_refused(text: str, version: str, sentence: str) -> None:
    """A version that is none, not above the last one, or without changes is refused with one sentence."""
    with pytest.raises(RefusedError) as refused:
        prepared(text, version, date(2026, 3, 1))
    assert str(refused.value) == sentence
