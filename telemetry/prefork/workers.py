"""``Workers``: this process as one of several, any of which shows the totals of all."""

from __future__ import annotations

import atexit
import logging
import multiprocessing
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from multiprocessing import util
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from typing import Any, Self
from uuid import NAMESPACE_OID, uuid5

from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, Resource

from telemetry._base.diagnostics import Diagnostics
from telemetry._base.file_lock import FileLock
from telemetry._base.fork import register_after_fork
from telemetry._base.printable import printable
from telemetry._base.threads import yield_gil
from telemetry.exposition.source import ReadLocal, ScrapeRefusedError
from telemetry.metric.definition import MultiprocessMode
from telemetry.metric.label_values import Domain
from telemetry.metricdata.stream import Snapshot
from telemetry.prefork.merge import Contribution, Merger
from telemetry.prefork.parent import is_worker
from telemetry.prefork.run import StateDirectoryError, Supervisor
from telemetry.prefork.run_directory import default_directory, missing_on_this_platform, open_run, supervisor_in
from telemetry.prefork.shared_labels import SharedLabelValues
from telemetry.prefork.snapshot import Encoder, StateError, WorkerSnapshot, decode
from telemetry.prefork.state_directory import FOLDED, LABELS, STARTED, StateDirectory, birth
from telemetry.prefork.state_server import StateServer, request_states
from telemetry.prefork.worker_slot import WorkerSlot

__all__ = ["Workers"]

_UNRESPONSIVE_SECONDS = 0.05
"""Timeout of a worker that did not answer the last request."""
_MAX_TRIES = 10
_EXIT_PRIORITY = -10
"""Among the finalizers of ``multiprocessing``, after its own, which wait for this process's children."""

_log = logging.getLogger("telemetry")


class Workers:
    """The workers of one run, seen from one of them. ``PrometheusReader.share`` makes it show the totals of all.

    Args:
        directory: Private to the user (mode 0700), by default below ``XDG_RUNTIME_DIR`` or the temporary directory. Several
            services may share it.
        supervisor: The process whose life is the run's; by default this process, or the one above all workers that it descends
            from.
        save_every: Seconds between two saves of this worker's state. It is also saved before each scrape that shows it.
        timeout: Seconds that a scrape waits for another worker; after that it shows that worker's last saved state.

    Attributes:
        folder: The run's directory.
        worker: This worker's name; a forked child gets another one.
        instance: ``service.instance.id`` of the run, which merged scrapes show.

    Raises:
        StateDirectoryError: The directory cannot be used.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        supervisor: Supervisor | None = None,
        save_every: float = 1.0,
        timeout: float = 1.0,
    ) -> None:
        if missing := missing_on_this_platform():
            raise StateDirectoryError(missing)
        directory = directory or default_directory()
        self.folder = open_run(directory, supervisor or supervisor_in(directory))
        self.worker = ""
        self.instance = str(uuid5(NAMESPACE_OID, self.folder.name))
        try:
            self._descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise StateDirectoryError(f"{self.folder} cannot be used: {error.strerror}") from None
        self._save_every = save_every
        self._timeout = timeout
        self._save_lock = Lock()
        self._joined = False
        self._left = False
        self._born: int | None = None
        self._shown: tuple[WorkerSnapshot | None, Sequence[Contribution]] = (None, ())
        self._own_resource: Resource | None = None
        self._shown_resource: tuple[Resource, Resource] | None = None
        self._slot = WorkerSlot(self.folder)

    @classmethod
    def detect(cls, directory: Path | None = None, **options: Any) -> Self | None:
        """Returns the workers that this process is one of, as uvicorn, gunicorn and ``multiprocessing`` start them.

        Args:
            directory: See the constructor.
            **options: Further arguments of the constructor.

        Returns:
            None where this process is alone, and on a platform without file locks or Unix sockets, where a worker logs that it
            shows its own numbers. A process that forks workers itself, after this call, makes ``Workers()``.

        Raises:
            StateDirectoryError: The directory cannot be used.
        """
        if not is_worker():
            return None
        if missing := missing_on_this_platform():
            _log.warning("this worker shows its own numbers alone: %s", missing)
            return None
        return cls(directory, **options)

    def join(
        self,
        read_local: ReadLocal,
        diagnostics: Diagnostics,
        *,
        domains: Iterable[Domain] = (),
        multiprocess_modes: Mapping[str, MultiprocessMode] = MappingProxyType({}),
    ) -> None:
        """Makes this process a worker that other workers see.

        Args:
            read_local: Encodes the snapshot of this process with the function that it gets, and returns the bytes.
            diagnostics: Counts and logs what goes wrong with states.
            domains: Labels whose admitted values all workers share.
            multiprocess_modes: Instrument name -> how the gauges of several workers are combined; others are summed.

        Raises:
            StateDirectoryError: The directory cannot be used.
        """
        self._read_local = read_local
        self._multiprocess_modes = multiprocess_modes
        self._domains = tuple(domains)
        self._diagnostics = diagnostics
        self._files = StateDirectory(self.folder, diagnostics)
        try:
            self._start()
        except OSError as error:
            raise StateDirectoryError(f"{self.folder} cannot be used: {error.strerror}") from None
        atexit.register(self.close)
        register_after_fork(self._after_fork_in_child)
        util.register_after_fork(self, Workers._end_with_process)
        self._end_with_process()

    def snapshot(self) -> Snapshot:
        """Returns the totals of all workers, ended ones included. This worker's part is saved first.

        Raises ``ScrapeRefusedError`` after ``close``: then the other workers show this worker's totals.
        """
        if self._left:
            raise ScrapeRefusedError("shutdown", "this worker has left")
        own = decode(self._save())
        try:
            self._shown = self._gather()
        except OSError as error:  # no free descriptor, for example
            self._files.failed("unreadable", f"what was read of the other workers last is shown: {error.strerror}")
        folded, others = self._shown
        ended = [] if folded is None else [Contribution(folded, alive=False)]
        return self._merger.merge(self._resource(), [*ended, *others, Contribution(own, alive=True)])

    def slot(self) -> int | None:
        """Returns this worker's slot: the lowest number that no other living worker of the run has.

        It is taken at the first call, and freed by ``close`` or with the process. A forked child takes one of its own. None
        after ``close``, and where none can be taken.
        """
        if not self._joined:
            return None
        try:
            return self._slot.take()
        except OSError as error:
            self._files.failed("unwritable", f"this worker cannot take a slot: {error.strerror}")
            return None

    @property
    def supervisor(self) -> Supervisor | None:
        """The process whose life is the run's; None once it has ended, or where it cannot be seen from here."""
        supervisor = Supervisor.of_run(self.folder.name)
        return supervisor if supervisor is not None and Supervisor.of(supervisor.pid) == supervisor else None

    def agreed_start(self, computed: float) -> float:
        """Returns when the run started, as its first worker has computed it: a clock that is set later changes nothing."""
        try:
            return float(self._files.first(STARTED, repr(computed)))
        except (OSError, ValueError) as error:  # no hard links, or a file that is not ours
            self._files.failed("unreadable", f"the run's start is this worker's own: {printable(error)}")
            return computed

    def close(self) -> None:
        """Saves the last state, which the other workers count on with, and leaves. A second call does nothing."""
        if not self._joined:
            return
        self._joined = False
        self._left = True
        atexit.unregister(self.close)
        self._server.stop()
        with suppress(Exception):  # the reader may be shut down: then the last save is the state
            self._save(self._timeout)  # a signal handler may have interrupted a save of this thread
        self._slot.release()
        self._shared_labels.leave()
        self._lock.release()
        with suppress(OSError):
            (self.folder / f"{self.worker}.sock").unlink()
        os.close(self._descriptor)

    def _start(self) -> None:
        self._encoder = Encoder(self._files.run)
        self._merger = Merger(self._multiprocess_modes, self._diagnostics)
        self._unresponsive: set[str] = set()
        self._lock: FileLock
        self.worker, self._lock = self._files.new_worker(self._born)
        self._born = birth(self.worker)
        self._shared_labels = SharedLabelValues(self.folder / LABELS, self._domains, self._files.failed)
        self._server = StateServer(
            self._descriptor, self.worker, self._answer, self._tick, every=self._save_every, timeout=self._timeout
        )
        self._files.publish(self.worker)  # from now on other workers see this one, and wait for its answer
        self._server.start()
        self._joined = True

    def _after_fork_in_child(self) -> None:
        """A forked child is a worker of its own."""
        if not self._joined:
            return
        self._shown = (None, ())
        self._save_lock = Lock()
        self._joined = False
        self._server.close_inherited()
        self._lock.release()
        self._slot.reset_after_fork()
        self._shared_labels.leave()
        self.worker = f"{os.getpid()}-alone"  # a child that cannot join must not save under its parent's name
        try:
            self._start()
        except OSError as error:
            self._files.failed("unwritable", f"a forked worker cannot join: {error.strerror}")

    def _end_with_process(self) -> None:
        """Leaves when a child of ``multiprocessing`` ends, which by ``fork`` and ``forkserver`` does not run ``atexit``."""
        if multiprocessing.parent_process() is not None:
            util.Finalize(None, self.close, exitpriority=_EXIT_PRIORITY)

    def _save(self, timeout: float = -1) -> bytes:
        """Saves and returns this worker's state. The lock keeps an older state from replacing a newer one.

        Args:
            timeout: Seconds to wait for a save that is under way; by default until it has ended.
        """
        lock = self._save_lock  # a forked child replaces it
        if not lock.acquire(timeout=timeout):
            raise TimeoutError("a save did not end in time")
        try:
            data = self._read_local(self._encode)
            self._files.save(self.worker, data)
            return data
        finally:
            lock.release()

    def _encode(self, snapshot: Snapshot) -> bytes:
        self._own_resource = snapshot.resource
        return self._encoder.encode(snapshot, self.worker, yield_gil=yield_gil)

    def _answer(self) -> bytes:
        try:
            return self._save()
        except Exception as error:
            self._files.failed("unreadable", f"this worker's own state cannot be read: {printable(repr(error))}")
            return b""

    def _tick(self) -> None:
        for step in (self._shared_labels.catch_up, self._save, self._touch, self._fold):
            try:
                step()
            except Exception as error:
                self._files.failed("unwritable", f"this worker's state cannot be kept: {printable(repr(error))}")

    def _touch(self) -> None:
        """Shows a cleaner of temporary files, and a worker in another container, that the run is in use."""
        os.utime(self.folder / f"{self.worker}.lock")
        self._slot.touch()

    def _gather(self) -> tuple[WorkerSnapshot | None, Sequence[Contribution]]:
        """Returns the folded state and the other workers' states, none of which is in both. Raises ``OSError``."""
        responses: dict[str, WorkerSnapshot] = {}
        for _ in range(_MAX_TRIES):
            folded = self._files.folded()
            others = self._others(responses, folded)
            if self._files.folded() is folded:
                break  # else a worker was folded meanwhile: it would count twice, or not at all
        return folded, others

    def _others(self, responses: dict[str, WorkerSnapshot], folded: WorkerSnapshot | None) -> list[Contribution]:
        """The other workers' states: their answers, the last saved ones, or what was shown last. Adds to ``responses``."""
        absorbed = () if folded is None else folded.absorbed
        names = [name for name in self._files.workers() if name != self.worker and name not in absorbed]
        alive = {name: not self._files.has_ended(name) for name in names}
        self._request([name for name in names if alive[name] and name not in responses], responses)
        shown = {snapshot.worker: snapshot for snapshot, _ in self._shown[1]}
        states = ((name, responses.get(name) or self._loaded(name) or shown.get(name)) for name in names)
        return [Contribution(state, alive[name]) for name, state in states if state is not None]

    def _loaded(self, name: str) -> WorkerSnapshot | None:
        with suppress(OSError):
            return self._files.load(name)
        return None

    def _request(self, names: Sequence[str], responses: dict[str, WorkerSnapshot]) -> None:
        answers = request_states(
            self._descriptor, names, lambda name: _UNRESPONSIVE_SECONDS if name in self._unresponsive else self._timeout
        )
        unresponsive = set()
        for name in names:
            try:
                responses[name] = decode(answers[name])
            except (KeyError, StateError):
                if not self._files.has_ended(name):
                    unresponsive.add(name)
        for name in unresponsive - self._unresponsive:
            self._files.failed("hung", f"worker {name} did not answer, its last saved state is shown")
        self._unresponsive = unresponsive

    def _fold(self) -> None:
        """Adds the states of ended workers to the folded one and removes their files."""
        with self._files.folding() as locked:
            if not locked:
                return
            self._files.remove_stale()
            folded = self._files.folded()
            ended = [name for name in self._files.workers() if name != self.worker and self._files.has_ended(name)]
            absorbed = set(() if folded is None else folded.absorbed)
            states, done = [], [name for name in ended if name in absorbed]
            for name in sorted({*ended} - absorbed, key=birth):
                with suppress(OSError):  # it cannot be read now: it is folded later
                    state = self._files.load(name)
                    done.append(name)
                    states += [] if state is None else [state]
            if states and not self._files.save(FOLDED, self._encode_folded(folded, states, done)):
                return
            for name in done:
                self._files.remove(name)

    def _encode_folded(self, folded: WorkerSnapshot | None, states: Sequence[WorkerSnapshot], names: Sequence[str]) -> bytes:
        contributions = [Contribution(state, alive=False) for state in (folded, *states) if state is not None]
        snapshot = Merger({}).merge(None, contributions, exact=True)
        return Encoder(self._files.run).encode(snapshot, FOLDED, absorbed=names)

    def _resource(self) -> Resource | None:
        """This worker's resource with the run's instance id."""
        own = self._own_resource
        if own is None:
            return None
        if self._shown_resource is None or self._shown_resource[0] is not own:
            shown = Resource({**own.attributes, SERVICE_INSTANCE_ID: self.instance}, own.schema_url)
            self._shown_resource = (own, shown)
        return self._shown_resource[1]
