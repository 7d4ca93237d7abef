"""A bare SMTP and POP3 client on a blocking socket: sends exactly what it is told, reads replies line by line."""

import base64
import socket
import ssl
from types import TracebackType
from typing import Self

TIMEOUT = 60.0


def trusting() -> ssl.SSLContext:
    """A TLS client that takes the self-signed certificate of `posthouse dev`."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Wire:
    """One connection. `source` picks the local address, so that one test can be many peers."""

    def __init__(self, port: int, *, tls: bool = False, source: str = "127.0.0.1", timeout: float = TIMEOUT) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout, (source, 0))
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if tls:
                self.start_tls()
            self._file = self._socket.makefile("rb")
        except BaseException:
            self._socket.close()
            raise

    def start_tls(self) -> None:
        """Do the handshake on the connection as it stands."""
        self._socket = trusting().wrap_socket(self._socket)
        self._file = self._socket.makefile("rb")

    def send(self, data: bytes) -> None:
        """Write all of it."""
        self._socket.sendall(data)

    def line(self) -> bytes:
        """The next line with its end; b"" once the server has closed."""
        return self._file.readline(1 << 20)

    def rest(self) -> bytes:
        """Everything until the server closes; a reset counts as closing."""
        pieces = []
        try:
            while piece := self._file.read(65536):
                pieces.append(piece)
        except ConnectionResetError:
            pass
        return b"".join(pieces)

    def reply(self) -> str:
        """The next SMTP reply, lines joined by "\\n". Empty once the server has closed."""
        lines: list[str] = []
        while line := self.line():
            lines.append(line.decode().rstrip("\r\n"))
            if line[3:4] != b"-":
                break
        return "\n".join(lines)

    def ask(self, command: bytes) -> str:
        """Send one SMTP command line and read its reply."""
        self.send(command + b"\r\n")
        return self.reply()

    def expect(self, command: bytes, code: str) -> str:
        """Like ask(), and the reply must begin with `code`."""
        answer = self.ask(command)
        assert answer.startswith(code), f"{command[:80]!r} -> {answer!r}, not {code}"
        return answer

    def hello(self) -> str:
        """Greeting and EHLO; the EHLO reply."""
        greeting = self.reply()
        assert greeting.startswith("220"), greeting
        return self.expect(b"EHLO client.test", "250")

    def mail(self, recipient: str = "alice@example.test", sender: str = "sender@client.test", more: str = "") -> None:
        """MAIL, one RCPT, both accepted."""
        self.expect(f"MAIL FROM:<{sender}>{more}".encode(), "250")
        self.expect(f"RCPT TO:<{recipient}>".encode(), "250")

    def data(self, message: bytes) -> str:
        """DATA with `message` (CRLF lines), dot-stuffed and ended; the final reply."""
        self.expect(b"DATA", "354")
        self.send(dot_stuffed(message))
        return self.reply()

    def bdat(self, *chunks: bytes) -> str:
        """`chunks` by BDAT (RFC 3030); the reply to the last."""
        for chunk in chunks[:-1]:
            self.send(b"BDAT %d\r\n%b" % (len(chunk), chunk))
            assert (answer := self.reply()).startswith("250"), answer
        self.send(b"BDAT %d LAST\r\n%b" % (len(chunks[-1]), chunks[-1]))
        return self.reply()

    def login(self, user: str, password: str) -> str:
        """SMTP AUTH PLAIN; the reply."""
        return self.ask(b"AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()))

    def close(self) -> None:
        """Hang up without a word."""
        self._file.close()
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def dot_stuffed(message: bytes) -> bytes:
    """The DATA form of a message: dots doubled, CRLF.CRLF at the end (RFC 5321 4.5.2)."""
    stuffed = message.replace(b"\r\n.", b"\r\n..")
    if stuffed.startswith(b"."):
        stuffed = b"." + stuffed
    return stuffed + (b".\r\n" if stuffed.endswith(b"\r\n") else b"\r\n.\r\n")
