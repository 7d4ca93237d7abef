"""Tasks: none is lost, work is cut short when told, tidying never."""

import asyncio

import structlog
from structlog.testing import LogCapture

from posthouse.net.tasks import Tasks
from tests.net.fixture import until


async def test_work_and_tidying(log: structlog.typing.FilteringBoundLogger) -> None:
    done: list[int] = []
    ended: list[str] = []
    tasks = Tasks(log, lambda: done.append(len(tasks)))
    go_on = asyncio.Event()

    async def wait(name: str) -> None:
        await go_on.wait()
        ended.append(name)

    tasks.start(wait("work"))
    tasks.tidy(wait("tidying"))
    await asyncio.sleep(0)
    assert len(tasks) == 2
    tasks.cancel()
    await until(lambda: len(tasks) == 1)
    go_on.set()
    await until(lambda: len(tasks) == 0)
    assert ended == ["tidying"]
    assert done == [1, 0]


async def test_a_bug_is_told(log: structlog.typing.FilteringBoundLogger, logged: LogCapture) -> None:
    tasks = Tasks(log, lambda: None)

    async def fail() -> None:
        raise ZeroDivisionError

    tasks.start(fail())
    await until(lambda: len(tasks) == 0)
    assert [entry["event"] for entry in logged.entries] == ["task failed"]
