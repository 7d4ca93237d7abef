"""Long work: some at once, one of each account, one after the other."""

import asyncio

import pytest

from posthouse.sessions.fair_shares import FairShares


class Works:
    """Pieces of work that end when they are told to."""

    def __init__(self, at_once: int = 2) -> None:
        self.shares = FairShares(at_once)
        self.running: list[int] = []
        self._ends: list[asyncio.Event] = []
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self, account: int) -> asyncio.Task[None]:
        self._tasks.append(asyncio.create_task(self._work(account)))
        return self._tasks[-1]

    async def _work(self, account: int) -> None:
        async with self.shares.of(account):
            end = asyncio.Event()
            self.running.append(account)
            self._ends.append(end)
            await end.wait()
            place = self._ends.index(end)
            del self._ends[place], self.running[place]

    async def end_first(self) -> None:
        self._ends[0].set()
        await self.settle()

    async def settle(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


@pytest.fixture
def works() -> Works:
    return Works()


async def test_one_of_each_account(works: Works) -> None:
    for account in (1, 1, 1, 2, 2, 3):
        works.begin(account)
    await works.settle()
    seen = [list(works.running)]
    while works.running:
        await works.end_first()
        seen.append(list(works.running))
    assert seen == [[1, 2], [2, 3], [3, 1], [1, 2], [2, 1], [1], []]


async def test_who_gives_up_leaves_its_place(works: Works) -> None:
    first, second, third = works.begin(1), works.begin(1), works.begin(1)
    await works.settle()
    second.cancel()
    await works.settle()
    await works.end_first()
    assert works.running == [1] and first.done() and not third.done()
    await works.end_first()
    assert third.done()


async def test_a_share_that_was_given_and_not_taken_goes_to_the_next(works: Works) -> None:
    works.begin(1)
    await works.settle()
    second, third = works.begin(1), works.begin(1)
    await works.settle()
    works._ends[0].set()
    await asyncio.sleep(0)  # the first has ended, the second has its share and does not know it yet
    second.cancel()
    await works.settle()
    assert works.running == [1] and not third.done()
    await works.end_first()
    assert third.done()
    works.begin(1)
    works.begin(2)
    await works.settle()
    assert sorted(works.running) == [1, 2]  # nothing was lost
