"""The messages of mailboxes: read, and changed."""

from collections.abc import Sequence
from typing import Protocol

from posthouse.mailstore.interface.values import (
    INBOX,
    Appending,
    MailboxMessage,
    MaildropColumns,
    Marked,
    Marks,
    Measure,
    MessageRef,
    Placed,
    Setting,
    Snapshot,
)


class MessageReader(Protocol):
    """Each answer is of one moment, but where it says otherwise.

    A mailbox is given by name (`name`) where it may not be there, and by its id (`mailbox`) where a session has it
    open: then NoSuchMailboxError says that it is gone. Messages that are not there are passed over.
    """

    async def entries(self, account: int, name: str = INBOX) -> list[MessageRef]:
        """The messages of a mailbox, by uid. Empty when there is no such account or mailbox."""

    async def maildrop(self, account: int, name: str = INBOX) -> MaildropColumns:
        """The messages of a mailbox in some 16 octets each. Empty when there is no such account or mailbox.

        Of a large one that changes meanwhile it may have a message that was just removed.
        """

    async def find(self, account: int, name: str, messages: Sequence[int]) -> list[MessageRef]:
        """Those of the messages that are there, by uid."""

    async def read(self, entry: MessageRef, offset: int, length: int) -> bytes:
        """Up to `length` octets of trace header + body from `offset`; b"" at the end.

        Raises DamagedError when another message is found there, and, where the whole message is read at once, when any
        octet is not what was kept. Call check() before sending a message in pieces.
        """

    async def check(self, entry: MessageRef) -> None:
        """Compare the whole message with what was kept. Raises DamagedError, StoreError."""

    async def items(self, account: int, mailbox: int, messages: Sequence[int]) -> list[MailboxMessage]:
        """Those of the messages that are there, by uid. For some hundred ids at a time."""

    async def snapshot(self, account: int, name: str) -> Snapshot:
        """A mailbox by name, with all its messages."""

    async def measured(self, account: int, mailbox: int, measure: Measure, low: int, high: int) -> set[int]:
        """Ids of the messages whose number is between the two, both included."""

    async def deleted(self, account: int, mailbox: int) -> dict[int, int]:
        """Uid -> message id of the messages with Flag.DELETED, by uid. Costs by their number, not by the mailbox."""

    async def deleted_octets(self, account: int, mailbox: int) -> int:
        """How much the messages with Flag.DELETED take."""

    async def keywords(self, account: int) -> list[str]:
        """The keywords that messages of the account have, in the order of their first use. Takes microseconds."""

    async def keyword_sets(self, account: int, after: int = 0) -> dict[int, tuple[str, ...]]:
        """The sets of keywords that messages of the account have: number -> names.

        Those with numbers above `after`, ascending, at most KEYWORD_SETS_PAGE of them. A set that no message has any
        more is gone, and its number is not given again: who knows it may go on using it.
        """


class MessageWriter(Protocol):
    """Each call is one transaction: all that it asks for, or nothing.

    Mailboxes are given as with MessageReader; that which messages come into always by name. Messages that are not there
    are passed over.
    """

    async def append(
        self,
        account: int,
        name: str,
        messages: Sequence[Appending],
        *,
        quota: int | None = None,
        replacing: tuple[int, int] | None = None,
    ) -> Placed:
        """Put messages into a mailbox that is there, all or none. `sources` is the uid that was replaced, if any.

        Keywords that there is no room for are left out.

        `replacing`: mailbox id and message id of one that goes in the same transaction (RFC 8508); quota is counted
        without it. Raises NoSuchMailboxError, also when that one is not there; OverQuotaError.
        """

    async def copy(
        self, account: int, mailbox: int, messages: Sequence[int], name: str, *, quota: int | None = None
    ) -> Placed:
        """Copy messages, with flags and received dates, in the order of their uids. Raises OverQuotaError, too."""

    async def move(self, account: int, mailbox: int, messages: Sequence[int], name: str) -> Placed:
        """The same, and the messages vanish where they were, in the same transaction. Into itself: new uids."""

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
        """Change flags. Messages with a modseq above `unchanged_since` are left alone. One whose flags stay the same
        keeps its modseq. All that change get the same new one. Raises TooManyKeywordsError, and changes nothing then.
        """

    async def remove(self, account: int, mailbox: int, messages: Sequence[int], *, marked: bool = True) -> list[int]:
        """Expunge those of the messages that are there, with `marked` only those with Flag.DELETED; their uids."""

    async def expunge(self, account: int, name: str, messages: Sequence[int]) -> int:
        """Remove messages by id; how many were there. 0 when there is no such account or mailbox."""
