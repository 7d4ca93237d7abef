"""The units of work that the store hands to the group commit."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import apsw

from posthouse.database.work import Unit
from posthouse.mailstore.interface import (
    Appending,
    Body,
    DeliveryReceipt,
    MessageRef,
    Placed,
    StoreError,
    Target,
    TransactionHook,
)
from posthouse.mailstore.records import HEADER_OCTETS

T = TypeVar("T")


class Work(Unit[T]):
    """Any of them. `news` is what the watchers learn: account -> modseq."""

    __slots__ = ("news",)

    def __init__(self) -> None:
        super().__init__()
        self.news: Sequence[tuple[int, int]] = ()


class DeliveryUnit(Work[DeliveryReceipt]):
    """Keep a body for its targets. It is also a record that the pack writer fills in."""

    __slots__ = (
        "all_or_nothing",
        "append",
        "body",
        "copies",
        "delivery",
        "flags",
        "hooks",
        "identity",
        "octets",
        "offset",
        "offsets",
        "pack",
        "prefix_octets",
        "prefixes",
        "received",
        "targets",
    )

    def __init__(
        self,
        delivery: bytes,
        body: Body,
        targets: Sequence[Target],
        received: int,
        all_or_nothing: bool,
        hooks: Sequence[TransactionHook] = (),
    ) -> None:
        super().__init__()
        self.delivery = delivery
        self.body = body
        self.targets = targets
        self.prefixes: Sequence[bytes] = [target.trace_header for target in targets]
        self.received = received
        self.all_or_nothing = all_or_nothing
        self.hooks = hooks
        self.copies: list[MessageRef | None] = []
        self.flags = 0  # as in MailboxMessage
        self.append: AppendUnit | None = None  # what it is a part of
        self.octets = body.octets
        self.pack = 0
        self.offset = 0
        self.identity = 0
        self.prefix_octets = 0
        self.offsets: Sequence[int] = ()

    @property
    def end(self) -> int:
        """Where its record ends in the pack."""
        return self.offset + HEADER_OCTETS + self.prefix_octets + self.body.octets


class AppendUnit(Work[Placed]):
    """Put messages into one mailbox, all or none: each is a delivery that has no name."""

    __slots__ = ("account", "mailbox", "marks", "octets", "parts", "quota", "refusal", "replacing")

    def __init__(
        self,
        account: int,
        mailbox: str,
        messages: Sequence[Appending],
        quota: int | None,
        replacing: tuple[int, int] | None,
    ) -> None:
        super().__init__()
        self.account = account
        self.mailbox = mailbox
        self.quota = quota
        self.replacing = replacing
        self.refusal: StoreError | None = None
        self.marks = [message.marks for message in messages]
        self.parts = [
            DeliveryUnit(b"", message.body, [Target(account, b"", mailbox)], message.received, all_or_nothing=True)
            for message in messages
        ]
        for part in self.parts:
            part.append = self
        self.octets = sum(part.octets for part in self.parts)


class _Rows(Work[T]):
    """Changes rows alone: whatever befalls the bodies of its batch is no concern of it."""

    __slots__ = ()
    needs_preparing = False


class Act(_Rows[T]):
    """Change rows of one account. `work` gives the result and the account's new modseq, 0 when nothing changed."""

    __slots__ = ("account", "frees_space", "work")

    def __init__(
        self, account: int, work: Callable[[apsw.Connection, int], tuple[T, int]], *, frees_space: bool = False
    ) -> None:
        super().__init__()
        self.account = account
        self.work = work
        self.frees_space = frees_space


class WriteJob(_Rows[T]):
    """Work of another room that shares the database. What it raises fails it alone."""

    __slots__ = ("frees_space", "work")

    def __init__(self, work: Callable[[apsw.Connection], T], *, frees_space: bool = False) -> None:
        super().__init__()
        self.work = work
        self.frees_space = frees_space


class DropBlobs(_Rows[int]):
    """Drop the rows of blobs whose space was given back."""

    __slots__ = ("blobs",)
    frees_space = True

    def __init__(self, blobs: Sequence[int]) -> None:
        super().__init__()
        self.blobs = blobs


class DropPacks(_Rows[None]):
    """Drop the rows of packs whose files are gone: (number, how often it had been opened when that was seen)."""

    __slots__ = ("packs",)
    frees_space = True

    def __init__(self, packs: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.packs = packs


class DropDeliveries(_Rows[bool]):
    """Drop some deliveries before that id; the result says whether there may be more."""

    __slots__ = ("before",)
    frees_space = True

    def __init__(self, before: bytes) -> None:
        super().__init__()
        self.before = before
