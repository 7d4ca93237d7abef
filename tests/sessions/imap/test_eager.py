"""Coroutines that are run at once, as far as they go."""

import asyncio

import pytest

from posthouse.sessions.imap.eager import eagerly


async def test_what_need_not_wait_is_done_at_once() -> None:
    done: list[int] = []

    async def work() -> None:
        done.append(1)

    assert eagerly(work()) is None
    assert done == [1]


async def test_the_rest_is_awaited() -> None:
    steps: list[str] = []
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def work() -> None:
        steps.append(await future)
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        steps.append("end")

    rest = eagerly(work())
    assert rest is not None
    assert steps == []
    asyncio.get_running_loop().call_soon(future.set_result, "begun")
    await rest
    assert steps == ["begun", "end"]


async def test_failures_come_out_where_they_happen() -> None:
    async def at_once() -> None:
        raise ValueError("now")

    async def later() -> None:
        await asyncio.sleep(0)
        raise ValueError("later")

    with pytest.raises(ValueError, match="now"):
        eagerly(at_once())
    rest = eagerly(later())
    assert rest is not None
    with pytest.raises(ValueError, match="later"):
        await rest


async def test_cancelling_reaches_the_coroutine() -> None:
    seen: list[str] = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        finally:
            seen.append("tidied")

    async def waiting() -> None:
        rest = eagerly(work())
        assert rest is not None
        await rest

    task = asyncio.create_task(waiting())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled", "tidied"]
