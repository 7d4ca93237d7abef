"""What later readers would have to scan an appended message for: lines that begin with a dot, bare CR or LF."""

from collections.abc import Iterable

from posthouse.protocol.smtp.content import holds_bare_break


class LineScan:
    """Is fed with a message in pieces, and knows then whether some line begins with a dot, or a CR or LF is alone."""

    __slots__ = ("_bare", "_first", "_held", "dots")

    def __init__(self) -> None:
        self.dots = self._bare = False
        self._held = b"\n"  # the first line is like any other
        self._first = True

    def feed(self, chunk: bytes) -> None:
        """The next octets, at least one."""
        block = self._held + chunk
        self.dots = self.dots or b"\n." in block
        # A CR at the end may be half of a CRLF: it is looked at with the next chunk.
        held = block[-1:] if block[-1:] in (b"\r", b"\n") else b""
        whole = block[1:] if self._first else block
        if held == b"\r":
            whole = whole[:-1]
        elif not self._first and block[:1] == b"\n":
            whole = whole[1:]
        self._bare = self._bare or bool(whole and holds_bare_break(whole))
        self._held, self._first = held, False

    @property
    def bare(self) -> bool:
        """Whether there is a CR or LF alone, if this was all."""
        return self._bare or self._held == b"\r"


def scan_line_ends(chunks: Iterable[bytes]) -> tuple[bool, bool]:
    """Whether some line begins with a dot, and whether there is a CR or LF alone."""
    scan = LineScan()
    for chunk in chunks:
        scan.feed(chunk)
    return scan.dots, scan.bare
