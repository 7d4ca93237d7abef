"""Header lines that are too long, folded (RFC 5322 2.1.1, 2.2.3)."""

import re

from posthouse.message.coding import MAX_LINE

_WIDTH = 76  # where a line is cut if it may be
_SPACES = re.compile(rb"[ \t]+")
_CLOSERS = re.compile(rb"[,;>]")
_CONTINUATION = range(0x80, 0xC0)  # octets that do not begin a character of UTF-8


def fold_long(head: bytes) -> bytes:
    """The header section with every line of more than 998 octets folded; others keep their octets.

    A line is cut at spaces where it has some, else behind a comma, a semicolon or a closing bracket, else anywhere:
    that is what other servers do as well, and no server takes such a line as it is.
    """
    lines = head.split(b"\r\n")
    if max(map(len, lines)) <= MAX_LINE:
        return head
    return b"\r\n".join(b"\r\n".join(_folded(line)) if len(line) > MAX_LINE else line for line in lines)


def _folded(line: bytes) -> list[bytes]:
    folded, rest = [], _SPACES.sub(b" ", line).rstrip(b" ")
    earliest = rest.find(b":") + 2 if not rest.startswith(b" ") else 1  # the name is not left alone on its line
    while len(rest) > MAX_LINE:
        cut = _cut(rest, earliest)
        folded.append(rest[:cut].rstrip(b" "))
        rest, earliest = b" " + rest[cut:].lstrip(b" "), 2
    # What is left may be long for a reader, but no longer for a server.
    return [*folded, rest] if rest.strip() else folded


def _cut(line: bytes, earliest: int) -> int:
    """Where to cut: at least one octet behind `earliest`, and within the bound."""
    space = line.rfind(b" ", earliest + 1, _WIDTH)
    if space < 0:
        space = line.find(b" ", earliest + 1, MAX_LINE)
    if space >= 0:
        return space
    closers = [found.end() for found in _CLOSERS.finditer(line, earliest + 1, MAX_LINE)]
    if closers:
        return max((end for end in closers if end <= _WIDTH), default=closers[0])
    cut = MAX_LINE
    while cut > MAX_LINE - 4 and line[cut] in _CONTINUATION:
        cut -= 1
    return cut
