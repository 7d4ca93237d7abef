"""See mailstore.interface.change_feed and mailstore.interface.maintenance."""

from posthouse.mailstore.interface import Change, Delta, Usage
from tests.memory_store import messages as letters
from tests.memory_store.account import MemoryAccount
from tests.memory_store.keywords import Keywords
from tests.memory_store.state import MemoryState


class MemoryChangeFeed:
    """See ChangeFeed."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    def modseq(self, account: int) -> int:
        """See ChangeFeed."""
        return self._state.look(account).modseq

    async def changes(self, account: int, since: int) -> list[Change]:
        """See ChangeFeed."""
        found = [change for change in self._state.look(account).changes() if change.modseq > since]
        return sorted(found, key=lambda change: (change.modseq, change.mailbox, change.uid))

    async def since(self, account: int, mailbox: int, modseq: int) -> Delta:
        """See ChangeFeed."""
        owner = self._state.look(account)
        box = owner.by_id(mailbox)
        changed = [letters.row(item) for item in box.items.values() if item.modseq > modseq]
        vanished = [change.uid for change in owner.gone if change.mailbox == mailbox and change.modseq > modseq]
        return Delta(box.view(), owner.modseq, changed, sorted(vanished))


class MemoryMaintenance:
    """See Maintenance."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def usage(self, account: int) -> Usage:
        """See Maintenance."""
        owner = self._state.look(account)
        return Usage(sum(1 for _ in owner.items()), owner.octets)

    async def forget(self, account: int) -> None:
        """See Maintenance."""
        with self._state.change(account) as owner:
            if owner.boxes:
                owner.bump()
            self._state.accounts[account] = MemoryAccount(
                owner.modseq,
                owner.next_message,
                owner.next_box,
                owner.uidvalidity,
                keywords=Keywords(owner.keywords.next_set),
            )
        self._state.delivered = {known for known in self._state.delivered if known[1] != account}
