"""A message on its way out: dot-stuffing, the end, and TOP's cut (RFC 1939 3, 7)."""


class Stuffing:
    """Fed with a message in pieces, it gives back what goes on the wire."""

    __slots__ = ("_dots", "_in_body", "_last", "_line_octets", "_lines", "_open_end", "_tail", "done")

    def __init__(self, dot_lines: bool, open_end: bool, lines: int | None) -> None:
        """`lines`: how many lines of body TOP wants; None for the whole message."""
        self._dots = dot_lines
        self._open_end = open_end
        self._lines = lines
        self._in_body = False  # TOP: past the empty line behind the header
        self._line_octets = 0  # TOP: of the line under way
        self._last = b""
        self._tail = b"\r\n"
        self.done = False

    def feed(self, data: bytes) -> bytes:
        """The next octets as they are sent. Nothing is scanned when no line starts with a dot."""
        if self.done:
            return b""
        if self._lines is not None:
            data = self._cut(data)
        elif not self._dots:
            return data
        return self._stuff(data) if self._dots else data

    def end(self) -> bytes:
        """The end of the message."""
        return b".\r\n" if (self.done or not self._open_end) else b"\r\n.\r\n"

    def _stuff(self, data: bytes) -> bytes:
        # A dot after a bare LF is stuffed too: clients that read lines by LF would see a false end (decision 003).
        stuffed = data.replace(b"\n.", b"\n..")
        if data.startswith(b".") and self._tail.endswith(b"\n"):
            stuffed = b"." + stuffed
        if data:
            self._tail = data[-1:]
        return stuffed

    def _cut(self, data: bytes) -> bytes:
        """TOP: the header, the empty line, and so many lines of the body."""
        at = 0
        while not self.done:
            end = data.find(b"\n", at)
            if end < 0:
                self._line_octets += len(data) - at
                self._last = data[-1:] or self._last
                return data
            length = self._line_octets + end - at
            self._line_octets = 0
            empty = length == 0 or (length == 1 and (data[end - 1 : end] or self._last) == b"\r")
            at = end + 1
            self._count_line(empty)
        return data[:at]

    def _count_line(self, empty: bool) -> None:
        assert self._lines is not None
        if self._in_body:
            self._lines -= 1
        self._in_body = self._in_body or empty
        self.done = self._in_body and self._lines <= 0
