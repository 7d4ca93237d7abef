"""Every promise of the Mailstore interface, for every store."""

import asyncio
import contextlib
import itertools
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posthouse.database.transaction import SharedTransaction
from posthouse.mailstore.changes import LocalBus
from posthouse.mailstore.interface import (
    INBOX,
    DeliveryReceipt,
    DeliveryResult,
    Mailstore,
    MessageRef,
    StoreError,
    Target,
    Traits,
    Usage,
)
from tests.conformance.backends import BACKENDS
from tests.stores import NOW, PREFIX, BrokenBody, Bytes, ascending, contents, deliver, delivery_id, fetch

BODY = b"Subject: x\r\n\r\nhello\r\n"


# Delivering and reading


async def test_find_gives_those_that_are_there(store: Mailstore) -> None:
    for _ in range(3):
        await deliver(store, 1)
    first, second, third = await store.entries(1)
    await store.expunge(1, INBOX, [second.message])
    assert await store.find(1, INBOX, [third.message, second.message, first.message, 999]) == [first, third]
    assert await store.find(1, "Other", [first.message]) == []
    assert await store.find(2, INBOX, [first.message]) == []


async def test_a_hook_sees_what_was_kept(store: Mailstore) -> None:
    seen: list[MessageRef | None] = []
    placements = [Target(1, PREFIX), Target(2, b"", quota=1), Target(3, b"X: y\r\n")]
    receipt = await store.deliver(
        delivery_id(),
        Bytes(BODY),
        placements,
        NOW,
        all_or_nothing=False,
        in_transaction=[lambda _, copies: seen.extend(copies)],
    )
    assert [entry is not None for entry in seen] == [True, False, True]
    assert [entry for entry in seen if entry] == [*await store.entries(1), *await store.entries(3)]
    assert receipt.messages == seen
    assert await fetch(store, (await store.entries(3))[0]) == b"X: y\r\n" + BODY


async def test_a_hook_that_fails_keeps_the_delivery_out(store: Mailstore) -> None:
    def fail(_database: object, _entries: object) -> None:
        raise ValueError("no")

    await deliver(store, 1)
    delivery = delivery_id()
    with pytest.raises(StoreError):
        await store.deliver(delivery, Bytes(BODY), [Target(1, PREFIX)], NOW, all_or_nothing=True, in_transaction=[fail])
    assert len(await store.entries(1)) == 1
    assert (await store.deliver(delivery, Bytes(BODY), [Target(1, PREFIX)], NOW, all_or_nothing=True)).results == [
        DeliveryResult.KEPT
    ]


async def test_what_was_delivered_is_read_back(store: Mailstore) -> None:
    body = Bytes(BODY, Traits.HAS_LEADING_DOTS | Traits.EIGHT_BIT)
    assert (await store.deliver(delivery_id(), body, [Target(1, PREFIX)], NOW, all_or_nothing=True)).results == [
        DeliveryResult.KEPT
    ]
    (entry,) = await store.entries(1)
    assert entry[:5] == (entry.message, 1, len(PREFIX + BODY), Traits.HAS_LEADING_DOTS | Traits.EIGHT_BIT, NOW)
    assert await fetch(store, entry) == PREFIX + BODY


@pytest.mark.parametrize("step", [1, 7, len(PREFIX), 4096])
async def test_reading_in_steps(store: Mailstore, step: int) -> None:
    prefixes = [PREFIX, b"X-Second: 1\r\n", b""]
    placements = [Target(number, prefix) for number, prefix in enumerate(prefixes, 1)]
    await store.deliver(delivery_id(), Bytes(BODY), placements, NOW, all_or_nothing=True)
    for number, prefix in enumerate(prefixes, 1):
        (entry,) = await store.entries(number)
        assert await fetch(store, entry, step) == prefix + BODY


async def test_reading_beyond_the_end(store: Mailstore) -> None:
    await deliver(store, 1, BODY, prefix=b"")
    (entry,) = await store.entries(1)
    assert await store.read(entry, len(BODY), 10) == b""
    assert await store.read(entry, len(BODY) + 5, 10) == b""
    assert await store.read(entry, 2, 0) == b""
    assert await store.read(entry, len(BODY) - 2, 10) == b"\r\n"


@pytest.mark.parametrize("data", [b"", b"\0", b"\0" * 5000, b"x\0", b"\0x", bytes(range(256)) * 40])
@pytest.mark.parametrize("prefix", [b"", PREFIX])
async def test_octets_of_every_kind(store: Mailstore, data: bytes, prefix: bytes) -> None:
    await deliver(store, 1, data, prefix=prefix)
    await deliver(store, 1, BODY)
    assert await contents(store, 1) == [prefix + data, PREFIX + BODY]


async def test_a_body_larger_than_a_write(store: Mailstore) -> None:
    data = bytes(range(256)) * 40_000  # 10 MB
    body = Bytes(data, chunk=65_536)
    placements = [Target(account, b"X-For: %d\r\n" % account) for account in (1, 2)]
    assert (await store.deliver(delivery_id(), body, placements, NOW, all_or_nothing=True)).results == [
        DeliveryResult.KEPT
    ] * 2
    assert await contents(store, 1) == [b"X-For: 1\r\n" + data]
    assert await contents(store, 2) == [b"X-For: 2\r\n" + data]


async def test_many_recipients_of_one_body(store: Mailstore) -> None:
    placements = [Target(account, b"Delivered-To: %d\r\n" % account) for account in range(1, 1501)]
    assert (await store.deliver(delivery_id(), Bytes(BODY), placements, NOW, all_or_nothing=True)).results == [
        DeliveryResult.KEPT
    ] * 1500
    for account in (1, 2, 750, 1500):
        assert await contents(store, account) == [b"Delivered-To: %d\r\n" % account + BODY]


async def test_one_body_in_two_mailboxes_of_one_account(store: Mailstore) -> None:
    placements = [Target(1, PREFIX), Target(1, PREFIX, "Lists/Été")]
    assert (await store.deliver(delivery_id(), Bytes(BODY), placements, NOW, all_or_nothing=True)).results == [
        DeliveryResult.KEPT
    ] * 2
    (first,), (second,) = await store.entries(1), await store.entries(1, "Lists/Été")
    assert first.message != second.message
    assert await fetch(store, first) == await fetch(store, second) == PREFIX + BODY
    assert await store.usage(1) == Usage(2, 2 * len(PREFIX + BODY))


async def test_nothing_to_deliver(store: Mailstore) -> None:
    assert (await store.deliver(delivery_id(), Bytes(BODY), [], NOW, all_or_nothing=True)).results == []


async def test_what_does_not_exist_is_empty(store: Mailstore) -> None:
    assert await store.entries(7) == []
    assert await store.usage(7) == Usage(0, 0)
    assert await store.changes(7, 0) == []
    assert await store.expunge(7, INBOX, [1]) == 0
    await store.forget(7)
    await deliver(store, 7)
    assert await store.entries(7, "Other") == []
    assert await store.expunge(7, "Other", [1]) == 0


@pytest.mark.parametrize("error", [OSError("gone"), None])
async def test_a_body_that_cannot_be_read_fails_alone(store: Mailstore, error: Exception | None) -> None:
    broken = BrokenBody(BODY, 5, error)
    results = await asyncio.gather(
        deliver(store, 1, b"first\r\n"),
        store.deliver(delivery_id(), broken, [Target(1, PREFIX)], NOW, all_or_nothing=True),
        deliver(store, 1, b"last\r\n"),
        return_exceptions=True,
    )
    assert isinstance(results[1], StoreError)
    assert [results[0], results[2]] == [DeliveryResult.KEPT] * 2
    assert await contents(store, 1) == [PREFIX + b"first\r\n", PREFIX + b"last\r\n"]


async def test_a_large_body_that_breaks_half_way(store: Mailstore) -> None:
    class HalfWay(Bytes):
        def chunks(self) -> Iterator[bytes]:
            yield from [self._data[:3_000_000]] * 3
            raise OSError("gone")

    broken = store.deliver(delivery_id(), HalfWay(b"x" * 12_000_000), [Target(1, PREFIX)], NOW, all_or_nothing=True)
    results = await asyncio.gather(deliver(store, 1), broken, deliver(store, 1, b"l\r\n"), return_exceptions=True)
    assert isinstance(results[1], StoreError)
    assert await contents(store, 1) == [PREFIX + BODY, PREFIX + b"l\r\n"]


# Numbers


async def test_numbers_ascend_under_many_tasks(store: Mailstore) -> None:
    stop = asyncio.Event()
    seen: list[list[int]] = []

    async def look() -> None:
        while not stop.is_set():
            seen.append([entry.uid for entry in await store.entries(1)])
            await asyncio.sleep(0)

    async def send(count: int) -> None:
        for _ in range(count):
            assert await deliver(store, 1) is DeliveryResult.KEPT

    watching = asyncio.create_task(look())
    await asyncio.gather(*(send(10) for _ in range(30)))
    stop.set()
    await watching
    for before, after in itertools.pairwise(seen):
        assert after[: len(before)] == before  # what comes later stands later
    entries = await store.entries(1)
    assert [entry.uid for entry in entries] == list(range(1, 301))
    assert ascending([entry.message for entry in entries])


async def test_uids_and_message_ids_are_never_given_twice(store: Mailstore) -> None:
    for _ in range(3):
        await deliver(store, 1)
    gone = await store.entries(1)
    assert await store.expunge(1, INBOX, [entry.message for entry in gone]) == 3
    await deliver(store, 1)
    (entry,) = await store.entries(1)
    assert entry.uid == 4
    assert entry.message not in {old.message for old in gone}


async def test_message_ids_are_unique_in_the_account(store: Mailstore) -> None:
    for mailbox in (INBOX, "Junk", INBOX, "Junk"):
        await deliver(store, 1, mailbox=mailbox)
    both = await store.entries(1) + await store.entries(1, "Junk")
    assert len({entry.message for entry in both}) == 4
    assert [entry.uid for entry in both] == [1, 2, 1, 2]


# Idempotence


async def test_the_same_delivery_again_files_nothing(store: Mailstore) -> None:
    delivery = delivery_id()
    assert await deliver(store, 1, delivery=delivery) is DeliveryResult.KEPT
    assert await deliver(store, 1, delivery=delivery) is DeliveryResult.ALREADY
    assert await deliver(store, 1, delivery=delivery, mailbox="Junk") is DeliveryResult.KEPT
    assert await deliver(store, 2, delivery=delivery) is DeliveryResult.KEPT
    assert len(await store.entries(1)) == 1


async def test_a_delivery_without_a_name_is_another_one_each_time(store: Mailstore) -> None:
    named = delivery_id()
    for delivery in (b"", named, b""):
        assert await deliver(store, 1, delivery=delivery) is DeliveryResult.KEPT
    assert await asyncio.gather(*(deliver(store, 1, delivery=b"") for _ in range(5))) == [DeliveryResult.KEPT] * 5
    assert await deliver(store, 1, delivery=named) is DeliveryResult.ALREADY
    targets = [Target(1, PREFIX), Target(1, PREFIX)]
    receipt = await store.deliver(b"", Bytes(BODY), targets, NOW, all_or_nothing=True)
    assert receipt.results == [DeliveryResult.KEPT, DeliveryResult.ALREADY]  # the same mailbox twice
    assert len(await store.entries(1)) == 9


async def test_the_same_delivery_at_the_same_time(store: Mailstore) -> None:
    delivery = delivery_id()
    filed = await asyncio.gather(*(deliver(store, 1, delivery=delivery) for _ in range(5)))
    assert sorted(result.name for result in filed) == ["ALREADY"] * 4 + ["KEPT"]
    assert len(await store.entries(1)) == 1


async def test_a_delivery_that_was_kept_and_expunged_does_not_come_back(store: Mailstore) -> None:
    delivery = delivery_id()
    await deliver(store, 1, delivery=delivery)
    (entry,) = await store.entries(1)
    await store.expunge(1, INBOX, [entry.message])
    assert await deliver(store, 1, delivery=delivery) is DeliveryResult.ALREADY
    assert await store.entries(1) == []


async def test_the_same_mailbox_twice_in_one_delivery(store: Mailstore) -> None:
    placements = [Target(1, PREFIX), Target(1, b"X-Other: 1\r\n"), Target(2, PREFIX)]
    filed = (await store.deliver(delivery_id(), Bytes(BODY), placements, NOW, all_or_nothing=True)).results
    assert filed == [DeliveryResult.KEPT, DeliveryResult.ALREADY, DeliveryResult.KEPT]
    assert await contents(store, 1) == [PREFIX + BODY]


# Quota


async def test_quota_counts_prefix_and_body(store: Mailstore) -> None:
    size = len(PREFIX + BODY)
    assert await deliver(store, 1, BODY, quota=size - 1) is DeliveryResult.OVER_QUOTA
    assert await deliver(store, 1, BODY, quota=size) is DeliveryResult.KEPT
    assert await deliver(store, 1, BODY, quota=2 * size - 1) is DeliveryResult.OVER_QUOTA
    assert await deliver(store, 1, BODY, quota=2 * size) is DeliveryResult.KEPT
    assert await store.usage(1) == Usage(2, 2 * size)
    await store.expunge(1, INBOX, [(await store.entries(1))[0].message])
    assert await deliver(store, 1, BODY, quota=2 * size) is DeliveryResult.KEPT


async def test_quota_holds_for_deliveries_at_the_same_time(store: Mailstore) -> None:
    size = len(PREFIX + BODY)
    filed = await asyncio.gather(*(deliver(store, 1, BODY, quota=3 * size) for _ in range(10)))
    assert filed.count(DeliveryResult.KEPT) == 3
    assert await store.usage(1) == Usage(3, 3 * size)


async def test_quota_counts_all_placements_of_one_delivery(store: Mailstore) -> None:
    size = len(PREFIX + BODY)
    placements = [Target(1, PREFIX, name, 2 * size) for name in ("A", "B", "C")]
    filed = (await store.deliver(delivery_id(), Bytes(BODY), placements, NOW, all_or_nothing=False)).results
    assert filed == [DeliveryResult.KEPT, DeliveryResult.KEPT, DeliveryResult.OVER_QUOTA]
    assert await store.usage(1) == Usage(2, 2 * size)


async def test_one_over_quota_keeps_the_others_out_of_a_whole_delivery(store: Mailstore) -> None:
    delivery = delivery_id()
    await deliver(store, 3, delivery=delivery)
    placements = [Target(1, PREFIX), Target(2, PREFIX, INBOX, 1), Target(3, PREFIX)]
    filed = (await store.deliver(delivery, Bytes(BODY), placements, NOW, all_or_nothing=True)).results
    assert filed == [DeliveryResult.WITHHELD, DeliveryResult.OVER_QUOTA, DeliveryResult.ALREADY]
    assert await store.entries(1) == await store.entries(2) == []
    assert await store.changes(1, 0) == []
    roomy = [Target(1, PREFIX), Target(2, PREFIX), Target(3, PREFIX)]
    filed = (await store.deliver(delivery, Bytes(BODY), roomy, NOW, all_or_nothing=True)).results
    assert filed == [DeliveryResult.KEPT, DeliveryResult.KEPT, DeliveryResult.ALREADY]


async def test_one_over_quota_does_not_concern_the_others(store: Mailstore) -> None:
    placements = [Target(1, PREFIX), Target(2, PREFIX, INBOX, 1), Target(3, PREFIX)]
    filed = (await store.deliver(delivery_id(), Bytes(BODY), placements, NOW, all_or_nothing=False)).results
    assert filed == [DeliveryResult.KEPT, DeliveryResult.OVER_QUOTA, DeliveryResult.KEPT]
    assert [len(await store.entries(account)) for account in (1, 2, 3)] == [1, 0, 1]


# Expunging and forgetting


async def test_expunge_counts_what_was_there(store: Mailstore) -> None:
    for number in range(5):
        await deliver(store, 1, b"%d\r\n" % number)
    ids = [entry.message for entry in await store.entries(1)]
    assert await store.expunge(1, INBOX, []) == 0
    assert await store.expunge(1, INBOX, [ids[3], ids[1], ids[1], 999]) == 2
    assert await store.expunge(1, INBOX, [ids[1]]) == 0
    assert await contents(store, 1) == [PREFIX + b"%d\r\n" % number for number in (0, 2, 4)]
    assert await store.usage(1) == Usage(3, 3 * len(PREFIX + b"0\r\n"))


async def test_expunge_leaves_other_mailboxes_and_accounts_alone(store: Mailstore) -> None:
    placements = [Target(1, PREFIX), Target(1, PREFIX, "Junk"), Target(2, PREFIX)]
    await store.deliver(delivery_id(), Bytes(BODY), placements, NOW, all_or_nothing=True)
    (entry,) = await store.entries(1)
    assert await store.expunge(2, "Junk", [entry.message]) == 0
    assert await store.expunge(1, "Junk", [entry.message]) == 0
    assert await store.expunge(1, INBOX, [entry.message]) == 1
    assert await contents(store, 1, "Junk") == await contents(store, 2) == [PREFIX + BODY]


async def test_expunge_of_very_many(store: Mailstore) -> None:
    await asyncio.gather(*(deliver(store, 1) for _ in range(1200)))
    ids = [entry.message for entry in await store.entries(1)]
    assert await store.expunge(1, INBOX, ids) == 1200
    assert await store.usage(1) == Usage(0, 0)


async def test_forget_removes_all_and_gives_no_number_twice(store: Mailstore) -> None:
    shared = [Target(1, PREFIX), Target(2, PREFIX)]
    await store.deliver(delivery_id(), Bytes(BODY), shared, NOW, all_or_nothing=True)
    await asyncio.gather(*(deliver(store, 1, mailbox=name) for name in ("A", "B") for _ in range(300)))
    held = await store.entries(1) + await store.entries(1, "A") + await store.entries(1, "B")
    highest = max(entry.message for entry in held)
    modseq = (await store.changes(1, 0))[-1].modseq
    await store.forget(1)
    assert await store.usage(1) == Usage(0, 0)
    assert await store.changes(1, 0) == []
    assert [await store.entries(1, name) for name in (INBOX, "A", "B")] == [[], [], []]
    assert await contents(store, 2) == [PREFIX + BODY]
    await deliver(store, 1)
    (entry,) = await store.entries(1)
    assert entry.message > highest
    assert (await store.changes(1, 0))[-1].modseq > modseq


async def test_a_delivery_to_a_forgotten_account_is_not_taken_for_known(store: Mailstore) -> None:
    delivery = delivery_id()
    await deliver(store, 1, delivery=delivery)
    await store.forget(1)
    assert await deliver(store, 1, delivery=delivery) is DeliveryResult.KEPT


# The feed of changes


async def test_changes_tell_what_happened_in_order(store: Mailstore) -> None:
    await deliver(store, 1)
    await deliver(store, 1, mailbox="Junk")
    await deliver(store, 1)
    first, last = await store.entries(1)
    (second,) = await store.entries(1, "Junk")
    await store.expunge(1, INBOX, [first.message])
    log = await store.changes(1, 0)
    inbox, junk = [box.id for box in await store.mailboxes(1)]
    assert [(change.mailbox, change.message, change.uid, change.expunged) for change in log] == [
        (junk, second.message, 1, False),
        (inbox, last.message, 2, False),
        (inbox, first.message, 1, True),  # and no longer that it came
    ]
    assert ascending([change.modseq for change in log])
    assert log[-1].modseq == store.modseq(1)
    assert await store.changes(1, log[1].modseq) == log[2:]
    assert await store.changes(1, log[2].modseq) == []


async def test_watchers_are_told_before_the_caller_goes_on(store: Mailstore, bus: LocalBus) -> None:
    told: list[int] = []
    end = bus.watch(1, told.append)
    await deliver(store, 1)
    assert told == [store.modseq(1)]
    await deliver(store, 2)
    assert len(told) == 1
    (entry,) = await store.entries(1)
    await store.expunge(1, INBOX, [entry.message])
    assert told[1:] == [store.modseq(1)] == [(await store.changes(1, 0))[-1].modseq]
    await deliver(store, 1)
    assert len(told) == 3
    await store.forget(1)
    assert told[-1] == store.modseq(1)
    assert ascending(told)
    end()
    await deliver(store, 1)
    assert told[-1] < store.modseq(1)


async def test_nothing_changed_is_not_told(store: Mailstore, bus: LocalBus) -> None:
    told: list[int] = []
    bus.watch(1, told.append)
    await deliver(store, 1, quota=1)
    await store.expunge(1, INBOX, [1])
    await store.forget(1)
    assert told == []


# Ends


async def test_a_cancelled_task_ends_with_a_certain_outcome(store: Mailstore) -> None:
    task = asyncio.create_task(deliver(store, 1))
    await asyncio.sleep(0)
    task.cancel()
    outcome = (await asyncio.gather(task, return_exceptions=True))[0]
    assert outcome is DeliveryResult.KEPT or isinstance(outcome, asyncio.CancelledError)
    assert len(await store.entries(1)) == 1


async def test_close_finishes_what_waits_and_refuses_the_rest(store: Mailstore) -> None:
    await deliver(store, 1)
    waiting = [asyncio.create_task(deliver(store, 1)) for _ in range(10)]
    await asyncio.sleep(0)  # until they have begun
    before = await store.entries(1)
    await store.close()
    assert await asyncio.gather(*waiting) == [DeliveryResult.KEPT] * 10
    await store.close()
    for entry in before:
        with pytest.raises(StoreError):
            await store.read(entry, 0, 10)
    for refused in (deliver(store, 1), store.entries(1), store.usage(1), store.changes(1, 0), store.forget(1)):
        with pytest.raises(StoreError):
            await refused


# Against a model


_Step = tuple[str, int, str, int, bytes, int | None]


class _Model:
    """What the store must hold, in the plainest words."""

    def __init__(self) -> None:
        self.boxes: dict[tuple[int, str], list[bytes]] = {}
        self.deliveries: set[tuple[int, int, str]] = set()

    def octets(self, account: int) -> int:
        return sum(len(data) for key, box in self.boxes.items() if key[0] == account for data in box)


_STEP = st.tuples(
    st.sampled_from(["deliver", "deliver", "deliver", "expunge", "forget"]),
    st.integers(1, 3),
    st.sampled_from([INBOX, "Junk"]),
    st.integers(0, 5),
    st.binary(max_size=40),
    st.one_of(st.none(), st.integers(0, 200)),
)


@given(st.lists(_STEP, max_size=25))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@pytest.mark.parametrize("kind", list(BACKENDS))
def test_like_a_model(kind: str, steps: list[_Step]) -> None:
    backend = BACKENDS[kind]()

    async def run() -> None:
        store = backend.open(LocalBus())
        model = _Model()
        for verb, account, mailbox, number, data, quota in steps:
            box = model.boxes.setdefault((account, mailbox), [])
            if verb == "deliver":
                delivery = NOW.to_bytes(6, "big") + number.to_bytes(10, "big")
                filed = await deliver(
                    store, account, data, mailbox=mailbox, quota=quota, delivery=delivery, prefix=b"P"
                )
                if (number, account, mailbox) in model.deliveries:
                    assert filed is DeliveryResult.ALREADY
                elif quota is not None and model.octets(account) + 1 + len(data) > quota:
                    assert filed is DeliveryResult.OVER_QUOTA
                else:
                    assert filed is DeliveryResult.KEPT
                    box.append(b"P" + data)
                    model.deliveries.add((number, account, mailbox))
            elif verb == "expunge":
                entries = await store.entries(account, mailbox)
                gone = entries[number : number + 2]
                assert await store.expunge(account, mailbox, [entry.message for entry in gone]) == len(gone)
                del box[number : number + 2]
            else:
                await store.forget(account)
                model.deliveries = {known for known in model.deliveries if known[1] != account}
                for key in model.boxes:
                    if key[0] == account:
                        model.boxes[key] = []
        for (account, mailbox), expected in model.boxes.items():
            assert await contents(store, account, mailbox) == expected
        for account in (1, 2, 3):
            held = await store.usage(account)
            assert held.octets == model.octets(account)
        await store.close()

    with contextlib.closing(backend):
        asyncio.run(run())
        backend.assert_sound()


async def test_hooks_of_a_delivery_to_nobody_are_called(store: Mailstore) -> None:
    """A bounce that has nowhere to go still carries the record of the failure."""
    seen: list[int] = []

    def note(_: SharedTransaction, copies: Sequence[MessageRef | None]) -> None:
        seen.append(len(copies))

    receipt = await store.deliver(delivery_id(), Bytes(b""), [], NOW, all_or_nothing=True, in_transaction=[note, note])
    assert receipt == DeliveryReceipt([], [])
    assert seen == [0, 0]

    def fail(_: object, entries: object) -> None:
        raise LookupError("no claim")

    with pytest.raises(StoreError):
        await store.deliver(delivery_id(), Bytes(b""), [], NOW, all_or_nothing=True, in_transaction=[fail])
