"""Flags by their names: as a client writes them, and as it reads them (RFC 9051 2.3.2)."""

from collections.abc import Iterable

from posthouse.mailstore.interface import Flag, Marks
from posthouse.protocol.imap.server import ImapServer
from posthouse.sessions.imap.errors import RefusedError
from posthouse.sessions.imap.keywords import KnownKeywords

MAX_KEYWORD = 100  # characters
_TEXTS_KEPT = 10_000
SYSTEM_FLAGS = {
    "\\Answered": Flag.ANSWERED,
    "\\Flagged": Flag.FLAGGED,
    "\\Deleted": Flag.DELETED,
    "\\Seen": Flag.SEEN,
    "\\Draft": Flag.DRAFT,
}
_BY_NAME = {name.lower(): flag for name, flag in SYSTEM_FLAGS.items()}


class FlagNames:
    """The names that flags have in this session."""

    __slots__ = ("_engine", "_keywords", "_texts")

    def __init__(self, engine: ImapServer, keywords: KnownKeywords) -> None:
        self._engine = engine
        self._keywords = keywords
        self._texts: dict[int, bytes] = {}  # flags as bits -> as the client reads them

    async def learn(self, flags: Iterable[int]) -> None:
        """Make sure that text() can name all these flags; sends the client the keywords that it does not know yet."""
        if max(flags, default=0) >= self._keywords.limit and await self._keywords.learn():
            self._engine.send(self.line())

    def line(self) -> bytes:
        """The untagged FLAGS: all there are in this account."""
        return b"* FLAGS (%b)\r\n" % " ".join([*SYSTEM_FLAGS, *self._keywords.names]).encode()

    def text(self, bits: int) -> bytes:
        """Flags in parentheses."""
        text = self._texts.get(bits)
        if text is None:
            names = [name for name, flag in SYSTEM_FLAGS.items() if bits & flag.value]
            text = f"({' '.join((*names, *self._keywords.of(bits)))})".encode()
            if bits < self._keywords.limit:
                if len(self._texts) > _TEXTS_KEPT:
                    self._texts.clear()
                self._texts[bits] = text
        return text


def marks(flags: Iterable[bytes], *, lenient: bool = False) -> Marks:
    """Flags as a client names them; system flags that are not known here are passed over (RFC 9051 2.3.2).

    With `lenient` keywords that are too long are passed over, too, else they raise RefusedError.
    """
    found = Flag.NONE
    keywords: list[str] = []
    for octets in flags:
        name = octets.decode("ascii", "replace")
        system = system_flag(name)
        if system is not None:
            found |= system
        elif len(name) <= MAX_KEYWORD:
            keywords.append(name)
        elif not lenient:
            raise RefusedError(f"A keyword has at most {MAX_KEYWORD} characters", "LIMIT")
    return Marks(found, tuple(keywords))


def system_flag(name: str) -> Flag | None:
    """The flag of that name, NONE for one that is not known here; None for a keyword."""
    return _BY_NAME.get(name.lower(), Flag.NONE if name.startswith("\\") else None)
