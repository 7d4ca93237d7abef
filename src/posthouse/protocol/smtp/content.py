"""The content of DATA: finding its end, undoing dot-stuffing, noticing bare CR and LF (RFC 5321 4.1.1.4, 4.5.2, 2.3.8).

The end is CRLF "." CRLF and nothing else; what other servers have taken for it (LF.LF, CR.CR and their kin) is the
stuff of smuggling, so a message with a bare CR or LF is read to its strict end and then refused as a whole.

The reader works on blocks, never on lines. It holds back the few last octets that a mark might straddle; the start of
the message counts as the start of a line, so two octets of CRLF are imagined before it.
"""

END = b"\r\n.\r\n"


class ContentReader:
    """Fed with what arrives, it gives back the content without the stuffing."""

    __slots__ = ("_carry", "_first", "bare_breaks", "dot_lines", "ended", "octets", "rest")

    def __init__(self) -> None:
        self._carry = b"\r\n"
        self._first = True
        self.ended = False
        self.rest = b""  # what came behind the end
        self.bare_breaks = False
        self.dot_lines = False
        self.octets = 0

    def feed(self, data: bytes) -> bytes:
        """The content that is certain now."""
        data = self._carry + data
        at = data.find(END)
        if at >= 0:
            self.ended = True
            self.rest = data[at + len(END) :]
            block = data[: at + 2]
        else:
            cut = max(0, len(data) - 4)
            if data[cut - 1 : cut] == b"\r":  # never part a CRLF
                cut -= 1
            elif data[max(0, cut - 2) : cut] == b"\r\n":  # nor a CRLF from the dot behind it
                cut -= 2
            block, self._carry = data[:cut], data[cut:]
            if not block:
                return b""
        return self._plain(block)

    def _plain(self, block: bytes) -> bytes:
        pairs = block.count(b"\r\n")
        if block.count(b"\n") != pairs or block.count(b"\r") != pairs:
            self.bare_breaks = True
        if b"\r\n." in block:
            self.dot_lines = True
            block = block.replace(b"\r\n.", b"\r\n")
        if self._first:
            self._first = False
            block = block[2:]
        self.octets += len(block)
        return block


class ChunkReader:
    """One BDAT chunk: so many octets, taken as they are (RFC 3030 2)."""

    __slots__ = ("_left", "_tail", "bare_breaks", "dot_lines", "ended", "last", "octets", "rest")

    def __init__(self, octets: int, *, last: bool) -> None:
        self.octets = octets
        self.last = last
        self.ended = octets == 0
        self.rest = b""
        self.bare_breaks = False
        self.dot_lines = False
        self._left = octets
        self._tail = b"\r\n"  # the last octets seen; the message starts at the start of a line

    def follow(self, previous: "ChunkReader") -> None:
        """Go on where the chunk before this one ended."""
        self._tail = previous._tail
        self.bare_breaks = previous.bare_breaks
        self.dot_lines = previous.dot_lines
        self._settle_end()

    def feed(self, data: bytes) -> bytes:
        """The octets of `data` that belong to the chunk."""
        block, self.rest = data[: self._left], data[self._left :]
        self._left -= len(block)
        self.ended = self._left == 0
        seen = self._tail + block
        # A CR at the very end may still get its LF; it is looked at with the next block.
        body = seen[:-1] if seen.endswith(b"\r") else seen
        pairs = body.count(b"\r\n")
        self.bare_breaks |= body.count(b"\n") != pairs or body.count(b"\r") != pairs
        self.dot_lines |= b"\r\n." in seen or (self.bare_breaks and (b"\n." in seen))
        self._tail = seen[-2:] if seen.endswith(b"\r\n") else seen[-1:] if seen.endswith(b"\r") else b""
        self._settle_end()
        return block

    def _settle_end(self) -> None:
        if self.ended and self.last and self._tail == b"\r":
            self.bare_breaks = True


class HeaderGuard:
    """Watches that the header section stays within its bound, without keeping it."""

    __slots__ = ("_done", "_limit", "_seen", "_tail")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen = 0
        self._done = False
        self._tail = b"\r\n"

    def feed(self, block: bytes) -> bool:
        """False once the header section is too long."""
        if self._done:
            return True
        at = (self._tail + block[: self._limit + 4]).find(b"\r\n\r\n")
        if at >= 0:
            self._done = True
            return self._seen + at <= self._limit + 2
        self._seen += len(block)
        self._tail = (self._tail + block[-3:])[-3:]
        return self._seen <= self._limit
