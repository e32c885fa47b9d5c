"""Work that interrupts its own thread: in a signal handler, a finalizer, or a callback of the garbage collector.

Such work runs between two steps of the thread, which may hold the lock that the work needs, and would wait for it for ever. A
lock of ours is re-entrant and its state says that a change is under way (``Serial``). A lock of the SDK is looked at before it
is taken: ``locked()`` is False for certain where this thread holds it not. Work that finds its lock taken, by this thread or by
another one, is deferred until the next measurement or scrape, at the latest that of the thread which is inside.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from threading import RLock, get_ident
from typing import Any

from telemetry._base.fork import register_after_fork
from telemetry._base.threads import yield_gil

__all__ = ["Serial", "alone", "defer", "deferred", "do_if_free", "is_released", "put_off", "run_deferred"]

_LIMIT = 10_000
"""How much work may be deferred at once. Locks are held for microseconds, but for the SDK's collect of many series."""
_LOOKS = 20
"""How often ``alone`` looks at a lock which another thread may be about to release."""
_MAX_STILL_TAKEN = 8
"""How many taken locks ``run_deferred`` finds before it stops. Without it each measurement would try all that was deferred."""
_RELEASE_LOOKS = 5
"""How often ``is_released`` looks: the thread that holds the lock may be suspended with it again."""
_DEFERRED_PER_WAIT = 100
"""While work is deferred, ``is_released`` waits once for so many pieces of it."""

deferred: deque[Callable[[], bool]] = deque()
"""Work that waits for a lock. Its owner looks at it after each release: ``if deferred: run_deferred()``."""
_inside: set[int] = set()
"""The threads that are inside ``alone``, by their ids."""
_running: set[int] = set()
"""The threads that are inside ``run_deferred``."""

for each in (deferred, _inside, _running):
    register_after_fork(each.clear)  # what the parent has deferred, it does itself


def defer(attempt: Callable[[], bool]) -> None:
    """Keeps work for later, and tries it once more now: the lock may have been released meanwhile.

    Args:
        attempt: Does the work; returns False where its lock is still taken.

    Raises:
        RuntimeError: Too much is deferred already.
    """
    if len(deferred) >= _LIMIT:
        raise RuntimeError(f"a lock of the SDK was not released while {_LIMIT} measurements came")
    deferred.append(attempt)
    run_deferred()


def is_released(lock: Any) -> bool:
    """Returns whether a lock that was found taken is free a moment later.

    The interpreter may suspend a thread that holds the lock. It goes on in that moment; else all measurements that the other
    threads make meanwhile would be deferred. Where this call interrupts the thread that holds the lock, waiting is in vain: so
    while work is deferred it waits rarely, and not at all when no more may be deferred.
    """
    waiting = len(deferred)
    if waiting % _DEFERRED_PER_WAIT or waiting >= _LIMIT:
        return False
    for _ in range(_RELEASE_LOOKS):
        yield_gil()
        if not lock.locked():
            return True
    return False


def put_off(lock: Any, work: Callable[..., object], *arguments: Any) -> bool:
    """Defers work whose lock was found taken.

    Returns:
        False where the lock is free a moment later (``is_released``): nothing is deferred, and the caller does the work now.

    Raises:
        RuntimeError: Too much is deferred already.
    """
    if is_released(lock):
        return False
    defer(partial(do_if_free, lock, work, *arguments))
    return True


def do_if_free(lock: Any, work: Callable[..., object], *arguments: Any) -> bool:
    """Does deferred work that takes ``lock``; returns False where the lock is still taken."""
    if lock.locked():
        return False
    work(*arguments)
    return True


def run_deferred() -> None:
    """Tries each piece of deferred work once; stops after several whose locks are still taken, as those of the rest may be."""
    thread = get_ident()
    if thread in _running:
        return
    still_taken: list[Callable[[], bool]] = []
    try:
        _running.add(thread)
        while len(still_taken) < _MAX_STILL_TAKEN:
            try:
                attempt = deferred.popleft()
            except IndexError:
                break
            if not attempt():
                still_taken.append(attempt)
    finally:
        deferred.extend(still_taken)
        _running.discard(thread)


def alone(is_busy: Callable[[], bool], work: Callable[..., None], *arguments: Any, looks: int = _LOOKS) -> bool:
    """Does work that takes locks of the SDK, unless this thread may hold them already.

    Args:
        is_busy: Returns whether one of the locks is taken.
        work: What to do.
        *arguments: What ``work`` is called with.
        looks: How often to look whether another thread has released it, 50 microseconds apart.

    Returns:
        False where nothing was done.
    """
    thread = get_ident()
    if thread in _inside:
        return False
    while is_busy():
        looks -= 1
        if looks <= 0:
            return False
        yield_gil()
    try:
        _inside.add(thread)
        work(*arguments)
    finally:
        _inside.discard(thread)
    return True


class Serial:
    """Applies changes one after the other. A change that interrupts another one in the same thread is applied after it.

    Args:
        apply: Applies one change.
    """

    __slots__ = ("_apply", "_changes", "_is_applying", "_lock")

    def __init__(self, apply: Callable[..., None]) -> None:
        self._apply = apply
        self._changes: deque[tuple[Any, ...]] = deque()
        self._is_applying = False
        self._lock = RLock()

    def __call__(self, *change: Any) -> None:
        """Applies a change, with these arguments of ``apply``; later, where it interrupts another one."""
        self._changes.append(change)
        self.settle()

    def settle(self) -> None:
        """Applies the changes that still wait. Call it before the state is read."""
        with self._lock:
            while self._changes and not self._is_applying:
                self._is_applying = True
                try:
                    if self._changes:
                        self._apply(*self._changes.popleft())
                finally:
                    self._is_applying = False

    def reset(self) -> None:
        """Replaces the lock, in a forked child."""
        self._lock = RLock()
        self._is_applying = False
        self._changes.clear()
