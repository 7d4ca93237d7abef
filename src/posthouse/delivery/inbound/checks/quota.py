"""Whether the accounts behind a recipient have room for the message that is announced."""

from collections.abc import Awaitable, Sequence

from posthouse.accounts.interface import Account
from posthouse.delivery.inbound.router import MAILBOX_FULL
from posthouse.mailstore.interface import Mailstore
from posthouse.message.address import Address
from posthouse.message.envelope import ReversePath
from posthouse.message.reply import Reply


class QuotaCheck:
    """Only an account with a quota costs a wait: the store is asked."""

    def __init__(self, mailstore: Mailstore) -> None:
        self._mailstore = mailstore

    def check_recipient(
        self, sender: ReversePath, address: Address, accounts: tuple[Account, ...]
    ) -> Awaitable[Reply | None] | None:
        """See RecipientCheck."""
        bounded = [account for account in accounts if account.quota is not None]
        return self._check(sender, address, bounded) if bounded else None

    async def _check(self, sender: ReversePath, address: Address, accounts: Sequence[Account]) -> Reply | None:
        for account in accounts:
            usage = await self._mailstore.usage(account.id)
            if account.quota is not None and usage.octets + max(sender.size, 1) > account.quota:
                return Reply(552, "5.2.2", MAILBOX_FULL.format(address))
        return None
