"""The stages of a message on its way in, and what may take part in each.

    MAIL FROM       mail        may this reverse-path send?           before the reply, at once
    RCPT TO         recipient   may this address be written to?       before the reply, may wait
    end of DATA     content     may this content be taken?            once for each message, may wait
    each account    account     what becomes of this account's copy?  once for each account, may wait

A check is a class with one method, in a file of its own, named in one place: wiring.py. Checks of a stage are asked in
order, and the first refusal counts. What they find out is noted in the Arrival: header fields for every copy, pieces of
the header to leave out. What an account gets is an AccountDecision, which each account stage may change in turn.
A stage without checks costs nothing.
"""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from posthouse.accounts.interface import Account
from posthouse.delivery.content.mail import Mail
from posthouse.delivery.content.spool import Spool
from posthouse.mailstore.interface import INBOX
from posthouse.message.address import Address
from posthouse.message.envelope import Envelope, Recipient, ReversePath
from posthouse.message.reply import Reply


@dataclass(frozen=True, slots=True)
class Origin:
    """Who hands a message over. `trusted`: from a network that may relay. `account`: a user who has logged in."""

    account: Account | None = None
    trusted: bool = False

    @property
    def may_relay(self) -> bool:
        """Whether its mail may go to other servers."""
        return self.trusted or self.account is not None


UNKNOWN_ORIGIN = Origin()


@dataclass(slots=True)
class Arrival:
    """A message that is here and not kept yet, with what the checks have found out about it."""

    envelope: Envelope
    spool: Spool
    head: bytes  # the header section as received
    origin: Origin
    headers: bytes = b""  # trace fields for every copy, each line ended by CRLF
    cuts: tuple[tuple[int, int], ...] = ()  # (start, end) in the head: left out of every copy


class MailCheck(Protocol):
    """A check of MAIL FROM."""

    def check_mail(self, sender: ReversePath, origin: Origin) -> Reply | None:
        """A refusal, or None. Takes microseconds. Raises DirectoryBusyError."""


class RecipientCheck(Protocol):
    """A check of RCPT TO, for a recipient whose mail stays here, at least in part."""

    def check_recipient(
        self, sender: ReversePath, address: Address, accounts: tuple[Account, ...]
    ) -> Reply | Awaitable[Reply | None] | None:
        """A refusal, or None; awaited only where it must wait. Raises DirectoryBusyError, StoreError."""


class ContentCheck(Protocol):
    """A check of a whole message, before it is kept."""

    def check_content(self, arrival: Arrival) -> Reply | Awaitable[Reply | None] | None:
        """A refusal of the message for all its recipients, or None. Raises DirectoryBusyError, StoreError."""


@dataclass(frozen=True, slots=True)
class AccountDecision:
    """What becomes of one account's copy. Nothing is kept where `mailboxes` is empty, and the reply is positive."""

    mailboxes: tuple[str, ...] = (INBOX,)  # one copy in each; made when missing
    headers: bytes = b""  # trace fields of these copies alone
    refusal: Reply | None = None


DELIVER = AccountDecision()


@dataclass(frozen=True, slots=True)
class AccountDelivery:
    """One account that a message is for. Of several recipients that lead to it the first one stands here."""

    mail: Mail
    recipient: Recipient
    account: Account
    detail: str  # behind the separator of the recipient's address: "lists" in alice+lists@example.org


class AccountStage(Protocol):
    """A filter: decides for one account."""

    async def decide(self, delivery: AccountDelivery, decision: AccountDecision) -> AccountDecision:
        """The decision to go on with; `decision` is the one so far. Raises StoreError."""


@dataclass(frozen=True, slots=True)
class Stages:
    """The checks of each stage, in order."""

    mail: tuple[MailCheck, ...] = ()
    recipient: tuple[RecipientCheck, ...] = ()
    content: tuple[ContentCheck, ...] = ()
