"""Label values that all workers of a run admit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from telemetry.metric import open_label
from telemetry.metric.label_values import Domain
from telemetry.prefork.shared_labels import SharedLabelValues

WHO = open_label("who", "somebody", limit=2)


def joined(path: Path, *, limit: int = 2) -> tuple[Domain, SharedLabelValues]:
    """The domain of one worker, and its view of the shared values."""
    domain = Domain(WHO, known=["k"], limit=limit)
    return domain, SharedLabelValues(path / "labels", [domain])


def test_the_first_values_of_all_workers_get_the_places(tmp_path: Path) -> None:
    """A value that one worker admits takes a place in all workers, and all of them admit it from then on."""
    (first, _), (second, _) = joined(tmp_path), joined(tmp_path)
    assert [first.admit("a"), second.admit("b"), first.admit("c"), second.admit("c")] == ["a", "b", "other", "other"]
    assert [first.admit("b"), second.admit("a"), second.admit("k")] == ["b", "a", "k"]
    assert first.discovered == second.discovered == {"a", "b"}


def test_a_worker_that_comes_later_knows_what_was_admitted(tmp_path: Path) -> None:
    """After ``catch_up`` a later worker admits the values that others admitted before."""
    first, _ = joined(tmp_path)
    first.admit("a")
    second, shared = joined(tmp_path)
    shared.catch_up()
    assert second.discovered == {"a"}


def test_a_full_label_does_not_touch_the_file(tmp_path: Path) -> None:
    """Once a label is full, new values do not touch the file."""
    domain, _ = joined(tmp_path)
    for value in range(1000):
        domain.admit(f"v{value}")
    assert len((tmp_path / "labels").read_text().splitlines()) == 2


def test_values_from_before_are_brought_along(tmp_path: Path) -> None:
    """Values that a process admitted before it joined take places when it joins."""
    domain = Domain(WHO, limit=2)
    domain.admit("early")
    SharedLabelValues(tmp_path / "labels", [domain])
    other, shared = joined(tmp_path)
    shared.catch_up()
    assert other.discovered == {"early"}


def test_a_line_that_was_cut_off_is_passed_over(tmp_path: Path) -> None:
    """A line that a full disk cut off is skipped, with the one that was appended to it."""
    (tmp_path / "labels").write_text('["who", "a"]\n["who", "ha["who", "b"]\n[1, 2]\n["who", "c"]\n["who", ')
    domain, shared = joined(tmp_path)
    shared.catch_up()
    assert domain.discovered == {"a", "c"}


def test_two_labels_of_one_key_have_lists_of_their_own(tmp_path: Path) -> None:
    """Two labels with the same key have separate values, told apart by their order in the catalogue."""
    domains = [Domain(WHO, limit=2), Domain(open_label("who", "another", limit=1), limit=1)]
    SharedLabelValues(tmp_path / "labels", domains)
    assert [domains[0].admit("a"), domains[1].admit("b")] == ["a", "b"]
    assert [domain.discovered for domain in domains] == [{"a"}, {"b"}]


def test_without_the_file_new_values_are_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the file cannot be written, new values become ``other``, known ones stay, and nothing is raised."""
    domain, _ = joined(tmp_path)
    domain.admit("a")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    assert [domain.admit("a"), domain.admit("b")] == ["a", "other"]


def test_a_worker_that_left_decides_alone(tmp_path: Path) -> None:
    """After ``leave`` a domain bounds its values alone again."""
    domain, shared = joined(tmp_path)
    shared.leave()
    assert [domain.admit("a"), domain.admit("b"), domain.admit("c")] == ["a", "b", "other"]
