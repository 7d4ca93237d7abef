import asyncio

from posthouse.mailstore.changes import LocalBus


def test_watchers_of_the_account_are_told() -> None:
    bus = LocalBus()
    first: list[int] = []
    second: list[int] = []
    other: list[int] = []
    bus.watch(1, first.append)
    end = bus.watch(1, second.append)
    bus.watch(2, other.append)
    bus.publish(1, 5)
    end()
    end()
    bus.publish(1, 6)
    bus.publish(3, 7)
    assert (first, second, other) == ([5, 6], [5], [])


def test_the_same_function_may_watch_twice() -> None:
    bus = LocalBus()
    told: list[int] = []
    end = bus.watch(1, told.append)
    bus.watch(1, told.append)
    bus.publish(1, 5)
    end()
    end()
    bus.publish(1, 6)
    assert told == [5, 5, 6]


def test_a_watch_may_end_while_told() -> None:
    bus = LocalBus()
    told: list[int] = []

    def once(modseq: int) -> None:
        told.append(modseq)
        end()

    end = bus.watch(1, once)
    bus.watch(1, told.append)
    bus.publish(1, 5)
    bus.publish(1, 6)
    assert told == [5, 5, 6]


def test_a_watch_begun_after_the_last_ended() -> None:
    bus = LocalBus()
    told: list[int] = []
    stale = bus.watch(1, told.append)
    stale()
    bus.watch(1, told.append)
    stale()
    bus.publish(1, 5)
    assert told == [5]


async def test_a_watcher_that_fails_is_reported_and_the_others_are_told() -> None:
    noted: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: noted.append(context))
    bus = LocalBus()
    told: list[int] = []

    def fail(modseq: int) -> None:
        raise KeyError(modseq)

    bus.watch(1, fail)
    bus.watch(1, told.append)
    bus.publish(1, 5)
    assert told == [5]
    assert [type(context["exception"]) for context in noted] == [KeyError]
