"""What the group commit carries, and what it asks of those who know what that means. See commit.py."""

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Generic, Protocol, TypeVar

import apsw

P = TypeVar("P")
T = TypeVar("T")
U_contra = TypeVar("U_contra", bound="Unit[Any]", contravariant=True)


class Unit(Generic[T]):
    """A piece of work that waits for its transaction. Subclasses add what the writer needs to know."""

    __slots__ = ("committed", "failure", "loop", "outcome", "result")

    octets: int = 0  # what preparing it will write; bounds the batch
    frees_space: bool = False  # whether it may use the reserve when the disk is full
    needs_preparing: bool = True  # whether it fails when the batch cannot be prepared

    def __init__(self) -> None:
        self.result: T | None = None
        self.committed = False  # then it does not fail any more
        self.loop: asyncio.AbstractEventLoop
        self.outcome: asyncio.Future[Any]
        self.failure: Exception | None = None


class Writer(Protocol[U_contra, P]):
    """What the units mean. All but `announce` run in the commit thread.

    What prepare() returns stands for that batch alone; it is handed back when the fate of the batch is known.
    """

    def prepare(self, connection: apsw.Connection, units: Sequence[U_contra]) -> P:
        """Make durable what must be so before the rows. Sets `failure` on the units it could not serve.

        No transaction is open and the file lock is not held.
        """

    def apply(self, connection: apsw.Connection, units: Sequence[U_contra]) -> None:
        """Do the units' work in the open transaction and set their `result`. Called again after a failure."""

    def committed(self, prepared: P, units: Sequence[U_contra]) -> None:
        """A transaction of this batch was committed; those units that have a `failure` are not in it."""

    def rolled_back(self, prepared: P, error: Exception) -> None:
        """No row of what was prepared was committed, because of `error`."""

    def room(self) -> AbstractContextManager[None]:
        """The disk is full, and units that free space are about to be tried: within it they may use the reserve."""

    def announce(self, units: Sequence[U_contra]) -> None:
        """Publish what was committed. Runs on an event loop, before the futures of these units complete."""
