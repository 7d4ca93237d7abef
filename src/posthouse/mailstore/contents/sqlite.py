"""The tables of index.db and what is asked of them. All of it can be made anew from the messages.

A row belongs to a message: the account's number here in the upper bits, the message id in the lower ones. So the rows
of an account lie together, in the full-text index too, and a query that names their range does not see the others'.

The full-text index knows every piece of three characters (FTS5's trigrams), in folded texts: a needle is found wherever
it stands. One of one or two characters is looked for as the start of a piece; two spaces behind each text help.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import apsw
import msgspec

from posthouse.message.text import Digest, fold

VERSION = 2
MESSAGE_BITS = 36
_SCHEMA = f"""
    CREATE TABLE account (
        number INTEGER PRIMARY KEY,     -- small, as accounts' ids are not
        account_id INTEGER NOT NULL UNIQUE,
        modseq INTEGER NOT NULL         -- up to which its messages were looked through
    );
    CREATE TABLE digest (               -- octets as text, one character each: readers get rows as JSON
        row INTEGER PRIMARY KEY,
        envelope TEXT NOT NULL,
        structure TEXT NOT NULL,
        preview TEXT NOT NULL
    );
    CREATE TABLE sort_key (
        row INTEGER PRIMARY KEY,
        sent INTEGER NOT NULL,
        sent_day INTEGER NOT NULL,
        base_subject TEXT NOT NULL,
        is_reply INTEGER NOT NULL,
        sort_from TEXT NOT NULL,
        sort_to TEXT NOT NULL,
        sort_cc TEXT NOT NULL,
        show_from TEXT NOT NULL,
        show_to TEXT NOT NULL,
        message_id TEXT NOT NULL,
        refs TEXT NOT NULL              -- a JSON array
    );
    CREATE TABLE field (                -- folded
        row INTEGER PRIMARY KEY,
        subject TEXT NOT NULL,
        sender TEXT NOT NULL,
        recipient TEXT NOT NULL,
        cc TEXT NOT NULL,
        bcc TEXT NOT NULL
    );
    CREATE TABLE header (row INTEGER PRIMARY KEY, lines TEXT NOT NULL);   -- "name: value", folded, between line ends
    CREATE VIRTUAL TABLE words USING fts5
        (header, body, content = '', contentless_delete = 1, tokenize = 'trigram case_sensitive 1');
    CREATE VIRTUAL TABLE piece USING fts5vocab (words, row);
    PRAGMA user_version = {VERSION};
"""
_COLUMNS = {"subject": "subject", "from": "sender", "to": "recipient", "cc": "cc", "bcc": "bcc"}
_SHORT = 3  # characters of a piece
_MAX_PIECES = 400  # in one query
_PAGE = 2000


class SortKeys(NamedTuple):
    """What SORT and THREAD go by; see message.text.Digest."""

    sent: int
    base_subject: str
    is_reply: bool
    sort_from: str
    sort_to: str
    sort_cc: str
    show_from: str
    show_to: str
    message_id: str
    references: tuple[str, ...]


class Shown(NamedTuple):
    """Ready to be sent, but for the preview."""

    envelope: bytes
    structure: bytes
    preview: str


_numbers = msgspec.json.Decoder(list[int])
_shown_rows = msgspec.json.Decoder(list[tuple[int, str, str, str]])
_key_rows = msgspec.json.Decoder(list[tuple[int, int, str, int, str, str, str, str, str, str, list[str]]])
_days = msgspec.json.Decoder(list[tuple[int, int]])
_encode = msgspec.json.Encoder().encode


def create(connection: apsw.Connection) -> None:
    """Make the tables in an empty file."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(_SCHEMA).fetchall()
    connection.execute("COMMIT")


def is_ours(connection: apsw.Connection) -> bool:
    """Whether the tables are there, in the form this program knows."""
    return bool(connection.execute("PRAGMA user_version").get == VERSION)


# Accounts.


def base(connection: apsw.Connection, account: int) -> int | None:
    """What message ids of the account are added to; None: nothing of it is here."""
    number = connection.execute("SELECT number FROM account WHERE account_id = ?", (account,)).get
    return None if number is None else int(number) << MESSAGE_BITS


def take_up(connection: apsw.Connection, account: int) -> int:
    """The same for one that is about to be written to."""
    connection.execute("INSERT OR IGNORE INTO account (account_id, modseq) VALUES (?, 0)", (account,))
    found = base(connection, account)
    assert found is not None
    return found


def seen(connection: apsw.Connection, account: int) -> int:
    """The modseq up to which the account's messages were looked through."""
    modseq = connection.execute("SELECT modseq FROM account WHERE account_id = ?", (account,)).get
    return int(modseq or 0)


def note_seen(connection: apsw.Connection, account: int, modseq: int) -> None:
    """They were looked through up to there."""
    take_up(connection, account)
    connection.execute("UPDATE account SET modseq = max(modseq, ?2) WHERE account_id = ?1", (account, modseq))


def forget(connection: apsw.Connection, account: int) -> None:
    """Drop all rows of an account."""
    start = base(connection, account)
    if start is None:
        return
    bounds = (start, start + (1 << MESSAGE_BITS) - 1)
    for table in ("digest", "sort_key", "field", "header"):
        connection.execute(f"DELETE FROM {table} WHERE row BETWEEN ? AND ?", bounds)
    connection.execute("DELETE FROM words WHERE rowid BETWEEN ? AND ?", bounds)
    connection.execute("DELETE FROM account WHERE account_id = ?", (account,))


def drop(connection: apsw.Connection, account: int, messages: Sequence[int]) -> None:
    """Drop the rows of messages that are gone."""
    start = base(connection, account)
    if start is None:
        return
    rows = _encode([start + message for message in messages]).decode()
    for table in ("digest", "sort_key", "field", "header"):
        connection.execute(f"DELETE FROM {table} WHERE row IN (SELECT value FROM json_each(?))", (rows,))
    connection.execute("DELETE FROM words WHERE rowid IN (SELECT value FROM json_each(?))", (rows,))


# Messages.


def missing(connection: apsw.Connection, account: int, messages: Sequence[int]) -> list[int]:
    """Those of the messages that are not here."""
    start = base(connection, account)
    if start is None:
        return list(messages)
    if len(messages) > _PAGE:  # most are here, as a rule: one look at all of them
        statement = "SELECT json_group_array(row) FROM digest WHERE row BETWEEN ? AND ?"
        bounds = (start + min(messages), start + max(messages))
        known = set(_numbers.decode(connection.execute(statement, bounds).get))
    else:
        statement = "SELECT json_group_array(row) FROM digest WHERE row IN (SELECT value FROM json_each(?))"
        rows = _encode([start + message for message in messages]).decode()
        known = set(_numbers.decode(connection.execute(statement, (rows,)).get))
    return [message for message in messages if start + message not in known]


def add(connection: apsw.Connection, account: int, digests: Iterable[tuple[int, Digest]]) -> None:
    """Add messages; those that another process was quicker with are passed over."""
    start = take_up(connection, account)
    found = dict(digests)
    for message in missing(connection, account, list(found)):
        row, digest = start + message, found[message]
        _add_rows(connection, row, digest)
        lines = "\n".join(map(fold, digest.header.split("\n")))
        header = f"{lines}\n{fold(digest.parts)}"
        connection.execute("INSERT INTO header VALUES (?, ?)", (row, f"\n{lines}\n"))
        connection.execute(
            "INSERT INTO words (rowid, header, body) VALUES (?, ?, ?)", (row, f"{header}  ", f"{fold(digest.body)}  ")
        )


def _add_rows(connection: apsw.Connection, row: int, digest: Digest) -> None:
    connection.execute(
        "INSERT INTO digest VALUES (?, ?, ?, ?)",
        (row, digest.envelope.decode("latin-1"), digest.structure.decode("latin-1"), digest.preview),
    )
    connection.execute(
        "INSERT INTO sort_key VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            row,
            digest.sent,
            digest.sent_day,
            digest.base_subject,
            digest.is_reply,
            digest.sort_from,
            digest.sort_to,
            digest.sort_cc,
            digest.show_from,
            digest.show_to,
            digest.message_id,
            _encode(digest.references).decode(),
        ),
    )
    texts = (digest.subject, digest.sender, digest.to, digest.cc, digest.bcc)
    connection.execute("INSERT INTO field VALUES (?, ?, ?, ?, ?, ?)", (row, *map(fold, texts)))


def shown(connection: apsw.Connection, account: int, messages: Sequence[int]) -> dict[int, Shown]:
    """What is here of these messages."""
    start = base(connection, account)
    if start is None:
        return {}
    statement = """
        SELECT json_group_array(json_array(row, envelope, structure, preview)) FROM digest
        WHERE row IN (SELECT value FROM json_each(?))
    """
    rows = _encode([start + message for message in messages]).decode()
    return {
        row - start: Shown(envelope.encode("latin-1"), structure.encode("latin-1"), preview)
        for row, envelope, structure, preview in _shown_rows.decode(connection.execute(statement, (rows,)).get)
    }


def sort_keys(connection: apsw.Connection, account: int, first: int, last: int) -> dict[int, SortKeys]:
    """Of all messages with ids between the two."""
    start = base(connection, account)
    if start is None:
        return {}
    statement = """
        SELECT json_group_array(json_array(row, sent, base_subject, is_reply, sort_from, sort_to, sort_cc, show_from,
            show_to, message_id, json(refs)))
        FROM (SELECT * FROM sort_key WHERE row BETWEEN ? AND ? ORDER BY row LIMIT ?)
    """
    found: dict[int, SortKeys] = {}
    at = start + first
    while True:
        page = _key_rows.decode(connection.execute(statement, (at, start + last, _PAGE)).get)
        for row, sent, base_subject, is_reply, f, t, c, df, dt, ident, references in page:
            found[row - start] = SortKeys(sent, base_subject, bool(is_reply), f, t, c, df, dt, ident, tuple(references))
        if len(page) < _PAGE:
            return found
        at = page[-1][0] + 1


def sent_days(connection: apsw.Connection, account: int, first: int, last: int) -> dict[int, int]:
    """The days on which messages with ids between the two were sent."""
    start = base(connection, account)
    if start is None:
        return {}
    statement = "SELECT json_group_array(json_array(row, sent_day)) FROM sort_key WHERE row BETWEEN ? AND ?"
    text = connection.execute(statement, (start + first, start + last)).get
    return {row - start: day for row, day in _days.decode(text)}


# Searching.


def contains(connection: apsw.Connection, account: int, first: int, last: int, field: str, needle: str) -> set[int]:
    """Messages with ids between the two whose field contains the needle, which is folded."""
    start = base(connection, account)
    if start is None:
        return set()
    bounds = (start + first, start + last)
    if field == "text":
        rows = list(_among_pieces(connection, "", needle, bounds))
    elif field == "body":
        rows = list(_among_pieces(connection, "body :", needle, bounds))
    elif field in _COLUMNS and needle:
        rows = _in_column(connection, _COLUMNS[field], needle, bounds)
    else:
        rows = _in_header(connection, fold(field.removeprefix("header:")), needle, bounds)
    return {row - start for row in rows}


def _among_pieces(connection: apsw.Connection, column: str, needle: str, bounds: tuple[int, int]) -> set[int]:
    if not needle:
        return set(_rows(connection, "SELECT json_group_array(row) FROM digest WHERE row BETWEEN ? AND ?", bounds))
    statement = """
        SELECT json_group_array(rowid) FROM
        (SELECT rowid FROM words WHERE words MATCH ? AND rowid BETWEEN ? AND ?)
    """
    found: set[int] = set()
    for query in _queries(connection, column, needle):
        found.update(_rows(connection, statement, (query, *bounds)))
    return found


def _queries(connection: apsw.Connection, column: str, needle: str) -> Iterator[str]:
    if len(needle) >= _SHORT:
        yield f"{column} {_quoted(needle)}"
        return
    statement = "SELECT term FROM piece WHERE term >= ? AND term < ?"
    bounds = (needle, needle[:-1] + chr(min(ord(needle[-1]) + 1, 0x10FFFF)))
    pieces = [_quoted(str(term)) for (term,) in connection.execute(statement, bounds).fetchall()]
    for at in range(0, len(pieces), _MAX_PIECES):
        yield f"{column} ({' OR '.join(pieces[at : at + _MAX_PIECES])})"


def _in_column(connection: apsw.Connection, column: str, needle: str, bounds: tuple[int, int]) -> list[int]:
    """Few rows, or a short needle: look at all. Else only at those that have the needle somewhere in the header."""
    if len(needle) < _SHORT or bounds[1] - bounds[0] < _PAGE:
        statement = f"SELECT json_group_array(row) FROM field WHERE row BETWEEN ? AND ? AND instr({column}, ?)"
        return _rows(connection, statement, (*bounds, needle))
    statement = f"""
        SELECT json_group_array(row) FROM field WHERE row IN
        (SELECT rowid FROM words WHERE words MATCH ?1 AND rowid BETWEEN ?2 AND ?3) AND instr({column}, ?4)
    """
    return _rows(connection, statement, (f"header : {_quoted(needle)}", *bounds, needle))


def _in_header(connection: apsw.Connection, name: str, needle: str, bounds: tuple[int, int]) -> list[int]:
    """The field of that name, in any of its lines (RFC 9051 6.4.4: an empty needle asks whether it is there)."""
    wanted = needle if len(needle) >= _SHORT else f"{name}:"
    candidates = _among_pieces(connection, "header :", wanted, bounds)
    rows = []
    statement = (
        "SELECT json_group_array(json_array(row, lines)) FROM header WHERE row IN (SELECT value FROM json_each(?))"
    )
    order = sorted(candidates)
    start = f"\n{name}:"
    for at in range(0, len(order), _PAGE):
        page = _encode(order[at : at + _PAGE]).decode()
        for row, lines in msgspec.json.decode(connection.execute(statement, (page,)).get):
            if _has_line(lines, start, needle):
                rows.append(row)
    return rows


def _has_line(lines: str, start: str, needle: str) -> bool:
    at = lines.find(start)
    while at >= 0:
        end = lines.find("\n", at + 1)
        if not needle or lines.find(needle, at + len(start), end) >= 0:
            return True
        at = lines.find(start, end)
    return False


def _rows(connection: apsw.Connection, statement: str, values: tuple[int | str, ...]) -> list[int]:
    return _numbers.decode(connection.execute(statement, values).get)


def _quoted(text: str) -> str:
    """As a string of FTS5's query language; NUL would end it."""
    return '"' + text.replace('"', '""').replace("\0", " ") + '"'
