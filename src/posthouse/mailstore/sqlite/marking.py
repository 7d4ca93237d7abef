"""Changes the flags of messages."""

from collections.abc import Sequence

import apsw

from posthouse.mailstore.flag_changes import decide_flags
from posthouse.mailstore.interface import Marked, Marks, MessageColumns, Setting
from posthouse.mailstore.sqlite.boxes import bump, require
from posthouse.mailstore.sqlite.keywords import KeywordSets
from posthouse.mailstore.sqlite.rows import fetch, numbers

_ROWS = """
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
    rows = sorted(map(MessageColumns._make, fetch(connection, _ROWS, (account, mailbox, numbers(set(messages))))))
    changes = decide_flags(rows, lambda flags: sets.changed(flags, setting, marks), unchanged_since)
    modseq = bump(connection, account) if changes.changing else 0
    for number, more in changes.keyword_sets.items():
        sets.count(number, more)
    sets.write()
    for flags, ids in changes.changing.items():
        connection.execute(_SET, (account, mailbox, numbers(ids), flags, modseq))
    if modseq:
        connection.execute(_COUNT, (account, mailbox, modseq, changes.unseen, changes.deleted))
    return changes.marked(modseq), modseq
