"""Messages of a mailbox: appended, copied, moved and removed, and what a session that keeps it open is told."""

import asyncio
from collections.abc import Iterator

import pytest

from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.interface import (
    INBOX,
    KEYWORD_SHIFT,
    Appending,
    DeliveryResult,
    Delta,
    Flag,
    Mailstore,
    Marks,
    Measure,
    MessageColumns,
    NoSuchMailboxError,
    OverQuotaError,
    Placed,
    Setting,
    StoreError,
    Traits,
    Usage,
)
from tests.conformance.backends import Backend
from tests.conformance.conftest import Clock
from tests.stores import (
    NOW,
    PREFIX,
    BrokenBody,
    Bytes,
    append,
    ascending,
    box_of,
    contents,
    deliver,
    fetch,
    ids_of,
    letter,
    rows_of,
)

SEEN, DELETED = Flag.SEEN, Flag.DELETED


async def uids_of(store: Mailstore, name: str = INBOX, account: int = 1) -> list[int]:
    return [row.uid for row in await rows_of(store, account, name)]


async def two_boxes(store: Mailstore, count: int = 3) -> tuple[int, int, list[int]]:
    """INBOX with some messages and an empty "A" of account 1: their ids, and those of the messages."""
    await append(store, 1, *(letter(b"%d" % number) for number in range(count)))
    return (await box_of(store, 1)).id, (await store.create(1, "A")).id, await ids_of(store, 1)


# Appending


async def test_append_one(store: Mailstore) -> None:
    body = Bytes(b"Subject: x\r\n\r\n.\r\n", Traits.HAS_LEADING_DOTS)
    placed = await store.append(1, INBOX, [Appending(body, 12345, Marks(SEEN | Flag.DRAFT, ("Work",)))])
    box = await box_of(store, 1)
    assert placed == Placed(box.uidvalidity, [], [1])
    assert (box.uidnext, box.messages, box.unseen, box.deleted, box.octets) == (2, 1, 0, 0, 17)
    (entry,) = await store.entries(1)
    assert (entry.uid, entry.octets, entry.traits, entry.received) == (1, 17, Traits.HAS_LEADING_DOTS, 12345)
    assert await fetch(store, entry) == b"Subject: x\r\n\r\n.\r\n"
    flags = SEEN | Flag.DRAFT | 1 << KEYWORD_SHIFT
    assert await rows_of(store, 1) == [MessageColumns(1, entry.message, flags, store.modseq(1), 17, 12345)]
    assert await store.usage(1) == Usage(1, 17)


async def test_append_several_in_order(store: Mailstore) -> None:
    await deliver(store, 1, b"first")
    letters = [letter(b"%d" % number, DELETED if number % 2 else SEEN, received=number) for number in range(300)]
    placed = await store.append(1, "inbox", letters)
    assert placed.uids == list(range(2, 302))
    assert await contents(store, 1) == [PREFIX + b"first", *(b"%d" % number for number in range(300))]
    box = await box_of(store, 1)
    assert (box.messages, box.unseen, box.deleted) == (301, 151, 150)
    assert [row.received for row in await rows_of(store, 1)] == [NOW, *range(300)]


async def test_the_same_message_twice_is_two_messages(store: Mailstore) -> None:
    one = letter(b"same")
    await store.append(1, INBOX, [one, one])
    await store.append(1, INBOX, [one])
    assert await contents(store, 1) == [b"same"] * 3


async def test_appending_nothing(store: Mailstore) -> None:
    box = await box_of(store, 1)
    before = store.modseq(1)
    assert await store.append(1, INBOX, []) == Placed(box.uidvalidity, [], [])
    with pytest.raises(NoSuchMailboxError):
        await store.append(1, "A", [])
    assert store.modseq(1) == before


async def test_nothing_is_appended_where_there_is_no_mailbox(store: Mailstore) -> None:
    await store.create(1, "A/B")
    await store.delete(1, "A")
    for name in ("A", "B", "a/b", ""):
        with pytest.raises(NoSuchMailboxError):
            await append(store, 1, mailbox=name)
    assert await store.usage(1) == Usage(0, 0)
    assert len(await store.mailboxes(1)) == 2


async def test_all_or_none_when_a_body_breaks(store: Mailstore) -> None:
    await append(store, 1, letter(b"there"))
    before = store.modseq(1)
    broken = Appending(BrokenBody(b"x" * 1000, 500, OSError("gone")), NOW)
    with pytest.raises(StoreError):
        await store.append(1, INBOX, [letter(b"good"), broken, letter(b"good, too")])
    assert await contents(store, 1) == [b"there"]
    assert store.modseq(1) == before


async def test_all_or_none_over_quota(store: Mailstore) -> None:
    await append(store, 1, letter(b"12345"))
    with pytest.raises(OverQuotaError):
        await store.append(1, INBOX, [letter(b"123", Flag.NONE, "Work"), letter(b"456")], quota=10)
    assert await store.usage(1) == Usage(1, 5)
    assert await store.keywords(1) == []
    assert (await store.append(1, INBOX, [letter(b"123"), letter(b"45")], quota=10)).uids == [2, 3]
    with pytest.raises(OverQuotaError):
        await store.append(1, INBOX, [letter(b"1")], quota=10)
    assert (await store.append(1, INBOX, [letter(b"1" * 100)])).uids == [4]


async def test_quota_holds_for_appends_and_deliveries_at_the_same_time(store: Mailstore) -> None:
    await store.create(1, "A")
    outcomes = await asyncio.gather(
        *(store.append(1, INBOX, [letter(b"1234567890")], quota=55) for _ in range(10)),
        *(store.append(1, "A", [letter(b"12345"), letter(b"67890")], quota=55) for _ in range(10)),
        *(deliver(store, 1, b"1234567890", prefix=b"", quota=55) for _ in range(10)),
        return_exceptions=True,
    )
    kept = [outcome for outcome in outcomes if isinstance(outcome, Placed) or outcome is DeliveryResult.KEPT]
    refused = [
        outcome for outcome in outcomes if isinstance(outcome, OverQuotaError) or outcome is DeliveryResult.OVER_QUOTA
    ]
    assert (len(kept), len(refused)) == (5, 25)
    assert (await store.usage(1)).octets == 50


async def test_many_who_append_at_once(store: Mailstore) -> None:
    placed = await asyncio.gather(
        *(append(store, 1, letter(b"%d" % number), letter(b"+%d" % number)) for number in range(50))
    )
    assert sorted(uid for one in placed for uid in one.uids) == list(range(1, 101))
    entries = {entry.uid: await fetch(store, entry) for entry in await store.entries(1)}
    for number, one in enumerate(placed):
        first, second = one.uids
        assert (entries[first], entries[second]) == (b"%d" % number, b"+%d" % number)


# Replacing


async def test_a_draft_is_replaced(store: Mailstore) -> None:
    inbox, _, ids = await two_boxes(store)
    before = store.modseq(1)
    placed = await store.append(1, INBOX, [letter(b"new")], replacing=(inbox, ids[1]))
    assert placed == Placed((await box_of(store, 1)).uidvalidity, [2], [4])
    assert await contents(store, 1) == [b"0", b"2", b"new"]
    delta = await store.since(1, inbox, before)
    assert ([row.uid for row in delta.changed], delta.vanished) == ([4], [2])
    assert await store.usage(1) == Usage(3, 5)


async def test_a_draft_is_replaced_in_another_mailbox(store: Mailstore) -> None:
    inbox, _, ids = await two_boxes(store)
    assert (await store.append(1, "A", [letter(b"new")], replacing=(inbox, ids[0]))).sources == [1]
    assert await contents(store, 1) == [b"1", b"2"]
    assert await contents(store, 1, "A") == [b"new"]


async def test_nothing_is_put_in_the_place_of_what_is_not_there(store: Mailstore) -> None:
    inbox, other, ids = await two_boxes(store)
    before = store.modseq(1)
    for replacing in ((inbox, 999), (other, ids[0]), (999, ids[0])):
        with pytest.raises(NoSuchMailboxError):
            await store.append(1, "A", [letter(b"new", Flag.NONE, "Work")], replacing=replacing)
    with pytest.raises(NoSuchMailboxError):
        await store.append(1, "B", [letter(b"new")], replacing=(inbox, ids[0]))
    assert store.modseq(1) == before
    assert await store.keywords(1) == []
    assert len(await ids_of(store, 1)) == 3


async def test_quota_is_counted_without_the_replaced_one(store: Mailstore) -> None:
    await append(store, 1, letter(b"12345"), letter(b"12345"))
    inbox, ids = (await box_of(store, 1)).id, await ids_of(store, 1)
    with pytest.raises(OverQuotaError):
        await store.append(1, INBOX, [letter(b"123456")], replacing=(inbox, ids[0]), quota=10)
    await store.append(1, INBOX, [letter(b"54321")], replacing=(inbox, ids[0]), quota=10)
    assert await contents(store, 1) == [b"12345", b"54321"]


async def test_only_one_can_replace_it(store: Mailstore) -> None:
    inbox, _, ids = await two_boxes(store, 1)
    outcomes = await asyncio.gather(
        *(store.append(1, INBOX, [letter(b"v%d" % number)], replacing=(inbox, ids[0])) for number in range(5)),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, NoSuchMailboxError) for outcome in outcomes) == 4
    assert len(await ids_of(store, 1)) == 1


async def test_room_is_freed_once_only(store: Mailstore) -> None:
    """Two replace two messages, and a third one comes, all at once: never is there more than the quota."""
    await append(store, 1, letter(b"12345"), letter(b"12345"))
    inbox, ids = (await box_of(store, 1)).id, await ids_of(store, 1)
    await asyncio.gather(
        store.append(1, INBOX, [letter(b"12345")], replacing=(inbox, ids[0]), quota=10),
        store.append(1, INBOX, [letter(b"1234567")], replacing=(inbox, ids[0]), quota=10),
        store.append(1, INBOX, [letter(b"1")], quota=10),
        return_exceptions=True,
    )
    assert (await store.usage(1)).octets <= 10


# Copying


async def test_a_copy_has_flags_and_dates(store: Mailstore) -> None:
    await append(store, 1, letter(b"one", SEEN | DELETED, "Work", received=77), letter(b"two"))
    inbox, ids = (await box_of(store, 1)).id, await ids_of(store, 1)
    target = await store.create(1, "A")
    await append(store, 1, letter(b"there"), mailbox="A")
    placed = await store.copy(1, inbox, [ids[1], 999, ids[0], ids[1]], "A")
    assert placed == Placed(target.uidvalidity, [1, 2], [2, 3])
    assert await contents(store, 1, "A") == [b"there", b"one", b"two"]
    assert await contents(store, 1) == [b"one", b"two"]
    _, first, second = await rows_of(store, 1, "A")
    assert (first.flags, first.received, first.octets) == (SEEN | DELETED | 1 << KEYWORD_SHIFT, 77, 3)
    assert (second.flags, second.received) == (0, NOW)
    assert first.modseq == second.modseq == store.modseq(1)
    assert not {first.message, second.message} & set(ids)
    box = await box_of(store, 1, "A")
    assert (box.messages, box.unseen, box.deleted, box.octets) == (3, 2, 1, 11)
    assert await store.usage(1) == Usage(5, 17)


async def test_copies_have_one_origin(store: Mailstore) -> None:
    await deliver(store, 1, b"x")
    inbox, ids = (await box_of(store, 1)).id, await ids_of(store, 1)
    await store.create(1, "A")
    await store.copy(1, inbox, ids, "A")
    await store.move(1, (await box_of(store, 1, "A")).id, await ids_of(store, 1, "A"), INBOX)
    items = await store.items(1, inbox, await ids_of(store, 1))
    assert [item.origin for item in items] == [ids[0], ids[0]]
    assert items[0].entry.message == ids[0] != items[1].entry.message
    assert [await fetch(store, item.entry) for item in items] == [PREFIX + b"x"] * 2


async def test_a_copy_within_the_mailbox(store: Mailstore) -> None:
    inbox, _, ids = await two_boxes(store, 2)
    assert (await store.copy(1, inbox, ids, INBOX)).uids == [3, 4]
    assert await contents(store, 1) == [b"0", b"1", b"0", b"1"]


async def test_copies_of_one_body_are_counted(store: Mailstore) -> None:
    """The same body in several messages of one order, again and again."""
    await append(store, 1, letter(b"x"))
    inbox = (await box_of(store, 1)).id
    for _ in range(5):
        await store.copy(1, inbox, await ids_of(store, 1), INBOX)
    assert await store.usage(1) == Usage(32, 32)
    await store.remove(1, inbox, (await ids_of(store, 1))[1:], marked=False)
    assert await contents(store, 1) == [b"x"]


async def test_copies_over_quota(store: Mailstore) -> None:
    inbox, _, ids = await two_boxes(store, 4)
    before = store.modseq(1)
    with pytest.raises(OverQuotaError):
        await store.copy(1, inbox, ids, "A", quota=7)
    assert await ids_of(store, 1, "A") == []
    assert store.modseq(1) == before
    assert len((await store.copy(1, inbox, ids, "A", quota=8)).uids) == 4


async def test_copying_nothing(store: Mailstore) -> None:
    inbox, _, _ = await two_boxes(store)
    before, target = store.modseq(1), await box_of(store, 1, "A")
    for messages in ([], [999]):
        assert await store.copy(1, inbox, messages, "A") == Placed(target.uidvalidity, [], [])
        assert await store.move(1, inbox, messages, "A") == Placed(target.uidvalidity, [], [])
    assert store.modseq(1) == before


async def test_copying_to_nowhere(store: Mailstore) -> None:
    inbox, _, ids = await two_boxes(store)
    for refused in (
        store.copy(1, inbox, ids, "B"),
        store.move(1, inbox, ids, "B"),
        store.copy(1, 999, ids, "A"),
        store.move(1, 999, ids, "A"),
        store.copy(2, 999, ids, INBOX),
    ):
        with pytest.raises(NoSuchMailboxError):
            await refused
    assert await ids_of(store, 1) == ids


# Moving


async def test_a_moved_message_is_in_one_place(store: Mailstore) -> None:
    inbox, other, ids = await two_boxes(store)
    await store.mark(1, inbox, ids[1:2], Setting.ADD, Marks(SEEN | DELETED))
    before = store.modseq(1)
    placed = await store.move(1, inbox, [ids[2], ids[1]], "A")
    assert placed == Placed((await box_of(store, 1, "A")).uidvalidity, [2, 3], [1, 2])
    assert await contents(store, 1) == [b"0"]
    assert await contents(store, 1, "A") == [b"1", b"2"]
    assert [row.flags for row in await rows_of(store, 1, "A")] == [SEEN | DELETED, 0]
    assert await store.usage(1) == Usage(3, 3)
    left, came = await store.since(1, inbox, before), await store.since(1, other, before)
    assert (left.changed, left.vanished) == ([], [2, 3])
    assert ([row.uid for row in came.changed], came.vanished) == ([1, 2], [])
    box = await box_of(store, 1)
    assert (box.messages, box.unseen, box.deleted, box.octets, box.uidnext) == (1, 1, 0, 1, 4)


async def test_moving_into_itself_gives_new_uids(store: Mailstore) -> None:
    inbox, _, ids = await two_boxes(store)
    assert await store.move(1, inbox, ids[:2], INBOX) == Placed((await box_of(store, 1)).uidvalidity, [1, 2], [4, 5])
    assert await contents(store, 1) == [b"2", b"0", b"1"]
    assert await uids_of(store) == [3, 4, 5]


async def test_only_one_moves_it(store: Mailstore) -> None:
    inbox, _, ids = await two_boxes(store, 5)
    for number in range(5):
        await store.create(1, f"B{number}")
    placed = await asyncio.gather(*(store.move(1, inbox, ids, f"B{number}") for number in range(5)))
    assert sorted(len(one.uids) for one in placed) == [0, 0, 0, 0, 5]
    assert await store.usage(1) == Usage(5, 5)


async def test_very_many_are_copied_and_moved(store: Mailstore) -> None:
    inbox, _, ids = await two_boxes(store, 1500)
    assert (await store.copy(1, inbox, ids, "A")).uids == list(range(1, 1501))
    placed = await store.move(1, inbox, ids, "A")
    assert (placed.sources, placed.uids) == (list(range(1, 1501)), list(range(1501, 3001)))
    assert await contents(store, 1, "A") == [b"%d" % number for number in range(1500)] * 2


# Removing


async def test_only_what_is_marked_is_removed(store: Mailstore) -> None:
    inbox, _, ids = await two_boxes(store, 4)
    await store.mark(1, inbox, ids[1:], Setting.ADD, Marks(DELETED))
    assert await store.deleted_octets(1, inbox) == 3
    before = store.modseq(1)
    assert await store.remove(1, inbox, [ids[2], 999, ids[0], ids[1], ids[2]]) == [2, 3]
    assert await uids_of(store) == [1, 4]
    assert (await store.since(1, inbox, before)).vanished == [2, 3]
    box = await box_of(store, 1)
    assert (box.messages, box.unseen, box.deleted, box.octets) == (2, 2, 1, 2)
    assert await store.deleted_octets(1, inbox) == 1
    assert await store.remove(1, inbox, ids, marked=False) == [1, 4]
    assert await store.remove(1, inbox, ids, marked=False) == []
    assert await store.remove(1, inbox, [], marked=False) == []
    assert await store.usage(1) == Usage(0, 0)


async def test_only_one_removes_it(store: Mailstore) -> None:
    inbox, _, ids = await two_boxes(store, 5)
    removed = await asyncio.gather(*(store.remove(1, inbox, ids, marked=False) for _ in range(5)))
    assert sorted(removed) == [[], [], [], [], [1, 2, 3, 4, 5]]


async def test_uids_are_not_given_twice(store: Mailstore) -> None:
    inbox, _, _ = await two_boxes(store)
    for expected in (4, 5):
        await store.remove(1, inbox, await ids_of(store, 1), marked=False)
        assert (await append(store, 1)).uids == [expected]
    await store.expunge(1, INBOX, await ids_of(store, 1))
    await deliver(store, 1)
    assert await uids_of(store) == [6]


# Snapshots and what came after


async def test_a_snapshot_is_by_uid(store: Mailstore) -> None:
    inbox, _, _ = await two_boxes(store, 20)
    await store.create(1, "B")
    await append(store, 1, *(letter() for _ in range(10)), mailbox="B")
    box = (await box_of(store, 1, "B")).id
    for name in ("A", INBOX, "B"):
        await store.copy(1, inbox, (await ids_of(store, 1))[3:9:2], name)
        await store.copy(1, box, (await ids_of(store, 1, "B"))[::3], name)
    for name in ("A", INBOX, "B"):
        seen = await store.snapshot(1, name)
        assert ascending(seen.uids)
        assert [seen.uids.typecode, seen.messages.typecode, seen.octets.typecode] == ["L", "Q", "Q"]
        columns = (seen.messages, seen.flags, seen.modseqs, seen.octets, seen.received)
        assert {len(column) for column in columns} == {seen.mailbox.messages}
        assert seen.modseq == store.modseq(1) >= seen.mailbox.modseq >= max(seen.modseqs)
        assert seen.uids[-1] < seen.mailbox.uidnext
        assert [entry.uid for entry in await store.entries(1, name)] == list(seen.uids)
        assert seen.mailbox == await box_of(store, 1, name)


async def test_an_empty_snapshot(store: Mailstore) -> None:
    seen = await store.snapshot(1, INBOX)
    assert (list(seen.uids), list(seen.received), seen.modseq) == ([], [], seen.mailbox.modseq)
    with pytest.raises(NoSuchMailboxError):
        await store.snapshot(1, "A")


async def test_a_delta_tells_the_last_of_each_message(store: Mailstore) -> None:
    inbox, _, ids = await two_boxes(store, 5)
    seen = await store.snapshot(1, INBOX)
    assert await store.since(1, inbox, seen.modseq) == Delta(seen.mailbox, seen.modseq, [], [])
    await store.mark(1, inbox, ids[:3], Setting.ADD, Marks(SEEN))
    await store.mark(1, inbox, ids[:1], Setting.ADD, Marks(Flag.FLAGGED))
    await append(store, 1, letter(b"new"), letter(b"gone again"))
    await store.remove(1, inbox, [ids[2], (await ids_of(store, 1))[-1]], marked=False)
    await append(store, 1, mailbox="A")
    delta = await store.since(1, inbox, seen.modseq)
    rows = await rows_of(store, 1)
    assert delta.mailbox == await box_of(store, 1)
    assert delta.modseq == store.modseq(1)
    assert delta.changed == [row for row in rows if row.uid in (1, 2, 6)]
    assert delta.vanished == [3, 7]
    assert await store.since(1, inbox, delta.modseq) == Delta(delta.mailbox, delta.modseq, [], [])


async def test_a_delta_from_the_start_is_everything(store: Mailstore) -> None:
    inbox, _, ids = await two_boxes(store, 5)
    await store.remove(1, inbox, ids[3:], marked=False)
    await store.remove(1, inbox, ids[:1], marked=False)
    delta = await store.since(1, inbox, 0)
    assert delta.changed == await rows_of(store, 1)
    assert delta.vanished == [1, 4, 5]


async def test_a_delta_from_every_moment(store: Mailstore) -> None:
    """What a session makes of a snapshot and the deltas is what there is, from whichever moment it begins."""
    inbox, other, ids = await two_boxes(store, 6)
    known = [await rows_of(store, 1)]
    at = [store.modseq(1)]
    for step in (
        store.mark(1, inbox, ids[:4], Setting.ADD, Marks(SEEN)),
        store.move(1, inbox, ids[1:3], "A"),
        store.append(1, INBOX, [letter(b"x")]),
        store.remove(1, inbox, ids[:1], marked=False),
        store.mark(1, inbox, ids, Setting.REPLACE, Marks(Flag.NONE, ("Work",))),
        store.copy(1, other, [], INBOX),
        store.move(1, inbox, ids[4:], INBOX),
    ):
        await step
        known.append(await rows_of(store, 1))
        at.append(store.modseq(1))
    for before, modseq in zip(known, at, strict=True):
        delta = await store.since(1, inbox, modseq)
        there = {row.uid: row for row in before}
        there.update({row.uid: row for row in delta.changed})
        for uid in delta.vanished:
            there.pop(uid, None)
        assert sorted(there.values()) == known[-1]


async def test_snapshots_beside_those_who_write(store: Mailstore) -> None:
    """Every snapshot is of one moment: its counters are those of its rows."""
    inbox, _, _ = await two_boxes(store, 20)
    done = asyncio.Event()

    async def write() -> None:
        for number in range(30):
            ids = await ids_of(store, 1)
            await store.mark(1, inbox, ids[number % 3 :: 3], Setting.ADD, Marks(DELETED))
            await store.remove(1, inbox, ids)
            await append(store, 1, *(letter(b"%d" % number) for _ in range(5)))
        done.set()

    async def look() -> None:
        while not done.is_set():
            seen = await store.snapshot(1, INBOX)
            assert seen.mailbox.messages == len(seen.uids)
            assert seen.mailbox.deleted == sum(bool(flags & DELETED) for flags in seen.flags)
            assert seen.mailbox.octets == sum(seen.octets)
            assert max(seen.modseqs) <= seen.mailbox.modseq <= seen.modseq
            await asyncio.sleep(0)

    await asyncio.gather(write(), look(), look())


# Items


async def test_items_say_all_about_messages(store: Mailstore) -> None:
    await deliver(store, 1, b"delivered")
    await append(store, 1, letter(b"appended", SEEN, received=5))
    inbox, ids = (await box_of(store, 1)).id, await ids_of(store, 1)
    items = await store.items(1, inbox, [ids[1], 999, ids[0], ids[1]])
    assert [item.entry for item in items] == await store.entries(1)
    rows = await rows_of(store, 1)
    assert [(item.flags, item.modseq) for item in items] == [(row.flags, row.modseq) for row in rows]
    assert [item.flags for item in items] == [0, SEEN]
    assert [item.origin for item in items] == ids
    assert [item.entry.received for item in items] == [NOW, 5]
    assert [await fetch(store, item.entry) for item in items] == [PREFIX + b"delivered", b"appended"]
    assert await store.items(1, inbox, []) == []
    assert await store.items(1, inbox, [999]) == []


async def test_when_a_message_came_to_its_mailbox(store: Mailstore, clock: Clock) -> None:
    clock.now = 1000
    await append(store, 1, letter(b"x", received=5))
    await deliver(store, 1)
    inbox, ids = (await box_of(store, 1)).id, await ids_of(store, 1)
    other = (await store.create(1, "A")).id
    clock.now = 2000
    await store.copy(1, inbox, ids[:1], "A")
    clock.now = 3000
    await store.mark(1, inbox, ids, Setting.ADD, Marks(SEEN))
    await store.move(1, inbox, ids[1:], "A")
    assert [item.saved for item in await store.items(1, inbox, ids)] == [1000]
    assert [item.saved for item in await store.items(1, other, await ids_of(store, 1, "A"))] == [2000, 3000]
    assert await store.measured(1, other, Measure.SAVED, 2500, 9999) == set((await ids_of(store, 1, "A"))[1:])


async def test_messages_by_measure(store: Mailstore) -> None:
    await append(store, 1, *(letter(b"x" * number, received=100 - number) for number in range(1, 11)))
    inbox, ids = (await box_of(store, 1)).id, await ids_of(store, 1)
    assert await store.measured(1, inbox, Measure.OCTETS, 3, 5) == set(ids[2:5])
    assert await store.measured(1, inbox, Measure.RECEIVED, 98, 1000) == set(ids[:2])
    assert await store.measured(1, inbox, Measure.ORIGIN, ids[4], ids[4]) == {ids[4]}
    assert await store.measured(1, inbox, Measure.OCTETS, 5, 3) == set()
    with pytest.raises(NoSuchMailboxError):
        await store.measured(1, 999, Measure.OCTETS, 0, 9)


# The feed of changes, and its watchers


async def test_changes_over_all_mailboxes(store: Mailstore) -> None:
    inbox, other, ids = await two_boxes(store, 3)
    before = store.modseq(1)
    await store.move(1, inbox, ids[:1], "A")
    await store.mark(1, inbox, ids[1:2], Setting.ADD, Marks(SEEN))
    log = await store.changes(1, before)
    (moved,) = await ids_of(store, 1, "A")
    assert [(change.mailbox, change.message, change.expunged) for change in log if change.message != ids[0]] == [
        (other, moved, False),
        (inbox, ids[1], False),
    ]
    assert [(change.mailbox, change.uid) for change in log if change.expunged] == [(inbox, 1)]
    assert [change.modseq for change in log] == sorted(change.modseq for change in log)
    everything = await store.changes(1, 0)
    assert len(everything) == 4
    assert len({change.message for change in everything}) == 4


async def test_watchers_are_told_of_messages(store: Mailstore, bus: LocalBus) -> None:
    inbox, _, ids = await two_boxes(store, 4)
    told: list[int] = []
    bus.watch(1, told.append)

    def orders() -> Iterator[object]:
        yield store.append(1, INBOX, [letter(b"x")])
        yield store.copy(1, inbox, ids[:1], "A")
        yield store.move(1, inbox, ids[1:2], "A")
        yield store.remove(1, inbox, ids[:1], marked=False)
        yield store.append(1, INBOX, [letter(b"x")], replacing=(inbox, ids[2]))

    for order in orders():
        before = len(told)
        await order  # type: ignore[misc]
        assert len(told) == before + 1
        assert told[-1] == store.modseq(1)
    assert ascending(told)
    count = len(told)
    await store.remove(1, inbox, ids, marked=True)
    await store.copy(1, inbox, [], "A")
    with pytest.raises(OverQuotaError):
        await store.append(1, INBOX, [letter(b"x")], quota=1)
    assert len(told) == count


async def test_modseq_of_somebody_unknown(store: Mailstore) -> None:
    assert store.modseq(7) == 0
    assert await store.changes(7, 0) == []


async def test_who_was_away_for_longer_than_is_remembered(
    store: Mailstore, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 7162 3.2.5.2: then every uid that is not there is reported, and no expunge is missed."""
    backend.limit(monkeypatch, LOG_ROWS=6)
    await append(store, 1, *(letter() for _ in range(40)))
    inbox = (await box_of(store, 1)).id
    looks: list[tuple[int, set[int]]] = []
    ids = await ids_of(store, 1)
    for start in (0, 5, 6, 7, 17, 18, 20, 29):
        looks.append(((await store.snapshot(1, INBOX)).modseq, {row.uid for row in await rows_of(store, 1)}))
        await store.remove(1, inbox, ids[start : start + 1 + start % 4], marked=False)
    there = {row.uid for row in await rows_of(store, 1)}
    for modseq, seen in looks:
        vanished = (await store.since(1, inbox, modseq)).vanished
        assert vanished == sorted(vanished)
        assert seen - there <= set(vanished)
        assert not there & set(vanished)
    assert (await store.since(1, inbox, 0)).vanished == sorted(set(range(1, 41)) - there)
