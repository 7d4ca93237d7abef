"""What this server asks of a message that its own user submits (RFC 6409).

The sender must be the user's: MAIL FROM, From and Sender. What is missing is added (Date, Message-ID), what must not
travel is left out (Bcc, Return-Path). A message whose author is not certain is refused, not guessed at.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from posthouse.accounts.interface import Account, Directory
from posthouse.accounts.sending_limits import LimitExceeded, SendingLimits, Taken
from posthouse.message.address import Address, AddressError
from posthouse.message.addresses import AddressListError, MailboxAddress, parse_mailboxes
from posthouse.message.coding import has_true_breaks
from posthouse.message.edit import Field, placed_fields
from posthouse.message.envelope import ReversePath
from posthouse.message.ids import format_id
from posthouse.message.reply import Reply
from posthouse.message.trace import Tracer

_CUT = frozenset({b"bcc", b"resent-bcc", b"return-path"})
_AUTHORS = (b"from", b"sender")
# RFC 5322 3.6: at most once. Two of them, and every reader may take another for the true one.
_ONCE = (b"from", b"sender", b"date", b"message-id", b"reply-to", b"subject", b"to", b"cc", b"mime-version")
_SHOWN = 200  # characters of an address in a reply: RFC 5321 4.5.3.1.5 leaves 512 for its line

_ByName = dict[bytes, list[Field]]


@dataclass(frozen=True, slots=True)
class Prepared:
    """What is to be done to the message: `added` fields go in front, `cuts` (start, end) of the head are left out."""

    added: bytes
    cuts: tuple[tuple[int, int], ...]
    message_id: str  # without the angle brackets
    domain: str  # of the author, A-labels: whose keys sign
    sent_copy: bool


class Submission:
    """One per process."""

    def __init__(
        self,
        directory: Directory,
        allowance: SendingLimits,
        tracer: Tracer,
        clock: Callable[[], float],
        new_id: Callable[[], bytes],
        *,
        sent_copy: bool = False,
    ) -> None:
        self._directory = directory
        self._allowance = allowance
        self._tracer = tracer
        self._clock = clock
        self._new_id = new_id
        self._sent_copy = sent_copy

    def check_sender(self, account: Account, address: Address | None) -> Reply | None:
        """MAIL FROM. None: fine. The null reverse-path may be used: receipts want it (RFC 8098 2.1)."""
        if address is None or self._directory.addresses.may_send_as(account, address):
            return None
        return _not_yours(address, account)

    def take_allowance(self, account: Account, recipients: Sequence[Address]) -> Taken | Reply | None:
        """Count a message to these; a refusal if that is too much, None where nothing is bounded.

        Raises DirectoryBusyError.
        """
        taken = self._allowance.take(account, recipients)
        return self._too_much(taken) if isinstance(taken, LimitExceeded) else taken

    def give_back(self, taken: Taken) -> None:
        """The message was not kept after all. Raises DirectoryBusyError."""
        self._allowance.give_back(taken)

    def prepare(self, account: Account, head: bytes, sender: ReversePath) -> Prepared | Reply:
        """Check the header of a message and say what is to be added and left out. Raises DirectoryBusyError.

        `sender` has passed check_sender().
        """
        fields = list(placed_fields(head))
        by_name: _ByName = {}
        for field in fields:
            by_name.setdefault(field.name, []).append(field)
        refusal = _ambiguous(head, by_name)
        if refusal is not None:
            return refusal
        people = self._authors(account, by_name, sender)
        if isinstance(people, Reply):
            return people
        authors, _ = people
        repeated = {name: found for name, found in zip(_AUTHORS, people, strict=True) if _repeats(found)}
        if any(len(found) > 1 for found in repeated.values()):
            return Reply(554, "5.6.0", "A name that holds an @ must stand in quotes")
        message_id = _message_id(by_name)
        domain = authors[0].address.domain_key
        # Other servers refuse "a@b <a@b>": a name with @ wants quotes (RFC 5322 3.4). RFC 6409 8 lets us correct it.
        added = b"".join(_only_address(name, found[0]) for name, found in repeated.items())
        if b"from" not in by_name:
            added += _only_address(b"from", authors[0])
        if b"date" not in by_name:  # RFC 6409 8.2
            added += f"Date: {self._tracer.date()}\r\n".encode()
        if not message_id and b"message-id" not in by_name:  # RFC 6409 8.3
            message_id = f"{format_id(self._new_id())}@{domain}"
            added += f"Message-ID: <{message_id}>\r\n".encode()
        cuts = tuple((field.start, field.end) for field in fields if field.name in _CUT or field.name in repeated)
        sent_copy = self._sent_copy if account.sent_copy is None else account.sent_copy
        return Prepared(added, cuts, message_id, domain, sent_copy)

    def _authors(
        self, account: Account, by_name: _ByName, sender: ReversePath
    ) -> tuple[list[MailboxAddress], list[MailboxAddress]] | Reply:
        """Who has written it: all of From, and Sender, must be the account's (RFC 6409 6.1)."""
        # Scripts and devices leave From out: then it is who the envelope says.
        authors = _mailboxes(by_name, b"from") or [MailboxAddress("", sender.address or account.address)]
        senders = _mailboxes(by_name, b"sender")
        if isinstance(authors, Reply):
            return authors
        if isinstance(senders, Reply):
            return senders
        if len(senders) > 1:
            return Reply(554, "5.6.0", "The Sender field must hold exactly one address")
        if len(authors) > 1 and not senders:  # RFC 5322 3.6.2
            return Reply(554, "5.6.0", "A message with several authors in From needs a Sender field")
        for mailbox in (*authors, *senders):
            if not self._directory.addresses.may_send_as(account, mailbox.address):
                return _not_yours(mailbox.address, account)
        return authors, senders

    def _too_much(self, exceeded: LimitExceeded) -> Reply:
        what = f"Your account may send {exceeded.limit} {exceeded.kind.value} in 24 hours"
        if not exceeded.lifts:
            return Reply(550, "5.7.1", f"{what}, and this message asks for more; ask the postmaster")
        wait = max(60, exceeded.lifts - int(self._clock()))
        at = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(exceeded.lifts))
        return Reply(451, "4.7.1", f"{what}; there is room again at {at}, in {_length(wait)}")


def _ambiguous(head: bytes, by_name: _ByName) -> Reply | None:
    """A header that readers may take in several ways. RFC 6409 8 lets us correct it or refuse it."""
    if not has_true_breaks(head):  # some readers see lines there
        return Reply(554, "5.6.0", "The header holds a CR or LF on its own")
    if head.startswith((b" ", b"\t")):  # it would continue the last field put in front
        return Reply(554, "5.6.0", "The header begins with a folded line")
    for name in _AUTHORS:
        if not all(field.plain for field in by_name.get(name, ())):
            return Reply(
                550, "5.7.1", f"A line could be taken for a {name.decode().title()} field, but is not written so"
            )
    for name in _ONCE:
        if len(by_name.get(name, ())) > 1:
            code, enhanced = (550, "5.7.1") if name in _AUTHORS else (554, "5.6.0")
            return Reply(code, enhanced, f"The message has several {name.decode().title()} fields; one is allowed")
    return None


def _mailboxes(by_name: _ByName, name: bytes) -> list[MailboxAddress] | Reply:
    """What the field holds, one at least; the empty list when there is no such field."""
    if name not in by_name:
        return []
    title = name.decode().title()
    try:
        found = parse_mailboxes(by_name[name][0].value)
    except AddressListError as error:
        return Reply(554, "5.6.0", f"The {title} field cannot be read: {error}")
    return found or Reply(554, "5.6.0", f"The {title} field holds no address")


def _repeats(mailboxes: Sequence[MailboxAddress]) -> bool:
    return any(mailbox.repeats for mailbox in mailboxes)


def _only_address(name: bytes, mailbox: MailboxAddress) -> bytes:
    return name.title() + f": <{_written(mailbox.address)}>\r\n".encode()


def _not_yours(address: Address, account: Account) -> Reply:
    text = f"You may not send as <{_format_address(address)}>: it does not belong to {_format_address(account.address)}"
    return Reply(550, "5.7.1", text)


def _written(address: Address) -> str:
    """With A-labels where that can be: every reader knows them."""
    try:
        return address.to_ascii()
    except AddressError:
        return str(address)


def _format_address(address: Address) -> str:
    """In ASCII: not every client reads more (RFC 6531 3.7.4.1)."""
    return _written(address).encode("ascii", "backslashreplace").decode()[:_SHOWN]


def _message_id(by_name: _ByName) -> str:
    for field in by_name.get(b"message-id", ()):
        inner = field.value.strip().removeprefix(b"<").partition(b">")[0]
        if inner and inner.isascii():
            return inner.decode()[:250]
    return ""


def _length(seconds: int) -> str:
    minutes = (seconds + 59) // 60
    return f"{minutes} minutes" if minutes < 120 else f"{minutes // 60} hours"
