"""What came to mailboxes here recently: the half of `mail trace` that the queue does not know."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from pathlib import Path

from posthouse.accounts.interface import Account, Local, Unresolved
from posthouse.accounts.names import text_of
from posthouse.accounts.sqlite.directory import SqliteDirectory
from posthouse.accounts.throttle import MemoryThrottleRows, Throttle
from posthouse.mailstore.interface import MessageRef, StoreError
from posthouse.mailstore.sqlite.archive import Archive
from posthouse.message.address import Address, AddressError
from posthouse.message.header import fields, header_end, message_id

DAYS = 7  # that are looked back, as far as the queue remembers too
READ = 20_000  # messages that are looked at: a second or two
_HEAD = 64 << 10  # octets
_LONGEST = 1_000  # characters of a field


@dataclass(frozen=True, slots=True)
class KeptMessage:
    """A message in a mailbox, as its header tells of it."""

    account: str
    received: int  # seconds since 1970
    return_path: str  # without the angle brackets; "" for a bounce
    sender: str  # From
    subject: str
    message_id: str

    def is_of(self, wanted: str) -> bool:
        """Whether it has this Message-ID, or was sent by this address."""
        return wanted == self.message_id or wanted.lower() == self.return_path.lower()


def home_of(directory: Path, text: str) -> Local | Unresolved:
    """Where mail for an address ends up. What is no address has no home. Raises AccountsError."""
    try:
        address = Address.parse_path(text)
    except AddressError:
        return Unresolved.NOT_OUR_DOMAIN
    found = SqliteDirectory(directory, Throttle(MemoryThrottleRows(), time.time))
    try:
        return found.addresses.resolve(address)
    finally:
        found.close()


def arrivals(
    archive: Archive,
    accounts: Sequence[Account],
    own: Sequence[Account],
    wanted: str,
    *,
    since: int,
    most: int,
    progress: Callable[[int, int], None],
) -> tuple[list[KeptMessage], bool]:
    """What came `since`: to `own` anything, to the other accounts what is `wanted`. The newest first, at most `most`.

    The second value is whether all was looked at. Raises StoreError.
    """
    first = {account.id for account in own}
    ordered = [*own, *(account for account in accounts if account.id not in first)]
    found: list[KeptMessage] = []
    left = READ
    for done, account in enumerate(ordered):
        taken = 0
        for arrival in _of(archive, account, since):
            if left == 0:
                return _newest(found, most), False
            left -= 1
            if account.id in first or arrival.is_of(wanted):
                found.append(arrival)
                taken += 1
                if taken == most:
                    break
        progress(done + 1, len(ordered))
    return _newest(found, most), True


def _newest(found: list[KeptMessage], most: int) -> list[KeptMessage]:
    return sorted(found, key=lambda arrival: -arrival.received)[:most]


def _of(archive: Archive, account: Account, since: int) -> Iterator[KeptMessage]:
    """The newest first."""
    for entry in reversed(archive.entries(account.id)):
        if entry.received >= since:
            try:
                head = archive.read(entry, _HEAD)
            except StoreError:  # collected meanwhile; or damaged, which fsck tells
                continue
            yield _arrival(text_of(account.address), entry, head)


def _arrival(account: str, entry: MessageRef, data: bytes) -> KeptMessage:
    head = data[: header_end(data)]
    values: dict[bytes, str] = {}
    for name, value in fields(head):
        values.setdefault(name, " ".join(value[: 4 * _LONGEST].decode("utf-8", "replace").split())[:_LONGEST])
    return KeptMessage(
        account,
        entry.received,
        values.get(b"return-path", "").strip("<>"),
        _decoded(values.get(b"from", "")),
        _decoded(values.get(b"subject", "")),
        message_id(head),
    )


def _decoded(text: str) -> str:
    """A field's words as people read them (RFC 2047); as they stand where they cannot be decoded."""
    try:
        return str(make_header(decode_header(text))) if "=?" in text else text
    except (HeaderParseError, LookupError, ValueError):
        return text
