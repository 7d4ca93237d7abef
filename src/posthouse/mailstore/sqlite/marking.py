"""Changes the flags of messages."""

from collections import defaultdict
from collections.abc import Sequence

import apsw

from posthouse.mailstore.interface import KEYWORD_SHIFT, Flag, Marked, Marks, MessageColumns, Setting
from posthouse.mailstore.sqlite.boxes import bump, require
from posthouse.mailstore.sqlite.keywords import KeywordSets
from posthouse.mailstore.sqlite.rows import fetch, numbers

_LOOK = """
    SELECT uid, message_id, flags, modseq, octets, received FROM message
    WHERE account_id = ?1 AND mailbox_id = ?2 AND message_id IN (SELECT value FROM carray(?3))
"""
_SET = """
    UPDATE message SET flags = ?4, modseq = ?5
    WHERE account_id = ?1 AND mailbox_id = ?2 AND message_id IN (SELECT value FROM carray(?3))
"""
_COUNT = """
    UPDATE mailbox SET modseq = ?3, unseen = unseen + ?4, deleted = deleted + ?5
    WHERE account_id = ?1 AND mailbox_id = ?2
"""


def mark(
    connection: apsw.Connection,
    account: int,
    mailbox: int,
    messages: Sequence[int],
    setting: Setting,
    marks: Marks,
    unchanged_since: int | None,
) -> tuple[Marked, int]:
    """What became of the messages, and the account's modseq when something changed, else 0."""
    require(connection, account, mailbox)
    if not messages:
        return Marked([], []), 0
    sets = KeywordSets(connection, account)
    become: dict[int, int] = {}  # flags -> new flags: messages have few different ones
    rows: list[MessageColumns] = []
    conflicts: list[int] = []
    changing: dict[int, list[int]] = defaultdict(list)  # new flags -> message ids
    unseen = deleted = 0
    modseq = 0
    for row in sorted(map(MessageColumns._make, fetch(connection, _LOOK, (account, mailbox, numbers(set(messages)))))):
        if unchanged_since is not None and row.modseq > unchanged_since:
            conflicts.append(row.uid)
            continue
        flags = become.get(row.flags, -1)
        if flags < 0:
            flags = become[row.flags] = sets.changed(row.flags, setting, marks)
        if flags == row.flags:
            rows.append(row)
            continue
        modseq = modseq or bump(connection, account)
        if (before := row.flags >> KEYWORD_SHIFT) != (after := flags >> KEYWORD_SHIFT):
            sets.count(before, -1)
            sets.count(after, 1)
        changing[flags].append(row.message)
        unseen += bool(row.flags & Flag.SEEN.value) - bool(flags & Flag.SEEN.value)
        deleted += bool(flags & Flag.DELETED.value) - bool(row.flags & Flag.DELETED.value)
        rows.append(row._replace(flags=flags, modseq=modseq))
    sets.write()
    for flags, ids in changing.items():
        connection.execute(_SET, (account, mailbox, numbers(ids), flags, modseq))
    if modseq:
        connection.execute(_COUNT, (account, mailbox, modseq, unseen, deleted))
    return Marked(rows, conflicts, modseq), modseq
