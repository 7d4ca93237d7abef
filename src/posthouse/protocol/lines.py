"""Command lines out of a stream of octets: ended by CRLF and nothing else (RFC 5321 2.3.8), and of bounded length.

A bare LF ends nothing: what holds one is refused, and so is all that follows up to the next CRLF. Each LF gets its
refusal at once, so that a person who types over a plain connection is not left without an answer, but no piece of such
a line is ever carried out (the stuff of SMTP smuggling). An overlong line is refused once, then thrown away.
"""

from enum import Enum, auto

MAX_COMMAND = 2048  # octets with CRLF: 512 (RFC 5321 4.5.3.1.4) and what SIZE, DSN, AUTH and SMTPUTF8 add
MAX_AUTH_LINE = 12_288  # octets with CRLF, RFC 4954 4
MAX_IN_A_ROW = 64  # commands that an engine answers by itself before it asks for a turn, see net.interface.Engine
MAX_SKIPPED = 64 << 10  # octets of one line that are thrown away before we hang up

_CR = 13


class LineFault(Enum):
    """Why a line cannot be a command."""

    BARE_LF = auto()
    TOO_LONG = auto()
    ENDLESS = auto()  # hang up


class LineBuffer:
    """What came and is not parsed yet. Octets are looked at once, however they are cut."""

    __slots__ = ("_data", "_ends_in_cr", "_parts", "_scanned", "_skipped", "_start", "_tainted")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything, also that a line was at fault."""
        self._data = b""
        self._parts: list[bytes] = []  # came since; joined when next looked at
        self._start = self._scanned = 0
        self._skipped = 0  # octets thrown away of the overlong line at hand
        self._ends_in_cr = False  # of what was thrown away
        self._tainted = False  # behind a bare LF

    def add(self, data: bytes) -> None:
        """Keep octets for later."""
        self._parts.append(data)

    @property
    def is_empty(self) -> bool:
        """Whether nothing has come that is not parsed yet."""
        return not self._parts and self._start >= len(self._data)

    def put_back(self, data: bytes) -> None:
        """Give back what take_all() gave too much of, before anything else is asked for."""
        self._parts.insert(0, data)

    def take_all(self) -> bytes:
        """Everything there is, for content; b"" when there is nothing."""
        self._merge()
        data = self._data[self._start :] if self._start else self._data
        self._data, self._start, self._scanned = b"", 0, 0
        return data

    def next_line(self, limit: int = MAX_COMMAND) -> bytes | LineFault | None:
        """A line without its CRLF, or what is wrong with it; None: needs octets. `limit` counts the CRLF."""
        if self._parts:
            self._merge()
        data, start = self._data, self._start
        end = data.find(b"\n", self._scanned)
        if self._skipped or self._tainted:
            return self._skip(end, limit)
        if end < 0:
            self._scanned = len(data)
            overlong = len(data) - start >= limit
        else:
            overlong = end + 1 - start > limit
        if overlong and (limit >= MAX_AUTH_LINE or data[start : start + 5].upper() != b"AUTH "):
            return self._throw_away(end if end >= 0 else len(data))
        if overlong:
            return self.next_line(MAX_AUTH_LINE)  # RFC 4954 4: an AUTH command may carry an initial response
        if end < 0:
            self._compact()
            return None
        self._start = self._scanned = end + 1
        if end == start or data[end - 1] != _CR:
            self._tainted = True
            return LineFault.BARE_LF
        return data[start : end - 1]

    def _merge(self) -> None:
        parts = self._parts
        if not parts:
            return
        rest = len(self._data) - self._start
        if rest:
            self._data = b"".join((self._data[self._start :], *parts))
        else:
            self._data = parts[0] if len(parts) == 1 else b"".join(parts)
        self._scanned -= self._start
        self._start = 0
        parts.clear()

    def _compact(self) -> None:
        """Let go of what was parsed: an idle connection holds no old octets."""
        if self._start:
            self._data = self._data[self._start :]
            self._scanned -= self._start
            self._start = 0

    def _throw_away(self, end: int) -> LineFault:
        """Begin to skip an overlong line, whose octets up to `end` are here."""
        self._skipped = end - self._start
        self._ends_in_cr = self._data[end - 1] == _CR
        self._start = self._scanned = end
        return LineFault.TOO_LONG

    def _skip(self, end: int, limit: int) -> bytes | LineFault | None:
        """Go on with a line that was refused already, or that stands behind a bare LF."""
        data, start = self._data, self._start
        stop = end if end >= 0 else len(data)
        if stop > start:
            self._ends_in_cr = data[stop - 1] == _CR
            self._skipped += stop - start
        self._start = self._scanned = stop
        if self._skipped > MAX_SKIPPED:
            return LineFault.ENDLESS
        if end < 0:
            self._compact()
            return None
        self._start = self._scanned = end + 1
        behind_bare, self._tainted = self._tainted, not self._ends_in_cr
        self._skipped, self._ends_in_cr = 0, False
        return LineFault.BARE_LF if behind_bare or self._tainted else self.next_line(limit)
