"""The commands that a session carries out, as values."""

from dataclasses import dataclass, field

from posthouse.protocol.imap.search_keys import PLAINLY, Key, Returning, SortBy
from posthouse.protocol.imap.sets import NumberSet


@dataclass(frozen=True, slots=True)
class Noop:
    """NOOP and CHECK: a chance to send what is new."""


@dataclass(frozen=True, slots=True)
class Enable:
    """ENABLE: `names` are those we know and that were not enabled yet."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Resync:
    """What a client knew when it last had this mailbox open (RFC 7162 3.2.5)."""

    uidvalidity: int
    modseq: int
    known: NumberSet | None = None  # uids
    sequence_match: tuple[NumberSet, NumberSet] | None = None


@dataclass(frozen=True, slots=True)
class Select:
    """SELECT and EXAMINE."""

    mailbox: str
    read_only: bool
    condstore: bool = False
    resync: Resync | None = None


@dataclass(frozen=True, slots=True)
class Create:
    """CREATE, with the special use that was asked for (RFC 6154 3)."""

    mailbox: str
    use: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Delete:
    """DELETE."""

    mailbox: str


@dataclass(frozen=True, slots=True)
class Rename:
    """RENAME."""

    mailbox: str
    new: str


@dataclass(frozen=True, slots=True)
class Subscribe:
    """SUBSCRIBE and UNSUBSCRIBE."""

    mailbox: str
    wanted: bool


@dataclass(frozen=True, slots=True)
class List:
    """LIST (RFC 5258) and LSUB."""

    reference: str
    patterns: tuple[str, ...]
    select: frozenset[str] = frozenset()  # subscribed, remote, recursivematch, special-use
    returns: frozenset[str] = frozenset()  # subscribed, children, special-use, status
    status: tuple[str, ...] = ()
    lsub: bool = False
    extended: bool = False


@dataclass(frozen=True, slots=True)
class Namespace:
    """NAMESPACE (RFC 2342)."""


@dataclass(frozen=True, slots=True)
class Status:
    """STATUS: items in capitals."""

    mailbox: str
    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Append:
    """The end of APPEND or REPLACE: its messages were offered one by one before."""

    mailbox: str
    replacing: int | None = None
    uid: bool = False


@dataclass(frozen=True, slots=True)
class Idle:
    """IDLE (RFC 2177): until IdleEnded."""


@dataclass(frozen=True, slots=True)
class Close:
    """CLOSE and UNSELECT (RFC 3691)."""

    expunge: bool


@dataclass(frozen=True, slots=True)
class Expunge:
    """EXPUNGE and UID EXPUNGE."""

    numbers: NumberSet | None = None


@dataclass(frozen=True, slots=True)
class Search:
    """SEARCH; with `sort` or `thread`, SORT or THREAD."""

    key: Key
    uid: bool
    returning: Returning = PLAINLY
    sort: tuple[SortBy, ...] = ()
    thread: str = ""
    uses_modseq: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """BODY[...] or BINARY[...] (RFC 9051 6.4.5)."""

    label: bytes  # as it is to be answered, with the first octet of a partial: BODY[TEXT]<0>
    numbers: tuple[int, ...] = ()
    text: str = ""  # "", HEADER, HEADER.FIELDS, HEADER.FIELDS.NOT, TEXT, MIME
    fields: tuple[bytes, ...] = ()  # in capitals
    partial: tuple[int, int] | None = None  # first octet, how many
    peek: bool = False
    binary: bool = False
    size: bool = False  # BINARY.SIZE


@dataclass(frozen=True, slots=True)
class Fetch:
    """FETCH."""

    numbers: NumberSet
    uid: bool
    items: tuple[str, ...] = ()  # in capitals, without sections
    sections: tuple[Section, ...] = ()
    changed_since: int | None = None
    vanished: bool = False
    partial: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Store:
    """STORE: `how` is "+", "-" or ""."""

    numbers: NumberSet
    uid: bool
    how: str
    silent: bool
    flags: tuple[bytes, ...]
    unchanged_since: int | None = None


@dataclass(frozen=True, slots=True)
class Copy:
    """COPY and MOVE (RFC 6851)."""

    numbers: NumberSet
    uid: bool
    mailbox: str
    move: bool


@dataclass(frozen=True, slots=True)
class GetQuota:
    """GETQUOTA of a root, or GETQUOTAROOT of a mailbox (RFC 9208)."""

    root: str = ""
    mailbox: str | None = None


@dataclass(frozen=True, slots=True)
class SetQuota:
    """SETQUOTA, which nobody may."""


Command = (
    Noop
    | Enable
    | Select
    | Create
    | Delete
    | Rename
    | Subscribe
    | List
    | Namespace
    | Status
    | Append
    | Idle
    | Close
    | Expunge
    | Search
    | Fetch
    | Store
    | Copy
    | GetQuota
    | SetQuota
)


@dataclass(slots=True)
class SessionMode:
    """What the grammar depends on: what was enabled, and whether the peer has logged in."""

    utf8: bool = False  # UTF8=ACCEPT or IMAP4rev2 was enabled: names are UTF-8, and strings may be
    rev2: bool = False  # IMAP4rev2 was enabled
    enabled: set[str] = field(default_factory=set)

    @property
    def condstore(self) -> bool:
        """Whether the client takes modseqs (RFC 7162 3.1)."""
        return "CONDSTORE" in self.enabled

    @property
    def qresync(self) -> bool:
        """Whether the client takes VANISHED instead of EXPUNGE (RFC 7162 3.2)."""
        return "QRESYNC" in self.enabled
