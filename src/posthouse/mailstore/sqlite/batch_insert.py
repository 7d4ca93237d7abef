"""Stores a batch of deliveries: one query for the counters, decisions in Python, then one statement per table."""

from collections.abc import Sequence

import apsw

from posthouse.database.sqlite_transaction import SqliteTransaction
from posthouse.mailstore.delivery_plan import AccountState, DeliveryPlan, MailboxState
from posthouse.mailstore.interface import (
    DeliveryReceipt,
    DeliveryResult,
    MessageRef,
    NoSuchMailboxError,
    OverQuotaError,
    Placed,
    StoreError,
    Target,
)
from posthouse.mailstore.places import format_place, place_of
from posthouse.mailstore.sqlite import removing
from posthouse.mailstore.sqlite.keywords import KeywordSets
from posthouse.mailstore.sqlite.rows import Insert, Lookup, Value, fetch
from posthouse.mailstore.sqlite.statements import INSERT_MESSAGES
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
_DELIVERIES = Insert("INSERT INTO delivery (delivery, account_id, mailbox_id)", 3)
_GROW = "UPDATE pack SET end = max(end, ?2), live = live + ?3 WHERE pack = ?1 RETURNING 1"
_THERE = "SELECT uidvalidity FROM mailbox WHERE account_id = ? AND name = ?"
_REPLACED = "SELECT octets FROM message WHERE account_id = ? AND mailbox_id = ? AND message_id = ?"


class BatchInsert:
    """One batch inside one open transaction. `now` is in seconds since 1970."""

    def __init__(self, connection: apsw.Connection, now: int) -> None:
        self._connection = connection
        self._now = now
        self._plan = DeliveryPlan(now)
        self._blobs: list[tuple[Value, ...]] = []
        self._messages: list[tuple[Value, ...]] = []
        self._deliveries: list[tuple[Value, ...]] = []
        self._ends: dict[int, tuple[int, int]] = {}  # pack -> where it ends, new rows of blob
        self._replaced: dict[tuple[int, int, int], int] = {}  # account, mailbox, message -> octets

    def run(self, deliveries: Sequence[DeliveryUnit], appends: Sequence[AppendUnit] = ()) -> None:
        """Store them all, in order; each gets its result and its news."""
        self._load([*deliveries, *(part for append in appends for part in append.parts)])
        for delivery in deliveries:
            self._store(delivery)
        for append in appends:
            append.refusal = self._refusal(append)
            for part in append.parts:
                self._store(part)
        self._write()
        transaction = SqliteTransaction(self._connection)
        for delivery in deliveries:
            for hook in delivery.hooks:
                hook(transaction, delivery.copies)
        for append in appends:
            self._finish(append)

    def _load(self, deliveries: Sequence[DeliveryUnit]) -> None:
        wanted = {(target.account, target.mailbox) for unit in deliveries for target in unit.targets}
        for account, name, *numbers in _STATES.run(self._connection, list(wanted)):
            if account not in self._plan.accounts:
                self._plan.accounts[account] = AccountState(account, numbers[:6])
            mailbox, uidvalidity, uidnext, *counters = numbers[6:]
            if mailbox is not None and (account, name) not in self._plan.mailboxes:
                box = MailboxState(account, name, mailbox, uidvalidity, uidnext, counters)
                self._plan.mailboxes[account, name] = box
        named = [(unit.delivery,) for unit in deliveries if unit.delivery]
        self._plan.delivered.update(_KNOWN.run(self._connection, named))

    def _store(self, delivery: DeliveryUnit) -> None:
        body = delivery.body
        if delivery.append is None:
            results = self._plan.decide(
                delivery.delivery, body.octets, delivery.targets, all_or_nothing=delivery.all_or_nothing
            )
        else:
            results = [DeliveryResult.WITHHELD if delivery.append.refusal else DeliveryResult.KEPT]
        delivery.copies = []
        blob = place_of(delivery.pack, delivery.offset)
        news: dict[int, int] = {}
        refs = 0
        for target, offset, result in zip(delivery.targets, delivery.offsets, results, strict=True):
            if result is not DeliveryResult.KEPT:
                delivery.copies.append(None)
                continue
            delivery.copies.append(self._add(delivery, blob, target, offset))
            news[target.account] = self._plan.accounts[target.account].modseq
            refs += 1
        delivery.news = tuple(news.items())
        # A body nobody keeps gets its row all the same: without it its space would never be given back.
        freed = None if refs else 0
        identity, traits = delivery.identity, int(body.traits)
        self._blobs.append((blob, identity, body.digest, delivery.prefix_octets, body.octets, traits, refs, freed))
        self._ends[delivery.pack] = delivery.end, self._ends.get(delivery.pack, (0, 0))[1] + 1
        delivery.result = DeliveryReceipt(results, delivery.copies)

    def _add(self, delivery: DeliveryUnit, blob: int, target: Target, offset: int) -> MessageRef:
        header = len(target.trace_header)
        octets = header + delivery.body.octets
        account, box, message, uid = self._plan.add(delivery.delivery, target, octets, delivery.flags)
        # fmt: off
        self._messages.append((
            account.account, box.mailbox, message, uid, blob, offset, header, octets, delivery.received,
            delivery.flags, account.modseq, self._now, message,
        ))
        # fmt: on
        if delivery.delivery:
            self._deliveries.append((delivery.delivery, account.account, box.mailbox))
        place = format_place(delivery.pack, delivery.offset, delivery.prefix_octets, offset, header)
        return MessageRef(message, uid, octets, int(delivery.body.traits), delivery.received, place, delivery.identity)

    def _refusal(self, append: AppendUnit) -> StoreError | None:
        """Why it cannot be stored after what was stored before it; None: its parts have got their flags."""
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
            if self._plan.accounts[account].octets + coming - leaving > append.quota:
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
        append.result.uids.extend(copy.uid for part in append.parts for copy in part.copies if copy)
        modseq = self._plan.accounts[append.account].modseq if append.parts else 0
        if append.replacing is not None:
            mailbox, message = append.replacing
            gone, modseq = removing.remove(
                self._connection, append.account, mailbox, [message], self._now, marked=False
            )
            append.result.sources.extend(gone)
        append.news = ((append.account, modseq),) if modseq else ()

    def _write(self) -> None:
        connection, plan = self._connection, self._plan
        _BLOBS.run(connection, self._blobs)
        if self._messages:
            changed = {account for account, _ in plan.touched}
            _ACCOUNTS.run(connection, [_account_row(plan.accounts[account]) for account in changed])
            _MAILBOXES.run(connection, [_mailbox_row(box) for box in plan.touched.values()])
            INSERT_MESSAGES.run(connection, self._messages)
            _DELIVERIES.run(connection, self._deliveries)
        for pack, (end, live) in self._ends.items():
            if not connection.execute(_GROW, (pack, end, live)).fetchall():
                raise apsw.ConstraintError(f"pack {pack} is not in the catalogue")


def _account_row(of: AccountState) -> tuple[Value, ...]:
    return of.account, of.modseq, of.next_message, of.next_mailbox, of.uidvalidity, of.messages, of.octets


def _mailbox_row(of: MailboxState) -> tuple[Value, ...]:
    # fmt: off
    return (
        of.account, of.name, of.mailbox, of.uidvalidity, of.uidnext, of.modseq, of.messages, of.unseen, of.deleted,
        of.octets,
    )
    # fmt: on
