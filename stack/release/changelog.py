"""The form of CHANGELOG.md, that of Keep a Changelog 1.1.0, and the step from ``Unreleased`` to a version.

https://keepachangelog.com/en/1.1.0/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise

from stack.release.refused import RefusedError

__all__ = ["Section", "prepared", "problems", "sections"]

_GROUPS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
"""The groups of a section, in the order in which they stand."""
UNRELEASED = "[Unreleased]"
_RELEASED = re.compile(r"\[(\d+\.\d+\.\d+)\] - (\S+)(?: \[YANKED\])?")


@dataclass(slots=True)
class Section:
    """What stands under one heading of second level.

    Attributes:
        title: The heading's text.
        groups: The groups with the number of their entries, in the order of the file.
        stray: The first line that belongs to no entry of a group.
    """

    title: str
    groups: list[tuple[str, int]] = field(default_factory=list)
    stray: str = ""

    @property
    def version(self) -> tuple[int, ...]:
        """The version as numbers; empty for ``Unreleased`` and for a heading that is none."""
        found = _RELEASED.fullmatch(self.title)
        return tuple(map(int, found[1].split("."))) if found else ()

    @property
    def released(self) -> date | None:
        """The date; None where the heading has none that exists."""
        found = _RELEASED.fullmatch(self.title)
        try:
            return date.fromisoformat(found[2]) if found and re.fullmatch(r"\d{4}-\d\d-\d\d", found[2]) else None
        except ValueError:
            return None

    def read(self, line: str) -> None:
        """Counts a line of the section."""
        if line.startswith("### "):
            self.groups.append((line.removeprefix("### "), 0))
        elif line.startswith("- ") and self.groups:
            name, count = self.groups[-1]
            self.groups[-1] = (name, count + 1)
        elif line and not (line.startswith("  ") and self.groups and self.groups[-1][1]):
            self.stray = self.stray or line


def sections(text: str) -> list[Section]:
    """Returns the sections of a changelog in the order of the file."""
    found: list[Section] = []
    for line in text.splitlines():
        if line.startswith("## "):
            found.append(Section(line.removeprefix("## ")))
        elif found:
            found[-1].read(line)
    return found


def problems(text: str) -> list[str]:
    """Returns one sentence for each departure from the form; none for a changelog that has it."""
    found = sections(text)
    told = [] if text.startswith("# Changelog\n") else ["The first line is not `# Changelog`."]
    if not found or found[0].title != UNRELEASED:
        told.append(f"The first section is not `## {UNRELEASED}`.")
    for section in found:
        told += _of_section(section)
    dated = [section for section in found if section.released is not None]
    for newer, older in pairwise(dated):
        if newer.version <= older.version or (newer.released or date.min) < (older.released or date.min):
            told.append(f"`## {newer.title}` stands above `## {older.title}`.")
    return told


def _of_section(section: Section) -> Iterator[str]:
    if section.title != UNRELEASED:
        if section.released is None:
            yield f"`## {section.title}` is not `## [X.Y.Z] - YYYY-MM-DD`."
        if not section.groups:
            yield f"`## {section.title}` is empty."
    if section.stray:
        yield f"`## {section.title}` has text outside the entries of its groups: {section.stray!r}."
    names = [name for name, _ in section.groups]
    if names != [name for name in _GROUPS if name in names]:
        yield f"`## {section.title}` has {', '.join(names)}: each once, of and in the order {', '.join(_GROUPS)}, is needed."
    for name, entries in section.groups:
        if not entries:
            yield f"`### {name}` of `## {section.title}` is empty."


def prepared(text: str, version: str, today: date) -> str:
    """Returns the changelog with what was unreleased under a version, and a new ``Unreleased`` above.

    Raises:
        RefusedError: If the changelog is not in its form, nothing is unreleased, or the version is not above the last one.
    """
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise RefusedError(f"{version!r} is no version: X.Y.Z is needed.")
    for problem in problems(text):
        raise RefusedError(f"CHANGELOG.md: {problem}")
    unreleased, *released = sections(text)
    if not unreleased.groups:
        raise RefusedError(f"CHANGELOG.md has nothing under `## {UNRELEASED}`.")
    if released and tuple(map(int, version.split("."))) <= released[0].version:
        raise RefusedError(f"{version} is not above the last version, `## {released[0].title}`.")
    return text.replace(f"## {UNRELEASED}\n", f"## {UNRELEASED}\n\n## [{version}] - {today.isoformat()}\n", 1)
