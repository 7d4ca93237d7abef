"""See mailstore.interface.messages."""

from collections.abc import Sequence

from posthouse.mailstore.interface import Appending, Flag, Marked, Marks, Placed, Setting
from posthouse.mailstore.names import canonical
from tests.memory_store import messages as letters
from tests.memory_store.state import MemoryState, collect


class MemoryMessageWriter:
    """See MessageWriter."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def append(
        self,
        account: int,
        name: str,
        messages: Sequence[Appending],
        *,
        quota: int | None = None,
        replacing: tuple[int, int] | None = None,
    ) -> Placed:
        """See MessageWriter."""
        bodies = [collect(message.body) for message in messages]
        with self._state.into(account, name) as (owner, box):
            old = (owner.by_id(replacing[0]), replacing[1]) if replacing else None
            return letters.append(owner, box, messages, bodies, quota, old, self._state.now)

    async def copy(
        self, account: int, mailbox: int, messages: Sequence[int], name: str, *, quota: int | None = None
    ) -> Placed:
        """See MessageWriter."""
        with self._state.into(account, name) as (owner, target):
            return letters.copy(owner, owner.by_id(mailbox), messages, target, quota, self._state.now)

    async def move(self, account: int, mailbox: int, messages: Sequence[int], name: str) -> Placed:
        """See MessageWriter."""
        with self._state.into(account, name) as (owner, target):
            return letters.move(owner, owner.by_id(mailbox), messages, target, self._state.now)

    async def mark(
        self,
        account: int,
        mailbox: int,
        messages: Sequence[int],
        setting: Setting,
        marks: Marks,
        *,
        unchanged_since: int | None = None,
    ) -> Marked:
        """See MessageWriter."""
        with self._state.change(account) as owner:
            return letters.mark(owner, owner.by_id(mailbox), messages, setting, marks, unchanged_since)

    async def remove(self, account: int, mailbox: int, messages: Sequence[int], *, marked: bool = True) -> list[int]:
        """See MessageWriter."""
        with self._state.change(account) as owner:
            box = owner.by_id(mailbox)
            wanted = [item for item in box.those(messages) if not marked or item.flags & Flag.DELETED]
            return owner.take(box, [item.entry.message for item in wanted])

    async def expunge(self, account: int, name: str, messages: Sequence[int]) -> int:
        """See MessageWriter."""
        with self._state.change(account) as owner:
            box = owner.boxes.get(canonical(name))
            return len(owner.take(box, messages)) if box else 0
