"""Bearer tokens: valid texts, secrecy, and their file."""

from __future__ import annotations

import gc
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from telemetry.exposition import Token, TokenError, TokenFile, Tokens, access
from telemetry.exposition.access import read_tokens

OLD, NEW = "old-token-0123456789", "new-token-0123456789"


@pytest.mark.parametrize("text", ["", "short", "x" * 1025, "with space 0123456789", "ä" * 20, "line\n0123456789012", "a=b" * 9])
def test_what_is_no_token(text: str) -> None:
    """Text that is too short, too long or not allowed in a header is refused; the error does not contain it."""
    with pytest.raises(TokenError) as error:
        Token(text)
    assert str(error.value) == "a token has 16 to 1024 letters, digits and marks of -._~+/ (and = at its end)"


def test_the_token_is_nowhere() -> None:
    """Neither the repr of a token nor an object that it refers to contains the text."""
    text = "".join(["secret", "-", "0123456789-abcdef"])
    tokens = Tokens([Token(text)])
    assert repr(Token(text)) == "<Token>"
    reached = [tokens, *gc.get_referents(tokens), *gc.get_referents(*gc.get_referents(tokens)), Token(text)]
    assert [one for one in reached if text in repr(one)] == []
    assert tokens.accept(text.encode())


def write(path: Path, text: str) -> None:
    """Replaces the file, as an operator rotates tokens."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


class Watched:
    """Tokens of a file, on a clock that is ``later`` seconds ahead of the time of day."""

    def __init__(self, path: Path) -> None:
        self.later = 0.0
        self.reports: list[str] = []
        self._tokens = Tokens(file=TokenFile(path, self.reports.append, lambda: time.time() + self.later))

    def accepted(self) -> str:
        """Returns which of the two tokens are accepted now."""
        return " ".join(name for name, token in (("old", OLD), ("new", NEW)) if self._tokens.accept(token.encode()))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with the old token."""
    path = tmp_path / "tokens"
    path.write_text(f"{OLD}\n")
    return path


def test_rotation_by_the_file(path: Path) -> None:
    """A changed file is valid from the next request on: first both tokens, then the new one alone."""
    watched = Watched(path)
    accepted = []
    for text in (f"{OLD}\n", f"{OLD}\n\n  {NEW}\r\n", f"{NEW}\n"):
        write(path, text)
        accepted.append(watched.accepted())
    assert (accepted, watched.reports) == (["old", "old new", "new"], [])


def test_rotation_by_a_link(tmp_path: Path) -> None:
    """A link that leads to another directory, as Kubernetes mounts secrets, rotates the tokens, also without a line's end."""
    for name, token in (("1", OLD), ("2", NEW)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tokens").write_text(token)
    data = tmp_path / "..data"
    data.symlink_to("1")
    (tmp_path / "tokens").symlink_to("..data/tokens")
    watched = Watched(tmp_path / "tokens")
    assert watched.accepted() == "old"
    following = tmp_path / "..data_tmp"
    following.symlink_to("2")
    following.replace(data)
    assert (watched.accepted(), watched.reports) == ("new", [])


def test_same_size_in_the_same_moment(path: Path) -> None:
    """A fresh file is read again: two writes may have the same time, size and inode."""
    tokens = Tokens(file=TokenFile(path, [].append, clock=lambda: 1000.5))
    for text in (OLD, NEW):
        path.write_text(f"{text}\n")
        os.utime(path, (1000, 1000))
        assert [tokens.accept(OLD.encode()), tokens.accept(NEW.encode())] == [text == OLD, text == NEW]


def test_same_size_and_set_back_time(path: Path) -> None:
    """A change whose size and time of modification are those of before is seen by the time of the status change."""
    watched = Watched(path)
    before = path.stat()
    watched.later = 60
    assert watched.accepted() == "old"
    path.write_text(f"{NEW}\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert watched.accepted() == "new"


def test_a_settled_file_is_read_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that has not changed for a while is not read again."""
    watched = Watched(path)
    watched.later = 60
    assert watched.accepted() == "old"

    def unreadable(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(access, "read_regular_file", unreadable)
    assert watched.accepted() == "old"


def test_a_half_written_file_changes_nothing(path: Path) -> None:
    """From a writer's first step to its last one the old tokens are valid, and no half of a token ever is."""
    watched = Watched(path)
    steps, half = [watched.accepted()], NEW[:18]
    with path.open("w") as file:
        for piece in ("", NEW[:5], NEW[5:18], NEW[18:], "\n"):
            file.write(piece)
            file.flush()
            steps.append(watched.accepted())
            assert not Tokens.accept(watched._tokens, half.encode())
    assert steps == ["old", "old", "old", "old", "old", "new"]
    rule = "a token has 16 to 1024 letters, digits and marks of -._~+/ (and = at its end)"
    kept = "the tokens read before (1) stay valid"
    half_line = f"its last line has no end and may be half of one: {kept}"
    assert watched.reports == [
        f"the file holds no token: {kept}",
        f"{rule}: {kept}",
        half_line,
        "it can be used again (tokens: 1)",
    ]


def test_a_last_line_without_end_is_whole_after_a_second(path: Path) -> None:
    """A file written in place whose last line has no end is taken when it has not changed for a second."""
    watched = Watched(path)
    assert watched.accepted() == "old"
    path.write_text(NEW)
    assert watched.accepted() == "old"
    watched.later = 1.1
    assert watched.accepted() == "new"


@pytest.mark.parametrize("text", ["", "\n \n\r\n", "# none\n", "\ufeff"])
def test_an_emptied_file_admits_no_request_after_a_while(path: Path, text: str) -> None:
    """A file without a token leaves the old ones valid for 30 seconds; then none is, until it holds one again."""
    watched = Watched(path)
    assert watched.accepted() == "old"
    path.write_text(text, encoding="utf-8")
    assert watched.accepted() == "old"
    watched.later = 29
    assert watched.accepted() == "old"
    watched.later = 31
    assert watched.accepted() == ""
    assert not watched._tokens.accept(b"")
    write(path, f"{NEW}\n")
    assert watched.accepted() == "new"
    assert watched.reports == [
        "the file holds no token: the tokens read before (1) stay valid",
        "the file holds no token: no request is admitted by it",
        "it can be used again (tokens: 1)",
    ]


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


RULE = "a token has 16 to 1024 letters, digits and marks of -._~+/ (and = at its end)"
BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "removed": (lambda _: None, "No such file or directory"),
    "FIFO": (_fifo, "it is no regular file"),
    "socket": (_socket, "it is no regular file"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "it is no regular file"),
    "directory": (lambda path: path.mkdir(), "Is a directory"),
    "dangling link": (lambda path: path.symlink_to("none"), "No such file or directory"),
    "circle of links": (lambda path: path.symlink_to(path.name), "Too many levels of symbolic links"),
    "short line": (lambda path: path.write_text("short\n"), RULE),
    "one bad line": (lambda path: path.write_text(f"{NEW}\nno token\n"), RULE),
    "binary": (lambda path: path.write_bytes(bytes(range(256)) * 9), RULE),
    "UTF-16": (lambda path: path.write_text(NEW, encoding="utf-16"), RULE),
    "huge": (lambda path: path.write_text(f"{NEW}\n" * 4000), "the file has more than 65536 bytes"),
}


@pytest.mark.parametrize(("make", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_file_that_cannot_be_used_changes_nothing(path: Path, make: Callable[[Path], object], reason: str) -> None:
    """Whatever takes the file's place, the tokens read before stay valid, without a wait; the reason shows no content."""
    watched = Watched(path)
    assert watched.accepted() == "old"
    for _ in range(2):  # the second time is told as well
        path.unlink()
        make(path)
        assert [watched.accepted() for _ in range(3)] == ["old"] * 3
        watched.later += 3600
        assert watched.accepted() == "old"
        path.rmdir() if path.is_dir() else path.unlink(missing_ok=True)
        path.write_text(f"{OLD}\n")
        assert watched.accepted() == "old"
    once = [f"{reason}: the tokens read before (1) stay valid", "it can be used again (tokens: 1)"]
    assert watched.reports == once * 2


@pytest.mark.parametrize(("make", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_file_that_was_never_usable_admits_no_request(tmp_path: Path, make: Callable[[Path], object], reason: str) -> None:
    """Where the file cannot be used from the start, no request is admitted by it."""
    make(tmp_path / "tokens")
    watched = Watched(tmp_path / "tokens")
    assert [watched.accepted(), watched.accepted()] == ["", ""]
    assert not watched._tokens.accept(b"")
    assert watched.reports == [f"{reason}: no request is admitted by it"]


@pytest.mark.parametrize(
    "content", [f"{OLD}\r\n{NEW}\r\n", f"\ufeff{OLD}\n{NEW}", f"# rotated\n{OLD}\n\n#{NEW}x\n\t{NEW} \n", f"{OLD}\r{NEW}\r"]
)
def test_line_ends_marks_and_comments(path: Path, content: str) -> None:
    """Windows' line ends, a byte order mark, comments, blank lines and white space around a token are allowed."""
    path.write_text(content, encoding="utf-8", newline="")
    assert Watched(path).accepted() == "old new"
    assert len(read_tokens(path)) == 2


@pytest.mark.parametrize("separator", [" ", ",", "\x0b", "\x0c", "\x85", "\u2028", "\0"])
def test_nothing_else_separates_tokens(path: Path, separator: str) -> None:
    """Two tokens in a line are no token."""
    path.write_text(f"{OLD}{separator}{NEW}\n", encoding="utf-8")
    with pytest.raises(TokenError):
        read_tokens(path)


def test_given_tokens_hold_beside_a_broken_file(tmp_path: Path) -> None:
    """Given tokens are valid also when the file is missing."""
    tokens = Tokens([Token(NEW)], TokenFile(tmp_path / "none", [].append))
    assert [tokens.accept(OLD.encode()), tokens.accept(NEW.encode())] == [False, True]
