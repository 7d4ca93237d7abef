"""The keywords of an account, each a bit of its messages' flags."""

from collections.abc import Sequence

import apsw

from posthouse.mailstore.interface import FIRST_KEYWORD, MAX_KEYWORDS, Marks, TooManyKeywordsError
from posthouse.mailstore.sqlite.rows import fetch

_NAMES = "SELECT name FROM keyword WHERE account_id = ? ORDER BY bit"


def names(connection: apsw.Connection, account: int) -> list[str]:
    """The first one has bit FIRST_KEYWORD, and so on."""
    return [name for (name,) in fetch(connection, _NAMES, (account,))]


def bits(connection: apsw.Connection, account: int, several: Sequence[Marks], *, make: bool = True) -> list[int]:
    """Marks as bits. Unknown keywords get one, or none without `make`.

    Raises TooManyKeywordsError, and then none got any.
    """
    known: dict[str, int] = {}
    if any(marks.keywords for marks in several):
        known = {name.lower(): bit for bit, name in enumerate(names(connection, account), FIRST_KEYWORD)}
    new: list[tuple[int, str]] = []
    found = []
    for marks in several:
        flags = int(marks.flags)
        for keyword in marks.keywords:
            bit = known.get(keyword.lower())
            if bit is None:
                if not make:
                    continue
                bit = known[keyword.lower()] = FIRST_KEYWORD + len(known)
                new.append((bit, keyword))
            flags |= 1 << bit
        found.append(flags)
    if new and len(known) > MAX_KEYWORDS:
        raise TooManyKeywordsError(f"an account can have {MAX_KEYWORDS} keywords, and no more")
    for bit, keyword in new:
        connection.execute("INSERT INTO keyword VALUES (?, ?, ?)", (account, bit, keyword))
    return found
