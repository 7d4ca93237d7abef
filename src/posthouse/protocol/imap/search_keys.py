"""Search keys and orders as values, free of IMAP's spelling but for the names of flags."""

from dataclasses import dataclass
from enum import Enum

from posthouse.protocol.imap.sets import NumberSet


class Compared(Enum):
    """How a date or a size is compared."""

    BELOW = "<"
    EQUAL = "="
    ABOVE = ">"  # for dates: this day or later


class Moment(Enum):
    """Which date of a message."""

    RECEIVED = "received"  # INTERNALDATE
    SENT = "sent"  # the Date field, as its writer wrote it
    SAVED = "saved"  # when it came into the mailbox, RFC 8514


@dataclass(frozen=True, slots=True)
class Everything:
    """ALL."""


@dataclass(frozen=True, slots=True)
class Flagged:
    """A flag or keyword is set, or is not."""

    flag: str
    wanted: bool = True


@dataclass(frozen=True, slots=True)
class Recent:
    """RECENT, which IMAP4rev2 has no more."""


@dataclass(frozen=True, slots=True)
class Contains:
    """A field contains a text: text, body, subject, from, to, cc, bcc, or header:NAME."""

    field: str
    needle: str


@dataclass(frozen=True, slots=True)
class InSet:
    """Messages by number."""

    numbers: NumberSet
    uid: bool


@dataclass(frozen=True, slots=True)
class Sized:
    """LARGER and SMALLER, in octets."""

    compared: Compared
    octets: int


@dataclass(frozen=True, slots=True)
class Dated:
    """A date, without time or zone: days since 1970."""

    moment: Moment
    compared: Compared
    day: int


@dataclass(frozen=True, slots=True)
class Aged:
    """YOUNGER and OLDER than so many seconds (RFC 5032)."""

    seconds: int
    younger: bool


@dataclass(frozen=True, slots=True)
class Modified:
    """MODSEQ: changed at this modseq or later (RFC 7162 3.1.5)."""

    modseq: int


@dataclass(frozen=True, slots=True)
class Email:
    """EMAILID or THREADID (RFC 8474 6)."""

    ident: str
    thread: bool


@dataclass(frozen=True, slots=True)
class Not:
    """None of what the key finds."""

    key: "Key"


@dataclass(frozen=True, slots=True)
class Either:
    """OR."""

    one: "Key"
    other: "Key"


@dataclass(frozen=True, slots=True)
class Every:
    """All keys at once."""

    keys: "tuple[Key, ...]"


Key = Everything | Flagged | Recent | Contains | InSet | Sized | Dated | Aged | Modified | Email | Not | Either | Every


@dataclass(frozen=True, slots=True)
class SortBy:
    """One criterion of SORT (RFC 5256 3, RFC 5957), in small letters."""

    what: str
    reverse: bool


@dataclass(frozen=True, slots=True)
class Returning:
    """RETURN options of SEARCH, SORT (RFC 4731, RFC 5182, RFC 9394). None were given: `extended` is False."""

    extended: bool = False
    options: frozenset[str] = frozenset()  # min, max, all, count, save, partial
    partial: tuple[int, int] | None = None  # positions, negative from the end


PLAINLY = Returning()
