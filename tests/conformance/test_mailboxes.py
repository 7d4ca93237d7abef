"""Mailboxes of an account: names, levels, roles, subscriptions."""

import asyncio
import unicodedata

import pytest

from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.interface import (
    INBOX,
    BadNameError,
    DeliveryResult,
    Flag,
    MailboxExistsError,
    Mailstore,
    Marks,
    NoSuchMailboxError,
    Role,
    Setting,
    Usage,
)
from posthouse.mailstore.names import MAX_LEVELS, MAX_OCTETS
from tests.stores import append, box_of, contents, deliver, delivery_id, ids_of, letter, rows_of


async def names(store: Mailstore, account: int = 1) -> list[str]:
    return [box.name for box in await store.mailboxes(account)]


# INBOX


@pytest.mark.parametrize("name", ["INBOX", "inbox", "InBoX"])
async def test_inbox_is_there_for_everybody(store: Mailstore, name: str) -> None:
    box = await box_of(store, 1, name)
    assert (box.name, box.uidnext, box.messages, box.unseen, box.deleted, box.octets) == (INBOX, 1, 0, 0, 0, 0)
    assert box.role is Role.NONE
    assert await store.mailboxes(1) == [box]
    assert (await store.snapshot(1, name)).mailbox == box


async def test_inbox_is_there_in_every_way_it_can_be_asked_for(store: Mailstore) -> None:
    assert await names(store, 1) == [INBOX]
    assert (await store.snapshot(2, "inbox")).mailbox.name == INBOX
    assert (await append(store, 3)).uids == [1]
    with pytest.raises(MailboxExistsError):
        await store.create(4, "Inbox")
    await store.rename(5, INBOX, "Old")
    assert await names(store, 5) == [INBOX, "Old"]


async def test_inbox_can_be_the_goal_before_it_was_asked_for(store: Mailstore) -> None:
    box = await store.create(1, "A")
    await append(store, 1, letter(), letter(), mailbox="A")
    first, second = await ids_of(store, 1, "A")
    assert (await store.copy(1, box.id, [first], INBOX)).uids == [1]
    await store.create(2, "A")
    await append(store, 2, mailbox="A")
    other = await box_of(store, 2, "A")
    assert (await store.move(2, other.id, await ids_of(store, 2, "A"), "inbox")).uids == [1]
    assert second in await ids_of(store, 1, "A")


async def test_one_inbox_for_many_who_ask_at_once(store: Mailstore) -> None:
    boxes = await asyncio.gather(*(box_of(store, 1) for _ in range(20)), *(store.mailboxes(1) for _ in range(5)))
    assert len({str(box) for box in boxes}) == 2  # the mailbox, and the list of it
    assert await names(store) == [INBOX]


async def test_deliveries_to_inbox_in_any_case(store: Mailstore) -> None:
    await deliver(store, 1)
    await deliver(store, 1, mailbox="inbox")
    assert await names(store) == [INBOX]
    assert len(await store.entries(1, "Inbox")) == 2
    (first, second) = await store.entries(1)
    assert await store.find(1, "iNBOX", [second.message]) == [second]
    assert await store.expunge(1, "inbox", [first.message]) == 1


# Creating


async def test_create_and_look(store: Mailstore) -> None:
    made = await store.create(1, "Letters")
    assert (made.name, made.uidnext, made.messages, made.role) == ("Letters", 1, 0, Role.NONE)
    assert made.uidvalidity > 0
    assert await store.mailbox(1, "Letters") == made
    assert await store.mailbox(1, "letters") is None  # only INBOX is the same in any case
    assert await store.mailbox(2, "Letters") is None
    assert await names(store) == [INBOX, "Letters"]


async def test_levels_above_are_made(store: Mailstore) -> None:
    await store.create(1, "A/B/C")
    assert await names(store) == ["A", "A/B", "A/B/C", INBOX]
    await store.create(1, "A/B/D")
    await store.create(1, "inbox/E")
    assert await names(store) == ["A", "A/B", "A/B/C", "A/B/D", INBOX, "INBOX/E"]
    boxes = await store.mailboxes(1)
    assert len({box.id for box in boxes}) == len({box.uidvalidity for box in boxes}) == 6


async def test_delivery_makes_a_mailbox_but_none_above_it(store: Mailstore) -> None:
    await deliver(store, 1, mailbox="Lists/Été")
    assert await names(store) == [INBOX, "Lists/Été"]
    assert (await box_of(store, 1, "Lists/Été")).messages == 1


async def test_by_name_in_the_order_of_code_points(store: Mailstore) -> None:
    wanted = ["Z", "a!", "a/b", "a0", "Été", "\U0001f4ec", "\ufb00"]
    for name in reversed(wanted):
        await store.create(1, name)
    assert await names(store) == sorted([*wanted, "a", INBOX])


async def test_names_that_look_the_same_are_the_same(store: Mailstore) -> None:
    composed, decomposed = "Été", unicodedata.normalize("NFD", "Été")
    assert composed != decomposed
    made = await store.create(1, decomposed)
    assert made.name == composed
    assert await store.mailbox(1, composed) == await store.mailbox(1, decomposed) == made
    with pytest.raises(MailboxExistsError):
        await store.create(1, composed)
    await append(store, 1, mailbox=decomposed)
    assert (await store.snapshot(1, decomposed)).mailbox.messages == 1
    await store.subscribe(1, decomposed, True)
    assert await store.subscriptions(1) == [composed]
    await store.delete(1, decomposed)
    assert await names(store) == [INBOX]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        ".",
        "a/../b",
        "a\nb",
        "a\0b",
        "\x7f",
        "a%",
        "*",
        "\u2028",
        "\ud800",
        "x" * (MAX_OCTETS + 1),
        "/".join("x" * (MAX_LEVELS + 1)),
    ],
)
async def test_names_that_cannot_be(store: Mailstore, name: str) -> None:
    await store.create(1, "There")
    before = store.modseq(1)
    for refused in (store.create(1, name), store.rename(1, "There", name), store.subscribe(1, name, True)):
        with pytest.raises(BadNameError):
            await refused
    assert store.modseq(1) == before
    assert await names(store) == [INBOX, "There"]


async def test_the_longest_and_the_deepest_names(store: Mailstore) -> None:
    longest, deepest = "é" * (MAX_OCTETS // 2), "/".join("x" * MAX_LEVELS)
    assert (await store.create(1, longest)).name == longest
    assert (await store.create(1, deepest)).name == deepest
    assert len(await store.mailboxes(1)) == 2 + MAX_LEVELS


async def test_what_exists_cannot_be_made(store: Mailstore) -> None:
    await store.create(1, "A/B")
    before = store.modseq(1)
    for name in ("A", "A/B", INBOX):
        with pytest.raises(MailboxExistsError):
            await store.create(1, name)
    assert store.modseq(1) <= before + 1  # INBOX, which was not asked for before
    await store.create(2, "A/B")


async def test_many_who_make_the_same_at_once(store: Mailstore) -> None:
    made = await asyncio.gather(*(store.create(1, "A/B") for _ in range(10)), return_exceptions=True)
    assert sum(isinstance(result, MailboxExistsError) for result in made) == 9
    assert await names(store) == ["A", "A/B", INBOX]


# Roles


async def test_one_mailbox_has_a_role(store: Mailstore) -> None:
    made = await store.create(1, "Out/Sent", Role.SENT)
    assert made.role is Role.SENT
    assert (await box_of(store, 1, "Out")).role is Role.NONE
    before = store.modseq(1)
    with pytest.raises(MailboxExistsError):
        await store.create(1, "Other", Role.SENT)
    assert store.modseq(1) == before
    assert await store.mailbox(1, "Other") is None
    await store.create(1, "Trash", Role.TRASH)
    await store.create(2, "Other", Role.SENT)
    await store.rename(1, "Out", "Gone")
    assert (await box_of(store, 1, "Gone/Sent")).role is Role.SENT
    await store.delete(1, "Gone/Sent")
    assert (await store.create(1, "Other", Role.SENT)).role is Role.SENT


@pytest.mark.parametrize("role", list(Role))
async def test_every_role_comes_back(store: Mailstore, role: Role) -> None:
    await store.create(1, "A", role)
    assert (await box_of(store, 1, "A")).role is role


# Renaming


async def test_a_mailbox_stays_itself_under_another_name(store: Mailstore) -> None:
    await store.create(1, "A")
    await append(store, 1, letter(b"one"), letter(b"two", Flag.SEEN, "Work"), mailbox="A")
    before, held = await box_of(store, 1, "A"), await rows_of(store, 1, "A")
    await store.rename(1, "A", "B")
    after = await box_of(store, 1, "B")
    assert (after.id, after.uidvalidity, after.uidnext) == (before.id, before.uidvalidity, 3)
    assert (after.messages, after.unseen, after.octets) == (2, 1, 6)
    assert await rows_of(store, 1, "B") == held
    assert await contents(store, 1, "B") == [b"one", b"two"]
    assert await store.mailbox(1, "A") is None
    made = await store.create(1, "A")
    assert made.id != before.id
    assert made.uidvalidity != before.uidvalidity


async def test_what_is_below_goes_along(store: Mailstore) -> None:
    for name in ("a", "a/b", "a/b/c", "a b", "a-b", "a0", "ab"):
        await store.create(1, name)
    ids = {box.name: box.id for box in await store.mailboxes(1)}
    await store.rename(1, "a", "x/y")
    assert await names(store) == [INBOX, "a b", "a-b", "a0", "ab", "x", "x/y", "x/y/b", "x/y/b/c"]
    assert (await box_of(store, 1, "x/y/b")).id == ids["a/b"]


async def test_a_level_alone_can_be_renamed(store: Mailstore) -> None:
    await store.create(1, "a/b")
    await store.delete(1, "a")
    assert await names(store) == [INBOX, "a/b"]
    await store.rename(1, "a", "c")
    assert await names(store) == [INBOX, "c/b"]


async def test_a_lower_level_can_be_lifted(store: Mailstore) -> None:
    await store.create(1, "a/b/c")
    await store.rename(1, "a/b", "d")
    assert await names(store) == [INBOX, "a", "d", "d/c"]


async def test_what_cannot_be_renamed(store: Mailstore) -> None:
    await store.create(1, "a/b")
    await store.create(1, "c/d")
    await store.delete(1, "c")
    await box_of(store, 1)
    before = store.modseq(1)
    for name, new, error in (
        ("x", "y", NoSuchMailboxError),
        ("a", "a", MailboxExistsError),
        ("a", "a/b", BadNameError),
        ("a", "a/x", BadNameError),
        ("a/b", "a", MailboxExistsError),
        ("a", "c/d", MailboxExistsError),
        ("a", "c", MailboxExistsError),  # below it there is one
        ("a", "inbox", MailboxExistsError),
        (INBOX, "a", MailboxExistsError),
        (INBOX, INBOX, MailboxExistsError),
    ):
        with pytest.raises(error):
            await store.rename(1, name, new)
    assert store.modseq(1) == before
    assert await names(store) == [INBOX, "a", "a/b", "c/d"]


async def test_names_below_must_not_grow_beyond_the_bounds(store: Mailstore) -> None:
    await store.create(1, "a/" + "x" * 900)
    await store.create(1, "b/c")
    before = await names(store)
    with pytest.raises(BadNameError):
        await store.rename(1, "a", "y" * 200)
    with pytest.raises(BadNameError):
        await store.rename(1, "b", "/".join("y" * MAX_LEVELS))
    assert await names(store) == before


async def test_renaming_inbox_moves_its_messages(store: Mailstore) -> None:
    await append(store, 1, letter(b"one", Flag.SEEN), letter(b"two", Flag.NONE, "Work"))
    await store.remove(1, (await box_of(store, 1)).id, (await ids_of(store, 1))[:1], marked=False)
    await append(store, 1, letter(b"three"))
    await store.create(1, "INBOX/Sub")
    before, held = await box_of(store, 1), await rows_of(store, 1)
    since = store.modseq(1)
    await store.rename(1, "inbox", "Old/2026")
    inbox, old = await box_of(store, 1), await box_of(store, 1, "Old/2026")
    assert (inbox.id, inbox.uidvalidity, inbox.uidnext) == (before.id, before.uidvalidity, before.uidnext)
    assert (inbox.messages, inbox.unseen, inbox.octets) == (0, 0, 0)
    assert old.uidvalidity != inbox.uidvalidity
    assert await names(store) == [INBOX, "INBOX/Sub", "Old", "Old/2026"]
    assert [(row.uid, row.flags) for row in await rows_of(store, 1, "Old/2026")] == [
        (1, held[0].flags),
        (2, held[1].flags),
    ]
    assert await contents(store, 1, "Old/2026") == [b"two", b"three"]
    assert (await store.since(1, inbox.id, since)).vanished == [row.uid for row in held]
    assert (await append(store, 1)).uids == [before.uidnext]


async def test_renaming_an_empty_inbox(store: Mailstore) -> None:
    await store.rename(1, INBOX, "A")
    assert await names(store) == ["A", INBOX]
    assert (await box_of(store, 1, "A")).messages == 0


async def test_a_delivery_is_known_under_the_mailbox_and_not_its_name(store: Mailstore) -> None:
    delivery = delivery_id()
    await deliver(store, 1, mailbox="A", delivery=delivery)
    await store.rename(1, "A", "B")
    assert await deliver(store, 1, mailbox="B", delivery=delivery) is DeliveryResult.ALREADY
    assert await deliver(store, 1, mailbox="A", delivery=delivery) is DeliveryResult.KEPT


# Removing


async def test_delete_removes_the_messages(store: Mailstore) -> None:
    made = await store.create(1, "A")
    await append(store, 1, *(letter(b"x", Flag.DELETED) for _ in range(700)), mailbox="A")
    await append(store, 1, letter(b"stays"))
    await store.delete(1, "A")
    assert await names(store) == [INBOX]
    assert await store.usage(1) == Usage(1, 5)
    assert await store.entries(1, "A") == []
    again = await store.create(1, "A")
    assert again.id > made.id
    assert again.uidvalidity > made.uidvalidity
    assert (again.messages, again.uidnext) == (0, 1)
    assert await rows_of(store, 1, "A") == []


async def test_what_is_below_stays(store: Mailstore) -> None:
    await store.create(1, "A/B")
    await append(store, 1, letter(b"x"), mailbox="A/B")
    await store.delete(1, "A")
    assert await names(store) == ["A/B", INBOX]
    assert await contents(store, 1, "A/B") == [b"x"]
    with pytest.raises(NoSuchMailboxError):
        await store.delete(1, "A")
    await store.create(1, "A")
    assert await names(store) == ["A", "A/B", INBOX]


async def test_what_cannot_be_deleted(store: Mailstore) -> None:
    await append(store, 1, letter(b"x"))
    for name, error in ((INBOX, BadNameError), ("inbox", BadNameError), ("A", NoSuchMailboxError)):
        with pytest.raises(error):
            await store.delete(1, name)
    assert await contents(store, 1) == [b"x"]


async def test_a_copy_outlives_its_mailbox(store: Mailstore) -> None:
    box = await store.create(1, "A")
    await append(store, 1, letter(b"one"), mailbox="A")
    await store.copy(1, box.id, await ids_of(store, 1, "A"), INBOX)
    await store.delete(1, "A")
    assert await contents(store, 1) == [b"one"]


async def test_a_delivery_to_a_removed_mailbox_is_not_taken_for_known(store: Mailstore) -> None:
    delivery = delivery_id()
    await deliver(store, 1, mailbox="A", delivery=delivery)
    await store.delete(1, "A")
    assert await deliver(store, 1, mailbox="A", delivery=delivery) is DeliveryResult.KEPT


async def test_a_session_learns_that_its_mailbox_is_gone(store: Mailstore) -> None:
    box = await store.create(1, "A")
    await append(store, 1, mailbox="A")
    ids = await ids_of(store, 1, "A")
    await store.delete(1, "A")
    for refused in (
        store.since(1, box.id, 0),
        store.items(1, box.id, ids),
        store.mark(1, box.id, ids, Setting.ADD, Marks(Flag.SEEN)),
        store.copy(1, box.id, ids, INBOX),
        store.move(1, box.id, ids, INBOX),
        store.remove(1, box.id, ids, marked=False),
        store.deleted_octets(1, box.id),
        store.snapshot(1, "A"),
        store.append(1, "A", [letter()]),
        store.append(1, INBOX, [letter()], replacing=(box.id, ids[0])),
    ):
        with pytest.raises(NoSuchMailboxError):
            await refused
    assert await store.usage(1) == Usage(0, 0)


# Subscriptions


async def test_subscriptions_are_names(store: Mailstore) -> None:
    assert await store.subscriptions(1) == []
    for name in ("Zoo", "A/B", "inbox", "Zoo"):
        await store.subscribe(1, name, True)
    assert await store.subscriptions(1) == ["A/B", INBOX, "Zoo"]
    assert await store.mailbox(1, "Zoo") is None
    await store.subscribe(1, "Zoo", False)
    await store.subscribe(1, "Never", False)
    await store.subscribe(1, "a//b", False)
    assert await store.subscriptions(1) == ["A/B", INBOX]
    assert await store.subscriptions(2) == []


async def test_subscriptions_outlive_mailboxes(store: Mailstore) -> None:
    await store.create(1, "A")
    await store.subscribe(1, "A", True)
    await store.delete(1, "A")
    assert await store.subscriptions(1) == ["A"]


# What an account begins with

USUAL = [("Drafts", Role.DRAFTS), ("Sent", Role.SENT), ("Mail/Trash", Role.TRASH)]


async def test_an_account_is_furnished_once(store: Mailstore) -> None:
    await store.create_default_mailboxes(1, USUAL)
    boxes = await store.mailboxes(1)
    assert [(box.name, box.role) for box in boxes] == [
        ("Drafts", Role.DRAFTS),
        (INBOX, Role.NONE),
        ("Mail", Role.NONE),
        ("Mail/Trash", Role.TRASH),
        ("Sent", Role.SENT),
    ]
    assert await store.subscriptions(1) == ["Drafts", INBOX, "Mail/Trash", "Sent"]
    await store.delete(1, "Drafts")
    await store.subscribe(1, "Sent", False)
    await store.create_default_mailboxes(1, [*USUAL, ("More", Role.NONE)])
    assert await names(store) == [INBOX, "Mail", "Mail/Trash", "Sent"]
    assert await store.subscriptions(1) == ["Drafts", INBOX, "Mail/Trash"]


async def test_furnishing_beside_what_is_there(store: Mailstore) -> None:
    sent = await store.create(1, "Sent")
    await store.create(1, "Papers", Role.DRAFTS)
    await store.create(1, "Mail/Trash", Role.JUNK)
    await deliver(store, 1)
    await store.create_default_mailboxes(1, USUAL)
    assert {box.name: box.role for box in await store.mailboxes(1)} == {
        "Drafts": Role.NONE,  # somebody else has that role
        INBOX: Role.NONE,
        "Mail": Role.NONE,
        "Mail/Trash": Role.JUNK,  # it has one already
        "Papers": Role.DRAFTS,
        "Sent": Role.SENT,
    }
    assert (await box_of(store, 1, "Sent")).id == sent.id
    assert (await box_of(store, 1)).messages == 1


async def test_furnishing_many_times_at_once(store: Mailstore) -> None:
    await asyncio.gather(*(store.create_default_mailboxes(1, USUAL) for _ in range(10)))
    assert len(await store.mailboxes(1)) == 5


async def test_a_forgotten_account_begins_anew(store: Mailstore) -> None:
    await store.create_default_mailboxes(1, USUAL)
    await append(store, 1, letter(b"x", Flag.NONE, "Work"), mailbox="Sent")
    before = await store.mailboxes(1)
    await store.forget(1)
    assert await store.subscriptions(1) == []
    assert await store.keywords(1) == []
    assert await names(store) == [INBOX]
    await store.create_default_mailboxes(1, USUAL)
    after = await store.mailboxes(1)
    assert [box.name for box in after] == [box.name for box in before]
    assert min(box.id for box in after) > max(box.id for box in before)
    assert min(box.uidvalidity for box in after) > max(box.uidvalidity for box in before)
    assert min(box.modseq for box in after) > max(box.modseq for box in before)


# Watchers


async def test_watchers_look_when_mailboxes_change(store: Mailstore, bus: LocalBus) -> None:
    told: list[int] = []
    bus.watch(1, told.append)
    for change in (
        store.create(1, "A"),
        store.rename(1, "A", "B"),
        store.delete(1, "B"),
        store.create_default_mailboxes(1, USUAL),
        store.rename(1, INBOX, "Old"),
        store.forget(1),
    ):
        before = store.modseq(1)
        await change
        assert told[-1] == store.modseq(1) > before


async def test_watchers_are_left_alone_when_nothing_changes(store: Mailstore, bus: LocalBus) -> None:
    await store.create(1, "A")
    await box_of(store, 1)
    told: list[int] = []
    bus.watch(1, told.append)
    for error, refused in (
        (MailboxExistsError, store.create(1, "A")),
        (NoSuchMailboxError, store.rename(1, "X", "Y")),
        (NoSuchMailboxError, store.delete(1, "X")),
    ):
        with pytest.raises(error):
            await refused
    await store.subscribe(1, "A", True)
    await store.mailboxes(1)
    await store.snapshot(1, "A")
    assert told == []
