"""A bare IMAP client on a blocking socket: sends exactly what it is told, reads whole responses, literals and all."""

import re
import select
import socket
import zlib
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from tests.outside.program import PASSWORD
from tests.outside.wire import TIMEOUT, Wire

_LITERAL = re.compile(rb"~?\{(\d+)\}\r\n\Z")
_CODE = re.compile(rb"\[([A-Z0-9-]+)([^\]]*)\]")


class ImapError(AssertionError):
    """The server did not say OK, or closed."""


@dataclass(frozen=True)
class Answer:
    """All that came for one command. `status`: OK, NO, BAD; BYE when the server hung up instead."""

    status: str
    text: bytes
    untagged: list[bytes]

    @property
    def code(self) -> str:
        """The response code, without its arguments; "" when there is none."""
        found = _CODE.match(self.text)
        return found.group(1).decode() if found else ""

    def argument(self, code: str) -> str:
        """What stands behind a response code, tagged or untagged; "" when it did not come."""
        for text in (self.text, *(line.partition(b" OK ")[2] for line in self.untagged if line.startswith(b"* OK "))):
            found = _CODE.match(text)
            if found and found.group(1).decode() == code:
                return found.group(2).decode().strip()
        return ""


class ImapWire(Wire):
    """One session."""

    def __init__(self, port: int, *, tls: bool = False, source: str = "127.0.0.1", timeout: float = TIMEOUT) -> None:
        super().__init__(port, tls=tls, source=source, timeout=timeout)
        self._tags = 0
        self._packer: zlib._Compress | None = None
        self._unpacker: zlib._Decompress | None = None
        self._came = bytearray()

    @classmethod
    def open(cls, port: int, user: str, mailbox: str = "", *, timeout: float = TIMEOUT) -> Self:
        """A session that is logged in, and has opened a mailbox if one is named."""
        wire = cls(port, timeout=timeout)
        try:
            wire.greeting()
            wire.login(user)
            if mailbox:
                wire.ok(b"SELECT " + quoted(mailbox))
        except BaseException:
            wire.close()
            raise
        return wire

    def greeting(self) -> bytes:
        """The first line."""
        line = self.line()
        if not line.startswith(b"* OK"):
            raise ImapError(f"greeting: {line!r}")
        return line

    def login(self, user: str, password: str = PASSWORD) -> str:
        """LOGIN, which must succeed."""
        return self.ok(b"LOGIN %b %b" % (quoted(user), quoted(password))).status

    @property
    def local_port(self) -> int:
        """Ours."""
        return int(self._socket.getsockname()[1])

    # Octets, compressed or not.

    def compress(self) -> None:
        """COMPRESS DEFLATE, and from then on so."""
        self.ok(b"COMPRESS DEFLATE")
        self._packer = zlib.compressobj(6, zlib.DEFLATED, -15)
        self._unpacker = zlib.decompressobj(-15)

    def send(self, data: bytes) -> None:
        """Write all of it."""
        if self._packer is not None:
            data = self._packer.compress(data) + self._packer.flush(zlib.Z_SYNC_FLUSH)
        super().send(data)

    def send_raw(self, data: bytes) -> None:
        """Write all of it as it is."""
        super().send(data)

    def shut(self) -> None:
        """Say that nothing more will come from us."""
        self._socket.shutdown(socket.SHUT_WR)

    def has_come(self, seconds: float = 0.0) -> bool:
        """Whether there is something to read, or the end of it, within that time."""
        return bool(self._came) or bool(select.select([self._socket], [], [], seconds)[0])

    def line(self) -> bytes:
        """The next line with its end, however long; what there is once the server has closed."""
        scanned = 0
        while (end := self._came.find(b"\n", scanned) + 1) == 0:
            scanned = len(self._came)
            if not self._more():
                end = scanned
                break
        return self._take(end)

    def exactly(self, octets: int) -> bytes:
        """So many octets."""
        while len(self._came) < octets and self._more():
            continue
        return self._take(octets)

    def rest(self) -> bytes:
        """Everything until the server closes; a reset counts as closing."""
        with suppress(ConnectionResetError):
            while self._more():
                continue
        return self._take(len(self._came))

    def _more(self) -> bool:
        data = self._socket.recv(1 << 18)
        self._came += data if self._unpacker is None else self._unpacker.decompress(data)
        return bool(data)

    def _take(self, octets: int) -> bytes:
        data = bytes(self._came[:octets])
        del self._came[:octets]
        return data

    # Responses.

    def response(self) -> bytes:
        """The next response with its literals, without its last CRLF; b"" once the server has closed."""
        pieces = [self.line()]
        while found := _LITERAL.search(pieces[-1]):
            pieces += [self.exactly(int(found.group(1))), self.line()]
        return b"".join(pieces).removesuffix(b"\r\n")

    def tag(self) -> bytes:
        """A tag that was not used yet."""
        self._tags += 1
        return b"t%d" % self._tags

    def finish(self, tag: bytes) -> Answer:
        """Everything up to the tagged response; to the end of the connection if that comes first."""
        untagged: list[bytes] = []
        while response := self.response():
            if response.startswith(tag + b" "):
                status, _, text = response[len(tag) + 1 :].partition(b" ")
                return Answer(status.decode(), text, untagged)
            untagged.append(response)
        byes = [line for line in untagged if line.startswith(b"* BYE")]
        return Answer("BYE" if byes else "", byes[-1][6:] if byes else b"", untagged)

    def order(self, command: bytes) -> bytes:
        """Send a command, wait for nothing; its tag."""
        tag = self.tag()
        self.send(b"%b %b\r\n" % (tag, command))
        return tag

    def give(self, command: bytes) -> Answer:
        """Send a command without synchronising literals, and read to its end."""
        return self.finish(self.order(command))

    def ok(self, command: bytes) -> Answer:
        """The same, and it must succeed."""
        answer = self.give(command)
        if answer.status != "OK":
            raise ImapError(f"{command[:200]!r} -> {answer.status} {answer.text[:300]!r}")
        return answer

    def append(self, mailbox: str, message: bytes, flags: str = "") -> Answer:
        """APPEND by a literal that does not wait (RFC 7888)."""
        flags = f"({flags}) " if flags else ""
        return self.give(b"APPEND %b %b{%d+}\r\n%b" % (quoted(mailbox), flags.encode(), len(message), message))

    def wait_for_word(self) -> bytes:
        """The next continuation request; what else comes in front of it is passed over."""
        while response := self.response():
            if response.startswith(b"+"):
                return response
            if not response.startswith(b"* "):
                break
        raise ImapError(f"no continuation: {response!r}")


def quoted(text: str | bytes) -> bytes:
    """A quoted string."""
    octets = text.encode() if isinstance(text, str) else text
    return b'"%b"' % octets.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


def numbers(text: str) -> list[int]:
    """A set such as 1:3,7 in the order written."""
    found: list[int] = []
    for part in text.split(","):
        first, _, end = part.partition(":")
        low, high = int(first), int(end or first)
        found += range(low, high + 1) if low <= high else range(low, high - 1, -1)
    return found
