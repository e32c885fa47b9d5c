"""The tasks that a built-in agent keeps, within limits of number, bytes and time."""

from __future__ import annotations

import pytest
from a2a.auth.user import User
from a2a.server.context import ServerCallContext
from a2a.types.a2a_pb2 import Artifact, ListTasksRequest, Part, Task, TaskState, TaskStatus

from agents.runtime.task_store import RecentTasks
from agents.services.storage.bounded_store import BoundedStore
from agents.settings import Settings
from tests.helpers.clock import Clock

CALLER = ServerCallContext()
WORKING = TaskState.TASK_STATE_WORKING
ENDED = [
    TaskState.TASK_STATE_COMPLETED,
    TaskState.TASK_STATE_FAILED,
    TaskState.TASK_STATE_CANCELED,
    TaskState.TASK_STATE_REJECTED,
]


class Other(User):
    """Another caller than the one of ``CALLER``."""

    @property
    def is_authenticated(self) -> bool:
        return True

    @property
    def user_name(self) -> str:
        return "other"


def task(name: str, state: int = ENDED[0], text: str = "") -> Task:
    artifact = Artifact(artifact_id="answer", parts=[Part(text=text)])
    return Task(id=name, context_id="c", status=TaskStatus(state=state), artifacts=[artifact])


async def kept(store: RecentTasks, names: str, context: ServerCallContext = CALLER) -> str:
    """Returns the names, of one letter each, that are found."""
    return "".join([name for name in names if await store.get(name, context) is not None])


async def test_as_many_ended_tasks_as_the_setting():
    """Of five ended tasks the two newest are kept where the setting is two."""
    store = RecentTasks(Settings(tasks_size=2))
    for name in "abcde":
        await store.save(task(name), CALLER)
    assert await kept(store, "abcde") == "de"


async def test_as_many_bytes_as_the_setting():
    """With room for three ended tasks of their size the three newest are kept."""
    size = BoundedStore.size_of("\0a", task("a", text="x" * 1000).SerializeToString())
    store = RecentTasks(Settings(tasks_bytes=3 * size))
    for name in "abcde":
        await store.save(task(name, text="x" * 1000), CALLER)
    assert await kept(store, "abcde") == "cde"


async def test_an_ended_task_expires():
    """An ended task is kept for its time, counted from its end."""
    clock = Clock()
    store = RecentTasks(Settings(tasks_ttl=60), clock)
    await store.save(task("a", WORKING), CALLER)
    clock.now += 100
    await store.save(task("a"), CALLER)
    clock.now += 59.9
    assert await kept(store, "a") == "a"
    clock.now += 0.1
    assert await kept(store, "a") == ""
    assert (await store.list(ListTasksRequest(), CALLER)).total_size == 0


@pytest.mark.parametrize("state", [WORKING, TaskState.TASK_STATE_SUBMITTED, TaskState.TASK_STATE_INPUT_REQUIRED])
async def test_a_task_under_way_is_never_dropped(state):
    """A task under way stays whatever ends meanwhile, however long it takes, and however large it is."""
    clock = Clock()
    store = RecentTasks(Settings(tasks_size=1, tasks_bytes=1000, tasks_ttl=1), clock)
    for name in "abc":
        await store.save(task(name, state, "x" * 5000), CALLER)
    for name in "de":
        await store.save(task(name), CALLER)
    clock.now += 3600
    await store.save(task("f"), CALLER)
    assert await kept(store, "abcdef") == "abcf"


@pytest.mark.parametrize("state", ENDED)
async def test_each_end_counts_as_one(state):
    """A task that ends in any way is no longer under way."""
    store = RecentTasks(Settings())
    await store.save(task("a", WORKING), CALLER)
    assert store.counts() == (1, 0)
    await store.save(task("a", state), CALLER)
    assert store.counts() == (0, 1)


async def test_the_task_that_has_just_ended_is_found():
    """A task that alone has more bytes than the setting is found until the next one ends."""
    store = RecentTasks(Settings(tasks_bytes=1))
    await store.save(task("a", text="x" * 5000), CALLER)
    assert await kept(store, "a") == "a"


async def test_a_kept_task_is_a_copy():
    """Changes of a task after it is saved, or after it is read, are not kept."""
    store = RecentTasks(Settings())
    given = task("a", text="right")
    await store.save(given, CALLER)
    given.artifacts[0].parts[0].text = "wrong"
    found = await store.get("a", CALLER)
    assert found == task("a", text="right")
    found.artifacts[0].parts[0].text = "wrong"
    assert await store.get("a", CALLER) == task("a", text="right")


async def test_tasks_are_found_by_their_owner_alone():
    """Another caller neither reads, lists nor deletes a task."""
    other = ServerCallContext(user=Other())
    store = RecentTasks(Settings())
    await store.save(task("a"), CALLER)
    await store.save(task("b", WORKING), other)
    await store.delete("a", other)
    assert (await kept(store, "ab"), await kept(store, "ab", other)) == ("a", "b")
    listed = [[one.id for one in (await store.list(ListTasksRequest(), who)).tasks] for who in (CALLER, other)]
    assert listed == [["a"], ["b"]]
    await store.delete("a", CALLER)
    assert await kept(store, "a") == ""


async def test_tasks_are_listed_in_pages():
    """Pages and filters are those of the SDK's own store; tasks under way are listed with the ended ones."""
    store = RecentTasks(Settings())
    for name in "abc":
        await store.save(task(name), CALLER)
    await store.save(task("d", WORKING), CALLER)
    first = await store.list(ListTasksRequest(page_size=3), CALLER)
    second = await store.list(ListTasksRequest(page_size=3, page_token=first.next_page_token), CALLER)
    assert [one.id for one in (*first.tasks, *second.tasks)] == ["d", "c", "b", "a"]
    working = await store.list(ListTasksRequest(status=WORKING), CALLER)
    assert [one.id for one in working.tasks] == ["d"]
