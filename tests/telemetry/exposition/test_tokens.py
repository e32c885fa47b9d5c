"""Bearer tokens: valid texts, secrecy, and their file."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from telemetry.exposition import Token, TokenError, TokenFile, Tokens

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


def test_rotation_by_the_file(tmp_path: Path) -> None:
    """A changed file is valid from the next request on: first both tokens, then the new one alone."""
    path = tmp_path / "tokens"
    reports: list[str] = []
    tokens = Tokens(file=TokenFile(path, reports.append))
    accepted = []
    for text in (f"{OLD}\n", f"{OLD}\n\n  {NEW}\r\n", f"{NEW}\n"):
        write(path, text)
        accepted.append((tokens.accept(OLD.encode()), tokens.accept(NEW.encode())))
    assert (accepted, reports) == ([(True, False), (True, True), (False, True)], [])


def test_same_size_in_the_same_moment(tmp_path: Path) -> None:
    """A fresh file is read again: two writes may have the same time, size and inode."""
    path = tmp_path / "tokens"
    tokens = Tokens(file=TokenFile(path, [].append, clock=lambda: 1000.5))
    for text in (OLD, NEW):
        path.write_text(text)
        os.utime(path, (1000, 1000))
        assert [tokens.accept(OLD.encode()), tokens.accept(NEW.encode())] == [text == OLD, text == NEW]


def test_a_settled_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that has not changed for a while is not read again."""
    path = tmp_path / "tokens"
    path.write_text(OLD)
    tokens = Tokens(file=TokenFile(path, [].append, clock=lambda: path.stat().st_mtime + 60))
    assert tokens.accept(OLD.encode())

    def unreadable(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(Path, "open", unreadable)
    assert tokens.accept(OLD.encode())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "FileNotFoundError"),
        ("", "the file holds no token"),
        ("short", "a token has 16 to 1024 letters, digits and marks of -._~+/ (and = at its end)"),
        (f"{OLD}\n" * 4000, "a file of tokens has at most 65536 bytes"),
    ],
)
def test_a_file_that_cannot_be_used_lets_nobody_in(tmp_path: Path, text: str | None, reason: str) -> None:
    """A missing, empty or invalid file has no tokens until it is repaired; the reason does not show its content."""
    path = tmp_path / "tokens"
    reports: list[str] = []
    tokens = Tokens(file=TokenFile(path, reports.append))
    write(path, OLD)
    assert tokens.accept(OLD.encode())
    if text is None:
        path.unlink()
    else:
        write(path, text)
    assert not tokens.accept(OLD.encode())
    assert not tokens.accept(b"")
    assert set(reports) == {reason}
    write(path, OLD)
    assert tokens.accept(OLD.encode())


def test_given_tokens_hold_beside_a_broken_file(tmp_path: Path) -> None:
    """Given tokens are valid also when the file is missing."""
    tokens = Tokens([Token(NEW)], TokenFile(tmp_path / "none", [].append))
    assert [tokens.accept(OLD.encode()), tokens.accept(NEW.encode())] == [False, True]
