"""What the store has told of messages, kept for the commands that follow."""

from collections.abc import Sequence

from posthouse.mailstore.interface import MailboxMessage, Mailstore
from posthouse.sessions.imap.view import View

_AHEAD = 64  # messages that are looked up with few that are asked for
_KEPT = 2000


class MessageCache:
    """Of one session."""

    __slots__ = ("_account", "_known", "_store")

    def __init__(self, store: Mailstore, account: int) -> None:
        self._store = store
        self._account = account
        self._known: dict[int, MailboxMessage] = {}  # by message id; only what never changes is used of them

    async def at(self, view: View, positions: Sequence[int]) -> list[MailboxMessage]:
        """The messages at these positions, those that are still there. What clients ask for next comes along."""
        known, ids = self._known, view.messages
        wanted = [ids[at] for at in positions]
        if any(message not in known for message in wanted):
            if len(known) > _KEPT:
                known.clear()
            ahead = ids[positions[-1] + 1 : positions[-1] + 1 + _AHEAD] if len(positions) < _AHEAD else ()
            missing = [message for message in (*wanted, *ahead) if message not in known]
            for item in await self._store.items(self._account, view.mailbox.id, missing):
                known[item.entry.message] = item
        return [known[message] for message in wanted if message in known]

    def clear(self) -> None:
        """Another mailbox is opened."""
        self._known.clear()
