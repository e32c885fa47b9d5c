"""Work that waits for a lock of the SDK."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Lock, Thread

import pytest

from telemetry._base import reentry


@pytest.fixture(autouse=True)
def none_deferred() -> Iterator[None]:
    """Leaves no work to other tests."""
    yield
    reentry.deferred.clear()


def test_deferred_work_is_done_once_its_lock_is_free() -> None:
    """Each piece of deferred work is tried until it succeeds, and then no more."""
    tried: list[str] = []
    is_free = False

    def attempt() -> bool:
        tried.append("tried")
        return is_free

    reentry.defer(attempt)
    is_free = True
    reentry.run_deferred()
    reentry.run_deferred()
    assert (tried, len(reentry.deferred)) == (["tried", "tried"], 0)


def test_one_run_tries_few_of_many_that_wait() -> None:
    """While many wait for a lock, a run looks at eight of them; the next run looks at others."""
    tried: list[int] = []

    def waiting(number: int) -> bool:
        tried.append(number)
        return False

    for number in range(20):
        reentry.deferred.append(lambda number=number: waiting(number))  # type: ignore[misc]  # binds the number
    reentry.run_deferred()
    reentry.run_deferred()
    assert tried == list(range(16))
    assert len(reentry.deferred) == 20


def test_lock_that_another_thread_releases() -> None:
    """A lock that another thread is about to release is found free."""
    lock = Lock()
    lock.acquire()
    Thread(target=lock.release).start()
    assert any(reentry.is_released(lock) for _ in range(1000))


def test_lock_that_stays_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that stays taken is looked at a few times, and not again while work is deferred."""
    moments: list[str] = []
    monkeypatch.setattr(reentry, "yield_gil", lambda: moments.append("moment"))
    lock = Lock()
    with lock:
        assert not reentry.is_released(lock)
        reentry.deferred.append(lambda: False)
        assert not reentry.is_released(lock)
    assert len(moments) == 5


def test_lock_is_not_waited_for_when_no_more_can_be_deferred(monkeypatch: pytest.MonkeyPatch) -> None:
    """A measurement that cannot be deferred is refused at once: a flood of them does not stop its thread."""
    moments: list[str] = []
    monkeypatch.setattr(reentry, "yield_gil", lambda: moments.append("moment"))
    monkeypatch.setattr(reentry, "_LIMIT", 100)
    reentry.deferred.extend([lambda: False] * 100)
    lock = Lock()
    with lock:
        assert not reentry.is_released(lock)
    assert moments == []
