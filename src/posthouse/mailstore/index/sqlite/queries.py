"""Statements on the index. Rows come many in one step of SQLite, as in mailstore.sqlite.queries."""

from array import array
from collections.abc import Sequence
from typing import NamedTuple

import apsw
import msgspec

from posthouse.mailstore.index.records import IndexRecord, MessageSummary, SortKeys
from posthouse.mailstore.index.sqlite.schema import TABLES
from posthouse.mailstore.sqlite.rows import Insert, fetch, numbers

_MESSAGE_BITS = 36
_GIVEN = "id IN (SELECT value FROM carray(?1))"
_MISSING = "SELECT json_group_array(value) FROM carray(?1) WHERE NOT EXISTS (SELECT 1 FROM sorting WHERE id = value)"
_SHOWN = f"""
    SELECT json_group_array(id), json_group_array(octet_length(envelope)), json_group_array(octet_length(structure)),
        json_group_array(octet_length(preview)), cast(group_concat(envelope || structure || preview, '') AS BLOB)
    FROM shown WHERE {_GIVEN}
"""
_SENT_DAYS = f"SELECT json_group_array(id), json_group_array(sent_day) FROM sorting WHERE {_GIVEN}"
_SORTING = f"""
    SELECT json_group_array(json_array(id, sent, base_subject, is_reply, sort_from, sort_to, sort_cc, show_from,
        show_to, message_id, json(refs)))
    FROM sorting WHERE {_GIVEN}
"""
_ADD = [Insert(f"INSERT OR IGNORE INTO {table}", width) for table, width in zip(TABLES, (4, 12, 6, 4), strict=True)]
_numbers = msgspec.json.Decoder(list[int])
_keys = msgspec.json.Decoder(list[tuple[int, int, str, int, str, str, str, str, str, str, tuple[str, ...]]])


class Keys(NamedTuple):
    """Which rows are those of some messages."""

    base: int  # what the account's message ids are added to
    rows: "array[int]"


def keys_of(connection: apsw.Connection, account: int, messages: Sequence[int]) -> Keys | None:
    """None when there can be no rows."""
    for (number,) in fetch(connection, "SELECT number FROM account WHERE account_id = ?", (account,)):
        base = int(number) << _MESSAGE_BITS
        return Keys(base, array("q", [base + message for message in messages])) if messages else None
    return None


def missing(connection: apsw.Connection, account: int, messages: Sequence[int]) -> list[int]:
    """Those that are not there."""
    keys = keys_of(connection, account, messages)
    if keys is None:
        return list(messages)
    base = keys.base
    return [row - base for row in _numbers.decode(fetch(connection, _MISSING, (numbers(keys.rows),))[0][0])]


def summaries(connection: apsw.Connection, account: int, messages: Sequence[int]) -> dict[int, MessageSummary]:
    """Of those that are there."""
    keys = keys_of(connection, account, messages)
    if keys is None:
        return {}
    *columns, octets = fetch(connection, _SHOWN, (numbers(keys.rows),))[0]
    ids, envelopes, structures, previews = map(_numbers.decode, columns)
    found = {}
    at = 0
    for row, envelope, structure, preview in zip(ids, envelopes, structures, previews, strict=True):
        middle = at + envelope
        last = middle + structure
        end = last + preview
        found[row - keys.base] = MessageSummary(octets[at:middle], octets[middle:last], octets[last:end].decode())
        at = end
    return found


def sent_days(connection: apsw.Connection, account: int, messages: Sequence[int]) -> dict[int, int]:
    """Of those that are there: days since 1970."""
    keys = keys_of(connection, account, messages)
    if keys is None:
        return {}
    ids, days = map(_numbers.decode, fetch(connection, _SENT_DAYS, (numbers(keys.rows),))[0])
    return dict(zip([row - keys.base for row in ids], days, strict=True))


def sort_keys(connection: apsw.Connection, account: int, messages: Sequence[int]) -> dict[int, SortKeys]:
    """Of those that are there."""
    keys = keys_of(connection, account, messages)
    if keys is None:
        return {}
    found = _keys.decode(fetch(connection, _SORTING, (numbers(keys.rows),))[0][0])
    return {row[0] - keys.base: SortKeys(row[1], row[2], bool(row[3]), *row[4:]) for row in found}


def add(connection: apsw.Connection, account: int, records: Sequence[tuple[int, IndexRecord]]) -> None:
    """Keep them, by message id; those that are there already stay as they are."""
    fetch(connection, "INSERT OR IGNORE INTO account (account_id) VALUES (?)", (account,))
    keys = keys_of(connection, account, [message for message, _ in records])
    if keys is not None:
        for insert, rows in zip(_ADD, zip(*(record for _, record in records), strict=True), strict=True):
            insert.run(connection, [(key, *row) for key, row in zip(keys.rows, rows, strict=True)])


def remove(connection: apsw.Connection, account: int, messages: Sequence[int]) -> None:
    """Throw away what is kept of these messages."""
    keys = keys_of(connection, account, messages)
    if keys is not None:
        for table in TABLES:
            fetch(connection, f"DELETE FROM {table} WHERE {_GIVEN}", (numbers(keys.rows),))


def remove_some(connection: apsw.Connection, account: int, count: int) -> bool:
    """Throw away up to so many rows of each table that are an account's; whether there may be more."""
    keys = keys_of(connection, account, (0, 1 << _MESSAGE_BITS))
    if keys is None:
        return False
    more = False
    for table in TABLES:
        rows = f"SELECT id FROM {table} WHERE id >= ? AND id < ? ORDER BY id LIMIT ?"
        fetch(connection, f"DELETE FROM {table} WHERE id IN ({rows})", (*keys.rows, count))
        more = more or connection.changes() == count
    if not more:
        fetch(connection, "DELETE FROM account WHERE account_id = ?", (account,))
    return more


def followed(connection: apsw.Connection, account: int) -> int:
    """Up to which modseq the indexer took care of an account; 0 when it never did."""
    for (modseq,) in fetch(connection, "SELECT modseq FROM account WHERE account_id = ?", (account,)):
        return int(modseq)
    return 0


def note_followed(connection: apsw.Connection, account: int, modseq: int) -> None:
    """Remember it; it never goes back."""
    statement = """
        INSERT INTO account (account_id, modseq) VALUES (?, ?)
        ON CONFLICT DO UPDATE SET modseq = max(modseq, excluded.modseq)
    """
    fetch(connection, statement, (account, modseq))
