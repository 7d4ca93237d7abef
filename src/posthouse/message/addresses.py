"""The addresses of header fields such as From and Sender (RFC 5322 3.4, RFC 6532, RFC 6854).

A scanner by hand, linear in the length of the field: comments, quoted names, groups, obsolete routes.
"""

import re
from dataclasses import dataclass

from posthouse.message.address import Address, AddressError

MAX_FIELD = 64 << 10  # octets of one field
MAX_ADDRESSES = 1000
_MAX_COMMENT_DEPTH = 50

_FOLD = re.compile(r"\r?\n[ \t]")
_WORD = re.compile(r"[^\s\"(),:;<>@\[\]\\]+")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_LITERAL = re.compile(r"\[[^\[\]\\\s]*+\]")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One address with the name beside it, as written."""

    name: str
    address: Address


class AddressListError(AddressError):
    """A field that cannot be read; the text is a sentence."""


def parse_mailboxes(raw: bytes) -> list[Mailbox]:
    """The mailboxes of a field body, those of groups too. Raises AddressListError; the list may be empty."""
    if len(raw) > MAX_FIELD:
        raise AddressListError("the field is too long")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise AddressListError("the field is neither ASCII nor UTF-8") from None
    return _Scanner(_FOLD.sub(" ", text)).run()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._found: list[Mailbox] = []

    def run(self) -> list[Mailbox]:
        in_group = False
        while True:
            self._skip()
            mark = self._peek()
            if mark == "":
                break
            if mark == ",":
                self._at += 1
            elif mark == ";" and in_group:
                self._at += 1
                in_group = False
            else:
                in_group = self._one(in_group) or in_group
        if in_group:
            raise AddressListError("a group of addresses is not closed")
        return self._found

    def _one(self, in_group: bool) -> bool:
        """A mailbox, or the name of a group: then True."""
        words = self._words()
        mark = self._peek()
        if mark == "<":
            self._add(" ".join(word for word, _ in words), self._angle())
            return False
        if mark == ":" and words and not in_group:  # RFC 5322 3.4: no group within a group
            self._at += 1
            return True
        if mark == "@" and words:
            self._add("", self._spec(words))
            return False
        raise AddressListError(f"it cannot be read from {self._text[self._at : self._at + 20]!r} on")

    def _angle(self) -> Address:
        self._at += 1
        self._skip()
        if self._peek() == "@":  # RFC 5322 4.4: an obsolete route before the address
            end = self._text.find(":", self._at)
            if end < 0 or end - self._at > 1000:
                raise AddressListError("a route before an address has no end")
            self._at = end + 1
        address = self._spec(self._words())
        self._skip()
        if self._peek() != ">":
            raise AddressListError("an angle bracket is not closed")
        self._at += 1
        return address

    def _spec(self, words: list[tuple[str, bool]]) -> Address:
        """local@domain, whose words before the @ are read already. Space between atoms is obsolete, and left out."""
        if self._peek() != "@" or not words:
            raise AddressListError("an address has no @")
        self._at += 1
        self._skip()
        literal = _LITERAL.match(self._text, self._at)
        if literal is not None:
            self._at = literal.end()
            domain = literal[0]
        else:
            domain = "".join(word for word, _ in self._words())
        local = words[0][0] if len(words) == 1 else "".join(word for word, _ in words)
        if any(quoted for _, quoted in words):
            local = '"' + local.replace("\\", "\\\\").replace('"', '\\"') + '"'
        try:
            return Address.parse(f"{local}@{domain}")
        except AddressError as error:
            raise AddressListError(str(error)) from None

    def _words(self) -> list[tuple[str, bool]]:
        """Atoms and quoted strings, with whether they were quoted; comments between them are passed over."""
        words = []
        while True:
            self._skip()
            quoted = _QUOTED.match(self._text, self._at)
            if quoted is not None:
                words.append((re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL), True))
                self._at = quoted.end()
                continue
            atom = _WORD.match(self._text, self._at)
            if atom is None:
                return words
            words.append((atom[0], False))
            self._at = atom.end()

    def _skip(self) -> None:
        """White space and comments (RFC 5322 3.2.2)."""
        depth = 0
        text = self._text
        while self._at < len(text):
            mark = text[self._at]
            if mark == "(":
                depth += 1
                if depth > _MAX_COMMENT_DEPTH:
                    raise AddressListError("comments are nested too deep")
            elif mark == ")" and depth:
                depth -= 1
            elif mark == "\\" and depth:
                self._at += 1
            elif not depth and not mark.isspace():
                return
            self._at += 1
        if depth:
            raise AddressListError("a comment is not closed")

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _add(self, name: str, address: Address) -> None:
        if len(self._found) >= MAX_ADDRESSES:
            raise AddressListError("there are too many addresses")
        self._found.append(Mailbox(_SPACE.sub(" ", name), address))
