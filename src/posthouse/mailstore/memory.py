"""The mailstore in memory: for tests and for trying things out. Gone when the process ends."""

import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field

from posthouse.mailstore.changes import ChangeBus
from posthouse.mailstore.interface import INBOX, Body, Change, Entry, Filed, Placement, Rider, StoreError, Usage


@dataclass(slots=True)
class _Mailbox:
    uidvalidity: int
    uidnext: int = 1
    entries: dict[int, Entry] = field(default_factory=dict)  # by message id, ascending


@dataclass(slots=True)
class _Account:
    modseq: int = 0
    next_message: int = 1
    uidvalidity: int = 0  # the highest given
    mailboxes: dict[str, _Mailbox] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    messages: int = 0
    octets: int = 0


class MemoryMailstore:
    """Each method runs without a pause, so it is atomic for the tasks of its event loop."""

    def __init__(self, bus: ChangeBus, *, clock: Callable[[], float] = time.time) -> None:
        self._bus = bus
        self._clock = clock
        self._accounts: dict[int, _Account] = {}
        self._delivered: set[tuple[bytes, int, str]] = set()
        self._closed = False

    async def deliver(
        self,
        delivery: bytes,
        body: Body,
        placements: Sequence[Placement],
        received: int,
        *,
        whole: bool,
        also: Rider | None = None,
    ) -> list[Filed]:
        """See Mailstore."""
        self._check_open()
        if not placements:
            return []
        data = self._collect(body)
        results = self._decide(delivery, body, placements)
        if whole and Filed.OVER_QUOTA in results:
            return [Filed.WITHHELD if result is Filed.KEPT else result for result in results]
        before = {key: deepcopy(self._accounts.get(key)) for key in {p.account for p in placements}} if also else {}
        news: dict[int, int] = {}
        entries: list[Entry | None] = []
        for placement, result in zip(placements, results, strict=True):
            entry = self._place(placement, data, body, received) if result is Filed.KEPT else None
            entries.append(entry)
            if entry is not None:
                news[placement.account] = self._accounts[placement.account].modseq
        if also is not None:
            self._ride(also, entries, before)
        self._delivered.update(
            (delivery, placement.account, placement.mailbox)
            for placement, result in zip(placements, results, strict=True)
            if result is Filed.KEPT
        )
        for account, modseq in news.items():
            self._bus.publish(account, modseq)
        return results

    async def entries(self, account: int, mailbox: str = INBOX) -> list[Entry]:
        """See Mailstore."""
        self._check_open()
        box = self._box(account, mailbox)
        return list(box.entries.values()) if box else []

    async def find(self, account: int, mailbox: str, messages: Sequence[int]) -> list[Entry]:
        """See Mailstore."""
        wanted = set(messages)
        return [entry for entry in await self.entries(account, mailbox) if entry.message in wanted]

    async def read(self, entry: Entry, offset: int, length: int) -> bytes:
        """See Mailstore."""
        self._check_open()
        if not isinstance(entry.place, tuple):
            raise StoreError(f"message {entry.message}: its body is not known to the store")
        prefix, body = entry.place
        end = min(offset + length, entry.octets)
        own = len(prefix)
        return bytes(prefix[offset:end] + body[max(0, offset - own) : max(0, end - own)])

    async def expunge(self, account: int, mailbox: str, messages: Sequence[int]) -> int:
        """See Mailstore."""
        self._check_open()
        box = self._box(account, mailbox)
        if box is None:
            return 0
        gone = [box.entries.pop(message) for message in sorted(set(messages)) if message in box.entries]
        owner = self._accounts[account]
        for entry in gone:
            owner.modseq += 1
            owner.messages -= 1
            owner.octets -= entry.octets
            owner.changes.append(Change(owner.modseq, mailbox, entry.message, entry.uid, "expunged"))
        if gone:
            self._bus.publish(account, owner.modseq)
        return len(gone)

    async def usage(self, account: int) -> Usage:
        """See Mailstore."""
        self._check_open()
        owner = self._accounts.get(account)
        return Usage(owner.messages, owner.octets) if owner else Usage(0, 0)

    async def changes(self, account: int, since: int) -> list[Change]:
        """See Mailstore."""
        self._check_open()
        owner = self._accounts.get(account)
        return [change for change in owner.changes if change.modseq > since] if owner else []

    async def forget(self, account: int) -> None:
        """See Mailstore."""
        self._check_open()
        owner = self._accounts.get(account)
        if owner is None:
            return
        held, owner.messages, owner.octets = owner.messages, 0, 0
        owner.mailboxes.clear()
        owner.changes.clear()
        self._delivered = {known for known in self._delivered if known[1] != account}
        if held:
            owner.modseq += 1
            self._bus.publish(account, owner.modseq)

    async def close(self) -> None:
        """See Mailstore."""
        self._closed = True

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the mailstore was closed")

    def _collect(self, body: Body) -> bytes:
        try:
            data = b"".join(body.chunks())
        except Exception as error:
            raise StoreError(f"the body could not be read: {error}") from error
        if len(data) != body.octets:
            raise StoreError(f"the body has {len(data)} octets and not {body.octets}")
        return data

    def _box(self, account: int, mailbox: str) -> _Mailbox | None:
        owner = self._accounts.get(account)
        return owner.mailboxes.get(mailbox) if owner else None

    def _decide(self, delivery: bytes, body: Body, placements: Sequence[Placement]) -> list[Filed]:
        results = []
        coming: dict[int, int] = {}
        seen: set[tuple[bytes, int, str]] = set()
        for placement in placements:
            key = (delivery, placement.account, placement.mailbox)
            owner = self._accounts.get(placement.account)
            before = coming.get(placement.account, 0)
            octets = len(placement.prefix) + body.octets
            held = owner.octets if owner else 0
            if key in seen or key in self._delivered:
                results.append(Filed.ALREADY)
            elif placement.quota is not None and held + before + octets > placement.quota:
                results.append(Filed.OVER_QUOTA)
            else:
                coming[placement.account] = before + octets
                seen.add(key)
                results.append(Filed.KEPT)
        return results

    def _ride(self, also: Rider, entries: Sequence[Entry | None], before: dict[int, _Account | None]) -> None:
        try:
            also(None, entries)
        except Exception as error:
            for key, account in before.items():
                if account is None:
                    del self._accounts[key]
                else:
                    self._accounts[key] = account
            raise StoreError(f"not stored: {error}") from error

    def _place(self, placement: Placement, data: bytes, body: Body, received: int) -> Entry:
        owner = self._accounts.setdefault(placement.account, _Account())
        box = owner.mailboxes.get(placement.mailbox)
        if box is None:
            owner.uidvalidity = max(int(self._clock()), owner.uidvalidity + 1)
            box = owner.mailboxes[placement.mailbox] = _Mailbox(owner.uidvalidity)
        octets = len(placement.prefix) + len(data)
        message, uid = owner.next_message, box.uidnext
        entry = box.entries[message] = Entry(message, uid, octets, int(body.traits), received, (placement.prefix, data))
        owner.next_message += 1
        box.uidnext += 1
        owner.modseq += 1
        owner.messages += 1
        owner.octets += octets
        owner.changes.append(Change(owner.modseq, placement.mailbox, message, uid, "added"))
        return entry
