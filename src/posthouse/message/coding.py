"""The content transfer encodings (RFC 2045 6), and what may travel without one."""

import binascii
from base64 import b64encode

MAX_LINE = 998  # octets without CRLF, RFC 5322 2.1.1
_WORD = 45  # octets of text in one encoded-word, so that the word has at most 75 characters (RFC 2047 2)


def is_seven_bit(data: bytes) -> bool:
    """Whether it is "7bit" data as RFC 2045 2.7 has it: ASCII, no NUL, breaks that are CRLF, no line too long."""
    return data.isascii() and has_lines(data)


def has_lines(data: bytes) -> bool:
    """Whether it is at least "8bit" data (RFC 2045 2.8): any octets but NUL, in lines."""
    breaks = data.count(b"\r\n")
    if b"\0" in data or data.count(b"\r") != breaks or data.count(b"\n") != breaks:
        return False
    return len(data) <= MAX_LINE or max(map(len, data.split(b"\r\n"))) <= MAX_LINE


def quoted_printable(data: bytes) -> bytes:
    """RFC 2045 6.7. Each CRLF stays a line end; a bare CR or LF is an octet like any other."""
    return b"\r\n".join(_quoted_line(line) for line in data.split(b"\r\n"))


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


def _quoted_line(line: bytes) -> bytes:
    # Not as text, so that bare breaks and a space at the end are coded too.
    return binascii.b2a_qp(line, istext=False).replace(b"=\n", b"=\r\n")
