"""The units of work that the store hands to the group commit."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import apsw

from posthouse.database.commit import Unit
from posthouse.mailstore.interface import Body, Entry, Filed, Placement, Rider
from posthouse.mailstore.records import HEADER_OCTETS

T = TypeVar("T")


class Work(Unit[T]):
    """Any of them. `news` is what to tell the watchers: account -> modseq."""

    __slots__ = ("news",)

    def __init__(self) -> None:
        super().__init__()
        self.news: Sequence[tuple[int, int]] = ()


class Delivery(Work[list[Filed]]):
    """Keep a body for its placements. It is also a record that the pack writer fills in."""

    __slots__ = (
        "also",
        "backs",
        "body",
        "delivery",
        "entries",
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
        placements: Sequence[Placement],
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
        self.entries: list[Entry | None] = []  # of the placements, kept for the rider
        self.octets = body.octets
        self.pack = 0
        self.offset = 0
        self.prefix_octets = 0
        self.backs: Sequence[int] = ()

    @property
    def end(self) -> int:
        """Where its record ends in the pack."""
        return self.offset + HEADER_OCTETS + self.prefix_octets + self.body.octets


class Expunge(Work[int]):
    """Remove messages of one mailbox by id."""

    __slots__ = ("account", "mailbox", "messages")
    frees_space = True

    def __init__(self, account: int, mailbox: str, messages: Sequence[int]) -> None:
        super().__init__()
        self.account = account
        self.mailbox = mailbox
        self.messages = messages


class Job(Work[T]):
    """Work of another room that shares the database. What it raises fails it alone."""

    __slots__ = ("work",)

    def __init__(self, work: Callable[[apsw.Connection], T]) -> None:
        super().__init__()
        self.work = work


class Forget(Work[bool]):
    """Remove some of what an account has; the result says whether anything may be left."""

    __slots__ = ("account",)
    frees_space = True

    def __init__(self, account: int) -> None:
        super().__init__()
        self.account = account


class DropBlobs(Work[int]):
    """Drop the rows of blobs whose space was given back."""

    __slots__ = ("blobs",)
    frees_space = True

    def __init__(self, blobs: Sequence[int]) -> None:
        super().__init__()
        self.blobs = blobs


class DropPacks(Work[None]):
    """Drop the rows of packs whose files are gone."""

    __slots__ = ("packs",)
    frees_space = True

    def __init__(self, packs: Sequence[int]) -> None:
        super().__init__()
        self.packs = packs


class DropDeliveries(Work[bool]):
    """Drop some deliveries before that id; the result says whether there may be more."""

    __slots__ = ("before",)
    frees_space = True

    def __init__(self, before: bytes) -> None:
        super().__init__()
        self.before = before
