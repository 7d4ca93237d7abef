"""A blocking IMAP client for work on one connection: some microseconds a command, and no copy of what is fetched.

Many connections at once use `Connection.imap`.
"""

import re
import socket
from collections.abc import Iterable
from types import TracebackType

from benchmarks.connection import HOST, BenchError
from benchmarks.target import PASSWORD

LIMIT = 600.0  # seconds without an octet
ROOM = 1 << 20  # octets read at once
TAIL = 2048  # the tagged line ends an answer, or all but: something untagged may follow it
BATCH = 1 << 20  # octets of one MULTIAPPEND
BATCH_MESSAGES = 500  # of one MULTIAPPEND


class ImapClient:
    """One session. The last answer is held as it came; `answer` copies it, which is for when the clock stands."""

    def __init__(self, port: int, name: str) -> None:
        self._socket = socket.create_connection((HOST, port), LIMIT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._held = bytearray(4 * ROOM)
        self._view = memoryview(self._held)
        self._filled = self._end = self._number = 0
        self._line()
        self.run(f"LOGIN {name} {PASSWORD}".encode())

    def __enter__(self) -> "ImapClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def run(self, command: bytes) -> None:
        """Send, and read until the tagged answer, which must be OK."""
        self._begin()
        self._socket.sendall(b"zq%d %b\r\n" % (self._number, command))
        self._finish(command)

    def append(self, mailbox: bytes, message: bytes) -> None:
        """APPEND with a literal that is announced and waited for, as any client can."""
        self._begin()
        self._socket.sendall(b"zq%d APPEND %b {%d}\r\n" % (self._number, mailbox, len(message)))
        if not self._line().startswith(b"+"):
            raise BenchError(f"APPEND -> {self.answer()!r}")
        self._drop()
        self._socket.sendall(message + b"\r\n")
        self._finish(b"APPEND")

    def append_all(self, mailbox: bytes, messages: Iterable[bytes]) -> None:
        """Many, by MULTIAPPEND (RFC 3502) and LITERAL+ (RFC 7888): the quick way to fill a mailbox."""
        batch, held = [], 0
        for message in messages:
            batch.append(b" {%d+}\r\n%b" % (len(message), message))
            held += len(message)
            if held > BATCH or len(batch) == BATCH_MESSAGES:
                self.run(b"APPEND %b%b" % (mailbox, b"".join(batch)))
                batch, held = [], 0
        if batch:
            self.run(b"APPEND %b%b" % (mailbox, b"".join(batch)))

    def answer(self) -> bytes:
        """All that the last command was answered, the tagged line with it."""
        return bytes(self._view[: self._end])

    def status(self, mailbox: bytes) -> int:
        """How many messages are in it."""
        self.run(b"STATUS %b (MESSAGES)" % mailbox)
        found = re.search(rb"\(MESSAGES (\d+)\)", self.answer())
        if found is None:
            raise BenchError(f"STATUS -> {self.answer()!r}")
        return int(found[1])

    def numbers(self) -> list[int]:
        """What SEARCH found."""
        found = re.search(rb"^\* SEARCH([ 0-9]*)", self.answer(), re.MULTILINE)
        if found is None:
            raise BenchError(f"no SEARCH in {self.answer()[:200]!r}")
        return [int(each) for each in found[1].split()]

    def bodies(self) -> list[bytes]:
        """The literals that follow BODY[], in order."""
        answer, found, at = self.answer(), [], 0
        begin = re.compile(rb"BODY\[\] \{(\d+)\}\r\n")
        while (match := begin.search(answer, at)) is not None:
            at = match.end() + int(match[1])
            found.append(answer[match.end() : at])
        return found

    def _begin(self) -> None:
        self._drop()
        self._number += 1

    def _drop(self) -> None:
        """Forget what has been answered; what came behind it stays."""
        rest = bytes(self._view[self._end : self._filled])
        self._view[: len(rest)] = rest
        self._filled, self._end = len(rest), 0

    def _finish(self, command: bytes) -> None:
        mark = b"zq%d " % self._number
        while True:
            at = self._held.find(mark, max(0, self._filled - TAIL), self._filled)
            if at == 0 or (at > 0 and self._held[at - 1] == 10):
                end = self._held.find(b"\r\n", at, self._filled)
                if end > 0:
                    self._end = end + 2
                    break
            self._receive()
        if not self._held.startswith(b"OK", at + len(mark)):
            raise BenchError(f"{command[:80]!r} -> {bytes(self._view[at : self._end])!r}")

    def _line(self) -> bytes:
        while (at := self._held.find(b"\r\n", 0, self._filled)) < 0:
            self._receive()
        self._end = at + 2
        return self.answer()

    def _receive(self) -> None:
        if len(self._held) - self._filled < ROOM:
            self._view.release()
            self._held += bytes(len(self._held))
            self._view = memoryview(self._held)
        count = self._socket.recv_into(self._view[self._filled :])
        if count == 0:
            raise BenchError(f"the server closed the connection after {bytes(self._view[: self._filled])[-200:]!r}")
        self._filled += count
