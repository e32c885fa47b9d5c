"""What runs around a fork."""

from __future__ import annotations

import os

from telemetry._base.fork import register_after_fork, register_around_fork


class Noted:
    """Notes which of its methods a fork calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        register_around_fork(self.before, self.after)
        register_after_fork(self.child)

    def before(self) -> None:
        self.calls.append("before")

    def after(self) -> None:
        self.calls.append("after")

    def child(self) -> None:
        self.calls.append("child")


def forked(noted: Noted) -> str:
    """Forks; returns the calls in the child."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write_end, ",".join(noted.calls).encode())
        os._exit(0)
    os.waitpid(child, 0)
    found = os.read(read_end, 1000).decode()
    os.close(read_end)
    os.close(write_end)
    return found


def test_a_fork_calls_before_and_after_in_their_process() -> None:
    """The parent runs ``before`` and ``after``; the child has what ``before`` did, and runs its own."""
    noted = Noted()
    assert forked(noted) == "before,child"
    assert noted.calls == ["before", "after"]


def test_an_object_that_is_gone_is_not_called() -> None:
    """A fork keeps no object alive."""
    calls = Noted().calls
    assert forked(Noted()) == "before,child"
    assert calls == []
