"""Flags and keywords of messages, and the modseqs that tell of their changes."""

import asyncio

import pytest

from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.interface import (
    FIRST_KEYWORD,
    INBOX,
    MAX_KEYWORDS,
    Flag,
    Mailstore,
    Marked,
    Marks,
    NoSuchMailboxError,
    Setting,
    TooManyKeywordsError,
)
from tests.stores import append, box_of, deliver, ids_of, letter, rows_of

SEEN, DELETED, FLAGGED = Flag.SEEN, Flag.DELETED, Flag.FLAGGED
WORK, HOME = 1 << FIRST_KEYWORD, 1 << FIRST_KEYWORD + 1


async def filled(store: Mailstore, count: int = 3) -> tuple[int, list[int]]:
    """INBOX of account 1 with some messages: its id, and theirs."""
    await append(store, 1, *(letter(b"%d" % number) for number in range(count)))
    return (await box_of(store, 1)).id, await ids_of(store, 1)


async def flags_of(store: Mailstore, name: str = INBOX) -> list[int]:
    return [row.flags for row in await rows_of(store, 1, name)]


@pytest.mark.parametrize(
    ("before", "setting", "named", "after"),
    [
        (Flag.NONE, Setting.ADD, SEEN, SEEN),
        (SEEN, Setting.ADD, SEEN | FLAGGED, SEEN | FLAGGED),
        (SEEN | FLAGGED, Setting.REMOVE, SEEN | DELETED, FLAGGED),
        (SEEN | FLAGGED, Setting.REPLACE, DELETED, DELETED),
        (SEEN | FLAGGED, Setting.REPLACE, Flag.NONE, Flag.NONE),
        (SEEN, Setting.ADD, Flag.NONE, SEEN),
        (SEEN, Setting.REMOVE, Flag.NONE, SEEN),
    ],
)
async def test_setting_flags(store: Mailstore, before: Flag, setting: Setting, named: Flag, after: Flag) -> None:
    await append(store, 1, letter(b"x", before), letter(b"y", before))
    box, ids = (await box_of(store, 1)).id, await ids_of(store, 1)
    marked = await store.mark(1, box, ids[:1], setting, Marks(named))
    rows = await rows_of(store, 1)
    assert [row.flags for row in rows] == [after, before]
    changed = before != after
    assert marked == Marked(rows[:1], [], rows[0].modseq if changed else 0)
    held = await box_of(store, 1)
    assert held.unseen == sum(not row.flags & SEEN for row in rows)
    assert held.deleted == sum(bool(row.flags & DELETED) for row in rows)


async def test_all_that_change_get_one_new_modseq(store: Mailstore) -> None:
    box, ids = await filled(store, 4)
    await store.mark(1, box, [ids[1]], Setting.ADD, Marks(SEEN))
    before, at = await rows_of(store, 1), store.modseq(1)
    marked = await store.mark(1, box, ids, Setting.ADD, Marks(SEEN))
    after = await rows_of(store, 1)
    assert marked.rows == after and marked.modseq == store.modseq(1)
    assert {after[at].modseq for at in (0, 2, 3)} == {store.modseq(1)} == {(await box_of(store, 1)).modseq}
    assert store.modseq(1) > at
    assert after[1] == before[1]  # was so already, and keeps its modseq
    assert await store.mark(1, box, ids, Setting.ADD, Marks(SEEN)) == Marked(after, [])
    assert [change.message for change in await store.changes(1, at)] == [ids[0], ids[2], ids[3]]


async def test_messages_in_any_order_and_unknown_ones(store: Mailstore) -> None:
    box, ids = await filled(store)
    marked = await store.mark(1, box, [ids[2], 999, ids[0], ids[2]], Setting.ADD, Marks(SEEN))
    assert [row.message for row in marked.rows] == [ids[0], ids[2]]
    assert await flags_of(store) == [SEEN, 0, SEEN]
    before = store.modseq(1)
    assert await store.mark(1, box, [], Setting.ADD, Marks(SEEN)) == Marked([], [])
    assert await store.mark(1, box, [999], Setting.ADD, Marks(SEEN)) == Marked([], [])
    assert store.modseq(1) == before


async def test_messages_of_other_mailboxes_and_accounts_are_unknown(store: Mailstore) -> None:
    box, ids = await filled(store)
    other = await store.create(1, "Other")
    await append(store, 2)
    theirs = (await box_of(store, 2)).id
    assert await store.mark(1, other.id, ids, Setting.ADD, Marks(SEEN)) == Marked([], [])
    await store.mark(2, theirs, ids, Setting.ADD, Marks(DELETED))
    assert await flags_of(store) == [0, 0, 0]
    with pytest.raises(NoSuchMailboxError):
        await store.mark(1, 999, ids, Setting.ADD, Marks(SEEN))
    with pytest.raises(NoSuchMailboxError):
        await store.mark(3, box, ids, Setting.ADD, Marks(SEEN))


async def test_what_changed_since_is_left_alone(store: Mailstore) -> None:
    box, ids = await filled(store)
    known = (await store.snapshot(1, INBOX)).modseq
    await store.mark(1, box, ids[:1], Setting.ADD, Marks(FLAGGED))
    marked = await store.mark(1, box, ids, Setting.ADD, Marks(SEEN), unchanged_since=known)
    rows = await rows_of(store, 1)
    assert marked == Marked(rows[1:], [1], store.modseq(1))
    assert [row.flags for row in rows] == [FLAGGED, SEEN, SEEN]
    before = store.modseq(1)
    assert await store.mark(1, box, ids, Setting.REPLACE, Marks(), unchanged_since=0) == Marked([], [1, 2, 3])
    assert store.modseq(1) == before


async def test_a_conflict_even_when_nothing_would_change(store: Mailstore) -> None:
    box, ids = await filled(store, 1)
    known = store.modseq(1)
    await store.mark(1, box, ids, Setting.ADD, Marks(SEEN))
    assert await store.mark(1, box, ids, Setting.ADD, Marks(SEEN), unchanged_since=known) == Marked([], [1])


async def test_of_two_at_once_one_finds_a_conflict(store: Mailstore) -> None:
    box, ids = await filled(store, 1)
    known = store.modseq(1)
    both = await asyncio.gather(
        *(store.mark(1, box, ids, Setting.REPLACE, Marks(flag), unchanged_since=known) for flag in (SEEN, FLAGGED))
    )
    assert sorted(len(marked.conflicts) for marked in both) == [0, 1]
    (won,) = [marked for marked in both if marked.rows]
    assert won.rows == await rows_of(store, 1)


async def test_very_many_messages(store: Mailstore) -> None:
    box, ids = await filled(store, 1500)
    marked = await store.mark(1, box, ids, Setting.ADD, Marks(SEEN | DELETED, ("Work",)))
    assert len(marked.rows) == 1500
    held = await box_of(store, 1)
    assert (held.unseen, held.deleted) == (0, 1500)
    assert set(await flags_of(store)) == {SEEN | DELETED | WORK}


# Keywords


async def test_keywords_get_bits_in_the_order_of_their_first_use(store: Mailstore) -> None:
    assert await store.keywords(1) == []
    box, ids = await filled(store)
    await store.mark(1, box, ids[:1], Setting.ADD, Marks(SEEN, ("Work", "Home")))
    assert await store.keywords(1) == ["Work", "Home"]
    assert await flags_of(store) == [SEEN | WORK | HOME, 0, 0]
    await store.create(1, "A")
    await append(store, 1, letter(b"x", Flag.NONE, "$Third", "Home"), mailbox="A")
    assert await store.keywords(1) == ["Work", "Home", "$Third"]
    assert await flags_of(store, "A") == [1 << FIRST_KEYWORD + 2 | HOME]
    assert await store.keywords(2) == []


async def test_the_case_of_keywords_does_not_count(store: Mailstore) -> None:
    box, ids = await filled(store, 2)
    await store.mark(1, box, ids[:1], Setting.ADD, Marks(Flag.NONE, ("Work", "WORK")))
    await store.mark(1, box, ids[1:], Setting.ADD, Marks(Flag.NONE, ("wORK",)))
    assert await store.keywords(1) == ["Work"]
    assert await flags_of(store) == [WORK, WORK]
    await store.mark(1, box, ids, Setting.REMOVE, Marks(Flag.NONE, ("work",)))
    assert await flags_of(store) == [0, 0]
    assert await store.keywords(1) == ["Work"]  # none ever goes away


async def test_removing_a_keyword_nobody_knows_makes_none(store: Mailstore) -> None:
    box, ids = await filled(store, 1)
    before = store.modseq(1)
    marked = await store.mark(1, box, ids, Setting.REMOVE, Marks(Flag.NONE, ("Work",)))
    assert [row.flags for row in marked.rows] == [0]
    assert await store.keywords(1) == []
    assert store.modseq(1) == before


async def test_every_keyword_there_can_be(store: Mailstore) -> None:
    box, ids = await filled(store, 2)
    every = tuple(f"k{number}" for number in range(MAX_KEYWORDS))
    marked = await store.mark(1, box, ids[:1], Setting.REPLACE, Marks(~Flag.NONE, every))
    full = (1 << FIRST_KEYWORD + MAX_KEYWORDS) - 1
    assert [row.flags for row in marked.rows] == [full]
    assert await flags_of(store) == [full, 0]
    assert [item.flags for item in await store.items(1, box, ids)] == [full, 0]
    assert [row.flags for row in (await store.since(1, box, 0)).changed] == [full, 0]
    await store.mark(1, box, ids[:1], Setting.REMOVE, Marks(Flag.NONE, every[:-1]))
    assert (await flags_of(store))[0] == 31 | 1 << FIRST_KEYWORD + MAX_KEYWORDS - 1


async def test_one_keyword_too_many_changes_nothing(store: Mailstore) -> None:
    box, ids = await filled(store, 1)
    most = tuple(f"k{number}" for number in range(MAX_KEYWORDS - 1))
    await store.mark(1, box, ids, Setting.ADD, Marks(Flag.NONE, most))
    before, held = store.modseq(1), await rows_of(store, 1)
    marks = Marks(SEEN, ("K3", "last", "one too many"))
    with pytest.raises(TooManyKeywordsError):
        await store.mark(1, box, ids, Setting.ADD, marks)
    with pytest.raises(TooManyKeywordsError):
        await store.append(1, INBOX, [letter(b"x", SEEN, "last"), letter(b"y", SEEN, "one too many")])
    assert await store.keywords(1) == list(most)
    assert store.modseq(1) == before
    assert await rows_of(store, 1) == held
    await store.mark(1, box, ids, Setting.REPLACE, Marks(Flag.NONE, ("last",)))
    assert await flags_of(store) == [1 << FIRST_KEYWORD + MAX_KEYWORDS - 1]
    assert len(await store.keywords(1)) == MAX_KEYWORDS


async def test_one_keyword_too_many_beside_others(store: Mailstore) -> None:
    box, ids = await filled(store, 1)
    most = tuple(f"k{number}" for number in range(MAX_KEYWORDS - 2))
    await store.mark(1, box, ids, Setting.ADD, Marks(Flag.NONE, most))
    orders = [("one",), ("two", "three"), ("four", "five")]
    outcomes = await asyncio.gather(
        *(store.append(1, INBOX, [letter(b"x", Flag.NONE, *order)]) for order in orders[:2]),
        store.mark(1, box, ids, Setting.ADD, Marks(Flag.NONE, orders[2])),
        deliver(store, 1),
        return_exceptions=True,
    )
    done = [order for order, outcome in zip(orders, outcomes, strict=False) if not isinstance(outcome, Exception)]
    assert [type(outcome) for outcome in outcomes].count(TooManyKeywordsError) == 3 - len(done) > 0
    assert set(await store.keywords(1)) - set(most) == {keyword for order in done for keyword in order}
    assert (await box_of(store, 1)).messages == 2 + len(set(done) & set(orders[:2]))


# Watchers


async def test_watchers_are_told_of_flags_that_changed(store: Mailstore, bus: LocalBus) -> None:
    box, ids = await filled(store)
    told: list[int] = []
    bus.watch(1, told.append)
    await store.mark(1, box, ids, Setting.ADD, Marks(SEEN))
    assert told == [store.modseq(1)]
    await store.mark(1, box, ids, Setting.ADD, Marks(SEEN))
    await store.mark(1, box, ids, Setting.REPLACE, Marks(), unchanged_since=0)
    await store.mark(1, box, [999], Setting.ADD, Marks(FLAGGED))
    assert len(told) == 1
