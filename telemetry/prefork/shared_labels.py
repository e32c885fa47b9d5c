"""Label values that all workers of a run admit: the first ones that any of them recorded, up to the label's limit.

They are in a file that is only appended to, one line for each value. The order of the lines decides, without a lock, so that a
worker that hangs does not block the others. A worker reads the file when it meets a new value while the label has room.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from threading import Lock

from telemetry.metric.label_values import Domain

__all__ = ["SharedLabelValues"]


class SharedLabelValues:
    """The shared file, as the domains of one process use it.

    Args:
        path: The file.
        domains: All domains of the process; those of open labels share their values until ``leave``.

    Raises:
        OSError: The file cannot be used.
    """

    def __init__(self, path: Path, domains: Iterable[Domain]) -> None:
        self._domains: Mapping[str, Domain] = _named(domains)
        self._names = {id(domain): name for name, domain in self._domains.items()}
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._offset = 0
        self._lock = Lock()
        for domain in self._domains.values():
            if domain.discovered:
                self.reserve(domain, domain.discovered)
            domain.shared = self

    def reserve(self, domain: Domain, values: Iterable[str]) -> None:
        """Asks for places for these values, and admits those that get one. Raises ``OSError``."""
        name = self._names[id(domain)]
        lines = "".join(f"{json.dumps([name, value])}\n" for value in values)
        with self._lock:
            os.write(self._file, lines.encode())
            self._catch_up()

    def catch_up(self) -> None:
        """Admits the values that other workers have added. Raises ``OSError``."""
        with self._lock:
            self._catch_up()

    def leave(self) -> None:
        """Lets each domain decide alone again, and closes the file."""
        for domain in self._domains.values():
            domain.shared = None
        os.close(self._file)

    def _catch_up(self) -> None:
        new = os.pread(self._file, os.fstat(self._file).st_size - self._offset, self._offset)
        lines = new[: new.rfind(b"\n") + 1]
        self._offset += len(lines)
        for line in lines.splitlines():
            try:
                name, value = json.loads(line)
            except ValueError:  # a full disk cut a line off, and the next one was appended to it
                continue
            if isinstance(value, str) and (domain := self._domains.get(name)) is not None:
                domain.admit_all([value])


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
