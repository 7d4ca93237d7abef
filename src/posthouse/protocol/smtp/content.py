"""The octets of a message, out of DATA (RFC 5321 4.1.1.4, 4.5.2) or BDAT (RFC 3030).

DATA ends with CRLF "." CRLF and nothing else. What other servers have taken for it (LF.LF, CR.CR and their kin) is the
stuff of SMTP smuggling: a bare CR or LF never ends anything here, and the message that holds one is refused as a whole.
One slip is forgiven, since clients in the field make it and nobody takes it for an end: one CR too many before a CRLF,
unless a dot stands before it. It is left out, so that what is kept has clean lines (docs/decisions/023). Where the
operator lets old devices end their lines with LF alone, BareLfDataReader makes it CRLF; the end is as strict.

The readers work on blocks with a few vector operations, never on lines. DataReader imagines a CRLF in front of the
message, so that its first line is like any other, and holds back the last octets of a block where they may be the
start of the end (at most five). So a block never ends within a CRLF or before a stuffed dot, and each octet is looked
at once. ChunkReader knows the length and holds nothing back; it only remembers what the last octet was.
"""

import re

import stringzilla as sz

END = b"\r\n.\r\n"
_CR, _LF, _DOT = 13, 10, 46
_LOOSE_TAIL = re.compile(rb"(?:\r{0,2}\n(?:\.\r{0,2})?|\r{1,2})\Z")  # what the next octets may make an end of, or a dot
_LONE_DOT = re.compile(rb"\n\.\r?\n")  # of a line: never the true end, which no content holds
_CR_TABLE = bytes(octet == _CR for octet in range(256))
_LF_TABLE = bytes(octet == _LF for octet in range(256))


def holds_bare_break(block: bytes) -> bool:
    """True when a CR stands without LF behind it, or a LF without CR before it, the edges of the block included."""
    crs = sz.translate(block, _CR_TABLE)
    lfs = sz.translate(block, _LF_TABLE)
    # A CRLF at i sets crs[i] and lfs[i + 1]: without bare breaks one is the other, shifted by one octet.
    return bool(crs) and (lfs[0] == 1 or crs[-1] == 1 or not sz.equal(memoryview(crs)[:-1], memoryview(lfs)[1:]))


def _holds_more_than_doubled_crs(block: bytes, before: int) -> bool:
    """Whether some bare break in `block` is not the forgiven CR CR LF. `before` is the octet in front of the block."""
    if sz.find(block, b".\r\r\n") >= 0 or (before == _DOT and block.startswith(b"\r\r\n")):
        return True
    return holds_bare_break(block.replace(b"\r\r\n", b"\r\n"))


class DataReader:
    """The content of one DATA, dot-stuffing removed."""

    __slots__ = ("_before", "_held", "_lead", "bare_cr_or_lf", "ended", "has_leading_dots", "rest")

    def __init__(self) -> None:
        self._held = b"\r\n"
        self._lead = 2  # octets of the next block that are only imagined
        self._before = _LF  # the last octet of the block before
        self.ended = False
        self.rest = b""  # what came behind the end
        self.bare_cr_or_lf = False
        self.has_leading_dots = False  # a line of the content starts with "."

    def feed(self, data: bytes) -> bytes:
        """The content that is certain now, b"" when none is."""
        if self._lead and self._held == b"\r\n" and data[0] != _DOT:
            self._held, self._lead = b"", 0  # the CRLF in front matters to a dot only: spare the copy
        elif self._held:
            data = self._held + data
        end = sz.find(data, END)
        if end >= 0:
            self.ended = True
            self.rest = data[end + 5 :]
            return self._plain(data[: end + 2])
        held = self._held_back(data)
        self._held = data[len(data) - held :] if held else b""
        return self._plain(data[: len(data) - held] if held else data) if held < len(data) else b""

    def skip(self, data: bytes) -> int:
        """Like feed() for content that nobody wants: how many octets of it came."""
        data = self._held + data
        end = sz.find(data, END)
        if end >= 0:
            self.ended = True
            self.rest = data[end + 5 :]
            return int(end)
        held = self._held_back(data)
        self._held = data[len(data) - held :]
        return len(data) - held

    def _plain(self, block: bytes) -> bytes:
        before, self._before = self._before, block[-1]
        if not self.bare_cr_or_lf:
            block = self._with_clean_lines(block, before)
        if sz.find(block, b"\r\n.") >= 0:
            if not self.has_leading_dots and sz.find(block, b"\r\n..") >= 0:
                self.has_leading_dots = True
            block = block.replace(b"\r\n.", b"\r\n")  # RFC 5321 4.5.2
        if self._lead:
            block = block[self._lead :]
            self._lead = 0
        return block

    def _with_clean_lines(self, block: bytes, before: int) -> bytes:
        """The block with CRLF at the end of its lines; notes what is forgiven nobody. `before`: the octet in front."""
        if not holds_bare_break(block):
            return block
        self.bare_cr_or_lf = _holds_more_than_doubled_crs(block, before)
        return block.replace(b"\r\r\n", b"\r\n")

    def _held_back(self, data: bytes) -> int:
        """How many octets at the end of `data` may begin END, with one CR more where it stands before them."""
        last = data[-1]
        if last == _CR:
            held = 4 if data.endswith(b"\r\n.\r") else 1
        elif last == _LF:
            held = 2 if data.endswith(b"\r\n") else 0
        else:
            held = 3 if last == _DOT and data.endswith(b"\r\n.") else 0
        return held + 1 if held and data[-held - 1 : -held] == b"\r" else held


class BareLfDataReader(DataReader):
    """The same for a peer whose lines may end with LF alone: CRLF is made of it.

    A dot alone on a line that does not stand between two CRLFs would be an end for some servers: it refuses the
    message, as a bare CR does.
    """

    __slots__ = ("_lead_in",)

    def __init__(self) -> None:
        super().__init__()
        self._lead_in = b"\n"  # the last octets of the blocks before

    def _with_clean_lines(self, block: bytes, before: int) -> bytes:
        around = self._lead_in + block
        self._lead_in = around[-3:]
        lines = block.replace(b"\r\r\n", b"\r\n").replace(b"\r\n", b"\n")
        doubled_behind_dot = b".\r\r\n" in block or (before == _DOT and block.startswith(b"\r\r\n"))
        self.bare_cr_or_lf = b"\r" in lines or doubled_behind_dot or _LONE_DOT.search(around) is not None
        return lines.replace(b"\n", b"\r\n")

    def _held_back(self, data: bytes) -> int:
        tail = _LOOSE_TAIL.search(data, max(0, len(data) - 5))
        return len(data) - tail.start() if tail is not None else 0


class ChunkReader:
    """The content of one message in BDAT chunks, taken as it is."""

    __slots__ = ("_last", "bare_cr_or_lf", "has_leading_dots", "last", "left")

    def __init__(self) -> None:
        self._last = _LF  # the octet before the next one; a message starts like a line
        self.left = 0  # octets of the chunk at hand that are still to come
        self.last = False  # the chunk at hand is the last one
        self.bare_cr_or_lf = False
        self.has_leading_dots = False

    def begin(self, octets: int, *, last: bool) -> None:
        """Expect another chunk."""
        self.left, self.last = octets, last

    def feed(self, block: bytes) -> None:
        """Note what `block`, part of the chunk at hand and not empty, holds."""
        self.left -= len(block)
        if not self.has_leading_dots:
            # A dot behind a bare LF counts too: clients that read lines by LF alone need it stuffed.
            self.has_leading_dots = (block[0] == _DOT and self._last == _LF) or sz.find(block, b"\n.") >= 0
        if not self.bare_cr_or_lf:
            self.bare_cr_or_lf = self._holds_bare_break(block)
        self._last = block[-1]

    def finish(self) -> None:
        """The last chunk is complete: a CR at its end stays bare."""
        self.bare_cr_or_lf |= self._last == _CR

    def _holds_bare_break(self, block: bytes) -> bool:
        start, stop = 0, len(block)
        if self._last == _CR:
            if block[0] != _LF:
                return True
            start = 1
        if block[-1] == _CR:
            stop -= 1  # judged together with what follows
        return holds_bare_break(block if stop - start == len(block) else block[start:stop])


class HeaderGuard:
    """Watches that the header section stays within its bound, without keeping it."""

    __slots__ = ("_limit", "_passed", "_seen", "_tail")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._seen = 0  # octets so far
        self._tail = b"\r\n"  # the last octets; before the message stands an imagined CRLF
        self._passed = False

    def admits(self, block: bytes) -> bool:
        """False when the header section has more octets than the limit; `block` is the next piece of the message."""
        if self._passed:
            return True
        joint = (self._tail + block[:3]).find(b"\r\n\r\n")
        if joint >= 0:
            end = self._seen - len(self._tail) + joint + 2
        else:
            found = sz.find(block, b"\r\n\r\n")
            end = self._seen + found + 2 if found >= 0 else -1
        if end >= 0:
            self._passed = end <= self._limit
            return self._passed
        self._seen += len(block)
        self._tail = (self._tail + block)[-3:] if len(block) < 3 else block[-3:]
        return self._seen <= self._limit + 1
