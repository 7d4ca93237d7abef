"""The keywords of an account. A message has a set of them, and the number of the set stands in its flags.

What IMAP reads of a mailbox stays one integer a message, however many keywords it has. Each set counts its messages and
each keyword its sets, so that either goes with the last that has it.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any

import apsw
import msgspec

from posthouse.mailstore.interface import (
    KEYWORD_SETS_PAGE,
    KEYWORD_SHIFT,
    MAX_KEYWORD_SETS,
    MAX_KEYWORDS,
    MAX_MESSAGE_KEYWORDS,
    SYSTEM_FLAGS,
    Marks,
    Setting,
    TooManyKeywordsError,
)
from posthouse.mailstore.sqlite.rows import fetch, numbers

_NAMES = "SELECT keyword_id, name FROM keyword WHERE account_id = ? ORDER BY keyword_id"
_SETS = f"""
    SELECT set_id, members FROM keyword_set WHERE account_id = ?1 AND set_id > ?2 ORDER BY set_id
    LIMIT {KEYWORD_SETS_PAGE}
"""
_THESE = """
    SELECT set_id, members FROM keyword_set WHERE account_id = ?1 AND set_id IN (SELECT value FROM carray(?2))
"""
_KEYWORD = "SELECT keyword_id FROM keyword WHERE account_id = ? AND name = ?"
_COUNT_KEYWORDS = "SELECT count(*) FROM keyword WHERE account_id = ?"
_MAKE_KEYWORD = """
    INSERT INTO keyword (account_id, keyword_id, name, sets)
    VALUES (?1, 1 + coalesce((SELECT max(keyword_id) FROM keyword WHERE account_id = ?1), 0), ?2, 0)
    RETURNING keyword_id
"""
_MEMBERS = "SELECT members FROM keyword_set WHERE account_id = ? AND set_id = ?"
_SET = "SELECT set_id FROM keyword_set WHERE account_id = ? AND members = ?"
_COUNT_SETS = "SELECT count(*) FROM keyword_set WHERE account_id = ?"
_NEXT_SET = """
    UPDATE account SET next_keyword_set = next_keyword_set + 1 WHERE account_id = ? RETURNING next_keyword_set - 1
"""
_MAKE_SET = "INSERT INTO keyword_set (account_id, set_id, members, messages) VALUES (?, ?, ?, 0)"
_USE = "UPDATE keyword SET sets = sets + 1 WHERE account_id = ?1 AND keyword_id IN (SELECT value FROM carray(?2))"
_COUNT = """
    UPDATE keyword_set SET messages = messages + ?3 WHERE account_id = ?1 AND set_id = ?2 RETURNING messages, members
"""
_DROP_SET = "DELETE FROM keyword_set WHERE account_id = ? AND set_id = ?"
_RELEASE = "UPDATE keyword SET sets = sets - 1 WHERE account_id = ?1 AND keyword_id IN (SELECT value FROM carray(?2))"
_DROP_KEYWORDS = """
    DELETE FROM keyword WHERE account_id = ?1 AND sets <= 0 AND keyword_id IN (SELECT value FROM carray(?2))
"""
_Members = tuple[int, ...]  # keyword ids, ascending
_members = msgspec.json.Decoder(_Members)


def names(connection: apsw.Connection, account: int) -> list[str]:
    """The keywords that messages have, in the order of their first use."""
    return [name for _, name in fetch(connection, _NAMES, (account,))]


def sets(connection: apsw.Connection, account: int, after: int = 0) -> dict[int, tuple[str, ...]]:
    """See Mailstore.keyword_sets()."""
    return _named(connection, account, _SETS, (account, after))


def sets_of(connection: apsw.Connection, account: int, wanted: Collection[int]) -> dict[int, tuple[str, ...]]:
    """Those of the sets that are there."""
    return _named(connection, account, _THESE, (account, numbers(wanted)))


def count(connection: apsw.Connection, account: int, flags: Iterable[int], messages: int) -> None:
    """So many messages more, or fewer, have each of these flags. Without keywords among them nothing is written."""
    if with_keywords := Counter(each >> KEYWORD_SHIFT for each in flags if each > SYSTEM_FLAGS):
        changing = KeywordSets(connection, account)
        for number, times in with_keywords.items():
            changing.count(number, times * messages)
        changing.write()


def _named(
    connection: apsw.Connection, account: int, statement: str, values: tuple[Any, ...]
) -> dict[int, tuple[str, ...]]:
    with connection:  # one moment: a set must not be read after its keywords are gone
        found = fetch(connection, statement, values)
        known = dict(fetch(connection, _NAMES, (account,))) if found else {}
    return {
        number: tuple(known[member] for member in _members.decode(members) if member in known)
        for number, members in found
    }


class KeywordSets:
    """The sets of an account in one transaction. write() comes last."""

    def __init__(self, connection: apsw.Connection, account: int) -> None:
        self._connection = connection
        self._account = account
        self._keywords: dict[str, int] = {}  # those that were named
        self._known: dict[int, _Members] = {0: ()}
        self._numbers: dict[_Members, int] = {(): 0}
        self._counts: Counter[int] = Counter()

    def fitting(self, marks: Marks) -> int:
        """The flags of a new message, which is counted. Keywords that there is no room for are left out."""
        members: set[int] = set()
        for name in marks.keywords:
            if len(members) < MAX_MESSAGE_KEYWORDS and (keyword := self._keyword(name, make=True)) is not None:
                members.add(keyword)
        number = self._number(tuple(sorted(members)))
        self.count(number, 1)
        return int(marks.flags) & SYSTEM_FLAGS | number << KEYWORD_SHIFT

    def changed(self, flags: int, setting: Setting, marks: Marks) -> int:
        """What flags become of a message. Raises TooManyKeywordsError: then the transaction is of no use."""
        system = changed_system(flags, setting, marks)
        number = flags >> KEYWORD_SHIFT
        if not marks.keywords and (setting is not Setting.REPLACE or not number):
            return system | number << KEYWORD_SHIFT
        members = set(self._members(number)) if setting is not Setting.REPLACE else set()
        for name in marks.keywords:
            keyword = self._keyword(name, make=setting is not Setting.REMOVE)
            if setting is Setting.REMOVE:
                members.discard(keyword or 0)
            elif keyword is None:
                raise TooManyKeywordsError(f"the messages of an account have at most {MAX_KEYWORDS} keywords")
            else:
                members.add(keyword)
        if len(members) > MAX_MESSAGE_KEYWORDS:
            raise TooManyKeywordsError(f"a message has at most {MAX_MESSAGE_KEYWORDS} keywords")
        changed = self._number(tuple(sorted(members)))
        if members and not changed:
            raise TooManyKeywordsError("the messages of this account have too many different sets of keywords")
        return system | changed << KEYWORD_SHIFT

    def count(self, number: int, messages: int) -> None:
        """So many messages more, or fewer, have that set."""
        if number:
            self._counts[number] += messages

    def write(self) -> None:
        """Write the counts; what no message has any more is dropped."""
        for number, messages in sorted(self._counts.items()):
            for left, members in fetch(self._connection, _COUNT, (self._account, number, messages)):
                if left <= 0:
                    self._drop(number, _members.decode(members))
        self._counts.clear()

    def _drop(self, number: int, members: _Members) -> None:
        self._connection.execute(_DROP_SET, (self._account, number))
        self._connection.execute(_RELEASE, (self._account, numbers(members)))
        self._connection.execute(_DROP_KEYWORDS, (self._account, numbers(members)))

    def _keyword(self, name: str, *, make: bool) -> int | None:
        """The id of a keyword; None where there is none, or no room for one more."""
        if name in self._keywords:
            return self._keywords[name]
        found = fetch(self._connection, _KEYWORD, (self._account, name))
        if not found:
            if not make or self._is_full():
                return None
            found = fetch(self._connection, _MAKE_KEYWORD, (self._account, name))
        keyword: int = found[0][0]
        self._keywords[name] = keyword
        return keyword

    def _members(self, number: int) -> _Members:
        members = self._known.get(number)
        if members is None:
            found = fetch(self._connection, _MEMBERS, (self._account, number))
            members = self._known[number] = _members.decode(found[0][0]) if found else ()
        return members

    def _number(self, members: _Members) -> int:
        """Of the set with these members. 0 for none of them, or when there is no room for one more set."""
        if members in self._numbers:
            return self._numbers[members]
        text = msgspec.json.encode(members).decode()
        found = fetch(self._connection, _SET, (self._account, text))
        if not found:
            if self._counted(_COUNT_SETS) >= MAX_KEYWORD_SETS:
                return 0
            found = fetch(self._connection, _NEXT_SET, (self._account,))
            self._connection.execute(_MAKE_SET, (self._account, found[0][0], text))
            self._connection.execute(_USE, (self._account, numbers(members)))
        number: int = found[0][0]
        self._numbers[members] = number
        return number

    def _is_full(self) -> bool:
        """Whether a new keyword, which is in a new set, has no room."""
        return self._counted(_COUNT_KEYWORDS) >= MAX_KEYWORDS or self._counted(_COUNT_SETS) >= MAX_KEYWORD_SETS

    def _counted(self, statement: str) -> int:
        counted: int = self._connection.execute(statement, (self._account,)).get
        return counted


def changed_system(flags: int, setting: Setting, marks: Marks) -> int:
    """What the system flags become."""
    named = int(marks.flags) & SYSTEM_FLAGS
    if setting is Setting.REPLACE:
        return named
    system = flags & SYSTEM_FLAGS
    return system | named if setting is Setting.ADD else system & ~named
