"""The units of work that the store hands to the group commit."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import apsw

from posthouse.database.commit import Unit
from posthouse.mailstore.interface import Appending, Body, DeliveryResult, MessageRef, Placed, Rider, StoreError, Target
from posthouse.mailstore.records import HEADER_OCTETS

T = TypeVar("T")


class Work(Unit[T]):
    """Any of them. `news` is what to tell the watchers: account -> modseq."""

    __slots__ = ("news",)

    def __init__(self) -> None:
        super().__init__()
        self.news: Sequence[tuple[int, int]] = ()


class DeliveryUnit(Work[list[DeliveryResult]]):
    """Keep a body for its placements. It is also a record that the pack writer fills in."""

    __slots__ = (
        "also",
        "append",
        "backs",
        "body",
        "delivery",
        "entries",
        "flags",
        "identity",
        "octets",
        "offset",
        "pack",
        "placements",
        "prefix_octets",
        "prefixes",
        "received",
        "whole",
    )

    def __init__(
        self,
        delivery: bytes,
        body: Body,
        placements: Sequence[Target],
        received: int,
        whole: bool,
        also: Rider | None = None,
    ) -> None:
        super().__init__()
        self.delivery = delivery
        self.body = body
        self.placements = placements
        self.prefixes: Sequence[bytes] = [placement.prefix for placement in placements]
        self.received = received
        self.whole = whole
        self.also = also
        self.entries: list[MessageRef | None] = []  # of the placements, kept for the rider
        self.flags = 0  # as in Item
        self.append: AppendUnit | None = None  # what it is a part of
        self.octets = body.octets
        self.pack = 0
        self.offset = 0
        self.identity = 0
        self.prefix_octets = 0
        self.backs: Sequence[int] = ()

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
            DeliveryUnit(b"", message.body, [Target(account, b"", mailbox)], message.received, whole=True)
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
