"""Label values that all workers of a run admit: the first ones that any of them recorded, up to the label's limit.

They are in a file that is only appended to, one line for each value. The order of the lines decides, without a lock, so that a
worker that hangs does not block the others. A worker reads the file when it meets a new value while the label has room.

The file may be cut off, filled with something else, removed or replaced while workers run. A worker that sees this reads what
there is from the beginning, and adds the values that it has admitted: known values keep their series in every worker, and none
admits more than the label's limit.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock
from uuid import uuid4

from telemetry.metric.label import INVALID, OTHER
from telemetry.metric.label_values import Domain, text_of

__all__ = ["SharedLabelValues"]

_PIECE_BYTES = 1 << 16
"""Bytes that are read at once; a longer line is no line of ours."""
_MAX_BYTES = 1 << 22
"""Bytes that are read in one go; the rest of a file that is longer is read the next times."""
_LAST_BYTES = 64
"""Bytes by which a file is known again that has grown since it was read."""
_CLOSED = -1


class SharedLabelValues:
    """The shared file, as the domains of one process use it. While it cannot be used, new values become ``other``.

    Args:
        path: The file.
        domains: All domains of the process; those of open labels share their values until ``leave``.
        failed: Takes a reason of ``agentos.telemetry.state.failures`` and a sentence, when the file is broken or unusable.
    """

    def __init__(
        self, path: Path, domains: Iterable[Domain], failed: Callable[[str, str], None] = lambda _reason, _message: None
    ) -> None:
        self._domains: Mapping[str, Domain] = _named(domains)
        self._names = {id(domain): name for name, domain in self._domains.items()}
        self._path = path
        self._failed = failed
        self._file = _CLOSED
        self._offset = 0
        self._last = b""  # the bytes before the offset
        self._found: set[tuple[str, str]] = set()  # the admitted values that the file has
        self._lock = RLock()
        self._is_held = False
        for domain in self._domains.values():
            domain.shared = self
        with suppress(OSError), self._alone():
            self._reopen(broken=False)

    def reserve(self, domain: Domain, values: Iterable[str]) -> None:
        """Asks for places for these values, and admits those that get one. Raises ``OSError``."""
        with self._alone():
            self._follow()
            self._append([(self._names[id(domain)], value) for value in values])
            self._read()

    def catch_up(self) -> None:
        """Admits the values that other workers have added, and repairs the file. A failure is counted; nothing is raised."""
        with suppress(OSError), self._alone():
            self._follow()
            self._read()

    def leave(self) -> None:
        """Lets each domain decide alone again, and closes the file."""
        for domain in self._domains.values():
            domain.shared = None
        self._close()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Holds the lock. Raises ``BlockingIOError`` in a signal handler that interrupts this thread while it holds it."""
        with self._lock:
            if self._is_held:
                raise BlockingIOError("this thread is reading the shared label values")
            try:
                self._is_held = True
                yield
            finally:
                self._is_held = False

    def _follow(self) -> None:
        """Makes ``_file`` the file that has the path now, with all values of this process in it."""
        try:
            current = self._path.lstat()
        except FileNotFoundError:
            current = None
        except OSError as error:
            raise self._told(error) from None
        known = None if self._file == _CLOSED else os.fstat(self._file)
        if known is None or current is None or (current.st_dev, current.st_ino) != (known.st_dev, known.st_ino):
            self._reopen(broken=known is not None)
        elif not self._is_as_read():
            self._failed("torn", f"{self._path} was cut off or overwritten: the label values of this worker are added again")
            self._read_again()

    def _is_as_read(self) -> bool:
        """Whether what was read last is still there."""
        try:
            return os.pread(self._file, len(self._last), self._offset - len(self._last)) == self._last
        except OSError as error:
            raise self._told(error) from None

    def _reopen(self, *, broken: bool) -> None:
        """Opens or makes the file, and adds the values of this process that are not in it."""
        if broken:
            self._failed("torn", f"{self._path} was removed or replaced: the label values of this worker are added again")
        self._close()
        try:
            self._file = _open(self._path)
        except OSError as error:
            if error.errno not in (errno.EISDIR, errno.ELOOP, errno.ENXIO):
                raise self._told(error) from None
            try:  # something that is no file is in its place
                self._path.rename(self._path.with_name(f"{self._path.name}.{uuid4().hex[:8]}.corrupt"))
                self._file = _open(self._path)
            except OSError as again:
                raise self._told(again) from None
            self._failed("foreign", f"{self._path} was no file and was set aside")
        self._read_again()

    def _read_again(self) -> None:
        """Reads the file from its beginning, and adds the values of this process that are not in it."""
        self._offset = 0
        self._last = b""
        self._found = set()
        self._read()
        admitted = [(name, value) for name, domain in self._domains.items() for value in sorted(domain.discovered)]
        if missing := [pair for pair in admitted if pair not in self._found]:
            self._append(missing)

    def _append(self, lines: Iterable[tuple[str, str]]) -> None:
        """Adds lines in one step. Where the last line has no end, as after a full disk, it gets one first."""
        data = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
        try:
            size = os.fstat(self._file).st_size
            if size and os.pread(self._file, 1, size - 1) != b"\n":
                data = b"\n" + data
            if os.write(self._file, data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise self._told(error) from None

    def _read(self) -> None:
        """Admits the values of the lines that were not read yet."""
        broken = 0
        end = self._offset + _MAX_BYTES
        try:
            while self._offset < end and (piece := os.pread(self._file, _PIECE_BYTES, self._offset)):
                length = piece.rfind(b"\n") + 1
                if not length and len(piece) < _PIECE_BYTES:
                    break  # the end of a line that is being written
                self._offset += length or len(piece)
                self._last = (self._last + piece[: length or len(piece)])[-_LAST_BYTES:]
                broken += sum(not self._admit(line) for line in piece[:length].splitlines() if line)
                broken += not length
        except OSError as error:
            raise self._told(error) from None
        if broken:
            self._failed("torn", f"{self._path} has lines that are no label values: they are passed over")

    def _admit(self, line: bytes) -> bool:
        """Returns whether this is a line of ours."""
        try:
            pair = json.loads(line)
        except (ValueError, RecursionError):
            return False
        if type(pair) is not list or [type(each) for each in pair] != [str, str]:
            return False
        name, value = pair
        if text_of(value) is None or value in (INVALID, OTHER):
            return False
        domain = self._domains.get(name)
        if domain is not None:
            domain.admit_all([value])
            if value in domain.admitted:
                self._found.add((name, value))
        return True

    def _told(self, error: OSError) -> OSError:
        self._failed("unwritable", f"{self._path} cannot be used, new label values become 'other': {error.strerror}")
        return error

    def _close(self) -> None:
        if self._file != _CLOSED:
            with suppress(OSError):
                os.close(self._file)
            self._file = _CLOSED


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    file = os.open(path, flags, 0o600)
    if stat.S_ISREG(os.fstat(file).st_mode):
        return file
    os.close(file)
    raise OSError(errno.ENXIO, "it is no regular file")


def _named(domains: Iterable[Domain]) -> dict[str, Domain]:
    """Open domains by their label's key; a second one with the same key gets a ``'`` appended."""
    named: dict[str, Domain] = {}
    for domain in domains:
        if domain.label.is_open:
            key = domain.label.key
            while key in named:
                key += "'"
            named[key] = domain
    return named
