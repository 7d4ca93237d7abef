"""Relaxed canonicalisation: what of a message counts when it is signed or a signature is checked (RFC 6376 3.4).

The body comes in pieces that are cut anywhere. What cannot be judged before the next piece is held back: white space
at the end (it goes if the line ends there), a CR (it may be half a line end), and the empty lines seen last (they go
if the body ends there). The empty lines are held as a number, so that a body of nothing else costs no memory.
"""

import hashlib

_LINE_ENDS = b"\r\n" * 8192  # empty lines are hashed in portions of this


def relaxed_field(name: bytes, value: bytes) -> bytes:
    """One header field without its line end. `value` with its folds (RFC 6376 3.4.2)."""
    return name.strip(b" \t").lower() + b":" + _single_spaced(value.replace(b"\r\n", b"")).strip(b" ")


class RelaxedBody:
    """Hashes a body with SHA-256 as it goes by (RFC 6376 3.4.4)."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._held = b""  # "", " ", "\r" or " \r"
        self._line_ends = 0  # CRLFs held back
        self._empty = True

    def feed(self, piece: bytes) -> None:
        """Take the next octets, cut anywhere."""
        data = self._held + piece if self._held else piece
        held_cr = data.endswith(b"\r")
        solid = data[:-1] if held_cr else data
        text = solid.rstrip(b" \t")
        self._held = (b" " if len(text) < len(solid) else b"") + (b"\r" if held_cr else b"")
        self._take(_single_spaced(text).replace(b" \r\n", b"\r\n"))

    def digest(self) -> bytes:
        """The body has ended: its hash. To be called once."""
        if self._held.endswith(b"\r"):  # it was no line end after all
            self._take(self._held)
        if not self._empty:
            self._hash.update(b"\r\n")  # the one line end that counts, also when the body lacks it
        return self._hash.digest()

    def _take(self, text: bytes) -> None:
        """Hash all but the line ends that `text` closes with."""
        line_ends = _line_ends_after(text)
        content = text[: len(text) - 2 * line_ends] if line_ends else text
        if content:
            self._release()
            self._hash.update(content)
            self._empty = False
        self._line_ends += line_ends

    def _release(self) -> None:
        octets = 2 * self._line_ends
        self._line_ends = 0
        while octets:
            portion = min(octets, len(_LINE_ENDS))
            self._hash.update(_LINE_ENDS[:portion])
            octets -= portion


def _single_spaced(data: bytes) -> bytes:
    """Every run of spaces and tabs -> one space. Linear in practice: each round halves the longest run."""
    if b"\t" in data:
        data = data.replace(b"\t", b" ")
    while b"  " in data:
        data = data.replace(b"  ", b" ")
    return data


def _line_ends_after(text: bytes) -> int:
    """How many CRLFs `text` closes with. Linear, also for CRs and LFs in disorder."""
    if not text.endswith(b"\r\n"):
        return 0
    closing = text[len(text.rstrip(b"\r\n")) :]
    disorder = max(closing.rfind(b"\r\r"), closing.rfind(b"\n\n")) + 1
    return (len(closing) - disorder) // 2  # from there on CR and LF take turns; a single LF before them does not count
