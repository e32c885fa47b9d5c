"""Label values that all workers of a run admit: the first so many that any of them saw.

A file that is only appended to, one line a value: whose line comes first was first, without any lock, so a worker that hangs
holds up nobody. It is asked when a worker meets a value that is new to it while there is room; once a label is full it is not.
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
    """The shared list, as the domains of one process use it."""

    def __init__(self, path: Path, domains: Iterable[Domain]) -> None:
        self._domains: Mapping[str, Domain] = _named(domains)
        self._names = {id(domain): name for name, domain in self._domains.items()}
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self._read = 0
        self._lock = Lock()
        for domain in self._domains.values():
            if domain.discovered:
                self.reserve(domain, domain.discovered)
            domain.shared = self

    def reserve(self, domain: Domain, values: Iterable[str]) -> None:
        """Ask for places in the domain for these values; those that got one are in it afterwards. Raises ``OSError``."""
        name = self._names[id(domain)]
        lines = "".join(f"{json.dumps([name, value])}\n" for value in values)
        with self._lock:
            os.write(self._file, lines.encode())
            self._catch_up()

    def catch_up(self) -> None:
        """Take over what other workers admitted. Raises ``OSError``."""
        with self._lock:
            self._catch_up()

    def leave(self) -> None:
        """The domains decide for themselves again."""
        for domain in self._domains.values():
            domain.shared = None
        os.close(self._file)

    def _catch_up(self) -> None:
        new = os.pread(self._file, os.fstat(self._file).st_size - self._read, self._read)
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.splitlines():
            try:
                name, value = json.loads(line)
            except ValueError:  # a line that a full disk cut off, and the one that was glued to it
                continue
            if isinstance(value, str) and (domain := self._domains.get(name)) is not None:
                domain.admit_all([value])


def _named(domains: Iterable[Domain]) -> dict[str, Domain]:
    """Open domains by their label's key; of two with one key the second has a number."""
    named: dict[str, Domain] = {}
    for domain in domains:
        if domain.label.is_open:
            key = domain.label.key
            while key in named:
                key += "'"
            named[key] = domain
    return named
