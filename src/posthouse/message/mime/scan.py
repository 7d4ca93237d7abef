"""Finds the parts of a message. Never raises, whatever the octets are; the time is linear in their number.

One pass: each line that begins with two dashes is looked at once, whatever is nested in what. The parts whose end is
not known yet lie on a stack, and the boundaries of the multiparts among them in a dictionary. A line of one of these
ends everything within that multipart, closed or not (RFC 2046 5.1.2); if several have that boundary, as some programs
write, the innermost owns the line. What is nested too deep is a leaf, and the last part of too many has all the rest.
"""

import re
from dataclasses import dataclass

from posthouse.message.header import header_end
from posthouse.message.mime.describe import describe
from posthouse.message.mime.part import Part

MAX_DEPTH = 100  # the message itself counts
MAX_PARTS = 10_000
_DASHES = re.compile(rb"\n--([^\n]*+)\n?")
_PADDING = b" \t\r"  # RFC 2046 5.1.1: what may follow a boundary


def scan(data: bytes) -> Part:
    """The tree of a message."""
    return _Scan(data).run()


@dataclass(slots=True)
class _Open:
    """A part whose end is not known yet."""

    part: Part
    boundary: bytes = b""  # of a multipart that is not closed
    outer: int = -1  # whose boundary this was before: a place on the stack


class _Scan:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = MAX_PARTS
        self._stack: list[_Open] = []
        self._owners: dict[bytes, int] = {}  # boundary -> place on the stack
        self._behind_blank = -1  # the blank line found last: many headers may run up to the same

    def run(self) -> Part:
        root = self._begin(0, b"text")
        at = self._stack[-1].part.body
        while self._owners and (line := _DASHES.search(self._data, at - 1)):
            at = line.end()
            owner, closing = self._owner(line.group(1))
            if owner < 0:
                continue
            if closing:
                self._end(owner + 1, line.start())
                self._release_boundary(self._stack[owner])
            elif self._left > 0:
                self._end(owner + 1, line.start())
                self._next(self._stack[owner].part, at)
                at = self._stack[-1].part.body
            else:
                self._owners.clear()
        self._end(0, len(self._data))
        return root

    def _owner(self, text: bytes) -> tuple[int, bool]:
        """Whose boundary a line is, -1 when it is nobody's, and whether it is the last."""
        text = text.rstrip(_PADDING)
        opening = self._owners.get(text, -1)
        closing = self._owners.get(text[:-2], -1) if text.endswith(b"--") else -1
        return max(opening, closing), closing > opening

    def _next(self, multipart: Part, start: int) -> None:
        digest = multipart.subtype.lower() == b"digest"
        multipart.parts.append(self._begin(start, b"message" if digest else b"text"))

    def _begin(self, start: int, default: bytes) -> Part:
        """The part that starts there, and what it begins with. Default type: RFC 2046 5.1.5."""
        body, whole = self._header(start)
        part = Part(start, body, body)
        if default == b"message":
            part.type, part.subtype, part.params = b"message", b"rfc822", ()
        describe(part, self._data[start:body])
        self._left -= 1
        self._stack.append(_Open(part))
        if part.is_multipart or part.is_message:
            if len(self._stack) >= MAX_DEPTH or self._left <= 0:
                part.type, part.subtype = b"application", b"octet-stream"  # as nothing is known of what is within
            elif part.is_message:
                part.parts.append(self._begin(body, b"text"))
            elif whole:
                self._own(part)
        return part

    def _header(self, start: int) -> tuple[int, bool]:
        """Where the body begins; False if a boundary comes in front of the blank line, and there is none."""
        data = self._data
        body = self._behind_blank_line(start)
        at = start
        while self._owners and (line := _DASHES.search(data, max(at - 1, 0), body)):
            if self._owner(line.group(1))[0] >= 0:
                return line.start() + 1, False
            at = line.end()
        return body, True

    def _behind_blank_line(self, start: int) -> int:
        """Behind the first empty line; the end of all when there is none."""
        if self._data.startswith((b"\n", b"\r\n"), start):
            return header_end(self._data, start, bare_lf=True)
        if self._behind_blank <= start:
            self._behind_blank = header_end(self._data, start, bare_lf=True)
        return self._behind_blank

    def _own(self, part: Part) -> None:
        """From now on, lines of its boundary are this part's."""
        entry = self._stack[-1]
        entry.boundary = (part.param(b"boundary") or b"").rstrip(_PADDING)
        if entry.boundary:
            entry.outer = self._owners.get(entry.boundary, -1)
            self._owners[entry.boundary] = len(self._stack) - 1

    def _release_boundary(self, entry: _Open) -> None:
        if entry.boundary and entry.outer >= 0:
            self._owners[entry.boundary] = entry.outer
        else:
            self._owners.pop(entry.boundary, None)
        entry.boundary = b""

    def _end(self, place: int, at: int) -> None:
        """What is open from that place of the stack on ends before the line end that is there, or with the message."""
        if place >= len(self._stack):
            return
        if at < len(self._data) and self._data[at - 1 : at] == b"\r":  # RFC 2046 5.1.1: it is the boundary's
            at -= 1
        at = max(at, self._stack[place].part.header)
        while len(self._stack) > place:
            entry = self._stack.pop()
            self._release_boundary(entry)
            part = entry.part
            part.header, part.body, part.end = min(part.header, at), min(part.body, at), at
            if part.is_multipart and not part.parts and part.body < at:
                part.parts.append(self._all_of(part))
            part.lines = self._lines(part)

    def _all_of(self, multipart: Part) -> Part:
        """The text that a multipart is whose boundary is missing or nowhere to be found: else no part has it."""
        found = Part(multipart.body, multipart.body, multipart.end, encoding=multipart.encoding)
        found.lines = self._lines(found)
        return found

    def _lines(self, part: Part) -> int:
        """Line ends in its body; those in its parts are known."""
        count = self._data.count
        at, found = part.body, 0
        for child in part.parts:
            found += count(b"\n", at, child.body) + child.lines
            at = child.end
        return found + count(b"\n", at, part.end)
