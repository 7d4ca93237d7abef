"""What stands behind LOGIN and ID, which the engine answers by itself."""

from posthouse.protocol.imap.syntax import Cursor, GrammarError, Rule, astring, nstring


def credentials(cursor: Cursor) -> Rule[tuple[bytes, bytes]]:
    """Behind LOGIN."""
    cursor.space()
    login = yield from astring(cursor)
    cursor.space()
    return login, (yield from astring(cursor))


def identification(cursor: Cursor) -> Rule[dict[str, str]]:
    """Behind ID (RFC 2971 3.1)."""
    cursor.space()
    fields: dict[str, str] = {}
    if cursor.takes(b"NIL"):
        return fields
    cursor.opens()
    if cursor.takes(b")"):
        return fields
    while True:
        name = yield from astring(cursor)
        cursor.space()
        value = yield from nstring(cursor)
        if len(fields) >= 30 or len(name) > 30 or len(value or b"") > 1024:
            raise GrammarError("ID takes 30 fields of 30 and 1024 octets")
        fields[name.decode("utf-8", "replace")] = (value or b"").decode("utf-8", "replace")
        if cursor.closes():
            return fields
