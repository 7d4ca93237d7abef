"""Mailboxes that are read in pieces, while others change them, and what reading costs."""

import random
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import apsw
import pytest

from posthouse.database.connection import open_reader
from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.interface import INBOX, Flag, Marks, Measure, NoSuchMailboxError, Setting, Traits
from posthouse.mailstore.sqlite import queries, removing, snapshots, views
from posthouse.mailstore.sqlite.store import SqliteMailstore
from tests.store_invariants import assert_sound
from tests.stores import NOW, Bytes, append, box_of, deliver, ids_of, letter


@pytest.fixture
async def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SqliteMailstore]:
    """With pages of five messages."""
    for module, name in ((views, "PAGE"), (queries, "PAGE"), (queries, "SIZES_PAGE"), (views, "MEASURED_IDS")):
        monkeypatch.setattr(module, name, 5)
    opened = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)
    yield opened
    await opened.close()
    assert_sound(tmp_path)


class Disturbed:
    """Asks the store, and lets something happen before each question but the first."""

    def __init__(self, store: SqliteMailstore, happens: Callable[[], Any]) -> None:
        self._store = store
        self._happens = happens
        self.asked = 0

    async def __call__(self, job: Callable[[apsw.Connection], Any]) -> Any:
        if self.asked:
            await self._happens()
        self.asked += 1
        return await self._store.read_rows(job)


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("log_rows", [20_000, 0])
async def test_a_large_mailbox_is_true_at_one_moment(
    store: SqliteMailstore, seed: int, log_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever happens between the pieces; with the log of expunges, and where it does not reach back far enough."""
    monkeypatch.setattr(removing, "LOG_ROWS", log_rows)
    monkeypatch.setattr(removing, "_LOG_SLACK", 1 if not log_rows else 1000)
    rng = random.Random(seed)
    await append(store, 1, *(letter(b"%d" % number) for number in range(rng.choice((5, 12, 23)))))
    box = (await box_of(store, 1)).id
    last: list[Any] = []

    async def change() -> None:
        ids = list((await store.find(1, INBOX, range(1, 200))) or [])
        chosen = [entry.message for entry in rng.sample(ids, min(len(ids), rng.randrange(1, 4)))]
        match rng.randrange(5):
            case 0:
                await store.mark(1, box, chosen, Setting.ADD, Marks(Flag.SEEN, (f"k{rng.randrange(3)}",)))
            case 1:
                await store.remove(1, box, chosen, marked=False)
            case 2:
                await append(store, 1, letter(b"new", Flag.DELETED))
            case 3:
                await store.move(1, box, chosen, INBOX)
            case 4:
                await store.create(1, f"Other{await store.keywords(1)}{rng.random()}")
        last[:] = [await store.changes(1, 0), store.modseq(1)]

    ask = Disturbed(store, change)
    seen = await snapshots.read_snapshot(ask, 1, INBOX)
    now = await store.snapshot(1, INBOX)
    assert ask.asked >= 3
    assert seen == now and seen.modseq == store.modseq(1) == last[1]


async def test_a_mailbox_that_is_removed_while_it_is_read(store: SqliteMailstore) -> None:
    await store.create(1, "A")
    await append(store, 1, *(letter(b"%d" % number) for number in range(7)), mailbox="A")

    async def remove() -> None:
        if await store.mailbox(1, "A"):
            await store.delete(1, "A")

    with pytest.raises(NoSuchMailboxError):
        await snapshots.read_snapshot(Disturbed(store, remove), 1, "A")


async def test_a_small_mailbox_is_one_question(store: SqliteMailstore) -> None:
    await append(store, 1, *(letter(b"%d" % number) for number in range(4)))

    async def nothing() -> None:
        pass

    ask = Disturbed(store, nothing)
    await snapshots.read_snapshot(ask, 1, INBOX)
    await snapshots.read_maildrop(ask, 1, INBOX)
    assert ask.asked == 2


async def test_no_question_is_for_more_than_a_page(store: SqliteMailstore) -> None:
    """So that others' questions come in between: counted by the rows of each answer."""
    await append(store, 1, *(letter(b"%d" % number) for number in range(23)))
    rows: list[int] = []

    async def ask(job: Callable[[apsw.Connection], Any]) -> Any:
        answer = await store.read_rows(job)
        match answer:
            case list() | tuple():
                rows.append(len(answer[0]) if answer and not isinstance(answer[0], tuple) else len(answer))
            case _:
                rows.append(len(getattr(answer, "uids", ())))
        return answer

    await snapshots.read_snapshot(ask, 1, INBOX)
    await snapshots.read_maildrop(ask, 1, INBOX)
    assert max(rows) == 5 and sum(rows) == 46


@pytest.mark.parametrize("count", [0, 3, 5, 6, 10, 13])
async def test_maildrop(store: SqliteMailstore, count: int) -> None:
    for number in range(count):
        body = b"x" * number + (b"" if number % 3 else b"\r\n")
        placed = letter()
        traits = Traits.NO_FINAL_CRLF | Traits.HAS_LEADING_DOTS if number % 3 else Traits.NONE
        await append(store, 1, type(placed)(Bytes(body, traits), NOW))
    await deliver(store, 1)
    await store.expunge(1, INBOX, [2])
    entries = await store.entries(1)
    drop = await store.maildrop(1)
    assert list(drop.messages) == [entry.message for entry in entries]
    assert list(drop.sent_octets) == [entry.octets + 2 * bool(entry.traits & 2) for entry in entries]
    assert drop.first == entries[: len(drop.first)] and len(drop.first) == min(5, len(entries))
    assert not (await store.maildrop(2)).messages and not (await store.maildrop(1, "None")).messages


async def test_measured_in_pieces(store: SqliteMailstore) -> None:
    await append(store, 1, *(letter(b"x" * number) for number in range(23)))
    found = await store.measured(1, (await box_of(store, 1)).id, Measure.OCTETS, 3, 20)
    assert found == set((await ids_of(store, 1))[3:21])


# What finding the marked ones costs.


def _steps(path: Path, work: Callable[[apsw.Connection], object]) -> int:
    """Steps of SQLite's machine that some work takes."""
    connection = open_reader(path)
    taken: list[int] = []

    def note(event: Any) -> None:
        taken.append(event["stmt_status"]["SQLITE_STMTSTATUS_VM_STEP"])

    connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, note)
    work(connection)
    connection.close()
    return sum(taken)


async def test_finding_what_is_marked_costs_by_what_is_marked(tmp_path: Path) -> None:
    store = SqliteMailstore.open(tmp_path, bus=LocalBus(), reserve_octets=4096)
    costs = {}
    for name, count in (("Small", 20), ("Large", 2000)):
        box = await store.create(1, name)
        await append(store, 1, *(letter(b"%d" % number) for number in range(count)), mailbox=name)
        ids = await ids_of(store, 1, name)
        await store.mark(1, box.id, ids[3:18:5], Setting.ADD, Marks(Flag.DELETED))
        for what, look in (("uids", views.deleted), ("octets", views.deleted_octets)):
            costs[name, what] = _steps(tmp_path / "posthouse.db", partial(look, account=1, number=box.id))
        assert list((await store.deleted(1, box.id)).values()) == ids[3:18:5]
    await store.close()
    assert costs["Small", "uids"] == costs["Large", "uids"] > 0
    assert costs["Small", "octets"] == costs["Large", "octets"] > 0
