"""What readers ask. Each call is one statement, so it sees one moment of the store."""

from operator import itemgetter

import apsw

from posthouse.mailstore.interface import Change, Entry, Usage
from posthouse.mailstore.places import OFFSET_BITS
from posthouse.mailstore.sqlite.filing import ADDED
from posthouse.mailstore.sqlite.rows import fetch

_ENTRIES = f"""
    SELECT message_id, uid, message.octets, coalesce(traits, 0), received,
        CASE WHEN prefixes = prefix_octets AND prefixes = prefix_back THEN pack << {OFFSET_BITS} | offset
        ELSE pack || ':' || offset || ':' || prefixes || ':' || prefix_back || ':' || prefix_octets END
    FROM message LEFT JOIN blob USING (blob_id)
    WHERE account_id = ?1 AND mailbox_id = (SELECT mailbox_id FROM mailbox WHERE account_id = ?1 AND name = ?2)
    ORDER BY message_id
"""
_USAGE = "SELECT messages, octets FROM account WHERE account_id = ?"
_CHANGES = """
    SELECT modseq, name, message_id, uid, kind
    FROM change LEFT JOIN mailbox ON mailbox.account_id = change.account_id AND mailbox.mailbox_id = change.mailbox_id
    WHERE change.account_id = ? AND modseq > ? ORDER BY modseq
"""


def entries(connection: apsw.Connection, account: int, mailbox: str) -> list[Entry]:
    """The messages of a mailbox by uid. A message whose blob row is gone has no place: reading it tells."""
    found = list(map(Entry._make, connection.execute(_ENTRIES, (account, mailbox))))
    found.sort(key=itemgetter(1))  # they ascend already, as a rule
    return found


def usage(connection: apsw.Connection, account: int) -> Usage:
    """What an account holds."""
    for row in fetch(connection, _USAGE, (account,)):
        return Usage(*row)
    return Usage(0, 0)


def changes(connection: apsw.Connection, account: int, since: int) -> list[Change]:
    """The change log after `since`."""
    return [
        Change(modseq, mailbox, message, uid, "added" if kind == ADDED else "expunged")
        for modseq, mailbox, message, uid, kind in connection.execute(_CHANGES, (account, since))
    ]
