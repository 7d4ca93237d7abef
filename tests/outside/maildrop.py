"""A POP3 client that keeps every octet: what poplib cannot, since it splits and limits lines."""

import time
from typing import Self

from tests.outside.program import PASSWORD
from tests.outside.wire import Wire


class Pop3Error(AssertionError):
    """The server said -ERR, or closed."""


class Maildrop(Wire):
    """One POP3 session. Leaving the `with` block hangs up without QUIT, so deletes nothing."""

    def command(self, text: str) -> str:
        """Send, read one line, which must be +OK; what follows "+OK "."""
        self.send(text.encode() + b"\r\n")
        line = self.line()
        if not line.startswith(b"+OK"):
            raise Pop3Error(f"{text[:60]} -> {line!r}")
        return line[3:].decode().strip()

    def body(self) -> bytes:
        """A multi-line answer after its +OK: dots unstuffed, without the end (RFC 1939 3)."""
        lines: list[bytes] = []
        while (line := self.line()) != b".\r\n":
            if not line:
                raise Pop3Error(f"closed inside an answer after {sum(map(len, lines))} octets")
            lines.append(line[1:] if line.startswith(b".") else line)
        return b"".join(lines)

    def login(self, user: str, password: str = PASSWORD) -> str:
        """Greeting, USER, PASS."""
        self.line()
        self.command(f"USER {user}")
        return self.command(f"PASS {password}")

    def sizes(self) -> dict[int, int]:
        """LIST: number to octets."""
        self.command("LIST")
        return {int(number): int(octets) for number, octets in map(bytes.split, self.body().splitlines())}

    def uidls(self) -> dict[int, str]:
        """UIDL: number to unique id."""
        self.command("UIDL")
        return {int(number): uid.decode() for number, uid in map(bytes.split, self.body().splitlines())}

    def retrieve(self, number: int) -> bytes:
        """RETR: the message, octet for octet."""
        self.command(f"RETR {number}")
        return self.body()

    def quit(self) -> None:
        """QUIT with +OK: deletions are done."""
        self.command("QUIT")

    @classmethod
    def open(cls, port: int, user: str, password: str = PASSWORD) -> Self:
        """A session that is logged in."""
        drop = cls(port)
        try:
            drop.login(user, password)
        except BaseException:
            drop.close()
            raise
        return drop


def collect(port: int, user: str, *, delete: bool = False) -> dict[str, bytes]:
    """Everything in a maildrop by unique id; LIST must agree with what comes, STAT with their sum."""
    with Maildrop.open(port, user) as drop:
        count, octets = map(int, drop.command("STAT").split()[:2])
        sizes, uidls = drop.sizes(), drop.uidls()
        assert count == len(sizes) == len(uidls) and octets == sum(sizes.values())
        assert len(set(uidls.values())) == count, "unique ids are not unique"
        found = {}
        for number, size in sizes.items():
            found[uidls[number]] = drop.retrieve(number)
            assert len(found[uidls[number]]) == size, f"LIST says {size}, came {len(found[uidls[number]])}"
            if delete:
                drop.command(f"DELE {number}")
        drop.quit()
    return found


def empty(port: int, user: str) -> int:
    """Delete everything; how much there was."""
    return len(collect(port, user, delete=True))


def wait_for(port: int, user: str, count: int, seconds: float = 60.0) -> dict[str, bytes]:
    """What the maildrop holds, once it holds `count` messages; for mail that others bring in their own time."""
    limit = time.monotonic() + seconds
    while True:
        with Maildrop.open(port, user) as drop:
            there = int(drop.command("STAT").split()[0])
            drop.quit()
        if there >= count:
            return collect(port, user)
        assert time.monotonic() < limit, f"{there} of {count} messages for {user} after {seconds} s"
        time.sleep(0.1)
