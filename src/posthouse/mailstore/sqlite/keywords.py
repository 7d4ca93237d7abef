"""The keywords of an account, each a bit of its messages' flags."""

import apsw

from posthouse.mailstore.interface import FIRST_KEYWORD, MAX_KEYWORDS, Marks, TooManyKeywordsError
from posthouse.mailstore.sqlite.rows import fetch

_NAMES = "SELECT name FROM keyword WHERE account_id = ? ORDER BY bit"


def names(connection: apsw.Connection, account: int) -> list[str]:
    """The first one has bit FIRST_KEYWORD, and so on."""
    return [name for (name,) in fetch(connection, _NAMES, (account,))]


def bits(connection: apsw.Connection, account: int, marks: Marks, *, make: bool = True) -> int:
    """Marks as bits. Unknown keywords get one, or none without `make`. Raises TooManyKeywordsError."""
    found = int(marks.flags)
    if not marks.keywords:
        return found
    known = {name.lower(): bit for bit, name in enumerate(names(connection, account), FIRST_KEYWORD)}
    for keyword in marks.keywords:
        bit = known.get(keyword.lower())
        if bit is None:
            if not make:
                continue
            bit = FIRST_KEYWORD + len(known)
            if len(known) >= MAX_KEYWORDS:
                raise TooManyKeywordsError(f"this account has {MAX_KEYWORDS} keywords, and there can be no more")
            connection.execute("INSERT INTO keyword VALUES (?, ?, ?)", (account, bit, keyword))
            known[keyword.lower()] = bit
        found |= 1 << bit
    return found
