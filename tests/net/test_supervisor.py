"""Long tasks: one that ends is started again, and the log says so."""

import asyncio

import pytest
import structlog
from structlog.testing import LogCapture

from posthouse.net.supervisor import Supervisor
from tests.net.fixture import until

Log = structlog.typing.FilteringBoundLogger
QUICK = (0.001, 0.004)


async def ends_by_itself() -> None:
    return


async def raises() -> None:
    raise ZeroDivisionError


async def has_what_it_waits_for_cancelled() -> None:
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


@pytest.mark.parametrize("ending", [ends_by_itself, raises, has_what_it_waits_for_cancelled])
async def test_a_task_that_ends_is_started_again(log: Log, logged: LogCapture, ending: object) -> None:
    assert callable(ending)
    begun = 0
    running = asyncio.Event()

    async def work() -> None:
        nonlocal begun
        begun += 1
        if begun < 5:
            await ending()
            return
        running.set()
        await asyncio.Event().wait()

    supervisor = Supervisor(log, pauses=QUICK)
    supervisor.run("purge", work)
    await running.wait()
    await supervisor.stop()
    assert begun == 5
    told = [entry for entry in logged.entries if entry["log_level"] == "error"]
    assert [entry["task"] for entry in told] == ["purge"] * 4
    assert [entry["restart_in"] for entry in told] == [0.001, 0.002, 0.004, 0.004]


async def test_what_is_done_again_and_again_goes_on_after_a_failure(log: Log, logged: LogCapture) -> None:
    calls = 0

    async def work() -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise ZeroDivisionError("nothing left")
        if calls == 2:
            await has_what_it_waits_for_cancelled()

    supervisor = Supervisor(log)
    supervisor.every(0.001, "renewal", work)
    await until(lambda: calls >= 4)
    await supervisor.stop()
    assert [(entry["event"], entry["task"]) for entry in logged.entries] == [("task failed", "renewal")] * 2


async def test_stopping_ends_all_and_waits_for_them(log: Log, logged: LogCapture) -> None:
    ended: list[str] = []

    async def tidies() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("tidied")

    async def fails_at_the_end() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("failed")
            raise ZeroDivisionError

    supervisor = Supervisor(log, pauses=QUICK)
    supervisor.run("tidies", tidies)
    supervisor.run("fails", fails_at_the_end)
    await asyncio.sleep(0)
    await supervisor.stop()
    await supervisor.stop()
    assert sorted(ended) == ["failed", "tidied"]
    assert len(asyncio.all_tasks()) == 1


async def test_stopping_during_the_pause(log: Log) -> None:
    supervisor = Supervisor(log, pauses=(3600.0, 3600.0))
    supervisor.run("raises", raises)
    await asyncio.sleep(0.01)
    await supervisor.stop()
    assert len(asyncio.all_tasks()) == 1


async def test_once_it_stops_a_task_may_return(log: Log, logged: LogCapture) -> None:
    stopping = asyncio.Event()
    supervisor = Supervisor(log, pauses=QUICK, stopping=stopping)

    async def works_until_then() -> None:
        await stopping.wait()

    supervisor.run("poll", works_until_then)
    await asyncio.sleep(0)
    stopping.set()
    await until(lambda: not supervisor._tasks)
    assert not logged.entries
    await supervisor.stop()
