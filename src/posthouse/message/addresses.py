"""The addresses of header fields such as From and Sender (RFC 5322 3.4, RFC 6532, RFC 6854).

A scanner by hand, linear in the length of the field: comments, quoted names, groups, obsolete routes. Who an author is
gets decided by what it finds, and other programs show what they find: so what readers are known to read differently is
refused, even where the obsolete grammar of RFC 5322 4.4 has a meaning for it. Names are not judged, only addresses.
"""

import binascii
import re
from dataclasses import dataclass
from itertools import pairwise

from posthouse.message.address import Address, AddressError

MAX_FIELD = 64 << 10  # octets of one field
MAX_ADDRESSES = 1000
_MAX_COMMENT_DEPTH = 50

_FOLD = re.compile(r"\r{0,2}\n(?=[ \t])")
_CONTROL = re.compile(r"[\0-\x08\n-\x1f\x7f-\x9f]")
_BLANK = re.compile(r"[ \t]++")
_ATOM = re.compile(r"[^ \t\"(),:;<>@\[\]\\]++")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*+)"')
_QUOTED_PAIR = re.compile(r"\\(.)")
_COMMENT_MARK = re.compile(r"[()]|\\.")
_LITERAL = re.compile(r"\[[^\[\]\\ \t]*+\]")
# RFC 5322 4.4: obs-route, of host names alone.
_ROUTE = re.compile(r"@[\w.-]++(?:[ \t]*+,[ \t]*+@[\w.-]++)*+[ \t]*+:")
_ENCODED = re.compile(r"=\?[^? \t]{1,75}\?([BbQq])\?([^? \t]*+)\?=")
_NO_BASE64 = re.compile(r"[^A-Za-z0-9+/]++")


@dataclass(frozen=True, slots=True)
class MailboxAddress:
    """One address with the name beside it, as written."""

    name: str
    address: Address
    repeats: bool = False  # written "a@b <a@b>", without the quotes that a name with @ wants (RFC 5322 3.4)


class AddressListError(AddressError):
    """A field that cannot be read; the text is a sentence, in ASCII."""


@dataclass(frozen=True, slots=True)
class _Word:
    """An atom (with its dots) or the content of a quoted string, and where it stood."""

    text: str
    quoted: bool
    start: int
    end: int


def parse_mailboxes(raw: bytes) -> list[MailboxAddress]:
    """The mailboxes of a field body, those of groups too. Raises AddressListError; the list may be empty."""
    if len(raw) > MAX_FIELD:
        raise AddressListError("the field is too long")
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise AddressListError("the field is neither ASCII nor UTF-8") from None
    text = _FOLD.sub("", text.rstrip("\r\n"))  # RFC 5322 2.2.3
    if _CONTROL.search(text):
        raise AddressListError("the field holds control characters")
    return _Scanner(text).run()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._found: list[MailboxAddress] = []

    def run(self) -> list[MailboxAddress]:
        in_group = False
        apart = True  # a comma has come since the last address or group
        while mark := self._next():
            if mark == ",":
                self._at += 1
                apart = True
            elif mark == ";" and in_group:
                self._at += 1
                in_group = apart = False
            elif not apart:
                raise self._unreadable()
            else:
                opens = self._mailbox_or_group(in_group)
                in_group, apart = in_group or opens, opens
        if in_group:
            raise AddressListError("a group of addresses is not closed")
        return self._found

    def _mailbox_or_group(self, in_group: bool) -> bool:
        """True: it was the name of a group, and its members follow."""
        words = self._words()
        mark = self._next()
        if mark == "<":
            name = " ".join(word.text for word in words)
            self._add(name, self._angle())
            return False
        if mark == ":" and words and not in_group:  # RFC 5322 3.4: no group within a group
            self._at += 1
            return True
        if mark == "@" and words:
            address = self._address(words)
            repeats = self._next() == "<"
            # Printers give their address for a name. Whichever of the two a reader takes, it is the same.
            if repeats and self._angle() != address:
                raise AddressListError("one address stands as the name of another")
            self._add(str(address) if repeats else "", address, repeats=repeats)
            return False
        raise self._unreadable()

    def _angle(self) -> Address:
        self._at += 1
        if self._next() == "@":
            route = _ROUTE.match(self._text, self._at)
            if route is None:
                raise AddressListError("the route before an address cannot be read")
            self._at = route.end()
        address = self._address(self._words())
        if self._next() != ">":
            raise AddressListError("an angle bracket is not closed")
        self._at += 1
        return address

    def _address(self, words: list[_Word]) -> Address:
        """local@domain, whose words before the @ are read already."""
        if self._next() != "@" or not words:
            raise AddressListError("an address has no @")
        self._at += 1
        written = f"{_local(words)}@{self._domain()}"
        try:
            return Address.parse(written)
        except AddressError as error:
            raise AddressListError(str(error)) from None

    def _domain(self) -> str:
        self._next()
        literal = _LITERAL.match(self._text, self._at)
        if literal is not None:
            self._at = literal.end()
            return literal[0]
        words = self._words()
        if len(words) > 1 or (words and words[0].quoted):
            raise AddressListError("space, a comment or quotes stand within an address")
        return words[0].text if words else ""

    def _words(self) -> list[_Word]:
        words = []
        while self._next():
            quoted = _QUOTED.match(self._text, self._at)
            match = quoted or _ATOM.match(self._text, self._at)
            if match is None:
                break
            text = _QUOTED_PAIR.sub(r"\1", quoted[1]) if quoted is not None else match[0]
            words.append(_Word(text, quoted is not None, match.start(), match.end()))
            self._at = match.end()
        return words

    def _next(self) -> str:
        """The character behind white space and comments; "" at the end."""
        while True:
            blank = _BLANK.match(self._text, self._at)
            if blank is not None:
                self._at = blank.end()
            mark = self._text[self._at : self._at + 1]
            if mark != "(":
                return mark
            self._at = self._end_of_comment()

    def _end_of_comment(self) -> int:
        """RFC 5322 3.2.2: comments may hold comments."""
        depth = 0
        for mark in _COMMENT_MARK.finditer(self._text, self._at):
            if mark[0] == "(":
                depth += 1
                if depth > _MAX_COMMENT_DEPTH:
                    raise AddressListError("comments are nested too deep")
            elif mark[0] == ")":
                depth -= 1
                if not depth:
                    return mark.end()
        raise AddressListError("a comment is not closed")

    def _add(self, name: str, address: Address, *, repeats: bool = False) -> None:
        if len(self._found) >= MAX_ADDRESSES:
            raise AddressListError("there are too many addresses")
        if _hides_breaks(name):
            raise AddressListError("an encoded name holds control characters")
        self._found.append(MailboxAddress(name, address, repeats))

    def _unreadable(self) -> AddressListError:
        rest = self._text[self._at : self._at + 20]
        return AddressListError(f"it cannot be read from {rest!a} on" if rest else "an address is cut short")


def _local(words: list[_Word]) -> str:
    """The local part as Address.parse takes it.

    RFC 5322 4.4 lets space and comments stand around its dots. Readers differ there: some take "x. bob@here.test" for
    a name and bob's address.
    """
    for before, word in pairwise(words):
        dotted = (before.text.endswith(".") and not before.quoted) or (word.text.startswith(".") and not word.quoted)
        if before.end != word.start or not dotted:
            raise AddressListError("space, a comment or quotes stand within an address")
    local = "".join(word.text for word in words)
    if "=?" in local:  # RFC 2047 5: no encoded word within an address; some readers decode it nevertheless
        raise AddressListError("an encoded word stands within an address")
    if any(word.quoted for word in words):
        return '"' + local.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return local


def _hides_breaks(name: str) -> bool:
    """Whether an encoded word (RFC 2047) stands for NUL, CR or LF: some readers show only what is in front."""
    return any(_decoded(*match.groups()) & set(b"\0\r\n") for match in _ENCODED.finditer(name))


def _decoded(coding: str, text: str) -> set[int]:
    """The octets that occur in what an encoded word stands for."""
    if coding in "Qq":
        return set(binascii.a2b_qp(text.encode(), header=True))
    digits = _NO_BASE64.sub("", text)  # padding too: some decoders go on behind it
    return set(binascii.a2b_base64(digits[: -1 if len(digits) % 4 == 1 else None] + "==="))
