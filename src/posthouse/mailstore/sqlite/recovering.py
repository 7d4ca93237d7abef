"""Gives mail a home that has none: messages of accounts nobody knows, and records no message refers to.

Nothing is removed.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import apsw

from posthouse.database.connection import files_of
from posthouse.database.identity import Identity, write_identity
from posthouse.database.migrations import Steps
from posthouse.database.opening import OpenPolicy, open_database
from posthouse.mailstore.files import Files
from posthouse.mailstore.interface import KEYWORD_SHIFT, SYSTEM_FLAGS, BadNameError, Flag, Marks, Role
from posthouse.mailstore.loose import Loose, Range
from posthouse.mailstore.names import SEPARATOR, checked
from posthouse.mailstore.places import place_of
from posthouse.mailstore.records import HEADER_OCTETS
from posthouse.mailstore.sqlite import boxes, keywords, removing
from posthouse.mailstore.sqlite.audit import IS_ORPHAN
from posthouse.mailstore.sqlite.rows import fetch, numbers
from posthouse.mailstore.sqlite.statements import ADD_TO_ACCOUNT, ADD_TO_MAILBOX, INSERT_MESSAGES

RECOVERED = "Recovered"  # the mailbox, and above the mailboxes of adopted accounts
MESSAGES = 500  # moved in one transaction

_OCCUPIED = f"""
    SELECT blob_id, offset, offset + {HEADER_OCTETS} + prefixes + octets FROM blob
    WHERE blob_id >= ?1 AND blob_id < ?2 ORDER BY blob_id
"""
_KNOW_PACK = "INSERT OR IGNORE INTO pack (pack, end, live, opened, headed) VALUES (?, 0, 0, 0, ?)"
_GROW_PACK = "UPDATE pack SET end = max(end, ?2), live = live + ?3, opened = opened + 1 WHERE pack = ?1"
_BLOB = """
    INSERT OR REPLACE INTO blob (blob_id, identity, digest, prefixes, octets, traits, refs, freed)
    VALUES (?, ?, ?, ?, ?, ?, ?, NULL)
"""
_WITH_ROWS = """
    SELECT blob_id, refs = 0 OR blob_id IN (SELECT blob_id FROM message WHERE blob_id IN (SELECT value FROM carray(?1)))
    FROM blob WHERE blob_id IN (SELECT value FROM carray(?1))
"""
_HELD = """
    SELECT mailbox_id, name, message_id, blob_id, prefix_back, prefix_octets, message.octets, received, flags
    FROM message JOIN mailbox USING (account_id, mailbox_id)
    WHERE account_id = ?1 AND name >= char(1) ORDER BY mailbox_id, message_id LIMIT ?2
"""
_REFER = "UPDATE blob SET refs = refs + 1 WHERE blob_id = ?"
_BEGIN = """
    INSERT INTO account (account_id, modseq, next_message, next_mailbox, uidvalidity, messages, octets)
    VALUES (?1, ?2, ?2, ?2, ?2, 0, 0)
"""
# What a lost database has given since went up by one each: it is passed over by time, and by a leap for the case that
# there was more of it than seconds. The log of expunges knows nothing of it, so it is complete only from then on.
_LEAP = 1 << 20
_LEAP_OF_UIDVALIDITY = 1 << 16  # RFC 9051 9: it has 32 bits
_RENEW_ACCOUNTS = f"""
    UPDATE account SET modseq = max(modseq + {_LEAP}, ?1), next_message = max(next_message + {_LEAP}, ?1),
        next_mailbox = max(next_mailbox + {_LEAP}, ?1), uidvalidity = max(uidvalidity + {_LEAP_OF_UIDVALIDITY}, ?1),
        log_start = max(modseq + {_LEAP}, ?1)
"""
# RFC 9051 2.3.1.1: uids that may mean other messages now need a uidvalidity that was never used.
_RENEW_MAILBOXES = """
    UPDATE mailbox SET uidvalidity = renewed.uidvalidity, modseq = renewed.modseq FROM (
        SELECT account_id, mailbox_id, account.modseq AS modseq,
            account.uidvalidity + row_number() OVER (PARTITION BY account_id ORDER BY mailbox_id) AS uidvalidity
        FROM mailbox JOIN account USING (account_id)) AS renewed
    WHERE mailbox.account_id = renewed.account_id AND mailbox.mailbox_id = renewed.mailbox_id
"""
_HIGHEST_UIDVALIDITY = """
    UPDATE account SET uidvalidity = max(uidvalidity, coalesce(
        (SELECT max(uidvalidity) FROM mailbox WHERE mailbox.account_id = account.account_id), 0))
"""

_Message = tuple[int, int, int, int, int, int]  # blob, prefix_back, prefix_octets, octets, received, flags


@dataclass(frozen=True, slots=True)
class Owner:
    """An account that a record was for, and which part of the trace headers is its own."""

    account: int
    back: int  # octets from the start of its prefix to the start of the body
    octets: int  # of the prefix


@dataclass(frozen=True, slots=True)
class Salvage:
    """A loose record with all that a row needs. `headed`: its pack has the head of this store."""

    record: Loose
    headed: bool
    traits: int
    received: int  # seconds since 1970
    owners: tuple[Owner, ...]


def unknown_accounts(connection: apsw.Connection, known: Collection[int]) -> list[tuple[int, int]]:
    """(account, messages) of those who hold mail and are not `known`."""
    held = fetch(connection, "SELECT account_id, messages FROM account WHERE messages > 0 ORDER BY account_id")
    return [(account, messages) for account, messages in held if account not in known]


def orphans(connection: apsw.Connection) -> set[int]:
    """Bodies that were not given up, though no message refers to them: the rows of their messages were lost.

    Reads all messages. Nobody refers to an orphan ever after.
    """
    return {blob for (blob,) in fetch(connection, f"SELECT blob_id FROM blob WHERE {IS_ORPHAN}")}


def occupied(connection: apsw.Connection, pack: int, lost: Collection[int]) -> list[Range]:
    """Where the records of a pack that have rows lie, those that are about to be removed among them, but not `lost`."""
    rows = fetch(connection, _OCCUPIED, (place_of(pack, 0), place_of(pack + 1, 0)))
    return [(start, end) for blob, start, end in rows if blob not in lost]


def adopt(connection: apsw.Connection, account: int, target: int, now: int) -> int:
    """Move some messages of one account to another; how many. 0: none are left. They keep their flags.

    The mailbox NAME becomes Recovered/NAME.
    """
    held = fetch(connection, _HELD, (account, MESSAGES))
    for (mailbox, name), rows in groupby(held, itemgetter(0, 1)):
        moved = list(rows)
        become = _flags(connection, account, target, [row[8] for row in moved])
        messages = [
            (blob, back, prefix, octets, received, flags)
            for (_, _, _, blob, back, prefix, octets, received, _), flags in zip(moved, become, strict=True)
        ]
        connection.executemany(_REFER, [(blob,) for blob, *_ in messages])
        _file(connection, target, _below_recovered(name), messages, now)
        removing.remove(connection, account, mailbox, [row[2] for row in moved], now, marked=False)
    return len(held)


def file_loose(connection: apsw.Connection, found: Sequence[Salvage], now: int) -> int:
    """File records that have no message into the mailbox Recovered of their owners; how many. None is filed twice."""
    places = [place_of(each.record.pack, each.record.offset) for each in found]
    known = dict(fetch(connection, _WITH_ROWS, (numbers(places),)))  # place -> whether its row counts
    filed = 0
    for place, each in zip(places, found, strict=True):
        if known.get(place):
            continue
        record, header = each.record, each.record.header
        connection.execute(_KNOW_PACK, (record.pack, int(each.headed)))
        connection.execute(_GROW_PACK, (record.pack, record.end, int(place not in known)))
        refs = len(each.owners)
        row = (place, header.identity, header.digest, header.prefixes, header.body, each.traits, refs)
        connection.execute(_BLOB, row)
        for owner in each.owners:
            message = (place, owner.back, owner.octets, owner.octets + header.body, each.received, 0)
            _file(connection, owner.account, RECOVERED, [message], now)
        filed += 1
    return filed


def create_replacement(
    path: Path, rooms: Mapping[str, Steps], identity: Identity, accounts: Collection[int], now: int
) -> None:
    """Make a posthouse.db in the place of one that was lost, without any message. Raises DatabaseError, apsw.Error.

    It gets its name when it is complete. Numbers that the lost one gave must not be given again: they ascended by one
    each, and the seconds since 1970 are beyond all of them.
    """
    unnamed = path.with_name(path.name + ".new")
    for left in files_of(unnamed):  # by one that was killed: its log must not meet the new file
        left.unlink(missing_ok=True)
    with closing(open_database(unnamed, rooms, policy=OpenPolicy.CREATE)) as connection:
        write_identity(connection, identity)
        with connection:
            connection.executemany(_BEGIN, [(account, now) for account in accounts])
    # Closed, it is one file, and synced; a log of the lost one must not meet it.
    for old in files_of(path)[1:]:
        old.unlink(missing_ok=True)
    unnamed.rename(path)
    Files().sync_folder(path.parent)


def renew_numbers(path: Path, rooms: Mapping[str, Steps], now: int) -> None:
    """See to it that a posthouse.db which may be older than its clients gives no number again that they know.

    Message ids, modseqs and mailbox ids go on far above, and each mailbox gets a new uidvalidity. Done twice, it is
    right as well. Raises DatabaseError, apsw.Error.
    """
    with closing(open_database(path, rooms)) as connection, connection:
        connection.execute(_RENEW_ACCOUNTS, (now,))
        connection.execute(_RENEW_MAILBOXES)
        connection.execute(_HIGHEST_UIDVALIDITY)


def _file(connection: apsw.Connection, account: int, name: str, messages: Sequence[_Message], now: int) -> None:
    """New rows over bodies that are counted already."""
    box = next(boxes.find(connection, account, name), None)
    if box is None:
        box, _ = boxes.create(connection, account, name, Role.NONE, now)
    octets = sum(message[3] for message in messages)
    modseq, first = fetch(connection, ADD_TO_ACCOUNT, (account, len(messages), octets))[0]
    unseen = sum(not message[5] & Flag.SEEN.value for message in messages)
    deleted = sum(bool(message[5] & Flag.DELETED.value) for message in messages)
    ((uid,),) = fetch(connection, ADD_TO_MAILBOX, (account, box, len(messages), modseq, unseen, deleted, octets))
    rows: list[tuple[Any, ...]] = [
        (account, box, first + at, uid + at, *message, modseq, now, first + at) for at, message in enumerate(messages)
    ]
    INSERT_MESSAGES.run(connection, rows)


def _below_recovered(name: str) -> str:
    try:
        return checked(RECOVERED + SEPARATOR + name)
    except BadNameError:  # too long, or nested too deep
        return RECOVERED


def _flags(connection: apsw.Connection, account: int, target: int, several: Sequence[int]) -> list[int]:
    """The flags in another account, which has its own sets of keywords. Keywords it has no room for are left out."""
    named = keywords.sets_of(connection, account, {flags >> KEYWORD_SHIFT for flags in several})
    sets = keywords.KeywordSets(connection, target)
    become = [
        sets.fitting(Marks(Flag(flags & SYSTEM_FLAGS), named.get(flags >> KEYWORD_SHIFT, ()))) for flags in several
    ]
    sets.write()
    return become
