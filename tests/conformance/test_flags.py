"""Flags and keywords of messages, and the modseqs that tell of their changes."""

import asyncio
import itertools

import pytest

from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.interface import (
    INBOX,
    KEYWORD_SETS_PAGE,
    KEYWORD_SHIFT,
    MAX_MESSAGE_KEYWORDS,
    SYSTEM_FLAGS,
    Flag,
    Mailstore,
    Marked,
    Marks,
    NoSuchMailboxError,
    Setting,
    TooManyKeywordsError,
)
from tests.conformance.backends import Backend
from tests.stores import append, ascending, box_of, deliver, ids_of, letter, rows_of

SEEN, DELETED, FLAGGED = Flag.SEEN, Flag.DELETED, Flag.FLAGGED


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
    assert set(await flags_of(store)) == {SEEN | DELETED | 1 << KEYWORD_SHIFT}


# Keywords


async def names_of(store: Mailstore, name: str = INBOX) -> list[tuple[int, set[str]]]:
    """The flags of the messages, and their keywords."""
    sets = await all_sets(store)
    return [(flags & SYSTEM_FLAGS, set(sets.get(flags >> KEYWORD_SHIFT, ()))) for flags in await flags_of(store, name)]


async def all_sets(store: Mailstore) -> dict[int, tuple[str, ...]]:
    found: dict[int, tuple[str, ...]] = {}
    while page := await store.keyword_sets(1, max(found, default=0)):
        assert ascending(list(page)) and len(page) <= KEYWORD_SETS_PAGE
        found.update(page)
    return found


async def test_messages_have_sets_of_keywords(store: Mailstore) -> None:
    assert await store.keywords(1) == [] and await store.keyword_sets(1) == {}
    box, ids = await filled(store)
    await store.mark(1, box, ids[:1], Setting.ADD, Marks(SEEN, ("Work", "Home")))
    assert await store.keywords(1) == ["Work", "Home"]
    assert await flags_of(store) == [SEEN | 1 << KEYWORD_SHIFT, 0, 0]
    assert await store.keyword_sets(1) == {1: ("Work", "Home")}
    await store.create(1, "A")
    await append(store, 1, letter(b"x", Flag.NONE, "$Third", "Home"), letter(b"y", SEEN, "home", "work"), mailbox="A")
    assert await store.keywords(1) == ["Work", "Home", "$Third"]
    assert await names_of(store, "A") == [(0, {"$Third", "Home"}), (SEEN, {"Work", "Home"})]
    assert await store.keyword_sets(1, after=1) == {2: ("Home", "$Third")}
    assert await store.keywords(2) == []


@pytest.mark.parametrize(
    ("setting", "named", "after"),
    [
        (Setting.ADD, ("C",), {"A", "B", "C"}),
        (Setting.ADD, ("b",), {"A", "B"}),
        (Setting.ADD, (), {"A", "B"}),
        (Setting.REMOVE, ("a", "C"), {"B"}),
        (Setting.REMOVE, ("A", "B"), set()),
        (Setting.REMOVE, (), {"A", "B"}),
        (Setting.REPLACE, ("C", "a"), {"A", "C"}),
        (Setting.REPLACE, (), set()),
    ],
)
async def test_setting_keywords(store: Mailstore, setting: Setting, named: tuple[str, ...], after: set[str]) -> None:
    await append(store, 1, letter(b"x", SEEN, "A", "B"), letter(b"y", FLAGGED, "A", "B"))
    box, ids = (await box_of(store, 1)).id, await ids_of(store, 1)
    marked = await store.mark(1, box, ids[:1], setting, Marks(SEEN, named))
    assert await names_of(store) == [(0 if setting is Setting.REMOVE else SEEN, after), (FLAGGED, {"A", "B"})]
    assert marked.rows == (await rows_of(store, 1))[:1]
    assert set(await store.keywords(1)) == {"A", "B"} | after


async def test_the_case_of_keywords_does_not_count(store: Mailstore) -> None:
    box, ids = await filled(store, 2)
    await store.mark(1, box, ids[:1], Setting.ADD, Marks(Flag.NONE, ("Work", "WORK")))
    await store.mark(1, box, ids[1:], Setting.ADD, Marks(Flag.NONE, ("wORK",)))
    assert await store.keywords(1) == ["Work"]
    assert await names_of(store) == [(0, {"Work"})] * 2
    await store.mark(1, box, ids, Setting.REMOVE, Marks(Flag.NONE, ("work",)))
    assert await flags_of(store) == [0, 0]


async def test_a_keyword_goes_with_the_last_message_that_has_it(store: Mailstore) -> None:
    """However that comes about; and the number of a set never comes back."""
    box, ids = await filled(store, 6)
    await store.create(1, "A")
    for message, name in zip(ids, ("mark", "replace", "expunge", "remove", "move", "stays"), strict=True):
        await store.mark(1, box, [message], Setting.ADD, Marks(Flag.NONE, (name, "both")))
    await store.copy(1, box, ids[:5], "A")
    assert len(await store.keywords(1)) == 7 and len(await store.keyword_sets(1)) == 6
    await store.delete(1, "A")
    assert len(await store.keywords(1)) == 7 and len(await store.keyword_sets(1)) == 6
    await store.mark(1, box, ids[:1], Setting.REMOVE, Marks(Flag.NONE, ("mark",)))
    await store.mark(1, box, ids[1:2], Setting.REPLACE, Marks(Flag.NONE, ("both",)))
    await store.expunge(1, INBOX, ids[2:3])
    await store.remove(1, box, ids[3:4], marked=False)
    await append(store, 1, letter(b"x", Flag.NONE, "new"), mailbox=INBOX)
    await store.create(1, "B")
    await store.move(1, box, ids[4:5], "B")
    assert set(await store.keywords(1)) == {"both", "move", "stays", "new"}
    await store.delete(1, "B")
    assert await store.keywords(1) == ["both", "stays", "new"]
    there = await store.keyword_sets(1)
    assert list(there.values()) == [("both", "stays"), ("both",), ("new",)]
    await append(store, 1, letter(b"x", Flag.NONE, "mark", "both"))
    assert max(await store.keyword_sets(1)) > max(there)
    await store.forget(1)
    assert await store.keywords(1) == [] and await store.keyword_sets(1) == {}
    await append(store, 1, letter(b"x", Flag.NONE, "mark"))
    assert min(await store.keyword_sets(1)) > max(there) + 1


async def test_removing_a_keyword_nobody_knows_makes_none(store: Mailstore) -> None:
    box, ids = await filled(store, 1)
    before = store.modseq(1)
    marked = await store.mark(1, box, ids, Setting.REMOVE, Marks(Flag.NONE, ("Work",)))
    assert [row.flags for row in marked.rows] == [0]
    await store.mark(1, box, [999], Setting.ADD, Marks(Flag.NONE, ("Work",)))
    await store.mark(1, box, ids, Setting.ADD, Marks(Flag.NONE, ("Work",)), unchanged_since=0)
    assert await store.keywords(1) == []
    assert store.modseq(1) == before


async def test_hundreds_of_keywords_in_an_account(store: Mailstore) -> None:
    """As many as labels come with an account of a large provider, in more sets than one page has."""
    labels = [f"label{number}" for number in range(600)]
    await append(store, 1, *(letter(b"%d" % number, Flag.NONE, name) for number, name in enumerate(labels)))
    pairs = list(itertools.pairwise(labels))
    await append(store, 1, *(letter(b"%d" % number, Flag.NONE, *pair) for number, pair in enumerate(pairs)))
    assert await store.keywords(1) == labels
    assert [names for _, names in await names_of(store)] == [{name} for name in labels] + list(map(set, pairs))
    assert len(await all_sets(store)) == 1199 > KEYWORD_SETS_PAGE


async def test_a_message_with_too_many_keywords(store: Mailstore) -> None:
    box, ids = await filled(store, 2)
    most = tuple(f"k{number}" for number in range(MAX_MESSAGE_KEYWORDS))
    await store.mark(1, box, ids[:1], Setting.ADD, Marks(SEEN, most))
    before, held = store.modseq(1), await rows_of(store, 1)
    for setting, marks in ((Setting.ADD, Marks(DELETED, ("more",))), (Setting.REPLACE, Marks(SEEN, (*most, "more")))):
        with pytest.raises(TooManyKeywordsError):
            await store.mark(1, box, ids[::-1], setting, marks)
    assert (store.modseq(1), await rows_of(store, 1), await store.keywords(1)) == (before, held, list(most))
    await append(store, 1, letter(b"x", SEEN, *most, "more"))  # kept, without the keyword that has no room
    assert (await names_of(store))[2] == (SEEN, set(most))
    assert await store.keywords(1) == list(most)
    await store.mark(1, box, ids[:1], Setting.REMOVE, Marks(Flag.NONE, most[:1]))
    await store.mark(1, box, ids[:1], Setting.ADD, Marks(Flag.NONE, ("more",)))


@pytest.mark.parametrize("limit", ["MAX_KEYWORDS", "MAX_KEYWORD_SETS"])
async def test_an_account_with_too_many_keywords(
    store: Mailstore, backend: Backend, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend.limit(monkeypatch, **{limit: 4})
    box, ids = await filled(store, 5)
    for message, name in zip(ids, "abcd", strict=False):
        await store.mark(1, box, [message], Setting.ADD, Marks(Flag.NONE, (name,)))
    before, held = store.modseq(1), await rows_of(store, 1)
    for setting in (Setting.ADD, Setting.REPLACE):
        with pytest.raises(TooManyKeywordsError):
            await store.mark(1, box, ids, setting, Marks(SEEN, ("e",)))
    assert (store.modseq(1), await rows_of(store, 1)) == (before, held)
    await append(store, 1, letter(b"x", SEEN, "e"), letter(b"y", SEEN, "A"))
    assert (await names_of(store))[5:] == [(SEEN, set()), (SEEN, {"a"})]
    assert await store.keywords(1) == list("abcd")
    await store.expunge(1, INBOX, ids[1:2])  # what no message has makes room
    await store.mark(1, box, ids[4:], Setting.ADD, Marks(SEEN, ("e",)))
    assert await store.keywords(1) == list("acde")


async def test_keywords_of_many_at_once(store: Mailstore) -> None:
    box, ids = await filled(store, 1)
    names = [f"k{number}" for number in range(12)]
    await asyncio.gather(
        *(store.append(1, INBOX, [letter(b"x", Flag.NONE, name, "all")]) for name in names[:4]),
        *(store.mark(1, box, ids, Setting.ADD, Marks(Flag.NONE, (name,))) for name in names[4:8]),
        *(store.mark(1, box, ids, Setting.REMOVE, Marks(Flag.NONE, (name,))) for name in names[4:6]),
        deliver(store, 1),
    )
    assert set(await store.keywords(1)) == {*names[:4], *names[6:8], "all"}


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
