"""The name of a mailbox, as a client writes it (RFC 9051 5.1, RFC 3501 5.1.3)."""

from posthouse.protocol.imap import mutf7
from posthouse.protocol.imap.commands import SessionMode
from posthouse.protocol.imap.syntax import Cursor, MailboxNameError, Rule, astring


def mailbox_name(octets: bytes, mode: SessionMode) -> str:
    """A name as the client wrote it. Raises MailboxNameError."""
    try:
        name = octets.decode() if mode.utf8 else mutf7.decode(octets)
    except ValueError:
        wanted = "UTF-8" if mode.utf8 else "modified UTF-7"
        raise MailboxNameError(f"A mailbox name is written in {wanted}, this is none") from None
    if "\0" in name:
        raise MailboxNameError("A mailbox name cannot hold NUL")
    return name


def mailbox_argument(cursor: Cursor, mode: SessionMode) -> Rule[str]:
    """The name that comes next, a literal perhaps. Raises MailboxNameError."""
    return mailbox_name((yield from astring(cursor)), mode)
