"""An account's mailboxes."""

from collections.abc import Sequence
from typing import Protocol

from posthouse.mailstore.interface.values import Mailbox, Role


class Mailboxes(Protocol):
    """Each call is one transaction, but that the messages of a deleted mailbox go in several, out of sight.

    Names are looked up in their canonical form (mailstore.names): INBOX in any case, Unicode in NFC. INBOX is there for
    every account, from the first time it is asked for.
    """

    async def mailboxes(self, account: int) -> list[Mailbox]:
        """All of them, by name."""

    async def mailbox(self, account: int, name: str) -> Mailbox | None:
        """The one of that name."""

    async def create(self, account: int, name: str, role: Role = Role.NONE) -> Mailbox:
        """Make a mailbox, and those above it that are missing. Raises MailboxExistsError, BadNameError.

        At most one mailbox has a role: another one that has it raises MailboxExistsError.
        """

    async def rename(self, account: int, name: str, new: str) -> None:
        """Give a mailbox and all below it another name; ids, uids and uidvalidity stay.

        INBOX stays, and what is below it: its messages move to a new mailbox `new`, with new uids (RFC 9051 6.3.6).
        Raises NoSuchMailboxError, MailboxExistsError (`new`, or one below it, is there), BadNameError (also when `new`
        is below `name`). A name that is only the level above others may be renamed, too.
        """

    async def delete(self, account: int, name: str) -> None:
        """Remove a mailbox and its messages; those below it stay. Raises NoSuchMailboxError, BadNameError for INBOX."""

    async def subscribe(self, account: int, name: str, wanted: bool) -> None:
        """Note whether the owner wants to see that name; there need be no such mailbox (RFC 9051 6.3.7)."""

    async def subscriptions(self, account: int) -> list[str]:
        """The names that subscribe() noted, sorted."""

    async def create_default_mailboxes(self, account: int, mailboxes: Sequence[tuple[str, Role]]) -> None:
        """Make these mailboxes and subscribe to them and to INBOX, the first time this is called for an account.

        One that is there already gets the role, if it has none and nobody else has it.
        """
