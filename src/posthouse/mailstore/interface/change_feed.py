"""What has changed, for those who were away or keep a mailbox open."""

from typing import Protocol

from posthouse.mailstore.interface.values import Change, Delta


class ChangeFeed(Protocol):
    """Each answer is of one moment, and has every change committed before it."""

    def modseq(self, account: int) -> int:
        """Of the last change in the account: a reader that has seen this one need not ask what is new.

        Takes microseconds.
        """

    async def changes(self, account: int, since: int) -> list[Change]:
        """What happened after modseq `since` in all mailboxes, by modseq and uid."""

    async def since(self, account: int, mailbox: int, modseq: int) -> Delta:
        """What happened after that modseq.

        The store remembers the last LOG_ROWS expunges of an account, and some more. For what lies further back the
        answer has every uid that was ever given and is there no more (RFC 7162 3.2.5.2 allows it).
        """
