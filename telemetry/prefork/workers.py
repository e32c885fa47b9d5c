"""``Workers``: this process as one of several whose numbers any of them can show together."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from types import MappingProxyType
from uuid import NAMESPACE_OID, uuid5

from opentelemetry.sdk.resources import SERVICE_INSTANCE_ID, Resource

from telemetry._base.diagnostics import Diagnostics
from telemetry._base.file_lock import FileLock
from telemetry._base.fork import register_after_fork
from telemetry._base.threads import yield_gil
from telemetry.exposition.source import ReadLocal, ScrapeRefusedError
from telemetry.metric.definition import MultiprocessMode
from telemetry.metric.label_values import Domain
from telemetry.metricdata.stream import Snapshot
from telemetry.prefork.merge import Contribution, Merger
from telemetry.prefork.run import StateDirectoryError, Supervisor, default_directory, open_run
from telemetry.prefork.shared_labels import SharedLabelValues
from telemetry.prefork.snapshot import Encoder, StateError, WorkerSnapshot, decode
from telemetry.prefork.state_directory import FOLDED, StateDirectory
from telemetry.prefork.state_server import StateServer, request_states

__all__ = ["Workers"]

_HUNG_SECONDS = 0.05
"""How long a worker that did not answer the last time is waited for."""
_TRIES = 10


class Workers:
    """The workers of one run, seen from one of them. ``PrometheusReader.share`` lets it show the totals of all.

    ``directory`` is private to the user (mode 0700; by default below ``XDG_RUNTIME_DIR`` or the temporary directory) and may
    be shared by several services. ``supervisor`` is the process whose life is the run's. Each worker saves its state every
    ``save_every`` seconds and before each scrape that shows it; one that does not answer within ``timeout`` seconds counts
    with what it saved last. Raises ``StateDirectoryError``.
    """

    def __init__(
        self,
        directory: Path | None = None,
        *,
        supervisor: Supervisor | None = None,
        save_every: float = 1.0,
        timeout: float = 1.0,
    ) -> None:
        supervisor = supervisor or Supervisor.of_this_process()
        self._folder = open_run(directory or default_directory(), supervisor)
        self._descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._every = save_every
        self._timeout = timeout
        self._saving = Lock()
        self._joined = self._left = False
        self._own: Resource | None = None
        self._whole: tuple[Resource, Resource] | None = None
        self.worker = ""
        """This worker's name; another one in a forked child."""
        self.instance = str(uuid5(NAMESPACE_OID, self._folder.name))
        """``service.instance.id`` of the run, which merged scrapes show."""

    def join(
        self,
        read_local: ReadLocal,
        diagnostics: Diagnostics,
        *,
        domains: Iterable[Domain] = (),
        multiprocess_modes: Mapping[str, MultiprocessMode] = MappingProxyType({}),
    ) -> None:
        """Become a worker whose numbers are those of ``reader``. ``domains`` share their admitted values with other workers.

        ``multiprocess_mode``: instrument name -> what the gauges of several workers make. Raises ``StateDirectoryError``.
        """
        self._read_local = read_local
        self._multiprocess_modes = multiprocess_modes
        self._domains = tuple(domains)
        self._files = StateDirectory(self._folder, diagnostics)
        try:
            self._start()
        except OSError as error:
            raise StateDirectoryError(f"{self._folder} cannot be used: {error.strerror}") from None
        atexit.register(self.close)
        register_after_fork(self._after_fork_in_child)

    @property
    def folder(self) -> Path:
        """The run's directory."""
        return self._folder

    def snapshot(self) -> Snapshot:
        """The numbers of all workers, those that ended included. What it shows is saved first.

        Raises ``ScrapeRefusedError`` once this worker has left: others show its numbers then.
        """
        if self._left:
            raise ScrapeRefusedError("shutdown", "this worker has left")
        own = decode(self._save())
        responses: dict[str, WorkerSnapshot] = {}
        for _ in range(_TRIES):
            folded = self._files.folded()
            others = self._others(responses, folded)
            if self._files.folded() is folded:
                break  # else some were folded meanwhile: they would count twice, or not at all
        before = [] if folded is None else [Contribution(folded, alive=False)]
        return self._merger.merge(self._resource(), [*before, *others, Contribution(own, alive=True)])

    def close(self) -> None:
        """Save for the last time and leave: others count on with that. A second call does nothing."""
        if not self._joined:
            return
        self._joined, self._left = False, True
        atexit.unregister(self.close)
        self._server.stop()
        with suppress(Exception):  # a reader that is shut down has nothing to add
            self._save()
        self._shared_labels.leave()
        self._lock.release()
        with suppress(OSError):
            (self._folder / f"{self.worker}.sock").unlink()
        os.close(self._descriptor)

    def _start(self) -> None:
        self._encoder = Encoder(self._files.run)
        self._merger = Merger(self._multiprocess_modes)
        self._unresponsive: set[str] = set()
        self._lock: FileLock
        self.worker, self._lock = self._files.new_worker()
        self._shared_labels = SharedLabelValues(self._folder / "labels", self._domains)
        self._server = StateServer(
            self._descriptor, self.worker, self._answer, self._tick, every=self._every, timeout=self._timeout
        )
        self._files.publish(self.worker)  # from now on others see it, and it answers
        self._joined = True

    def _after_fork_in_child(self) -> None:
        """A forked child is a worker of its own."""
        if not self._joined:
            return
        self._saving = Lock()
        self._joined = False
        self._server.close_inherited()
        self._lock.release()  # of this process's descriptor; the parent keeps its lock
        self._shared_labels.leave()
        self.worker = f"{os.getpid()}-alone"  # never the parent's name, should it not get one of its own
        try:
            self._start()
        except OSError as error:
            self._files.failed("unwritable", f"a forked worker cannot join: {error.strerror}")

    def _save(self) -> bytes:
        """The state of this process, in its place. One at a time: an older one never takes a newer one's place."""
        with self._saving:
            data = self._read_local(self._encoded)
            self._files.save(self.worker, data)
            return data

    def _encoded(self, snapshot: Snapshot) -> bytes:
        self._own = snapshot.resource
        return self._encoder.encode(snapshot, self.worker, yield_gil=yield_gil)

    def _answer(self) -> bytes:
        try:
            return self._save()
        except Exception as error:
            self._files.failed("unreadable", f"this worker's own state cannot be read: {error!r}")
            return b""

    def _tick(self) -> None:
        try:
            self._shared_labels.catch_up()
            self._save()
            os.utime(self._folder / f"{self.worker}.lock")  # whoever tidies up temporary files sees that it is in use
            self._fold()
        except Exception as error:
            self._files.failed("unwritable", f"this worker's state cannot be kept: {error!r}")

    def _others(self, responses: dict[str, WorkerSnapshot], folded: WorkerSnapshot | None) -> list[Contribution]:
        """The states of the other workers: asked for, or the last ones that were saved."""
        absorbed = () if folded is None else folded.absorbed
        names = [name for name in self._files.workers() if name != self.worker and name not in absorbed]
        alive = {name: not self._files.has_ended(name) for name in names}
        self._request([name for name in names if alive[name] and name not in responses], responses)
        states = ((name, responses.get(name) or self._files.load(name)) for name in names)
        return [Contribution(state, alive[name]) for name, state in states if state is not None]

    def _request(self, names: Sequence[str], responses: dict[str, WorkerSnapshot]) -> None:
        answers = request_states(
            self._descriptor, names, lambda name: _HUNG_SECONDS if name in self._unresponsive else self._timeout
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
        """Put the totals of workers that have ended into one state, and their files away."""
        with self._files.folding() as mine:
            if not mine:
                return
            self._files.remove_stale()
            folded = self._files.folded()
            ended = [name for name in self._files.workers() if name != self.worker and self._files.has_ended(name)]
            absorbed = set(() if folded is None else folded.absorbed)
            fresh = [name for name in ended if name not in absorbed]
            states = [state for name in fresh if (state := self._files.load(name)) is not None]
            if states and not self._files.save(FOLDED, self._together_with(folded, states, fresh)):
                return
            for name in ended:
                self._files.remove(name)

    def _together_with(self, folded: WorkerSnapshot | None, states: Sequence[WorkerSnapshot], names: Sequence[str]) -> bytes:
        every = [*([] if folded is None else [folded]), *states]
        snapshot = Merger({}).merge(None, [Contribution(state, alive=False) for state in every], exact=True)
        return Encoder(self._files.run).encode(snapshot, FOLDED, absorbed=names)

    def _resource(self) -> Resource | None:
        """The service as a whole: its instance is the run, not a worker."""
        own = self._own
        if own is None:
            return None
        if self._whole is None or self._whole[0] is not own:
            merged = Resource({**own.attributes, SERVICE_INSTANCE_ID: self.instance}, own.schema_url)
            self._whole = (own, merged)
        return self._whole[1]
