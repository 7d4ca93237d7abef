"""What readers ask. Each call sees one moment of the store.

Rows come as JSON, many in one step of SQLite: every step hands the interpreter's lock to the event loop and must get it
back, which, beside a busy loop, takes far longer than a row does.
"""

from collections.abc import Sequence
from operator import itemgetter

import apsw
import msgspec

from posthouse.mailstore.interface import Change, MessageRef, Traits, Usage
from posthouse.mailstore.sqlite.rows import fetch

PAGE = 1000  # rows in one step: about a millisecond of the interpreter's lock
_ENTRIES = """
    SELECT json_group_array(json_array(message_id, uid, octets, traits, received, place, identity)) FROM (
        SELECT message_id, uid, message.octets, coalesce(traits, 0) AS traits, received,
            CASE WHEN prefixes = prefix_octets AND prefixes = prefix_back THEN blob_id
            ELSE pack || ':' || offset || ':' || prefixes || ':' || prefix_back || ':' || prefix_octets END AS place,
            coalesce(identity, 0) AS identity
        FROM message LEFT JOIN blob USING (blob_id)
        WHERE account_id = ?1 AND mailbox_id = (SELECT mailbox_id FROM mailbox WHERE account_id = ?1 AND name = ?2)
            AND message_id > ?3
        ORDER BY message_id LIMIT ?4)
"""
_FIND = _ENTRIES.replace("message_id > ?3", "message_id IN (SELECT value FROM json_each(?3))").replace("LIMIT ?4", "")
SIZES_PAGE = 10_000
_SIZES = f"""
    SELECT json_group_array(message_id), json_group_array(sent) FROM (
        SELECT message_id, message.octets + 2 * (coalesce(traits, 0) & {Traits.NO_FINAL_CRLF.value} <> 0) AS sent
        FROM message LEFT JOIN blob USING (blob_id)
        WHERE account_id = ?1 AND mailbox_id = (SELECT mailbox_id FROM mailbox WHERE account_id = ?1 AND name = ?2)
            AND message_id > ?3
        ORDER BY message_id LIMIT ?4)
"""
_USAGE = "SELECT messages, octets FROM account WHERE account_id = ?"
_CHANGES = """
    SELECT modseq, mailbox_id, message_id, uid, 0 FROM message WHERE account_id = ?1 AND modseq > ?2
    UNION ALL SELECT modseq, mailbox_id, message_id, uid, 1 FROM expunged WHERE account_id = ?1 AND modseq > ?2
"""
_numbers = msgspec.json.Decoder(list[int])
_entry_rows = msgspec.json.Decoder(list[tuple[int, int, int, int, int, int | str | None, int]])


def entries(connection: apsw.Connection, account: int, mailbox: str) -> list[MessageRef]:
    """The messages of a mailbox by uid. A message whose blob row is gone has no place: reading it tells."""
    page = _page(connection, account, mailbox, 0)
    if len(page) < PAGE:
        found = page
    else:
        with connection:  # from the start again, all pages of one moment
            found = page = _page(connection, account, mailbox, 0)
            while len(page) == PAGE:
                page = _page(connection, account, mailbox, page[-1].message)
                found += page
    uids = list(map(itemgetter(1), found))
    if uids != sorted(uids):  # ids and uids ascend together, as a rule
        found.sort(key=itemgetter(1))
    return found


def find(connection: apsw.Connection, account: int, mailbox: str, messages: Sequence[int]) -> list[MessageRef]:
    """Those of the messages that are there, by uid."""
    wanted = msgspec.json.encode(list(messages)).decode()
    rows = fetch(connection, _FIND, (account, mailbox, wanted))
    return sorted(map(MessageRef._make, _entry_rows.decode(rows[0][0])), key=itemgetter(1))


def first_entries(connection: apsw.Connection, account: int, mailbox: str) -> list[MessageRef]:
    """The messages of a mailbox by id, up to PAGE of them."""
    return _page(connection, account, mailbox, 0)


def sizes(connection: apsw.Connection, account: int, mailbox: str, after: int) -> tuple[list[int], list[int]]:
    """Ids above `after`, and MessageRef.sent_octets of each: of SIZES_PAGE messages, of fewer at the end."""
    ((messages, octets),) = fetch(connection, _SIZES, (account, mailbox, after, SIZES_PAGE))
    return _numbers.decode(messages), _numbers.decode(octets)


def _page(connection: apsw.Connection, account: int, mailbox: str, after: int) -> list[MessageRef]:
    rows = fetch(connection, _ENTRIES, (account, mailbox, after, PAGE))
    return list(map(MessageRef._make, _entry_rows.decode(rows[0][0])))


def store_id(connection: apsw.Connection) -> bytes:
    """What tells this store from all others, 16 octets."""
    return bytes(fetch(connection, "SELECT id FROM store")[0][0])


def usage(connection: apsw.Connection, account: int) -> Usage:
    """What an account holds."""
    for row in fetch(connection, _USAGE, (account,)):
        return Usage(*row)
    return Usage(0, 0)


def changes(connection: apsw.Connection, account: int, since: int) -> list[Change]:
    """What happened after `since`."""
    rows = fetch(connection, _CHANGES, (account, since))
    found = [Change(modseq, mailbox, message, uid, bool(gone)) for modseq, mailbox, message, uid, gone in rows]
    return sorted(found, key=lambda change: (change.modseq, change.mailbox, change.uid))
