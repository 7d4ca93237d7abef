"""What sessions ask that keep a mailbox open. Each call sees one moment of the store."""

from array import array
from collections.abc import Sequence
from typing import Any

import apsw
import msgspec

from posthouse.mailstore.columns import empty
from posthouse.mailstore.interface import (
    Delta,
    Mailbox,
    MailboxMessage,
    Measure,
    MessageColumns,
    MessageRef,
    NoSuchMailboxError,
    Role,
    Snapshot,
)
from posthouse.mailstore.sqlite.boxes import require
from posthouse.mailstore.sqlite.rows import fetch

_MAILBOX = """
    SELECT mailbox_id, name, uidvalidity, uidnext, modseq, messages, unseen, deleted, octets, role FROM mailbox
    WHERE account_id = ?1 AND
"""
# Rows in one step: as lists of numbers they take fifteen times the space of the columns. A step is some 10 ms, after
# which others get their turn.
PAGE = 10_000
MEASURED_IDS = 100_000  # ids of messages looked at in one step
_COLUMNS = """
    SELECT json_group_array(uid), json_group_array(message_id), json_group_array(flags), json_group_array(modseq),
        json_group_array(octets), json_group_array(received)
    FROM (SELECT * FROM message WHERE account_id = ?1 AND mailbox_id = ?2 AND message_id > ?3
        ORDER BY message_id LIMIT ?4)
"""
_CHANGED = """
    SELECT json_group_array(json_array(uid, message_id, flags, modseq, octets, received))
    FROM message INDEXED BY message_modseq WHERE account_id = ?1 AND modseq > ?3 AND mailbox_id = ?2
"""
_VANISHED = "SELECT uid FROM expunged WHERE account_id = ?1 AND modseq > ?3 AND mailbox_id = ?2 ORDER BY uid"
_LOG_START = "SELECT log_start FROM account WHERE account_id = ?"
_UIDS = "SELECT uid FROM message WHERE account_id = ?1 AND mailbox_id = ?2"
_ITEMS = """
    SELECT json_group_array(json_array(message_id, uid, octets, traits, received, place, identity, flags, modseq, saved,
        origin))
    FROM (
        SELECT message_id, uid, message.octets, coalesce(traits, 0) AS traits, received,
            CASE WHEN prefixes = prefix_octets AND prefixes = prefix_back THEN blob_id
            ELSE pack || ':' || offset || ':' || prefixes || ':' || prefix_back || ':' || prefix_octets END AS place,
            coalesce(identity, 0) AS identity, flags, modseq, saved, origin
        FROM message LEFT JOIN blob USING (blob_id)
        WHERE account_id = ?1 AND mailbox_id = ?2 AND message_id IN (SELECT value FROM json_each(?3)))
"""
_DELETED = """
    SELECT uid, message_id FROM message INDEXED BY message_deleted
    WHERE account_id = ? AND mailbox_id = ? AND flags & 8 ORDER BY uid
"""
_MODSEQ = "SELECT modseq FROM account WHERE account_id = ?"
_numbers = msgspec.json.Decoder(list[int])
_rows = msgspec.json.Decoder(list[MessageColumns])
_item_rows = msgspec.json.Decoder(list[tuple[int, int, int, int, int, int | str | None, int, int, int, int, int]])


def mailboxes(connection: apsw.Connection, account: int) -> list[Mailbox]:
    """All that can be seen, by name."""
    rows = fetch(connection, f"{_MAILBOX} name >= char(1) ORDER BY name", (account,))
    return [_mailbox(row) for row in rows]


def by_name(connection: apsw.Connection, account: int, name: str) -> Mailbox | None:
    """The one of that name."""
    for row in fetch(connection, f"{_MAILBOX} name = ?2", (account, name)):
        return _mailbox(row)
    return None


def by_id(connection: apsw.Connection, account: int, number: int) -> Mailbox:
    """The one of that id. Raises NoSuchMailboxError."""
    for row in fetch(connection, f"{_MAILBOX} mailbox_id = ?2 AND name >= char(1)", (account, number)):
        return _mailbox(row)
    raise NoSuchMailboxError("the mailbox is not there any more")


def begin_snapshot(connection: apsw.Connection, account: int, name: str) -> Snapshot:
    """A mailbox with its first messages, up to PAGE of them. Raises NoSuchMailboxError."""
    with connection:
        found = by_name(connection, account, name)
        if not found:
            raise NoSuchMailboxError(f"there is no mailbox {name}")
        at = modseq(connection, account)
        columns = page(connection, account, found.id, 0)
    assert found is not None
    return Snapshot(found, at, *columns)


def page(connection: apsw.Connection, account: int, number: int, after: int) -> "list[array[int]]":
    """The columns of the next messages of a mailbox, those with ids above `after`: PAGE of them, fewer at the end."""
    columns = empty()
    texts = fetch(connection, _COLUMNS, (account, number, after, PAGE))[0]
    for column, text in zip(columns, texts, strict=True):
        column.extend(_numbers.decode(text))
    return columns


def since(connection: apsw.Connection, account: int, number: int, before: int) -> Delta:
    """What happened in a mailbox after `before`. Raises NoSuchMailboxError."""
    with connection:
        found = by_id(connection, account, number)
        now = modseq(connection, account)
        if found.modseq <= before:
            return Delta(found, now, [], [])
        # As one text: a quarter cheaper than row by row, and most of it is done without the interpreter's lock.
        changed = fetch(connection, _CHANGED, (account, number, before))[0][0]
        if before >= fetch(connection, _LOG_START, (account,))[0][0]:
            vanished = [uid for (uid,) in fetch(connection, _VANISHED, (account, number, before))]
        else:
            vanished = _missing(connection, account, found)
    return Delta(found, now, sorted(_rows.decode(changed)), vanished)


def _missing(connection: apsw.Connection, account: int, box: Mailbox) -> list[int]:
    """Every uid that was given in a mailbox and is not there: more than is wanted, where the log is not long enough."""
    there = {uid for (uid,) in fetch(connection, _UIDS, (account, box.id))}
    return [uid for uid in range(1, box.uidnext) if uid not in there]


def items(connection: apsw.Connection, account: int, number: int, messages: Sequence[int]) -> list[MailboxMessage]:
    """Those of the messages that are there, by uid."""
    require(connection, account, number)
    wanted = msgspec.json.encode(list(messages)).decode()
    rows = _item_rows.decode(fetch(connection, _ITEMS, (account, number, wanted))[0][0])
    found = [MailboxMessage(MessageRef(*row[:7]), *row[7:]) for row in rows]
    found.sort(key=lambda item: item.entry.uid)
    return found


def modseq(connection: apsw.Connection, account: int) -> int:
    """Of the last change in the account; 0 when there was none."""
    for (number,) in fetch(connection, _MODSEQ, (account,)):
        return int(number)
    return 0


def next_message(connection: apsw.Connection, account: int, number: int) -> int:
    """The id that no message has yet. Raises NoSuchMailboxError."""
    require(connection, account, number)
    return int(fetch(connection, "SELECT next_message FROM account WHERE account_id = ?", (account,))[0][0])


def measured(
    connection: apsw.Connection, account: int, number: int, measure: Measure, low: int, high: int, first: int
) -> list[int]:
    """Ids, from `first` on MEASURED_IDS of them, of the messages whose number lies there."""
    statement = f"""
        SELECT json_group_array(message_id) FROM message
        WHERE account_id = ? AND mailbox_id = ? AND message_id BETWEEN ? AND ? AND {measure.value} BETWEEN ? AND ?
    """
    values = (account, number, first, first + MEASURED_IDS - 1, low, high)
    return _numbers.decode(fetch(connection, statement, values)[0][0])


def deleted(connection: apsw.Connection, account: int, number: int) -> dict[int, int]:
    """Uid -> message id of the messages with Flag.DELETED, by uid. Reads no others."""
    require(connection, account, number)
    return dict(fetch(connection, _DELETED, (account, number)))


def deleted_octets(connection: apsw.Connection, account: int, number: int) -> int:
    """How much the messages with Flag.DELETED take."""
    require(connection, account, number)
    statement = """
        SELECT coalesce(sum(octets), 0) FROM message INDEXED BY message_deleted
        WHERE account_id = ? AND mailbox_id = ? AND flags & 8
    """
    return int(fetch(connection, statement, (account, number))[0][0])


def subscriptions(connection: apsw.Connection, account: int) -> list[str]:
    """The names, sorted."""
    statement = "SELECT name FROM subscription WHERE account_id = ? ORDER BY name"
    return [name for (name,) in fetch(connection, statement, (account,))]


def _mailbox(row: tuple[Any, ...]) -> Mailbox:
    number, name, uidvalidity, uidnext, modseq, messages, unseen, deleted, octets, role = row
    return Mailbox(number, name, uidvalidity, uidnext, modseq, messages, unseen, deleted, octets, Role(role))
