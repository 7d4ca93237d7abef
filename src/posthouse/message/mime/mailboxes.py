"""Addresses as ENVELOPE shows them: what can be read of a list, however broken it is (RFC 5322 3.4, RFC 9051 7.5.2)."""

import re
from typing import NamedTuple

from posthouse.message.mime.fields import unfolded, unquoted

MAX_ADDRESSES = 10_000
_MAX_STEPS = 20 * MAX_ADDRESSES  # a well-formed address takes about ten; what is none may take one for each octet
_SPACE = re.compile(rb"[ \t\r\n]+")
_ATOM = re.compile(rb'[^ \t\r\n()<>@,:;"\[\]]+')
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*+)"?', re.DOTALL)
_LITERAL = re.compile(rb"\[[^\]]*\]?")
_MARK = re.compile(rb"[()\\]")
# What most fields hold: one address, with or without a name of plain words or in quotes.
_SIMPLE = re.compile(
    rb'[ \t]*+(?:(?:"([^"\\\r\n]++)" ?|((?:[^ \t\r\n()<>@,:;"\[\]]++ )*+))<)?'
    rb'([^ \t\r\n()<>@,:;"\[\]]++)@([^ \t\r\n()<>@,:;"\[\]]++)(>?)[ \t\r\n]*+\Z'
)
_NO_DOMAIN = b"MISSING_DOMAIN"
_NO_MAILBOX = b"MISSING_MAILBOX"


class EnvelopeAddress(NamedTuple):
    """One address; a group begins with one that has only a mailbox, and ends with one that has nothing."""

    name: bytes | None
    route: bytes | None
    mailbox: bytes | None
    host: bytes | None


def read(raw: bytes) -> list[EnvelopeAddress]:
    """The addresses of a field. Never raises, linear in its length."""
    simple = _SIMPLE.match(raw)
    if simple and bool(simple[5]) == (b"<" in raw):
        quoted, words, mailbox, host, _ = simple.groups()
        return [EnvelopeAddress(quoted or (words and words.rstrip(b" ")) or None, None, mailbox, host)]
    return _Reader(unfolded(raw)).run()


class _Reader:
    def __init__(self, text: bytes) -> None:
        self._text = text
        self._at = 0
        self._steps = 0
        self._found: list[EnvelopeAddress] = []
        self._in_group = False
        self._quoted = False  # some of the last words stood in quotes

    def run(self) -> list[EnvelopeAddress]:
        while len(self._found) < MAX_ADDRESSES:
            mark = self._next()
            if mark < 0:
                break
            if mark == 44:  # ,
                self._at += 1
            elif mark == 59:  # ;
                self._at += 1
                self._end_group()
            else:
                self._address()
        self._end_group()
        return self._found

    def _end_group(self) -> None:
        if self._in_group:
            self._found.append(EnvelopeAddress(None, None, None, None))
            self._in_group = False

    def _address(self) -> None:
        """One address, or the beginning of a group."""
        words, comment = self._words()
        mark = self._peek()
        if mark == 58 and not self._in_group:  # :
            self._at += 1
            self._found.append(EnvelopeAddress(None, None, b" ".join(words), None))
            self._in_group = True
        elif mark == 60:  # <
            self._at += 1
            self._angle(b" ".join(words) or None)
        elif mark == 64:  # @
            self._at += 1
            domain, late = self._domain()
            name = late or comment
            self._found.append(EnvelopeAddress(name, None, b"".join(words) or _NO_MAILBOX, domain or _NO_DOMAIN))
        else:
            if len(words) > 1 or self._quoted:  # a name without an address
                self._found.append(EnvelopeAddress(b" ".join(words), None, _NO_MAILBOX, _NO_DOMAIN))
            elif words:
                self._found.append(EnvelopeAddress(comment, None, words[0], _NO_DOMAIN))
            if mark not in (-1, 44, 59):
                self._at += 1  # nothing that belongs here

    def _angle(self, name: bytes | None) -> None:
        route = None
        if self._next() == 64:
            colon = self._text.find(b":", self._at)
            close = self._text.find(b">", self._at)
            if 0 <= colon < (close if close >= 0 else len(self._text)):
                route = b"".join(self._text[self._at : colon].split())
                self._at = colon + 1
        words, _ = self._words()
        domain = b""
        if self._peek() == 64:
            self._at += 1
            domain, _ = self._domain()
        close = self._text.find(b">", self._at)
        if close >= 0:
            self._at = close + 1
        mailbox = b"".join(words)
        self._found.append(EnvelopeAddress(name, route, mailbox or _NO_MAILBOX, domain or _NO_DOMAIN))
        self._words_behind()

    def _words_behind(self) -> None:
        """What stands between > and the comma belongs to nobody."""
        while self._next() not in (-1, 44, 59):
            before = self._at
            self._words()
            if self._at == before:
                self._at += 1

    def _domain(self) -> tuple[bytes, bytes | None]:
        """The domain, and the comment behind it: long ago the name stood there."""
        comment = None
        parts: list[bytes] = []
        while True:
            mark = self._peek_past_space()
            if mark == 40:
                comment = self._comment()
                continue
            literal = _LITERAL.match(self._text, self._at)
            found = literal or (_ATOM.match(self._text, self._at) if not parts or self._dotted(parts) else None)
            if found is None:
                break
            parts.append(found.group())
            self._at = found.end()
        return b"".join(parts), comment

    def _dotted(self, parts: list[bytes]) -> bool:
        return parts[-1].endswith(b".") or self._text[self._at : self._at + 1] == b"."

    def _words(self) -> tuple[list[bytes], bytes | None]:
        """Words up to a mark, and the last comment among them."""
        words: list[bytes] = []
        comment = None
        glued = self._quoted = False
        while True:
            before = self._at
            mark = self._peek_past_space()
            if mark == 40:
                comment = self._comment()
                continue
            if mark == 34:
                found = _QUOTED.match(self._text, self._at)
                assert found is not None
                text = unquoted(found.group(1))
                self._quoted = True
            else:
                found = _ATOM.match(self._text, self._at)
                if found is None:
                    return words, comment
                text = found.group()
            if words and glued and before == self._at:
                words[-1] += text
            else:
                words.append(text)
            glued = True
            self._at = found.end()

    def _next(self) -> int:
        """The octet behind space and comments."""
        while self._peek_past_space() == 40:
            self._comment()
        return self._peek()

    def _peek_past_space(self) -> int:
        self._steps += 1
        if self._steps > _MAX_STEPS:
            self._at = len(self._text)
        found = _SPACE.match(self._text, self._at)
        if found:
            self._at = found.end()
        return self._peek()

    def _peek(self) -> int:
        return self._text[self._at] if self._at < len(self._text) else -1

    def _comment(self) -> bytes:
        start = self._at
        depth = 0
        skip = -1
        for mark in _MARK.finditer(self._text, self._at):
            self._steps += 1
            if self._steps > _MAX_STEPS:
                break
            if mark.start() == skip:
                continue
            octet = mark.group()
            if octet == b"\\":
                skip = mark.end()
            elif octet == b"(":
                depth += 1
            else:
                depth -= 1
                if not depth:
                    self._at = mark.end()
                    return unquoted(self._text[start + 1 : mark.start()]).strip()
        self._at = len(self._text)
        return unquoted(self._text[start + 1 :]).strip()
