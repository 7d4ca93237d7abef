"""Mailboxes: made, renamed, subscribed to. Names come in their canonical form.

A mailbox that is being removed has a name that starts with NUL until its messages are gone; nobody sees it any more.
"""

from collections.abc import Iterator, Sequence

import apsw

from posthouse.mailstore.interface import (
    INBOX,
    BadNameError,
    MailboxExistsError,
    NoSuchMailboxError,
    Role,
)
from posthouse.mailstore.names import SEPARATOR, above, checked, is_below
from posthouse.mailstore.sqlite.rows import fetch

_BEHIND = chr(ord(SEPARATOR) + 1)  # names below "a" lie between "a/" and "a0"
_FIND = "SELECT mailbox_id FROM mailbox WHERE account_id = ? AND name = ?"
_BUMP = """
    INSERT INTO account (account_id, modseq, next_message, next_mailbox, uidvalidity, messages, octets)
    VALUES (?1, 1, 1, 1, 0, 0, 0) ON CONFLICT (account_id) DO UPDATE SET modseq = modseq + 1 RETURNING modseq
"""
_NUMBER = """
    UPDATE account SET next_mailbox = next_mailbox + 1, uidvalidity = max(?2, uidvalidity + 1)
    WHERE account_id = ?1 RETURNING next_mailbox - 1, uidvalidity
"""
_MAKE = """
    INSERT INTO mailbox (account_id, name, mailbox_id, uidvalidity, uidnext, modseq, role) VALUES (?, ?, ?, ?, 1, ?, ?)
"""
_BELOW = """
    SELECT name FROM mailbox WHERE account_id = ?1 AND (name = ?2 OR (name > ?2 || '/' AND name < ?2 || '0'))
"""
_RENAME = "UPDATE mailbox SET name = ?3, modseq = ?4 WHERE account_id = ?1 AND name = ?2"
_SUBSCRIBE = "INSERT OR IGNORE INTO subscription (account_id, name) VALUES (?, ?)"
_UNSUBSCRIBE = "DELETE FROM subscription WHERE account_id = ? AND name = ?"


def find(connection: apsw.Connection, account: int, name: str) -> Iterator[int]:
    """The id of a mailbox, if it is there."""
    for (mailbox,) in fetch(connection, _FIND, (account, name)):
        yield mailbox


def require(connection: apsw.Connection, account: int, mailbox: int) -> None:
    """Raises NoSuchMailboxError unless a mailbox of that id can be seen."""
    statement = "SELECT 1 FROM mailbox WHERE account_id = ? AND mailbox_id = ? AND name >= char(1)"
    if not fetch(connection, statement, (account, mailbox)):
        raise NoSuchMailboxError("the mailbox is not there any more")


def bump(connection: apsw.Connection, account: int) -> int:
    """The account's next modseq."""
    modseq: int = connection.execute(_BUMP, (account,)).get
    return modseq


def create(connection: apsw.Connection, account: int, name: str, role: Role, now: int) -> tuple[int, int]:
    """Make a mailbox and those above it; its id and the modseq. Raises MailboxExistsError."""
    if list(find(connection, account, name)):
        raise MailboxExistsError(f"there is a mailbox {name} already")
    if role and _is_role_taken(connection, account, role):
        raise MailboxExistsError(f"another mailbox is the one for {role} already")
    modseq = bump(connection, account)
    for level in above(name):
        if not list(find(connection, account, level)):
            _make(connection, account, level, Role.NONE, modseq, now)
    return _make(connection, account, name, role, modseq, now), modseq


def ensure_inbox(connection: apsw.Connection, account: int, now: int) -> tuple[None, int]:
    """INBOX is there for everybody."""
    if list(find(connection, account, INBOX)):
        return None, 0
    return None, create(connection, account, INBOX, Role.NONE, now)[1]


def rename(connection: apsw.Connection, account: int, name: str, new: str, now: int) -> tuple[None, int]:
    """Give a mailbox and all below it another name. INBOX is not for this."""
    if is_below(new, name):
        raise BadNameError(f"{name} cannot be moved below itself")
    names = [found for (found,) in fetch(connection, _BELOW, (account, name))]
    if not names:
        raise NoSuchMailboxError(f"there is no mailbox {name}")
    if new == name or fetch(connection, _BELOW, (account, new)):
        raise MailboxExistsError(f"there is a mailbox {new} already")
    renamed = [(old, checked(new + old[len(name) :])) for old in names]
    modseq = bump(connection, account)
    for level in above(new):
        if not list(find(connection, account, level)):
            _make(connection, account, level, Role.NONE, modseq, now)
    for old, later in renamed:
        connection.execute(_RENAME, (account, old, later, modseq))
    return None, modseq


def mark_deleted(connection: apsw.Connection, account: int, name: str) -> tuple[int, int]:
    """Take a mailbox out of sight; its id and the modseq."""
    for mailbox in find(connection, account, name):
        modseq = bump(connection, account)
        hidden = f"\0{mailbox}"
        statement = "UPDATE mailbox SET name = ?3, modseq = ?4, role = '' WHERE account_id = ?1 AND name = ?2"
        connection.execute(statement, (account, name, hidden, modseq))
        return mailbox, modseq
    raise NoSuchMailboxError(f"there is no mailbox {name}")


def marked_deleted(connection: apsw.Connection) -> list[tuple[int, int]]:
    """(account, id) of mailboxes that are being removed, or were when the power failed."""
    statement = "SELECT account_id, mailbox_id FROM mailbox WHERE name < char(1)"
    return [(account, mailbox) for account, mailbox in fetch(connection, statement)]


def drop(connection: apsw.Connection, account: int, mailbox: int) -> tuple[None, int]:
    """Remove the row of a mailbox whose messages are gone."""
    connection.execute("DELETE FROM mailbox WHERE account_id = ? AND mailbox_id = ?", (account, mailbox))
    return None, 0


def has_defaults(connection: apsw.Connection, account: int) -> bool:
    """Whether create_default_mailboxes() was called for the account."""
    return bool(fetch(connection, "SELECT 1 FROM account WHERE account_id = ? AND furnished = 1", (account,)))


def create_default_mailboxes(
    connection: apsw.Connection, account: int, mailboxes: Sequence[tuple[str, Role]], now: int
) -> tuple[None, int]:
    """Make what an account is to begin with; once."""
    if has_defaults(connection, account):
        return None, 0
    modseq = ensure_inbox(connection, account, now)[1]
    for name, role in mailboxes:
        taken = bool(role) and _is_role_taken(connection, account, role)
        if list(find(connection, account, name)):
            if not taken:
                statement = "UPDATE mailbox SET role = ?3 WHERE account_id = ?1 AND name = ?2 AND role = ''"
                connection.execute(statement, (account, name, role.value))
        else:
            modseq = create(connection, account, name, Role.NONE if taken else role, now)[1]
    for name in (INBOX, *(name for name, _ in mailboxes)):
        subscribe(connection, account, name, True)
    connection.execute("UPDATE account SET furnished = 1 WHERE account_id = ?", (account,))
    return None, modseq or bump(connection, account)


def subscribe(connection: apsw.Connection, account: int, name: str, wanted: bool) -> tuple[None, int]:
    """Note whether the owner wants to see that name."""
    connection.execute(_SUBSCRIBE if wanted else _UNSUBSCRIBE, (account, name))
    return None, 0


def _make(connection: apsw.Connection, account: int, name: str, role: Role, modseq: int, now: int) -> int:
    # RFC 9051 2.3.1.1: a mailbox that is made again has a uidvalidity that was never used under its name.
    mailbox, uidvalidity = fetch(connection, _NUMBER, (account, now))[0]
    connection.execute(_MAKE, (account, name, mailbox, uidvalidity, modseq, role.value))
    return int(mailbox)


def _is_role_taken(connection: apsw.Connection, account: int, role: Role) -> bool:
    statement = "SELECT 1 FROM mailbox WHERE account_id = ? AND role = ?"
    return bool(fetch(connection, statement, (account, role.value)))
