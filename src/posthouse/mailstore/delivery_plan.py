"""What becomes of a batch of deliveries: decided from the counters of its accounts and mailboxes, without a database.

A store reads the states that the batch needs into a DeliveryPlan, asks it delivery by delivery, and writes the states
it has touched. No other module decides on quota, repetition, uids or message ids of a delivery.
"""

from collections.abc import Sequence
from typing import NamedTuple

from posthouse.mailstore.interface import DeliveryResult, Flag, Target

_SEEN, _DELETED = int(Flag.SEEN), int(Flag.DELETED)


class AccountState:
    """The counters of an account, as they will be."""

    __slots__ = ("account", "messages", "modseq", "next_mailbox", "next_message", "octets", "uidvalidity")

    def __init__(self, account: int, counters: Sequence[int] = (0, 1, 1, 0, 0, 0)) -> None:
        self.account = account
        self.modseq, self.next_message, self.next_mailbox, self.uidvalidity, self.messages, self.octets = counters


class MailboxState:
    """A mailbox, as it will be. `counters`: modseq, messages, unseen, deleted, octets."""

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


class NewCopy(NamedTuple):
    """The numbers of one copy, and the states it has changed."""

    account: AccountState
    mailbox: MailboxState
    message: int
    uid: int


class DeliveryPlan:
    """The states of one batch. `now` is in seconds since 1970."""

    def __init__(self, now: int) -> None:
        self._now = now
        self.accounts: dict[int, AccountState] = {}
        self.mailboxes: dict[tuple[int, str], MailboxState] = {}  # by account and name
        self.delivered: set[tuple[bytes, int, int]] = set()  # delivery, account, mailbox id
        self.touched: dict[tuple[int, str], MailboxState] = {}

    def decide(
        self, delivery: bytes, octets: int, targets: Sequence[Target], *, all_or_nothing: bool
    ) -> list[DeliveryResult]:
        """What is to become of each copy of a body of so many octets. Changes nothing."""
        results = []
        coming: dict[int, int] = {}  # account -> octets of earlier targets of this delivery
        seen: set[tuple[int, str]] = set()
        for target in targets:
            key = (target.account, target.mailbox)
            box = self.mailboxes.get(key)
            if key in seen or (box and (delivery, target.account, box.mailbox) in self.delivered):
                results.append(DeliveryResult.ALREADY)
                continue
            account = self.accounts.get(target.account)
            before = coming.get(target.account, 0)
            size = len(target.trace_header) + octets
            held = account.octets if account else 0
            if target.quota is not None and held + before + size > target.quota:
                results.append(DeliveryResult.OVER_QUOTA)
                continue
            coming[target.account] = before + size
            seen.add(key)
            results.append(DeliveryResult.KEPT)
        if all_or_nothing and DeliveryResult.OVER_QUOTA in results:
            return [DeliveryResult.WITHHELD if result is DeliveryResult.KEPT else result for result in results]
        return results

    def add(self, delivery: bytes, target: Target, octets: int, flags: int) -> NewCopy:
        """Count one copy of so many octets in all, with its trace header. `delivery` is empty for what has no name."""
        account = self.accounts.get(target.account)
        if account is None:
            account = self.accounts[target.account] = AccountState(target.account)
        key = (target.account, target.mailbox)
        box = self.mailboxes.get(key) or self._make(account, target.mailbox)
        self.touched[key] = box
        copy = NewCopy(account, box, account.next_message, box.uidnext)
        account.modseq += 1
        account.next_message += 1
        account.messages += 1
        account.octets += octets
        box.uidnext += 1
        box.modseq = account.modseq
        box.messages += 1
        box.unseen += not flags & _SEEN
        box.deleted += bool(flags & _DELETED)
        box.octets += octets
        if delivery:
            self.delivered.add((delivery, target.account, box.mailbox))
        return copy

    def _make(self, account: AccountState, name: str) -> MailboxState:
        # RFC 9051 2.3.1.1: a mailbox that is made again has a uidvalidity that was never used under its name.
        account.uidvalidity = max(self._now, account.uidvalidity + 1)
        box = MailboxState(account.account, name, account.next_mailbox, account.uidvalidity)
        account.next_mailbox += 1
        self.mailboxes[account.account, name] = box
        return box
