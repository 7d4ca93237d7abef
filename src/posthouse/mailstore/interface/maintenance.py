"""What concerns accounts and the store as a whole."""

from typing import Protocol

from posthouse.mailstore.interface.values import Usage


class Maintenance(Protocol):
    """Each call is atomic, but that forget() takes several transactions, and can be called again after a crash."""

    async def usage(self, account: int) -> Usage:
        """What the account holds now."""

    async def forget(self, account: int) -> None:
        """Remove an account's mailboxes and messages for good."""

    async def close(self) -> None:
        """Finish what waits, then let go of files."""
