"""Line ends of a message that did not come by SMTP, made CRLF (RFC 5322 2.3), however its octets are cut.

What IMAP clients append may have been written by any program. A message with LF alone, CR alone or CR CR LF has no
header that anybody here could read, so each of them becomes CRLF (docs/decisions/023). A body of binary data keeps its
octets; its header section has lines all the same (RFC 3030 3).
"""

import re

from posthouse.message.coding import has_true_breaks

MAX_HEAD = 256 << 10  # octets that are held while the end of the header section is looked for

# Atomic groups: a CRLF is never read as two line ends.
_END = rb"(?>\r\r\n|\r\n|\n|\r)"
_EMPTY_LINE = re.compile(rb"(?:\A|" + _END + rb")" + _END)
_BINARY = re.compile(rb"^content-transfer-encoding[ \t]*:[ \t]*binary\b", re.IGNORECASE | re.MULTILINE)


class LineEnds:
    """Fed with a message in pieces, it gives back what is to be kept. end() is to be called once, at the end."""

    __slots__ = ("_binary", "_head", "_held", "_scanned")

    def __init__(self, *, binary: bool = False) -> None:
        """`binary`: the body is known to be binary data; else a header field that says so is believed."""
        self._binary = binary
        self._head: bytearray | None = bytearray()
        self._scanned = 0
        self._held = b""  # CRs whose next octet has not come

    def feed(self, data: bytes) -> bytes:
        """The octets that are certain now, b"" when none are."""
        if self._head is None:
            return self._body(data)
        self._head += data
        found = _EMPTY_LINE.search(self._head, max(0, self._scanned - 4))
        self._scanned = len(self._head)
        # A CR, and a CR behind it, may yet be the start of CR CR LF.
        if found is not None and (found[0].endswith(b"\n") or bytes(self._head[found.end() :]) not in (b"", b"\r")):
            return self._leave_head(found.end())
        return self._leave_head(len(self._head)) if len(self._head) > MAX_HEAD else b""

    def end(self) -> bytes:
        """What was held back."""
        if self._head is not None:
            return _cleaned(bytes(self._head))
        return _cleaned(self._held)

    def _leave_head(self, end: int) -> bytes:
        assert self._head is not None
        head, rest = bytes(self._head[:end]), bytes(self._head[end:])
        self._head = None
        if end > MAX_HEAD:
            return self._body(head + rest)  # no header that anybody would read
        head = _cleaned(head)
        self._binary = self._binary or _BINARY.search(head) is not None
        return head + self._body(rest)

    def _body(self, data: bytes) -> bytes:
        if self._binary:
            return data
        data = self._held + data
        # The last two CRs may be those of CR CR LF.
        held = 0 if not data.endswith(b"\r") else 2 if data.endswith(b"\r\r") else 1
        self._held = data[len(data) - held :]
        return _cleaned(data[: len(data) - held] if held else data)


def _cleaned(data: bytes) -> bytes:
    if has_true_breaks(data):
        return data
    lines = data.replace(b"\r\r\n", b"\r\n").splitlines()
    return b"\r\n".join(lines) + (b"\r\n" if data.endswith((b"\r", b"\n")) else b"")
