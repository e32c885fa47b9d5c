"""Label values that all workers of a run admit."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


class Told:
    """Takes the failures that are told."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def __call__(self, reason: str, message: str) -> None:
        self.reasons.append(reason)


CONTENT = b"".join(f'["who", "{value}"]\n'.encode() for value in ("a", "b"))


@pytest.mark.parametrize("length", range(len(CONTENT)))
def test_a_file_that_is_cut_off_is_made_whole(tmp_path: Path, length: int) -> None:
    """Cut off at any byte the file gets all admitted values again, and a later worker admits the same ones and no more."""
    told = Told()
    domain = Domain(WHO, limit=2)
    shared = SharedLabelValues(tmp_path / "labels", [domain], told)
    assert [domain.admit("a"), domain.admit("b")] == ["a", "b"]
    assert (tmp_path / "labels").read_bytes() == CONTENT
    os.truncate(tmp_path / "labels", length)
    shared.catch_up()
    later, _ = joined(tmp_path)
    assert [later.admit("c"), later.admit("a"), later.admit("b")] == ["other", "a", "b"]
    assert set(told.reasons) == {"torn"}
    shared.catch_up()
    assert domain.discovered == {"a", "b"}


@given(st.binary(max_size=300) | st.text().map(str.encode) | st.from_regex(rb'(\[\["?who"?, *"?[a-c]*"?[\]\n]*){0,9}'))
def test_any_bytes_in_the_file_are_passed_over(data: bytes) -> None:
    """Whatever is in the file, known values stay, no more than the limit are admitted, and nothing but OSError is raised."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "labels"
        domain = Domain(WHO, known=["k"], limit=2)
        shared = SharedLabelValues(path, [domain])
        assert domain.admit("a") == "a"
        path.write_bytes(data)
        shared.catch_up()
        with path.open("ab") as file:
            file.write(data)
        shared.catch_up()
        assert [domain.admit("a"), domain.admit("k")] == ["a", "k"]
        for value in ("b", "c", "d"):
            assert domain.admit(value) in (value, "other")
        assert len(domain.discovered) <= 2
        assert SharedLabelValues(path, [Domain(WHO, limit=2)]).catch_up() is None


LINES = [
    "5",
    "null",
    "[]",
    "{}",
    '["who"]',
    '["who", 5]',
    '[["who"], "a"]',
    '{"who": 1, "b": 2}',
    "[" * 100_000,
    '["who", "a',
    "é",
]


@pytest.mark.parametrize("line", LINES, ids=lambda line: line[:20])
def test_a_line_that_is_not_ours_is_counted(tmp_path: Path, line: str) -> None:
    """A line of another form is passed over and counted, and the lines around it are read."""
    (tmp_path / "labels").write_text(f'["who", "a"]\n{line}\n["who", "b"]\n')
    told, domain = Told(), Domain(WHO, limit=2)
    SharedLabelValues(tmp_path / "labels", [domain], told)
    assert domain.discovered == {"a", "b"}
    assert told.reasons == ["torn"]


@pytest.mark.parametrize("value", ["other", "invalid", "\ud800"])
def test_a_value_that_no_label_can_have_takes_no_place(tmp_path: Path, value: str) -> None:
    """Values that are reserved, or no text, are not admitted from the file."""
    (tmp_path / "labels").write_text(f'{json.dumps(["who", value])}\n["who", "a"]\n')
    domain, _ = joined(tmp_path)
    assert domain.discovered == {"a"}


def test_a_file_of_any_length_is_read_in_bounded_pieces(tmp_path: Path) -> None:
    """Garbage of 20 MB, half of it in one line, is read over several turns; then the values behind it are admitted."""
    with (tmp_path / "labels").open("wb") as file:
        file.write(b"x" * 10_000_000 + b"\n" + b"[]\n" * 3_000_000 + b'["who", "a"]\n')
    domain, shared = joined(tmp_path)
    assert domain.discovered == set()
    for _ in range(4):
        shared.catch_up()
    assert domain.discovered == {"a"}


def test_workers_do_not_add_what_the_file_has(tmp_path: Path) -> None:
    """The file does not grow by workers that come and go."""
    first, _ = joined(tmp_path)
    first.admit("a")
    for _ in range(10):
        _, shared = joined(tmp_path)
        shared.catch_up()
        shared.leave()
    assert (tmp_path / "labels").read_text() == '["who", "a"]\n'


@pytest.mark.parametrize("data", [b"\0" * 500, b'["who", "z"]\n' * 9, b"x\n" * 500])
def test_a_file_that_was_overwritten_gets_the_values_again(tmp_path: Path, data: bytes) -> None:
    """Where other bytes have taken the place of what was read, the admitted values are added again."""
    told, domain = Told(), Domain(WHO, limit=2)
    shared = SharedLabelValues(tmp_path / "labels", [domain], told)
    assert [domain.admit("a"), domain.admit("b")] == ["a", "b"]
    (tmp_path / "labels").write_bytes(data)
    shared.catch_up()
    assert (tmp_path / "labels").read_bytes().removeprefix(data).strip() == CONTENT.strip()
    assert domain.discovered == {"a", "b"}
    assert "torn" in told.reasons


def _remove(path: Path) -> None:
    path.unlink()


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _full_directory(path: Path) -> None:
    _directory(path)
    (path / "precious").write_text("x")


def _link(path: Path) -> None:
    path.rename(path.with_name("target"))
    path.symlink_to(path.with_name("target"))


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _another_file(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"")


@pytest.mark.parametrize("change", [_remove, _directory, _full_directory, _link, _pipe, _another_file])
def test_a_file_that_is_replaced_is_made_anew(tmp_path: Path, change: Callable[[Path], None]) -> None:
    """Workers that run, and one that comes, agree on the values after the file was removed or replaced; nothing is deleted."""
    told = Told()
    first, second = Domain(WHO, limit=3), Domain(WHO, limit=3)
    shared = [SharedLabelValues(tmp_path / "labels", [domain], told) for domain in (first, second)]
    assert [first.admit("a"), second.admit("b")] == ["a", "b"]
    change(tmp_path / "labels")
    for _ in range(2):
        for each in shared:
            each.catch_up()
    assert [second.admit("c"), first.admit("d"), first.admit("c")] == ["c", "other", "c"]
    third, _ = joined(tmp_path, limit=3)
    assert [third.admit("d"), third.admit("a")] == ["other", "a"]
    assert (tmp_path / "labels").stat().st_mode & 0o777 == 0o600 or change is _another_file
    assert set(told.reasons) <= {"torn", "foreign"}
    assert {path.read_text() for path in tmp_path.glob("*/precious")} == ({"x"} if change is _full_directory else set())


def test_a_file_that_can_never_be_made_stops_nothing(tmp_path: Path) -> None:
    """Where the file cannot be made a worker starts all the same: its new values are ``other`` until the file can be made."""
    told, domain = Told(), Domain(WHO, known=["k"], limit=2)
    shared = SharedLabelValues(tmp_path / "none" / "labels", [domain], told)
    shared.catch_up()
    assert [domain.admit("k"), domain.admit("a")] == ["k", "other"]
    assert set(told.reasons) == {"unwritable"}
    (tmp_path / "none").mkdir()
    assert domain.admit("a") == "a"


def test_a_write_that_is_cut_short_is_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value of which only a part could be written becomes ``other``; the next value is read by all workers."""
    (first, _), (second, shared) = joined(tmp_path), joined(tmp_path)
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda file, data: write(file, data[:5]))
        assert first.admit("a") == "other"
    assert first.admit("b") == "b"
    shared.catch_up()
    assert second.discovered == {"b"}


def test_value_that_comes_while_the_file_is_read_becomes_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal handler that meets a new value while its thread reads the file does not wait for that thread."""
    domain, shared = joined(tmp_path, limit=5)
    read = shared._read
    inner: list[str] = []

    def interrupted() -> None:
        inner.append(domain.admit("b"))
        read()

    monkeypatch.setattr(shared, "_read", interrupted)
    assert domain.admit("a") == "a"
    monkeypatch.undo()
    assert inner == ["other"]
    assert domain.admit("b") == "b"
