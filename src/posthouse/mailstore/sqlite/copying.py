"""Copies and moves messages between the mailboxes of an account: new rows over the same bodies."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import apsw

from posthouse.mailstore.interface import INBOX, Flag, NoSuchMailboxError, OverQuotaError, Placed, Role
from posthouse.mailstore.sqlite import boxes, keywords, removing
from posthouse.mailstore.sqlite.rows import fetch, numbers
from posthouse.mailstore.sqlite.statements import ADD_TO_ACCOUNT, ADD_TO_MAILBOX, INSERT_MESSAGES

_SOURCES = """
    SELECT uid, message_id, blob_id, prefix_back, prefix_octets, octets, received, flags, origin FROM message
    WHERE account_id = ?1 AND mailbox_id = ?2 AND message_id IN (SELECT value FROM carray(?3))
"""
_TARGET = "SELECT mailbox_id, uidvalidity, uidnext FROM mailbox WHERE account_id = ? AND name = ?"
_REFER = "UPDATE blob SET refs = refs + 1 WHERE blob_id IN (SELECT value FROM carray(?))"
_Source = tuple[int, int, int, int, int, int, int, int, int]


class CopyOrder(NamedTuple):
    """Messages of a mailbox that are to be in another one, too. `name` is that of the other, in its canonical form."""

    account: int
    mailbox: int
    messages: Sequence[int]
    name: str
    quota: int | None = None


def copy(connection: apsw.Connection, order: CopyOrder, now: int) -> tuple[Placed, int]:
    """The uids there and here, and the account's modseq when there was something to copy, else 0."""
    placed, _, modseq = _copy(connection, order, now)
    return placed, modseq


def move(connection: apsw.Connection, order: CopyOrder, now: int) -> tuple[Placed, int]:
    """The same, and the messages vanish where they were."""
    placed, moved, modseq = _copy(connection, order, now)
    if moved:
        _, modseq = removing.remove(connection, order.account, order.mailbox, moved, now, marked=False)
    return placed, modseq


def empty_inbox(connection: apsw.Connection, account: int, new: str, now: int) -> tuple[None, int]:
    """What renaming INBOX means: its messages move to a new mailbox (RFC 9051 6.3.6)."""
    boxes.ensure_inbox(connection, account, now)
    _, modseq = boxes.create(connection, account, new, Role.NONE, now)
    (inbox,) = boxes.find(connection, account, INBOX)
    statement = "SELECT message_id FROM message WHERE account_id = ? AND mailbox_id = ?"
    held = [message for (message,) in fetch(connection, statement, (account, inbox))]
    return None, move(connection, CopyOrder(account, inbox, held, new), now)[1] or modseq


def _copy(connection: apsw.Connection, order: CopyOrder, now: int) -> tuple[Placed, list[int], int]:
    account, mailbox, messages, name, quota = order
    boxes.require(connection, account, mailbox)
    if name == INBOX:
        boxes.ensure_inbox(connection, account, now)
    target = fetch(connection, _TARGET, (account, name))
    if not target:
        raise NoSuchMailboxError(f"there is no mailbox {name}")
    box, uidvalidity, uid = target[0]
    sources: list[Any] = []
    if messages:
        sources = sorted(fetch(connection, _SOURCES, (account, mailbox, numbers(set(messages)))))
    if not sources:
        return Placed(uidvalidity, [], []), [], 0
    octets = sum(source[5] for source in sources)
    if quota is not None and _held(connection, account) + octets > quota:
        raise OverQuotaError("there is no room for these copies")
    modseq, first = fetch(connection, ADD_TO_ACCOUNT, (account, len(sources), octets))[0]
    INSERT_MESSAGES.run(connection, _rows(sources, account, box, first, uid, modseq, now))
    unseen = sum(not source[7] & Flag.SEEN.value for source in sources)
    deleted = sum(bool(source[7] & Flag.DELETED.value) for source in sources)
    fetch(connection, ADD_TO_MAILBOX, (account, box, len(sources), modseq, unseen, deleted, octets))
    _refer(connection, sources)
    keywords.count(connection, account, (source[7] for source in sources), 1)
    uids = list(range(uid, uid + len(sources)))
    return Placed(uidvalidity, [source[0] for source in sources], uids), [source[1] for source in sources], modseq


def _rows(
    sources: Sequence[_Source], account: int, box: int, message: int, uid: int, modseq: int, now: int
) -> list[tuple[int, ...]]:
    return [
        (account, box, message + at, uid + at, blob, back, prefix, octets, received, flags, modseq, now, origin)
        for at, (_, _, blob, back, prefix, octets, received, flags, origin) in enumerate(sources)
    ]


def _refer(connection: apsw.Connection, sources: Sequence[_Source]) -> None:
    """One reference more to each body, as often as it is copied."""
    counts = Counter(source[2] for source in sources)
    while counts:
        connection.execute(_REFER, (numbers(sorted(counts)),))
        counts = Counter({blob: count - 1 for blob, count in counts.items() if count > 1})


def _held(connection: apsw.Connection, account: int) -> int:
    held: int = connection.execute("SELECT octets FROM account WHERE account_id = ?", (account,)).get
    return held
