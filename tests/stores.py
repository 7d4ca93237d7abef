"""Bodies and ids for tests of stores."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from posthouse.mailstore.digests import new_digest
from posthouse.mailstore.interface import (
    INBOX,
    Appending,
    DeliveryResult,
    Flag,
    Mailbox,
    Mailstore,
    Marks,
    MessageColumns,
    MessageRef,
    Placed,
    Target,
    Traits,
)

NOW = 1_780_000_000
PREFIX = b"Return-Path: <a@example.net>\r\nDelivered-To: b@example.test\r\n"

_numbers = itertools.count(1)


class Bytes:
    """A Body that is in memory, given in chunks of that many octets."""

    def __init__(self, data: bytes, traits: Traits = Traits.NONE, chunk: int = 1 << 20) -> None:
        self._data = data
        self._chunk = chunk
        self.traits = traits
        self.digest = new_digest(data).digest()

    @property
    def octets(self) -> int:
        return len(self._data)

    def chunks(self) -> Iterator[bytes]:
        for start in range(0, len(self._data), self._chunk):
            yield self._data[start : start + self._chunk]


class BrokenBody(Bytes):
    """Fails, or ends too early, after `good` octets."""

    def __init__(self, data: bytes, good: int, error: Exception | None = None) -> None:
        super().__init__(data)
        self._good = good
        self._error = error

    def chunks(self) -> Iterator[bytes]:
        yield self._data[: self._good]
        if self._error:
            raise self._error


def delivery_id(seconds: float = NOW) -> bytes:
    """A new one, made at that time."""
    return int(seconds * 1000).to_bytes(6, "big") + next(_numbers).to_bytes(10, "big")


def octets_used(pack: Path) -> int:
    """The length of a pack without the zeros that its writer keeps behind its end."""
    return len(pack.read_bytes().rstrip(b"\0"))


async def deliver(
    store: Mailstore,
    account: int,
    data: bytes = b"Subject: x\r\n\r\nhello\r\n",
    *,
    mailbox: str = INBOX,
    prefix: bytes = PREFIX,
    quota: int | None = None,
    delivery: bytes | None = None,
) -> DeliveryResult:
    """Deliver to one account."""
    placements = [Target(account, prefix, mailbox, quota)]
    name = delivery_id() if delivery is None else delivery
    receipt = await store.deliver(name, Bytes(data), placements, NOW, all_or_nothing=False)
    (filed,) = receipt.results
    return filed


def letter(
    data: bytes = b"Subject: x\r\n\r\nhello\r\n", flags: Flag = Flag.NONE, *keywords: str, received: int = NOW
) -> Appending:
    """A message to be appended."""
    return Appending(Bytes(data), received, Marks(flags, keywords))


async def append(store: Mailstore, account: int, *messages: Appending, mailbox: str = INBOX) -> Placed:
    """Append messages, or one when none is given."""
    return await store.append(account, mailbox, messages or [letter()])


async def box_of(store: Mailstore, account: int, name: str = INBOX) -> Mailbox:
    """A mailbox that must be there."""
    found = await store.mailbox(account, name)
    assert found is not None
    return found


async def rows_of(store: Mailstore, account: int, name: str = INBOX) -> list[MessageColumns]:
    """The snapshot of a mailbox, as rows."""
    seen = await store.snapshot(account, name)
    columns = (seen.uids, seen.messages, seen.flags, seen.modseqs, seen.octets, seen.received)
    return [MessageColumns(*row) for row in zip(*columns, strict=True)]


async def ids_of(store: Mailstore, account: int, name: str = INBOX) -> list[int]:
    """The ids of the messages in a mailbox, by uid."""
    return list((await store.snapshot(account, name)).messages)


async def fetch(store: Mailstore, entry: MessageRef, step: int = 1 << 20) -> bytes:
    """All octets of a message, read in steps."""
    parts = []
    offset = 0
    while part := await store.read(entry, offset, step):
        parts.append(part)
        offset += len(part)
    return b"".join(parts)


async def contents(store: Mailstore, account: int, mailbox: str = INBOX) -> list[bytes]:
    """All messages of a mailbox."""
    return [await fetch(store, entry) for entry in await store.entries(account, mailbox)]


def ascending(numbers: Sequence[int]) -> bool:
    """Whether each is greater than the one before."""
    return all(earlier < later for earlier, later in itertools.pairwise(numbers))
