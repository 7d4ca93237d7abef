"""A message on its way out: dot-stuffing, the end, and TOP's cut (RFC 1939 3, 7)."""

_END = b".\r\n"


class Stuffing:
    """Fed with a message in pieces, it gives back what goes on the wire, however the pieces are cut."""

    __slots__ = ("_dots", "_in_body", "_line_octets", "_lines", "_open_end", "_tail", "done")

    def __init__(self, has_leading_dots: bool, no_final_crlf: bool, lines: int | None) -> None:
        """`has_leading_dots`: some line starts with a dot. `no_final_crlf`: the message does not end with CRLF.

        `lines`: how many lines of body TOP wants; None for the whole message.
        """
        self._dots = has_leading_dots
        self._open_end = no_final_crlf
        self._lines = lines
        self._in_body = False  # TOP: past the empty line behind the header
        self._line_octets = 0  # TOP: of the line under way
        self._tail = b"\r\n"  # the last two octets, where it matters
        self.done = False  # TOP has enough

    def feed(self, data: bytes) -> bytes:
        """The next octets as they are sent. Nothing is looked at where no line starts with a dot."""
        if self._lines is not None:
            data = self._cut(data)
        elif not self._dots:
            return data
        stuffed = self._stuff(data) if self._dots else data
        self._tail = data[-2:] if len(data) > 1 else (self._tail + data)[-2:]
        return stuffed

    def end(self) -> bytes:
        """The end of the message, on a line of its own."""
        # TOP may have stopped anywhere: also behind a bare LF, where a dot alone would end nothing (decision 003).
        broken = self._open_end if self._lines is None else self._tail != b"\r\n"
        return b"\r\n" + _END if broken else _END

    def _stuff(self, data: bytes) -> bytes:
        # A dot behind a bare LF is stuffed too: clients that read lines by LF would see a false end (decision 003).
        stuffed = data.replace(b"\n.", b"\n..")
        if data[:1] == b"." and self._tail[-1:] == b"\n":
            stuffed = b"." + stuffed
        return stuffed

    def _cut(self, data: bytes) -> bytes:
        """TOP: the header, the empty line, and so many lines of the body."""
        if self.done:
            return b""
        at = 0
        while not self.done:
            if self._in_body and self._lines:
                return self._cut_body(data, at)
            end = data.find(b"\n", at)
            if end < 0:
                self._line_octets += len(data) - at
                return data
            length = self._line_octets + end - at
            before = data[end - 1 : end] if end else self._tail[-1:]
            self._line_octets = 0
            at = end + 1
            self._count_line(empty=length == 0 or (length == 1 and before == b"\r"))
        return data[:at]

    def _cut_body(self, data: bytes, at: int) -> bytes:
        """The same from `at` on, which is in the body: there lines need only be counted."""
        assert self._lines is not None
        there = data.count(b"\n", at)
        if there < self._lines:
            self._lines -= there
            return data
        rest = data[at:].split(b"\n", self._lines)[-1]
        self._lines, self.done = 0, True
        return data[: len(data) - len(rest)]

    def _count_line(self, *, empty: bool) -> None:
        assert self._lines is not None
        if self._in_body:
            self._lines -= 1
        self._in_body = self._in_body or empty
        self.done = self._in_body and self._lines <= 0
