"""The tasks that a built-in agent keeps: those under way, and the last ones that ended, within limits."""

from __future__ import annotations

import time
from collections.abc import Callable

from a2a.server.context import ServerCallContext
from a2a.server.owner_resolver import resolve_user_scope
from a2a.server.tasks import InMemoryTaskStore, TaskStore
from a2a.types.a2a_pb2 import ListTasksRequest, ListTasksResponse, Task, TaskState

from agents.services.storage.bounded_store import BoundedStore
from agents.settings import Settings

__all__ = ["RecentTasks"]

_ENDED = frozenset(
    {TaskState.TASK_STATE_COMPLETED, TaskState.TASK_STATE_FAILED, TaskState.TASK_STATE_CANCELED, TaskState.TASK_STATE_REJECTED}
)


class RecentTasks(TaskStore):
    """Keeps every task under way, and ended ones for ``AGENTOS_TASKS_TTL`` seconds within two limits, the newest first.

    Tasks are kept in their serialized form: its length is what they take, and no caller can change a kept task. A task is
    found by its owner alone, as in the SDK's own stores.
    """

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._under_way: dict[str, bytes] = {}
        self._ended = BoundedStore(settings.tasks_size, settings.tasks_bytes, settings.tasks_ttl, clock)

    async def save(self, task: Task, context: ServerCallContext) -> None:
        """Keeps a task in place of its earlier state."""
        key, data = _key(task.id, context), task.SerializeToString()
        if task.status.state in _ENDED:
            self._under_way.pop(key, None)
            self._ended.put(key, data)
        else:
            self._ended.remove(key)
            self._under_way[key] = data

    async def get(self, task_id: str, context: ServerCallContext) -> Task | None:
        """Returns the owner's task, ``None`` if it is not kept."""
        key = _key(task_id, context)
        data = self._under_way.get(key) or self._ended.get(key)
        return None if data is None else Task.FromString(data)

    async def list(self, params: ListTasksRequest, context: ServerCallContext) -> ListTasksResponse:
        """Returns a page of the owner's tasks, filtered and sorted by the SDK's store in memory."""
        own = _key("", context)
        page = InMemoryTaskStore(use_copying=False)
        for key in [*self._ended.live_keys(), *self._under_way]:
            data = self._under_way.get(key) or self._ended.get(key)
            if data is not None and key.startswith(own):
                await page.save(Task.FromString(data), context)
        return await page.list(params, context)

    async def delete(self, task_id: str, context: ServerCallContext) -> None:
        """Removes the owner's task, if it is kept."""
        key = _key(task_id, context)
        self._under_way.pop(key, None)
        self._ended.remove(key)

    def counts(self) -> tuple[int, int]:
        """Returns how many tasks are under way, and how many ended ones are kept."""
        return len(self._under_way), len(self._ended.live_keys())


def _key(task_id: str, context: ServerCallContext) -> str:
    return f"{resolve_user_scope(context)}\0{task_id}"
