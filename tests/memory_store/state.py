"""All accounts of the store in memory, and how its parts get at them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from posthouse.mailstore.changes import ChangeBus
from posthouse.mailstore.interface import INBOX, Body, Role, StoreError
from posthouse.mailstore.names import canonical
from tests.memory_store import boxes
from tests.memory_store.account import Box, MemoryAccount


class MemoryState:
    """What the parts share. Each method of a part runs without a pause, so it is atomic on its event loop."""

    def __init__(self, bus: ChangeBus, clock: Callable[[], float]) -> None:
        self.bus = bus
        self.clock = clock
        self.accounts: dict[int, MemoryAccount] = {}
        self.delivered: set[tuple[bytes, int, int]] = set()  # delivery, account, mailbox id
        self.closed = False

    @property
    def now(self) -> int:
        """Seconds since 1970."""
        return int(self.clock())

    def check_open(self) -> None:
        """Raises StoreError after close()."""
        if self.closed:
            raise StoreError("the mailstore was closed")

    def look(self, account: int) -> MemoryAccount:
        """For reading. Nobody is there whom nothing was kept for."""
        self.check_open()
        return self.accounts.get(account) or MemoryAccount()

    @contextmanager
    def change(self, account: int, *, inbox: bool = False) -> Iterator[MemoryAccount]:
        """For writing, with `inbox` when there must be one. The watchers are told when something changed."""
        self.check_open()
        before = self.look(account).modseq
        owner = self.accounts.setdefault(account, MemoryAccount())
        if inbox and INBOX not in owner.boxes:
            boxes.create(owner, INBOX, Role.NONE, self.now)
        try:
            yield owner
        finally:
            self.accounts[account].drop_unused_keywords()
            after = self.accounts[account].modseq
            if after > before:
                self.bus.publish(account, after)

    @contextmanager
    def into(self, account: int, name: str) -> Iterator[tuple[MemoryAccount, Box]]:
        """The same, for the mailbox that messages come into."""
        name = canonical(name)
        with self.change(account, inbox=name == INBOX) as owner:
            yield owner, owner.by_name(name)


def collect(body: Body) -> bytes:
    """All octets of a body. Raises StoreError when it cannot be read, or has another length."""
    try:
        data = b"".join(body.chunks())
    except Exception as error:
        raise StoreError(f"the body could not be read: {error}") from error
    if len(data) != body.octets:
        raise StoreError(f"the body has {len(data)} octets and not {body.octets}")
    return data
