"""Other mail servers, good and bad, on loopback: each keeps a journal of what it has accepted.

A Remote is one TCP server with a thread for each connection. Subclasses change what is said at one step.
"""

import contextlib
import socket
import ssl
import threading
import time
from collections import Counter
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import trustme


class HangUpError(Exception):
    """Close the connection now."""


@dataclass(frozen=True)
class Arrived:
    """A message that was accepted: its envelope, and the octets between DATA and the dot, unstuffed."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes
    tls: bool
    raw: bytes  # as they were on the wire


class Remote:
    """A well-behaved server. `with Remote() as remote: ... remote.port`."""

    extensions: tuple[str, ...] = ("PIPELINING", "8BITMIME", "SIZE 50000000", "DSN", "SMTPUTF8", "ENHANCEDSTATUSCODES")
    starttls = False

    def __init__(self) -> None:
        self.journal: list[Arrived] = []
        self.commands: list[bytes] = []
        self.connections = 0
        self.seen: Counter[str] = Counter()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._stop = threading.Event()
        self._links: list[socket.socket] = []
        self._context: ssl.SSLContext | None = None
        if self.starttls:
            self._context = self.tls_context()

    def tls_context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("remote.test").configure_cert(context)
        return context

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for link in self._links:
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
            link.close()

    def messages(self, marker: bytes) -> list[Arrived]:
        """The accepted messages that hold these octets."""
        return [each for each in list(self.journal) if marker in each.data]

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._links.append(link)
            threading.Thread(target=self._guarded, args=(link,), daemon=True).start()

    def _guarded(self, link: socket.socket) -> None:
        talk = Talk(self, link)
        with contextlib.suppress(OSError, HangUpError, ValueError):
            talk.run()
        talk.close()

    # What is said at each step; bytes ready for the wire.

    def greeting(self) -> bytes:
        return b"220 remote.test ESMTP\r\n"

    def hello(self, verb: bytes, tls: bool) -> bytes:
        if verb == b"HELO":
            return b"250 remote.test\r\n"
        words = ["remote.test", *self.extensions]
        if self.starttls and not tls:
            words.append("STARTTLS")
        return b"".join(
            b"250%b%b\r\n" % (b" " if n == len(words) else b"-", w.encode()) for n, w in enumerate(words, 1)
        )

    def mail(self, sender: str) -> bytes:
        return b"250 2.1.0 ok\r\n"

    def rcpt(self, recipient: str) -> bytes:
        return b"250 2.1.5 ok\r\n"

    def data(self) -> bytes:
        return b"354 go ahead\r\n"

    def ended(self, message: Arrived) -> bytes:
        """The dot has come: the answer; a 250 is durable before it is said."""
        self.journal.append(message)
        return b"250 2.0.0 taken\r\n"

    def tls_granted(self) -> bytes:
        return b"220 2.0.0 go ahead\r\n"


class Talk:
    """One connection."""

    def __init__(self, remote: Remote, link: socket.socket) -> None:
        self._remote = remote
        self._link = link
        self._held = b""
        self._tls = False

    def run(self) -> None:
        remote = self._remote
        self._say(remote.greeting())
        sender, recipients, is_open = "", list[str](), False
        while True:
            line = self._line()
            remote.commands.append(line)
            verb = line[:4].upper()
            if verb in (b"EHLO", b"HELO"):
                self._say(remote.hello(verb, self._tls))
            elif verb == b"MAIL":
                sender, recipients = _path(line), []
                answer = remote.mail(sender)
                is_open = answer.startswith(b"250")
                self._say(answer)
            elif verb == b"RCPT":
                answer = remote.rcpt(_path(line)) if is_open else b"503 5.5.1 MAIL first\r\n"
                if answer.startswith(b"25"):
                    recipients.append(_path(line))
                self._say(answer)
            elif verb == b"DATA":
                self._data(sender, recipients)
            elif verb == b"BDAT":
                self._chunks(line, sender, recipients)
            elif verb == b"STAR":
                self._start_tls()
            elif verb == b"RSET":
                self._say(b"250 2.0.0 ok\r\n")
            elif verb == b"QUIT":
                self._say(b"221 2.0.0 bye\r\n")
                return
            else:
                self._say(b"500 5.5.2 what?\r\n")

    def close(self) -> None:
        """Hang up, in TLS or not."""
        with contextlib.suppress(OSError):
            self._link.shutdown(socket.SHUT_RDWR)
        self._link.close()

    def _data(self, sender: str, recipients: list[str]) -> None:
        answer = self._remote.data() if recipients else b"554 5.5.1 no recipients\r\n"
        self._say(answer)
        if not answer.startswith(b"354"):
            return
        raw = self._until_dot()
        plain = (b"\r\n" + raw).replace(b"\r\n.", b"\r\n")[2:]
        self._say(self._remote.ended(Arrived(sender, tuple(recipients), plain, self._tls, raw)))

    def _chunks(self, line: bytes, sender: str, recipients: list[str]) -> None:
        data = b""
        while True:
            words = line.split()
            data += self._exactly(int(words[1]))
            if words[-1].upper() == b"LAST":
                self._say(self._remote.ended(Arrived(sender, tuple(recipients), data, self._tls, data)))
                return
            self._say(b"250 2.0.0 more\r\n")
            line = self._line()

    def _start_tls(self) -> None:
        self._say(self._remote.tls_granted())
        context = self._remote._context
        assert context is not None
        self._held = b""
        plain = self._link
        try:
            self._link = context.wrap_socket(plain, server_side=True)
        except BaseException:
            plain.close()
            raise
        self._tls = True

    def _say(self, data: bytes) -> None:
        if data:
            self._link.sendall(data)

    def _more(self) -> None:
        piece = self._link.recv(65536)
        if not piece:
            raise HangUpError
        self._held += piece

    def _line(self) -> bytes:
        while b"\r\n" not in self._held:
            self._more()
        line, _, self._held = self._held.partition(b"\r\n")
        return line

    def _until_dot(self) -> bytes:
        while b"\r\n.\r\n" not in b"\r\n" + self._held:
            self._more()
        raw, _, self._held = (b"\r\n" + self._held).partition(b"\r\n.\r\n")
        return (raw + b"\r\n")[2:]

    def _exactly(self, octets: int) -> bytes:
        while len(self._held) < octets:
            self._more()
        data, self._held = self._held[:octets], self._held[octets:]
        return data


def _path(line: bytes) -> str:
    return line.partition(b"<")[2].partition(b">")[0].decode("utf-8", "replace")


class Simple(Remote):
    """No extensions at all, and HELO only."""

    def hello(self, verb: bytes, tls: bool) -> bytes:
        return b"250 remote.test\r\n" if verb == b"HELO" else b"502 5.5.1 what?\r\n"


class Bare(Remote):
    """ESMTP that offers nothing."""

    extensions = ()


class Chunking(Remote):
    """Takes BDAT."""

    extensions = (*Remote.extensions, "CHUNKING")


class ChunkRefuser(Remote):
    """Announces CHUNKING and does not take BDAT."""

    extensions = (*Remote.extensions, "CHUNKING")

    def ended(self, message: Arrived) -> bytes:
        return b"503 5.5.1 no BDAT here\r\n"


class Small(Remote):
    """Takes little messages only."""

    extensions = ("PIPELINING", "SIZE 2000")


class Greylister(Remote):
    """451 the first time for each sender and recipient."""

    def rcpt(self, recipient: str) -> bytes:
        self.seen[recipient] += 1
        return b"451 4.7.1 try again later\r\n" if self.seen[recipient] == 1 else b"250 2.1.5 ok\r\n"


class Choosy(Remote):
    """By the name of the recipient: no..., later..., anything else."""

    def rcpt(self, recipient: str) -> bytes:
        if recipient.startswith("no"):
            return b"550 5.1.1 <%b>: no such user\r\n" % recipient.encode()
        if recipient.startswith("later"):
            self.seen[recipient] += 1
            return b"452 4.2.2 full\r\n" if self.seen[recipient] < 3 else b"250 2.1.5 ok\r\n"
        return b"250 2.1.5 ok\r\n"


class Says(Remote):
    """Says one thing at one step, the first so many times; afterwards it behaves."""

    def __init__(self, step: str, answer: bytes, times: int = 1_000_000, *, hang_up: bool = False) -> None:
        super().__init__()
        self._step, self._answer, self._times, self._hang_up = step, answer, times, hang_up
        self._said = 0

    def _mine(self, step: str) -> bytes | None:
        if step != self._step or self._said >= self._times:
            return None
        self._said += 1
        return self._answer

    def greeting(self) -> bytes:
        return self._mine("greeting") or super().greeting()

    def hello(self, verb: bytes, tls: bool) -> bytes:
        return self._mine("hello") or super().hello(verb, tls)

    def mail(self, sender: str) -> bytes:
        return self._mine("mail") or super().mail(sender)

    def rcpt(self, recipient: str) -> bytes:
        return self._mine("rcpt") or super().rcpt(recipient)

    def data(self) -> bytes:
        return self._mine("data") or super().data()

    def ended(self, message: Arrived) -> bytes:
        answer = self._mine("end")
        if answer is None:
            return super().ended(message)
        if answer == b"accept and vanish":
            super().ended(message)
            raise HangUpError
        if answer == b"vanish":
            raise HangUpError
        return answer


class Silent(Remote):
    """Takes the connection and says nothing."""

    def greeting(self) -> bytes:
        self._stop.wait(120)
        raise HangUpError


class Tarpit(Remote):
    """One octet a second."""

    def greeting(self) -> bytes:
        for octet in b"220 remote.test " + b"x" * 500:
            if self._stop.wait(1):
                break
            for link in self._links[-50:]:
                with contextlib.suppress(OSError):
                    link.send(bytes([octet]))
        raise HangUpError


class Endless(Remote):
    """A reply that never ends."""

    def greeting(self) -> bytes:
        link = self._links[-1]
        limit = time.monotonic() + 20
        while not self._stop.is_set() and time.monotonic() < limit:
            link.sendall(b"220-more and more\r\n" * 1000)
        raise HangUpError


class Tls(Remote):
    """STARTTLS with a certificate that nobody knows."""

    starttls = True


class TlsGarbage(Remote):
    """Says 220 to STARTTLS, then no TLS."""

    starttls = True

    def tls_granted(self) -> bytes:
        self._links[-1].sendall(b"220 2.0.0 go ahead\r\n")
        self._links[-1].recv(65536)
        return b"this is no handshake at all\r\n" * 20


class TlsInjected(Remote):
    """Plain text behind the 220, in the same breath: as someone in between would put it there (CVE-2021-33515)."""

    starttls = True

    def tls_granted(self) -> bytes:
        return b"220 2.0.0 go ahead\r\n250-evil.test\r\n250 PIPELINING\r\n250 2.1.0 ok\r\n250 2.1.5 ok\r\n"


class TlsFickle(Remote):
    """Refuses everything once TLS has begun."""

    starttls = True

    def hello(self, verb: bytes, tls: bool) -> bytes:
        return b"554 5.7.0 changed my mind\r\n" if tls else super().hello(verb, tls)


class TlsHang(Remote):
    """Says 220 to STARTTLS, then nothing."""

    starttls = True

    def tls_granted(self) -> bytes:
        self._links[-1].sendall(b"220 2.0.0 go ahead\r\n")
        self._stop.wait(60)
        raise HangUpError
