"""What must hold between the rows of the store, as queries that find where it does not."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import apsw

from posthouse.mailstore.findings import Finding, Severity
from posthouse.mailstore.records import HEADER_OCTETS
from posthouse.mailstore.sqlite.rows import fetch, numbers


@dataclass(frozen=True, slots=True)
class _Audit:
    """`query` gives account (or NULL), where, what, and then the values for `repair`."""

    kind: str
    query: str
    repair: str = ""
    severity: Severity = Severity.WARNING
    advice: str = "posthouse fsck --repair corrects the counters."


_RESTORE = "Restore these messages from a backup if you have one."

# A body that was not given up, though no message refers to it. Reads all messages, once in a statement.
IS_ORPHAN = "refs <> 0 AND blob_id NOT IN (SELECT blob_id FROM message)"

_AUDITS = (
    _Audit(
        "counters of account",
        """
        WITH held AS (SELECT account_id, count(*) AS messages, sum(octets) AS octets FROM message GROUP BY account_id)
        SELECT account_id, 'account ' || account_id,
            printf('counts %d messages of %d octets, but has %d of %d', account.messages, account.octets,
                coalesce(held.messages, 0), coalesce(held.octets, 0)),
            account_id, coalesce(held.messages, 0), coalesce(held.octets, 0)
        FROM account LEFT JOIN held USING (account_id)
        WHERE account.messages <> coalesce(held.messages, 0) OR account.octets <> coalesce(held.octets, 0)
        """,
        "UPDATE account SET messages = ?2, octets = ?3 WHERE account_id = ?1",
    ),
    _Audit(
        "log of expunges",
        """
        WITH held AS (SELECT account_id, count(*) AS n FROM expunged GROUP BY account_id)
        SELECT account_id, 'account ' || account_id,
            printf('counts %d expunges, but %d are logged', log_rows, coalesce(n, 0)), account_id, coalesce(n, 0)
        FROM account LEFT JOIN held USING (account_id) WHERE log_rows <> coalesce(n, 0)
        """,
        "UPDATE account SET log_rows = ?2 WHERE account_id = ?1",
    ),
    _Audit(
        "next message",
        """
        WITH used AS (SELECT account_id, max(message_id) AS last FROM
            (SELECT account_id, message_id FROM message UNION ALL SELECT account_id, message_id FROM expunged)
            GROUP BY account_id)
        SELECT account_id, 'account ' || account_id,
            printf('would give message id %d next, but %d was given', next_message, last), account_id, last
        FROM account JOIN used USING (account_id) WHERE next_message <= last
        """,
        "UPDATE account SET next_message = ?2 + 1 WHERE account_id = ?1",
    ),
    _Audit(
        "modseq",
        """
        WITH used AS (SELECT account_id, max(modseq) AS last FROM
            (SELECT account_id, modseq FROM message UNION ALL SELECT account_id, modseq FROM expunged)
            GROUP BY account_id)
        SELECT account_id, 'account ' || account_id,
            printf('is at modseq %d, but its changes go up to %d', modseq, last), account_id, last
        FROM account JOIN used USING (account_id) WHERE modseq < last
        """,
        "UPDATE account SET modseq = ?2 WHERE account_id = ?1",
    ),
    _Audit(
        "next mailbox",
        """
        WITH used AS (SELECT account_id, max(mailbox_id) AS last, max(uidvalidity) AS validity
            FROM mailbox GROUP BY account_id)
        SELECT account_id, 'account ' || account_id,
            'would give the number or the uidvalidity of a mailbox a second time', account_id, last, validity
        FROM account JOIN used USING (account_id) WHERE next_mailbox <= last OR uidvalidity < validity
        """,
        """
        UPDATE account SET next_mailbox = max(next_mailbox, ?2 + 1), uidvalidity = max(uidvalidity, ?3)
        WHERE account_id = ?1
        """,
    ),
    _Audit(
        "uidnext",
        """
        WITH used AS (SELECT account_id, mailbox_id, max(uid) AS last FROM
            (SELECT account_id, mailbox_id, uid FROM message UNION ALL SELECT account_id, mailbox_id, uid FROM expunged)
            GROUP BY account_id, mailbox_id)
        SELECT account_id, printf('account %d, %s', account_id, name),
            printf('would give uid %d next, but %d was given', uidnext, last), account_id, name, last
        FROM mailbox JOIN used USING (account_id, mailbox_id) WHERE uidnext <= last
        """,
        "UPDATE mailbox SET uidnext = ?3 + 1 WHERE account_id = ?1 AND name = ?2",
    ),
    _Audit(
        "uid given twice",
        """
        SELECT account_id, printf('account %d, mailbox %d', account_id, mailbox_id),
            printf('%d messages have uid %d', count(*), uid)
        FROM message GROUP BY account_id, mailbox_id, uid HAVING count(*) > 1
        """,
        advice="Restore the database from a backup.",
        severity=Severity.ERROR,
    ),
    _Audit(
        "message without mailbox",
        """
        SELECT account_id, printf('account %d, mailbox %d', account_id, mailbox_id),
            printf('%d messages stand in a mailbox or account that does not exist', count(*))
        FROM message WHERE NOT EXISTS (SELECT 1 FROM account WHERE account.account_id = message.account_id)
            OR NOT EXISTS (SELECT 1 FROM mailbox WHERE mailbox.account_id = message.account_id
                AND mailbox.mailbox_id = message.mailbox_id)
        GROUP BY account_id, mailbox_id
        """,
        advice="Restore the database from a backup.",
        severity=Severity.ERROR,
    ),
    _Audit(
        "message without body",
        """
        SELECT message.account_id,
            printf('account %d, %s, message %d (uid %d)', message.account_id, coalesce(name, '?'), message_id, uid),
            'its body is not known'
        FROM message LEFT JOIN mailbox USING (account_id, mailbox_id)
        WHERE NOT EXISTS (SELECT 1 FROM blob WHERE blob.blob_id = message.blob_id)
        """,
        advice=_RESTORE,
        severity=Severity.ERROR,
    ),
    _Audit(
        "size of message",
        """
        SELECT message.account_id,
            printf('account %d, %s, message %d (uid %d)', message.account_id, coalesce(name, '?'), message_id, uid),
            'its size is not that of its trace headers and body'
        FROM message JOIN blob USING (blob_id) LEFT JOIN mailbox USING (account_id, mailbox_id)
        WHERE message.octets <> prefix_octets + blob.octets OR prefix_back > prefixes OR prefix_octets > prefix_back
        """,
        advice=_RESTORE,
        severity=Severity.ERROR,
    ),
    _Audit(
        "keywords of message",
        """
        SELECT account_id, 'account ' || account_id,
            printf('%d messages have keywords that are not known', count(*)), account_id, flags >> 5
        FROM message WHERE flags > 31 AND NOT EXISTS (SELECT 1 FROM keyword_set
            WHERE keyword_set.account_id = message.account_id AND set_id = flags >> 5)
        GROUP BY account_id, flags >> 5
        """,
        "UPDATE message SET flags = flags & 31 WHERE account_id = ?1 AND flags >> 5 = ?2",
        advice="posthouse fsck --repair takes these keywords off.",
    ),
    _Audit(
        "counters of keywords",
        """
        WITH held AS (SELECT account_id, flags >> 5 AS set_id, count(*) AS n FROM message WHERE flags > 31
            GROUP BY 1, 2)
        SELECT account_id, 'account ' || account_id,
            printf('counts %d messages with keywords %s, but has %d', messages, members, coalesce(n, 0)),
            account_id, set_id, coalesce(n, 0)
        FROM keyword_set LEFT JOIN held USING (account_id, set_id) WHERE messages <> coalesce(n, 0)
        """,
        "UPDATE keyword_set SET messages = ?3 WHERE account_id = ?1 AND set_id = ?2",
    ),
    _Audit(
        "unused keywords",
        """
        SELECT account_id, 'account ' || account_id, printf('keeps keywords %s that no message has', members),
            account_id, set_id
        FROM keyword_set WHERE messages = 0
        """,
        "DELETE FROM keyword_set WHERE account_id = ?1 AND set_id = ?2",
    ),
    _Audit(
        "sets of keyword",
        """
        WITH held AS (SELECT account_id, value AS keyword_id, count(*) AS n FROM keyword_set, json_each(members)
            GROUP BY 1, 2)
        SELECT account_id, 'account ' || account_id,
            printf('counts %d uses of keyword %s, but there are %d', sets, name, coalesce(n, 0)),
            account_id, keyword_id, coalesce(n, 0)
        FROM keyword LEFT JOIN held USING (account_id, keyword_id) WHERE sets <> coalesce(n, 0)
        """,
        "UPDATE keyword SET sets = ?3 WHERE account_id = ?1 AND keyword_id = ?2",
    ),
    _Audit(
        "unused keyword",
        "SELECT account_id, 'account ' || account_id, printf('keeps keyword %s that no message has', name), account_id,"
        " keyword_id FROM keyword WHERE sets = 0",
        "DELETE FROM keyword WHERE account_id = ?1 AND keyword_id = ?2",
    ),
    _Audit(
        "next set of keywords",
        """
        WITH used AS (SELECT account_id, max(set_id) AS last FROM keyword_set GROUP BY account_id)
        SELECT account_id, 'account ' || account_id,
            printf('would give number %d to a set of keywords, but %d was given', next_keyword_set, last),
            account_id, last
        FROM account JOIN used USING (account_id) WHERE next_keyword_set <= last
        """,
        "UPDATE account SET next_keyword_set = ?2 + 1 WHERE account_id = ?1",
    ),
    _Audit(
        "references of body",
        """
        WITH counted AS (SELECT blob_id, count(*) AS refs FROM message GROUP BY blob_id)
        SELECT NULL, printf('pack %d at %d', pack, offset),
            printf('counts %d messages that refer to it, but there are %d', blob.refs, counted.refs),
            blob_id, counted.refs
        FROM blob JOIN counted USING (blob_id) WHERE blob.refs <> counted.refs
        """,
        "UPDATE blob SET refs = ?2, freed = NULL WHERE blob_id = ?1",
    ),
    # Not to be repaired: what counts as unused is given back, and this may be the last copy of lost messages.
    _Audit(
        "body without message",
        f"""
        SELECT NULL, printf('pack %d at %d', pack, offset),
            printf('counts %d messages that refer to it, but there is none', refs) FROM blob WHERE {IS_ORPHAN}
        """,
        advice="Rows of messages were lost. To have what is whole filed: posthouse fsck --salvage",
        severity=Severity.ERROR,
    ),
    _Audit(
        "freed body",
        """
        SELECT NULL, printf('pack %d at %d', pack, offset), 'is marked as used and unused at once', blob_id
        FROM blob WHERE (refs = 0) <> (freed IS NOT NULL)
        """,
        "UPDATE blob SET freed = CASE WHEN refs = 0 THEN unixepoch() END WHERE blob_id = ?1",
    ),
    _Audit(
        "counters of pack",
        f"""
        WITH held AS (SELECT pack, count(*) AS live, max(offset + {HEADER_OCTETS} + prefixes + octets) AS last
            FROM blob GROUP BY pack)
        SELECT NULL, 'pack ' || pack.pack,
            printf('counts %d bodies up to %d, but has %d up to %d', pack.live, pack.end, coalesce(held.live, 0),
                coalesce(last, 0)),
            pack.pack, coalesce(held.live, 0), coalesce(last, 0)
        FROM pack LEFT JOIN held USING (pack)
        WHERE pack.live <> coalesce(held.live, 0) OR pack.end < coalesce(last, 0)
        """,
        "UPDATE pack SET live = ?2, end = max(end, ?3) WHERE pack = ?1",
    ),
    _Audit(
        "bodies overlap",
        f"""
        SELECT NULL, 'pack ' || pack, printf('the bodies at %d and %d overlap', before, offset)
        FROM (SELECT pack, offset, lag(offset) OVER places AS before,
                lag(offset + {HEADER_OCTETS} + prefixes + octets) OVER places AS end
            FROM blob WINDOW places AS (PARTITION BY pack ORDER BY blob_id))
        WHERE end > offset
        """,
        advice="Restore these messages from a backup if you have one.",
        severity=Severity.ERROR,
    ),
    _Audit(
        "pack not in catalogue",
        """
        SELECT NULL, 'pack ' || pack, printf('%d bodies are in it, but it is not in the catalogue', count(*))
        FROM blob WHERE pack > 0 AND NOT EXISTS (SELECT 1 FROM pack WHERE pack.pack = blob.pack) GROUP BY pack
        """,
        advice="Restore the database from a backup.",
        severity=Severity.ERROR,
    ),
)


class BodyRow(NamedTuple):
    """A body that messages refer to."""

    blob: int
    pack: int
    offset: int
    prefixes: int
    octets: int
    digest: bytes
    identity: int


def audit_file(connection: apsw.Connection) -> Iterator[Finding]:
    """Whether SQLite finds its own file in order."""
    for (text,) in fetch(connection, "PRAGMA integrity_check"):
        if text != "ok":
            yield spoilt(str(text))


def spoilt(what: str) -> Finding:
    """The database itself is damaged."""
    advice = (
        "Stop the server and restore posthouse.db from the backup of the same time as the rest. Without one, have the"
        " messages in packs/ stored again, which puts it aside with its log: posthouse fsck --salvage"
    )
    return Finding(Severity.ERROR, "database", "posthouse.db", what, advice)


def audit_rows(connection: apsw.Connection, *, repair: bool) -> list[Finding]:
    """Everything that does not hold, at one moment. With `repair`, counters are put right in the open transaction."""
    found = []
    for audit in _AUDITS:
        for account, where, what, *values in fetch(connection, audit.query):
            finding = Finding(audit.severity, audit.kind, where, what, audit.advice, account)
            if repair and audit.repair:
                connection.execute(audit.repair, tuple(values))
                finding = finding.as_repaired()
            found.append(finding)
    return found


def packs(connection: apsw.Connection) -> dict[int, tuple[int, int]]:
    """Pack -> how many bodies in it are in use, where the last of them ends."""
    statement = f"""
        SELECT pack.pack, count(blob_id), coalesce(max(offset + {HEADER_OCTETS} + prefixes + octets), 0)
        FROM pack LEFT JOIN blob ON blob.pack = pack.pack AND refs > 0 GROUP BY pack.pack
    """
    return {pack: (used, end) for pack, used, end in fetch(connection, statement)}


def headed_packs(connection: apsw.Connection) -> list[int]:
    """Packs that hold bodies in use and whose files must have a head."""
    statement = """
        SELECT pack FROM pack WHERE headed = 1 AND EXISTS (SELECT 1 FROM blob
            WHERE blob_id >= pack.pack << 40 AND blob_id < (pack.pack + 1) << 40 AND refs > 0) ORDER BY pack
    """
    return [pack for (pack,) in fetch(connection, statement)]


def count_bodies(connection: apsw.Connection) -> int:
    """How many rows bodies() gives in all."""
    return int(fetch(connection, "SELECT count(*) FROM blob WHERE refs > 0")[0][0])


def bodies(connection: apsw.Connection, after: int, limit: int) -> list[BodyRow]:
    """Bodies in use with ids above `after`."""
    statement = """
        SELECT blob_id, pack, offset, prefixes, octets, digest, identity FROM blob
        WHERE blob_id > ? AND refs > 0 ORDER BY blob_id LIMIT ?
    """
    return list(map(BodyRow._make, fetch(connection, statement, (after, limit))))


def users(connection: apsw.Connection, blobs: list[int]) -> list[tuple[Any, ...]]:
    """(blob, account, mailbox, message, uid) of the messages that refer to these bodies now."""
    statement = """
        SELECT blob_id, message.account_id, coalesce(name, '?'), message_id, uid
        FROM message LEFT JOIN mailbox USING (account_id, mailbox_id)
        WHERE blob_id IN (SELECT value FROM carray(?)) ORDER BY 2, 3, 4
    """
    return fetch(connection, statement, (numbers(blobs),))
