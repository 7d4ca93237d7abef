"""The values of header fields as MIME readers need them: unfolded, in tokens, parameters in all their forms."""

import re

_FOLD = re.compile(rb"\r?\n(?=[ \t])")
_TOKEN = re.compile(rb'[^\x00-\x20()<>@,;:\\"/\[\]?=\x7f]+')
_LOOSE = re.compile(rb'[^\x00-\x20;"]+')  # what stands where a token should: taken as it is
_PARAMETER = re.compile(_TOKEN.pattern + rb"+[ \t]*+=")
_SPACE = re.compile(rb"[ \t\r\n]+")
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*+)"?', re.DOTALL)
_MARK = re.compile(rb"[()\\]")
_MAX_PARAMETERS = 200
_MAX_STEPS = 10_000  # semicolons, or marks of comments, in one field: with more it is not read further
_SECTION = re.compile(rb"(.+?)\*(\d{1,4})(\*?)\Z", re.DOTALL)


def unfolded(value: bytes) -> bytes:
    """A value in one line, without the space around it (RFC 5322 2.2.3)."""
    if b"\n" in value:
        value = _FOLD.sub(b"", value)
    return value.strip(b" \t\r\n")


def unquoted(text: bytes) -> bytes:
    """A quoted string or comment without the backslashes of its pairs (RFC 5322 3.2.1)."""
    if b"\\" not in text:
        return text
    pieces = [piece.replace(b"\\", b"") for piece in text.split(b"\\\\")]
    if text.endswith(b"\\") and (len(text) - len(text.rstrip(b"\\"))) % 2:
        pieces[-1] += b"\\"  # it has nothing to stand in front of
    return b"\\".join(pieces)


class Scanner:
    """Tokens of a structured field (RFC 2045 5.1), comments left out. Never raises, each octet is looked at once."""

    __slots__ = ("_steps", "at", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self.at = 0
        self._steps = 0

    def skip(self) -> int:
        """Go past space and comments; the octet at hand, -1 at the end."""
        text = self.text
        while self.at < len(text):
            found = _SPACE.match(text, self.at)
            if found:
                self.at = found.end()
            elif text[self.at] == 40:
                self._comment()
            else:
                return text[self.at]
        return -1

    def takes(self, octet: int) -> bool:
        """Go past space, comments and that octet, if it is next."""
        if self.skip() != octet:
            return False
        self.at += 1
        return True

    def token(self) -> bytes:
        """A token; b"" when there is none."""
        self.skip()
        found = _TOKEN.match(self.text, self.at)
        if found is None:
            return b""
        self.at = found.end()
        return found.group()

    def value(self) -> bytes:
        """A parameter's value: token or quoted string, or whatever stands there."""
        if self.skip() == 34:
            found = _QUOTED.match(self.text, self.at)
            assert found is not None
            self.at = found.end()
            return unquoted(_FOLD.sub(b"", found.group(1)))
        found = _LOOSE.match(self.text, self.at)
        if found is None:
            return b""
        self.at = found.end()
        return found.group().rstrip(b",")  # a comma in place of the semicolon

    def to_next(self) -> bool:
        """Go to the next parameter; False when there is none.

        RFC 2045 5.1 has a semicolon in front of it. Some write a comma, or nothing but space.
        """
        if self.takes(59) or self.takes(44) or _PARAMETER.match(self.text, self.at):
            return True
        at = self.text.find(b";", self.at)
        self.at = at + 1 if at >= 0 else len(self.text)
        return at >= 0

    def _comment(self) -> None:
        """RFC 5322 3.2.2: comments may hold comments."""
        depth = 0
        for mark in _MARK.finditer(self.text, self.at):
            self._steps += 1
            if self._steps > _MAX_STEPS:
                break
            if mark.start() < self.at:
                continue
            octet = mark.group()
            if octet == b"\\":
                self.at = mark.end() + 1
            elif octet == b"(":
                depth += 1
            else:
                depth -= 1
                if not depth:
                    self.at = mark.end()
                    return
        self.at = len(self.text)


_PERCENT = [
    b"%%%02X" % octet if octet <= 32 or octet >= 127 or octet in b"%*" else bytes((octet,)) for octet in range(256)
]
Parameters = tuple[tuple[bytes, bytes], ...]


def parameters(scanner: Scanner) -> Parameters:
    """What stands behind a type or disposition: names in lower case, in the order written, continuations joined."""
    found: list[tuple[bytes, bytes]] = []
    for _ in range(_MAX_STEPS):
        if len(found) == _MAX_PARAMETERS or not scanner.to_next():
            break
        name = scanner.token().lower()
        if name and scanner.takes(61):
            found.append((name, scanner.value()))
    return joined(found)


def joined(found: list[tuple[bytes, bytes]]) -> Parameters:
    """Parameters cut into pieces are one (RFC 2231 3). `name*` is coded (RFC 2231 4) as long as one piece is."""
    if not any(b"*" in name for name, _ in found):
        return tuple(found)
    whole: dict[bytes, bytes] = {}
    pieces: dict[bytes, dict[int, tuple[bytes, bool]]] = {}
    for name, value in found:
        section = _SECTION.match(name)
        if section is None:
            whole.setdefault(name, value)
        else:
            parts = pieces.setdefault(section.group(1), {})
            parts.setdefault(int(section.group(2)), (value, bool(section.group(3))))
    for name, parts in pieces.items():
        if 0 not in parts:
            for number, (value, coded) in parts.items():
                whole.setdefault(b"%b*%d%b" % (name, number, b"*" if coded else b""), value)
            continue
        texts, coded = [], any(flag for _, flag in parts.values())
        number = 0
        while number in parts:
            value, flag = parts[number]
            texts.append(value if flag or not coded else _percent(value))
            number += 1
        whole[name + b"*" if coded else name] = b"".join(texts)
    return tuple(whole.items())


def _percent(value: bytes) -> bytes:
    return b"".join([_PERCENT[octet] for octet in value])
