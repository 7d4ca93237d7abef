"""The store itself: each method finds the account and the mailbox, has the work done and tells the watchers."""

import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy

from posthouse.mailstore.changes import ChangeBus
from posthouse.mailstore.interface import (
    INBOX,
    Appending,
    Body,
    Change,
    DeliveryResult,
    Delta,
    Flag,
    Mailbox,
    MailboxExistsError,
    MailboxMessage,
    Maildrop,
    Marked,
    Marks,
    Measure,
    MessageColumns,
    MessageRef,
    Placed,
    Rider,
    Role,
    Setting,
    Snapshot,
    StoreError,
    Target,
    Usage,
)
from posthouse.mailstore.memory import boxes
from posthouse.mailstore.memory import messages as letters
from posthouse.mailstore.memory.account import Box, MemoryAccount
from posthouse.mailstore.memory.keywords import Keywords
from posthouse.mailstore.names import canonical, checked


class MemoryMailstore:
    """Each method runs without a pause, so it is atomic for the tasks of its event loop."""

    def __init__(self, bus: ChangeBus, *, clock: Callable[[], float] = time.time) -> None:
        self._bus = bus
        self._clock = clock
        self._accounts: dict[int, MemoryAccount] = {}
        self._delivered: set[tuple[bytes, int, int]] = set()  # delivery, account, mailbox id
        self._closed = False

    async def deliver(
        self,
        delivery: bytes,
        body: Body,
        placements: Sequence[Target],
        received: int,
        *,
        whole: bool,
        also: Rider | None = None,
    ) -> list[DeliveryResult]:
        """See Mailstore."""
        self._check_open()
        if not placements:
            _ride(also, [])
            return []
        data = _collect(body)
        results = self._decide(delivery, body, placements)
        if whole and DeliveryResult.OVER_QUOTA in results:
            return [DeliveryResult.WITHHELD if result is DeliveryResult.KEPT else result for result in results]
        before = {key: deepcopy(self._accounts.get(key)) for key in {p.account for p in placements}} if also else {}
        known = self._delivered.copy() if also else set()
        entries: list[MessageRef | None] = []
        for placement, result in zip(placements, results, strict=True):
            entry = self._place(delivery, placement, data, body, received) if result is DeliveryResult.KEPT else None
            entries.append(entry)
        try:
            _ride(also, entries)
        except StoreError:
            self._restore(before, known)
            raise
        for account in {p.account for p, entry in zip(placements, entries, strict=True) if entry}:
            self._bus.publish(account, self._accounts[account].modseq)
        return results

    async def entries(self, account: int, mailbox: str = INBOX) -> list[MessageRef]:
        """See Mailstore."""
        box = self._look(account).boxes.get(canonical(mailbox))
        return [item.entry for item in box.items.values()] if box else []

    async def maildrop(self, account: int, mailbox: str = INBOX) -> Maildrop:
        """See Mailstore."""
        entries = await self.entries(account, mailbox)
        messages, octets = [entry.message for entry in entries], [entry.sent_octets for entry in entries]
        return Maildrop(array("Q", messages), array("Q", octets), entries[:1000])

    async def find(self, account: int, mailbox: str, messages: Sequence[int]) -> list[MessageRef]:
        """See Mailstore."""
        box = self._look(account).boxes.get(canonical(mailbox))
        return [item.entry for item in box.those(messages)] if box else []

    async def read(self, entry: MessageRef, offset: int, length: int) -> bytes:
        """See Mailstore."""
        self._check_open()
        if not isinstance(entry.place, tuple):
            raise StoreError(f"message {entry.message}: its body is not known to the store")
        prefix, body = entry.place
        end = min(offset + length, entry.octets)
        own = len(prefix)
        return bytes(prefix[offset:end] + body[max(0, offset - own) : max(0, end - own)])

    async def check(self, entry: MessageRef) -> None:
        """See Mailstore."""
        await self.read(entry, 0, 0)

    async def expunge(self, account: int, mailbox: str, messages: Sequence[int]) -> int:
        """See Mailstore."""
        with self._change(account) as owner:
            box = owner.boxes.get(canonical(mailbox))
            return len(owner.take(box, messages)) if box else 0

    async def usage(self, account: int) -> Usage:
        """See Mailstore."""
        owner = self._look(account)
        return Usage(sum(1 for _ in owner.items()), owner.octets)

    async def changes(self, account: int, since: int) -> list[Change]:
        """See Mailstore."""
        found = [change for change in self._look(account).changes() if change.modseq > since]
        return sorted(found, key=lambda change: (change.modseq, change.mailbox, change.uid))

    # Mailboxes.

    async def mailboxes(self, account: int) -> list[Mailbox]:
        """See Mailstore."""
        with self._change(account, inbox=True) as owner:
            return [owner.boxes[name].view() for name in sorted(owner.boxes)]

    async def mailbox(self, account: int, name: str) -> Mailbox | None:
        """See Mailstore."""
        name = canonical(name)
        with self._change(account, inbox=name == INBOX) as owner:
            return owner.boxes[name].view() if name in owner.boxes else None

    async def create(self, account: int, name: str, role: Role = Role.NONE) -> Mailbox:
        """See Mailstore."""
        name = checked(name)
        with self._change(account, inbox=name == INBOX) as owner:
            return boxes.create(owner, name, role, self._now).view()

    async def rename(self, account: int, name: str, new: str) -> None:
        """See Mailstore."""
        name, new = canonical(name), checked(new)
        if new == INBOX:
            raise MailboxExistsError("there is always an INBOX")
        with self._change(account, inbox=name == INBOX) as owner:
            boxes.rename(owner, name, new, self._now)

    async def delete(self, account: int, name: str) -> None:
        """See Mailstore."""
        with self._change(account) as owner:
            boxes.delete(owner, canonical(name))

    async def subscribe(self, account: int, name: str, wanted: bool) -> None:
        """See Mailstore."""
        with self._change(account) as owner:
            if wanted:
                owner.subscriptions.add(checked(name))
            else:
                owner.subscriptions.discard(canonical(name))

    async def subscriptions(self, account: int) -> list[str]:
        """See Mailstore."""
        return sorted(self._look(account).subscriptions)

    async def create_default_mailboxes(self, account: int, mailboxes: Sequence[tuple[str, Role]]) -> None:
        """See Mailstore."""
        if not self._look(account).furnished:
            wanted = [(checked(name), role) for name, role in mailboxes]
            with self._change(account, inbox=True) as owner:
                boxes.create_default_mailboxes(owner, wanted, self._now)

    async def keywords(self, account: int) -> list[str]:
        """See Mailstore."""
        return self._look(account).keywords.names()

    async def keyword_sets(self, account: int, after: int = 0) -> dict[int, tuple[str, ...]]:
        """See Mailstore."""
        return self._look(account).keywords.page(after)

    # Messages.

    def modseq(self, account: int) -> int:
        """See Mailstore."""
        return self._look(account).modseq

    async def measured(self, account: int, mailbox: int, measure: Measure, low: int, high: int) -> set[int]:
        """See Mailstore."""
        items = self._look(account).by_id(mailbox).items
        return {message for message, item in items.items() if low <= letters.number(item, measure) <= high}

    async def snapshot(self, account: int, name: str) -> Snapshot:
        """See Mailstore."""
        name = canonical(name)
        with self._change(account, inbox=name == INBOX) as owner:
            box = owner.by_name(name)
            rows = list(map(letters.row, box.items.values()))
            uids, *others = zip(*rows, strict=True) if rows else [()] * len(MessageColumns._fields)
            return Snapshot(box.view(), owner.modseq, array("L", uids), *(array("Q", column) for column in others))

    async def since(self, account: int, mailbox: int, modseq: int) -> Delta:
        """See Mailstore."""
        owner = self._look(account)
        box = owner.by_id(mailbox)
        changed = [letters.row(item) for item in box.items.values() if item.modseq > modseq]
        vanished = [change.uid for change in owner.gone if change.mailbox == mailbox and change.modseq > modseq]
        return Delta(box.view(), owner.modseq, changed, sorted(vanished))

    async def items(self, account: int, mailbox: int, messages: Sequence[int]) -> list[MailboxMessage]:
        """See Mailstore."""
        return self._look(account).by_id(mailbox).those(messages)

    async def mark(
        self,
        account: int,
        mailbox: int,
        messages: Sequence[int],
        setting: Setting,
        marks: Marks,
        *,
        unchanged_since: int | None = None,
    ) -> Marked:
        """See Mailstore."""
        with self._change(account) as owner:
            return letters.mark(owner, owner.by_id(mailbox), messages, setting, marks, unchanged_since)

    async def append(
        self,
        account: int,
        name: str,
        messages: Sequence[Appending],
        *,
        quota: int | None = None,
        replacing: tuple[int, int] | None = None,
    ) -> Placed:
        """See Mailstore."""
        bodies = [_collect(message.body) for message in messages]
        with self._into(account, name) as (owner, box):
            old = (owner.by_id(replacing[0]), replacing[1]) if replacing else None
            return letters.append(owner, box, messages, bodies, quota, old, self._now)

    async def copy(
        self, account: int, mailbox: int, messages: Sequence[int], name: str, *, quota: int | None = None
    ) -> Placed:
        """See Mailstore."""
        with self._into(account, name) as (owner, target):
            return letters.copy(owner, owner.by_id(mailbox), messages, target, quota, self._now)

    async def move(self, account: int, mailbox: int, messages: Sequence[int], name: str) -> Placed:
        """See Mailstore."""
        with self._into(account, name) as (owner, target):
            return letters.move(owner, owner.by_id(mailbox), messages, target, self._now)

    async def remove(self, account: int, mailbox: int, messages: Sequence[int], *, marked: bool = True) -> list[int]:
        """See Mailstore."""
        with self._change(account) as owner:
            box = owner.by_id(mailbox)
            wanted = [item for item in box.those(messages) if not marked or item.flags & Flag.DELETED]
            return owner.take(box, [item.entry.message for item in wanted])

    async def deleted(self, account: int, mailbox: int) -> dict[int, int]:
        """See Mailstore."""
        items = self._look(account).by_id(mailbox).items.values()
        return {item.entry.uid: item.entry.message for item in items if item.flags & Flag.DELETED}

    async def deleted_octets(self, account: int, mailbox: int) -> int:
        """See Mailstore."""
        items = self._look(account).by_id(mailbox).items.values()
        return sum(item.entry.octets for item in items if item.flags & Flag.DELETED)

    async def forget(self, account: int) -> None:
        """See Mailstore."""
        with self._change(account) as owner:
            if owner.boxes:
                owner.bump()
            self._accounts[account] = MemoryAccount(
                owner.modseq,
                owner.next_message,
                owner.next_box,
                owner.uidvalidity,
                keywords=Keywords(owner.keywords.next_set),
            )
        self._delivered = {known for known in self._delivered if known[1] != account}

    async def close(self) -> None:
        """See Mailstore."""
        self._closed = True

    @property
    def _now(self) -> int:
        return int(self._clock())

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the mailstore was closed")

    def _look(self, account: int) -> MemoryAccount:
        """For reading. Nobody is there whom nothing was kept for."""
        self._check_open()
        return self._accounts.get(account) or MemoryAccount()

    @contextmanager
    def _change(self, account: int, *, inbox: bool = False) -> Iterator[MemoryAccount]:
        """For writing, with `inbox` when there must be one. The watchers are told when something changed."""
        self._check_open()
        before = self._look(account).modseq
        owner = self._accounts.setdefault(account, MemoryAccount())
        if inbox and INBOX not in owner.boxes:
            boxes.create(owner, INBOX, Role.NONE, self._now)
        try:
            yield owner
        finally:
            self._accounts[account].drop_unused_keywords()
            after = self._accounts[account].modseq
            if after > before:
                self._bus.publish(account, after)

    @contextmanager
    def _into(self, account: int, name: str) -> Iterator[tuple[MemoryAccount, Box]]:
        """The same, for the mailbox that messages come into."""
        name = canonical(name)
        with self._change(account, inbox=name == INBOX) as owner:
            yield owner, owner.by_name(name)

    def _decide(self, delivery: bytes, body: Body, placements: Sequence[Target]) -> list[DeliveryResult]:
        results = []
        coming: dict[int, int] = {}
        seen: set[tuple[int, str]] = set()
        for placement in placements:
            name = canonical(placement.mailbox)
            owner = self._look(placement.account)
            before = coming.get(placement.account, 0)
            octets = len(placement.prefix) + body.octets
            box = owner.boxes.get(name)
            known = delivery and box and (delivery, placement.account, box.id) in self._delivered
            if known or (placement.account, name) in seen:
                results.append(DeliveryResult.ALREADY)
            elif placement.quota is not None and owner.octets + before + octets > placement.quota:
                results.append(DeliveryResult.OVER_QUOTA)
            else:
                coming[placement.account] = before + octets
                seen.add((placement.account, name))
                results.append(DeliveryResult.KEPT)
        return results

    def _place(self, delivery: bytes, placement: Target, data: bytes, body: Body, received: int) -> MessageRef:
        owner = self._accounts.setdefault(placement.account, MemoryAccount())
        owner.bump()
        name = canonical(placement.mailbox)
        box = owner.boxes.get(name) or owner.make(name, self._now)
        octets = len(placement.prefix) + len(data)
        owner.put(box, MessageRef(0, 0, octets, int(body.traits), received, (placement.prefix, data)), 0, self._now)
        if delivery:
            self._delivered.add((delivery, placement.account, box.id))
        return box.items[owner.next_message - 1].entry

    def _restore(self, before: dict[int, MemoryAccount | None], delivered: set[tuple[bytes, int, int]]) -> None:
        self._delivered = delivered
        for key, account in before.items():
            if account is None:
                del self._accounts[key]
            else:
                self._accounts[key] = account


def _collect(body: Body) -> bytes:
    try:
        data = b"".join(body.chunks())
    except Exception as error:
        raise StoreError(f"the body could not be read: {error}") from error
    if len(data) != body.octets:
        raise StoreError(f"the body has {len(data)} octets and not {body.octets}")
    return data


def _ride(also: Rider | None, entries: Sequence[MessageRef | None]) -> None:
    if also is not None:
        try:
            also(None, entries)
        except Exception as error:
            raise StoreError(f"not stored: {error}") from error
