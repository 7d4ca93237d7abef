"""The content transfer encodings (RFC 2045 6), and what may travel without one."""

import binascii
import re
from base64 import b64encode

MAX_LINE = 998  # octets without CRLF, RFC 5322 2.1.1
_WORD = 45  # octets of text in one encoded-word, so that the word has at most 75 characters (RFC 2047 2)
# binascii codes a space at the end of a line after it has measured the line.
_PUSHED_OUT = re.compile(rb"^([^\r\n]{74,75})(=20|=09)(?=\r\n)", re.MULTILINE)


def is_seven_bit(data: bytes) -> bool:
    """Whether it is "7bit" data as RFC 2045 2.7 has it: ASCII, no NUL, breaks that are CRLF, no line too long."""
    return data.isascii() and has_lines(data)


def has_lines(data: bytes) -> bool:
    """Whether it is at least "8bit" data (RFC 2045 2.8): any octets but NUL, in lines."""
    if b"\0" in data or not has_true_breaks(data):
        return False
    return len(data) <= MAX_LINE or max(map(len, data.split(b"\r\n"))) <= MAX_LINE


class LineCheck:
    """Whether what goes by has no NUL and no line that is too long. Bare CRs and LFs are not looked for."""

    __slots__ = ("_open", "fits")

    def __init__(self) -> None:
        self._open = 0  # octets of the line under way
        self.fits = True

    def feed(self, piece: bytes) -> None:
        """Look at the next octets, cut anywhere."""
        if not self.fits:
            return
        lines = piece.split(b"\n")
        first, last = len(lines[0]) + self._open, len(lines[-1])
        self._open = first if len(lines) == 1 else last
        # A line has its CR still.
        self.fits = b"\0" not in piece and first <= MAX_LINE + 1 and max(map(len, lines)) <= MAX_LINE + 1


def has_true_breaks(data: bytes) -> bool:
    """Whether CR and LF stand together only, as in text of the canonical form (RFC 2046 4.1.1)."""
    breaks = data.count(b"\r\n")
    return data.count(b"\r") == breaks == data.count(b"\n")


def quoted_printable(text: bytes) -> bytes:
    """RFC 2045 6.7, for text that has_true_breaks()."""
    coded = binascii.b2a_qp(text, istext=True).replace(b"=\n", b"=\r\n")  # LF where the text has no break at all
    return _PUSHED_OUT.sub(rb"\1=\r\n\2", coded)


def base64_lines(data: bytes) -> bytes:
    """RFC 2045 6.8: lines of 76 characters, each ended by CRLF."""
    coded = b64encode(data)
    return b"".join(coded[at : at + 76] + b"\r\n" for at in range(0, len(coded), 76))


def header_text(text: str) -> str:
    """Text for an unstructured field such as Subject: as it is, or folded encoded-words beyond ASCII (RFC 2047)."""
    if text.isascii():
        return text
    words = [b""]
    for character in text:
        octets = character.encode("utf-8", "replace")
        if len(words[-1]) + len(octets) > _WORD:  # RFC 2047 5: no character is cut
            words.append(b"")
        words[-1] += octets
    return "\r\n ".join(f"=?utf-8?B?{b64encode(word).decode()}?=" for word in words)
