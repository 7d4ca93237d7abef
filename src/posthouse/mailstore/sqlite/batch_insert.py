"""Files a batch of deliveries: one look at the counters, decisions in Python, then one statement per table."""

from collections.abc import Sequence

import apsw

from posthouse.mailstore.interface import (
    DeliveryResult,
    Flag,
    MessageRef,
    NoSuchMailboxError,
    OverQuotaError,
    Placed,
    StoreError,
    Target,
)
from posthouse.mailstore.places import folded, place_of
from posthouse.mailstore.sqlite import removing
from posthouse.mailstore.sqlite.keywords import KeywordSets
from posthouse.mailstore.sqlite.rows import Insert, Lookup, Value, fetch
from posthouse.mailstore.sqlite.units import AppendUnit, DeliveryUnit

_STATES = Lookup(
    ("account_id", "name"),
    """
    SELECT wanted.account_id, wanted.name, account.modseq, next_message, next_mailbox, account.uidvalidity,
           account.messages, account.octets,
           mailbox_id, mailbox.uidvalidity, uidnext, mailbox.modseq, mailbox.messages, unseen, deleted, mailbox.octets
    FROM wanted CROSS JOIN account USING (account_id)
    LEFT JOIN mailbox ON mailbox.account_id = wanted.account_id AND mailbox.name = wanted.name
    """,
)
_KNOWN = Lookup(
    ("delivery",), "SELECT delivery, account_id, mailbox_id FROM wanted CROSS JOIN delivery USING (delivery)"
)
_ACCOUNTS = Insert(
    "INSERT INTO account (account_id, modseq, next_message, next_mailbox, uidvalidity, messages, octets)",
    7,
    """
    ON CONFLICT (account_id) DO UPDATE SET modseq = excluded.modseq, next_message = excluded.next_message,
    next_mailbox = excluded.next_mailbox, uidvalidity = excluded.uidvalidity, messages = excluded.messages,
    octets = excluded.octets
    """,
)
_MAILBOXES = Insert(
    "INSERT INTO mailbox"
    " (account_id, name, mailbox_id, uidvalidity, uidnext, modseq, messages, unseen, deleted, octets)",
    10,
    """
    ON CONFLICT (account_id, name) DO UPDATE SET uidnext = excluded.uidnext, modseq = excluded.modseq,
    messages = excluded.messages, unseen = excluded.unseen, deleted = excluded.deleted, octets = excluded.octets
    """,
)
_BLOBS = Insert("INSERT INTO blob (blob_id, identity, digest, prefixes, octets, traits, refs, freed)", 8)
_MESSAGES = Insert(
    "INSERT INTO message"
    " (account_id, mailbox_id, message_id, uid, blob_id, prefix_back, prefix_octets, octets, received,"
    " flags, modseq, saved, origin)",
    13,
)
_DELIVERIES = Insert("INSERT INTO delivery (delivery, account_id, mailbox_id)", 3)
_SEEN, _DELETED = int(Flag.SEEN), int(Flag.DELETED)
_GROW = "UPDATE pack SET end = max(end, ?2), live = live + ?3 WHERE pack = ?1 RETURNING 1"


_THERE = "SELECT uidvalidity FROM mailbox WHERE account_id = ? AND name = ?"
_REPLACED = "SELECT octets FROM message WHERE account_id = ? AND mailbox_id = ? AND message_id = ?"


class _Account:
    """The counters of an account, as they will be."""

    __slots__ = ("account", "messages", "modseq", "next_mailbox", "next_message", "octets", "uidvalidity")

    def __init__(self, account: int, row: Sequence[int] = (0, 1, 1, 0, 0, 0)) -> None:
        self.account = account
        self.modseq, self.next_message, self.next_mailbox, self.uidvalidity, self.messages, self.octets = row

    def row(self) -> tuple[Value, ...]:
        return (
            self.account,
            self.modseq,
            self.next_message,
            self.next_mailbox,
            self.uidvalidity,
            self.messages,
            self.octets,
        )


class _Mailbox:
    """A mailbox, as it will be."""

    __slots__ = (
        "account",
        "deleted",
        "mailbox",
        "messages",
        "modseq",
        "name",
        "octets",
        "uidnext",
        "uidvalidity",
        "unseen",
    )

    def __init__(
        self,
        account: int,
        name: str,
        mailbox: int,
        uidvalidity: int,
        uidnext: int = 1,
        counters: Sequence[int] = (0, 0, 0, 0, 0),
    ) -> None:
        self.account = account
        self.name = name
        self.mailbox = mailbox
        self.uidvalidity = uidvalidity
        self.uidnext = uidnext
        self.modseq, self.messages, self.unseen, self.deleted, self.octets = counters

    def row(self) -> tuple[Value, ...]:
        return (
            self.account,
            self.name,
            self.mailbox,
            self.uidvalidity,
            self.uidnext,
            self.modseq,
            self.messages,
            self.unseen,
            self.deleted,
            self.octets,
        )


class BatchInsert:
    """One batch inside one open transaction. `now` is in seconds since 1970."""

    def __init__(self, connection: apsw.Connection, now: int) -> None:
        self._connection = connection
        self._now = now
        self._accounts: dict[int, _Account] = {}
        self._mailboxes: dict[tuple[int, str], _Mailbox] = {}
        self._known: set[tuple[bytes, int, int]] = set()
        self._touched: dict[tuple[int, str], _Mailbox] = {}
        self._blobs: list[tuple[Value, ...]] = []
        self._messages: list[tuple[Value, ...]] = []
        self._deliveries: list[tuple[Value, ...]] = []
        self._ends: dict[int, tuple[int, int]] = {}  # pack -> where it ends, new rows of blob
        self._replaced: dict[tuple[int, int, int], int] = {}  # account, mailbox, message -> octets

    def run(self, deliveries: Sequence[DeliveryUnit], appends: Sequence[AppendUnit] = ()) -> None:
        """File them all, in order; each gets its result and its news."""
        self._load([*deliveries, *(part for append in appends for part in append.parts)])
        for delivery in deliveries:
            self._file(delivery)
        for append in appends:
            append.refusal = self._refusal(append)
            for part in append.parts:
                self._file(part)
        self._store()
        for pack, (end, live) in self._ends.items():
            if not self._connection.execute(_GROW, (pack, end, live)).fetchall():
                raise apsw.ConstraintError(f"pack {pack} is not in the catalogue")
        for delivery in deliveries:
            if delivery.also is not None:
                delivery.also(self._connection, delivery.entries)
        for append in appends:
            self._finish(append)

    def _load(self, deliveries: Sequence[DeliveryUnit]) -> None:
        wanted = {(placement.account, placement.mailbox) for unit in deliveries for placement in unit.placements}
        for account, name, *numbers in _STATES.run(self._connection, list(wanted)):
            if account not in self._accounts:
                self._accounts[account] = _Account(account, numbers[:6])
            mailbox, uidvalidity, uidnext, *counters = numbers[6:]
            if mailbox is not None and (account, name) not in self._mailboxes:
                self._mailboxes[account, name] = _Mailbox(account, name, mailbox, uidvalidity, uidnext, counters)
        named = [(unit.delivery,) for unit in deliveries if unit.delivery]
        self._known.update(_KNOWN.run(self._connection, named))

    def _file(self, delivery: DeliveryUnit) -> None:
        if delivery.append is None:
            results = self._decide(delivery)
        else:
            results = [DeliveryResult.WITHHELD if delivery.append.refusal else DeliveryResult.KEPT]
        if delivery.whole and DeliveryResult.OVER_QUOTA in results:
            results = [DeliveryResult.WITHHELD if result is DeliveryResult.KEPT else result for result in results]
        delivery.entries = []
        blob = place_of(delivery.pack, delivery.offset)
        news: dict[int, int] = {}
        refs = 0
        for placement, back, result in zip(delivery.placements, delivery.backs, results, strict=True):
            if result is DeliveryResult.KEPT:
                entry = self._place(delivery, blob, placement, back)
                news[placement.account] = self._accounts[placement.account].modseq
                refs += 1
            if delivery.also is not None or delivery.append is not None:
                delivery.entries.append(entry if result is DeliveryResult.KEPT else None)
        delivery.news = tuple(news.items())
        body = delivery.body
        # A body nobody keeps gets its row all the same: without it its space would never be given back.
        freed = None if refs else 0
        self._blobs.append(
            (
                blob,
                delivery.identity,
                body.digest,
                delivery.prefix_octets,
                body.octets,
                int(body.traits),
                refs,
                freed,
            )
        )
        self._ends[delivery.pack] = delivery.end, self._ends.get(delivery.pack, (0, 0))[1] + 1
        delivery.result = results

    def _decide(self, delivery: DeliveryUnit) -> list[DeliveryResult]:
        """What is to become of each placement, nothing changed yet."""
        results = []
        coming: dict[int, int] = {}  # account -> octets of earlier placements of this delivery
        seen: set[tuple[int, str]] = set()
        for placement in delivery.placements:
            key = (placement.account, placement.mailbox)
            box = self._mailboxes.get(key)
            if key in seen or (box and (delivery.delivery, placement.account, box.mailbox) in self._known):
                results.append(DeliveryResult.ALREADY)
                continue
            account = self._accounts.get(placement.account)
            before = coming.get(placement.account, 0)
            octets = len(placement.prefix) + delivery.body.octets
            held = account.octets if account else 0
            if placement.quota is not None and held + before + octets > placement.quota:
                results.append(DeliveryResult.OVER_QUOTA)
                continue
            coming[placement.account] = before + octets
            seen.add(key)
            results.append(DeliveryResult.KEPT)
        return results

    def _place(self, delivery: DeliveryUnit, blob: int, placement: Target, back: int) -> MessageRef:
        account = self._accounts.get(placement.account)
        if account is None:
            account = self._accounts[placement.account] = _Account(placement.account)
        key = (placement.account, placement.mailbox)
        box = self._mailboxes.get(key) or self._make(account, placement.mailbox)
        self._touched[key] = box
        prefix = len(placement.prefix)
        octets = prefix + delivery.body.octets
        message, uid = account.next_message, box.uidnext
        account.modseq += 1
        account.next_message += 1
        account.messages += 1
        account.octets += octets
        flags = delivery.flags
        box.uidnext += 1
        box.modseq = account.modseq
        box.messages += 1
        box.unseen += not flags & _SEEN
        box.deleted += bool(flags & _DELETED)
        box.octets += octets
        number = account.account
        self._messages.append(
            (
                number,
                box.mailbox,
                message,
                uid,
                blob,
                back,
                prefix,
                octets,
                delivery.received,
                flags,
                account.modseq,
                self._now,
                message,
            )
        )
        if delivery.delivery:
            self._deliveries.append((delivery.delivery, number, box.mailbox))
            self._known.add((delivery.delivery, number, box.mailbox))
        place = folded(delivery.pack, delivery.offset, delivery.prefix_octets, back, prefix)
        return MessageRef(message, uid, octets, int(delivery.body.traits), delivery.received, place, delivery.identity)

    def _make(self, account: _Account, name: str) -> _Mailbox:
        # RFC 9051 2.3.1.1: a mailbox made anew has a uidvalidity that was never used under its name.
        account.uidvalidity = max(self._now, account.uidvalidity + 1)
        box = _Mailbox(account.account, name, account.next_mailbox, account.uidvalidity, 1)
        account.next_mailbox += 1
        self._mailboxes[account.account, name] = box
        return box

    def _refusal(self, append: AppendUnit) -> StoreError | None:
        """What speaks against it, after what was filed before it; else its parts get their flags."""
        account = append.account
        there = fetch(self._connection, _THERE, (account, append.mailbox))
        if not there:
            return NoSuchMailboxError(f"there is no mailbox {append.mailbox}")
        append.result = Placed(there[0][0], [], [])
        replaced = None
        if append.replacing is not None:
            replaced = (account, *append.replacing)
            row = fetch(self._connection, _REPLACED, replaced)
            if not row or replaced in self._replaced:
                return NoSuchMailboxError("the message to be replaced is not there")
            freed = row[0][0]
        if append.parts and append.quota is not None:
            leaving = sum(octets for key, octets in self._replaced.items() if key[0] == account)
            leaving += freed if replaced else 0
            coming = sum(part.body.octets for part in append.parts)
            if self._accounts[account].octets + coming - leaving > append.quota:
                return OverQuotaError("there is no room for this")
        sets = KeywordSets(self._connection, account)
        for part, marks in zip(append.parts, append.marks, strict=True):
            part.flags = sets.fitting(marks)
        sets.write()
        if replaced:
            self._replaced[replaced] = freed
        return None

    def _finish(self, append: AppendUnit) -> None:
        """The answer to it, and the message it replaces goes."""
        if append.refusal is not None or append.result is None:
            return
        append.result.uids.extend(entry.uid for part in append.parts for entry in part.entries if entry)
        modseq = self._accounts[append.account].modseq if append.parts else 0
        if append.replacing is not None:
            mailbox, message = append.replacing
            gone, modseq = removing.remove(
                self._connection, append.account, mailbox, [message], self._now, marked=False
            )
            append.result.sources.extend(gone)
        append.news = ((append.account, modseq),) if modseq else ()

    def _store(self) -> None:
        connection = self._connection
        _BLOBS.run(connection, self._blobs)
        if not self._messages:
            return
        _ACCOUNTS.run(connection, [self._accounts[account].row() for account in {key[0] for key in self._touched}])
        _MAILBOXES.run(connection, [box.row() for box in self._touched.values()])
        _MESSAGES.run(connection, self._messages)
        _DELIVERIES.run(connection, self._deliveries)
