"""See mailstore.interface.mailboxes."""

from collections.abc import Sequence

from posthouse.mailstore.interface import INBOX, Mailbox, MailboxExistsError, Role
from posthouse.mailstore.names import canonical, checked
from tests.memory_store import boxes
from tests.memory_store.state import MemoryState


class MemoryMailboxes:
    """See Mailboxes."""

    def __init__(self, state: MemoryState) -> None:
        self._state = state

    async def mailboxes(self, account: int) -> list[Mailbox]:
        """See Mailboxes."""
        with self._state.change(account, inbox=True) as owner:
            return [owner.boxes[name].view() for name in sorted(owner.boxes)]

    async def mailbox(self, account: int, name: str) -> Mailbox | None:
        """See Mailboxes."""
        name = canonical(name)
        with self._state.change(account, inbox=name == INBOX) as owner:
            return owner.boxes[name].view() if name in owner.boxes else None

    async def create(self, account: int, name: str, role: Role = Role.NONE) -> Mailbox:
        """See Mailboxes."""
        name = checked(name)
        with self._state.change(account, inbox=name == INBOX) as owner:
            return boxes.create(owner, name, role, self._state.now).view()

    async def rename(self, account: int, name: str, new: str) -> None:
        """See Mailboxes."""
        name, new = canonical(name), checked(new)
        if new == INBOX:
            raise MailboxExistsError("there is always an INBOX")
        with self._state.change(account, inbox=name == INBOX) as owner:
            boxes.rename(owner, name, new, self._state.now)

    async def delete(self, account: int, name: str) -> None:
        """See Mailboxes."""
        with self._state.change(account) as owner:
            boxes.delete(owner, canonical(name))

    async def subscribe(self, account: int, name: str, wanted: bool) -> None:
        """See Mailboxes."""
        with self._state.change(account) as owner:
            if wanted:
                owner.subscriptions.add(checked(name))
            else:
                owner.subscriptions.discard(canonical(name))

    async def subscriptions(self, account: int) -> list[str]:
        """See Mailboxes."""
        return sorted(self._state.look(account).subscriptions)

    async def create_default_mailboxes(self, account: int, mailboxes: Sequence[tuple[str, Role]]) -> None:
        """See Mailboxes."""
        if not self._state.look(account).has_defaults:
            wanted = [(checked(name), role) for name, role in mailboxes]
            with self._state.change(account, inbox=True) as owner:
                boxes.create_default_mailboxes(owner, wanted, self._state.now)
