"""A program under attack over IMAP, watched: the memory it takes at most, whether others are served, what it logs."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.outside.bystander import Bystander
from tests.outside.imap_wire import Answer, ImapWire
from tests.outside.program import Program

LONG = bool(os.environ.get("POSTHOUSE_LONG"))
MIB = 1 << 20
GROWTH = 64 * MIB  # octets
PROOF = 20 * MIB  # octets that one look at a password takes: argon2id is told to use 19 MiB
PATIENCE = (
    4.0  # seconds, for an answer to the bystander's NOOP: 0.3 at most where nothing else runs, but much else may run
)


class Siege:
    """A running program, and who watches it."""

    def __init__(self, program: Program, bystander: Bystander) -> None:
        self.program = program
        self.port = program.offset + 143
        self._bystander = bystander

    def open(self, user: str = "alice@example.test", mailbox: str = "INBOX") -> ImapWire:
        """A session."""
        return ImapWire.open(self.port, user, mailbox)

    @contextmanager
    def calm(self, growth: int = GROWTH, patience: float = PATIENCE) -> Iterator[None]:
        """Whatever happens in the block: memory stays within bounds, others are answered, nothing fails."""
        self._bystander.slowest()
        before = self._memory("VmRSS")
        Path(f"/proc/{self.program.pid}/clear_refs").write_text("5")  # VmHWM, the most there ever was, begins anew
        yield
        slowest = self._bystander.slowest()
        grown = self._memory("VmHWM") - before
        assert "Traceback" not in self.program.log, self.program.log
        with self.open() as wire:
            wire.ok(b"NOOP")
        print(f"at most {grown / 1e6:.1f} MB more, slowest answer to others {slowest * 1e3:.0f} ms")
        assert grown < growth, f"{grown / 1e6:.1f} MB more"
        assert slowest < patience, f"others waited {slowest:.2f} s"

    def _memory(self, what: str) -> int:
        status = Path(f"/proc/{self.program.pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(what))


@contextmanager
def besieged(program: Program, accounts: Iterable[str] = ()) -> Iterator[Siege]:
    """Watch a program that is running, once its caches, pools and arenas have their size."""
    warm_up(program.offset + 143)
    for address in accounts:  # the first login of an account is the one that costs: see PROOF
        ImapWire.open(program.offset + 143, address).close()
    with Bystander(program.offset + 143, "bob@example.test") as bystander:
        yield Siege(program, bystander)


def warm_up(port: int) -> None:
    """What everybody does, some times."""
    message = b"Subject: warm\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n"
    for _ in range(20):
        with ImapWire.open(port, "alice@example.test", "INBOX") as wire:
            assert wire.append("INBOX", message + b"y" * 100_000 + b"\r\n").status == "OK"
            wire.ok(b"NOOP")
            wire.ok(b"FETCH 1:* (ENVELOPE BODYSTRUCTURE BODY.PEEK[] BODY.PEEK[1])")
            wire.ok(b"SEARCH TEXT warm")
            wire.ok(b"SORT (SUBJECT) UTF-8 ALL")
            wire.ok(b"THREAD REFERENCES UTF-8 ALL")
            wire.ok(b"STORE 1:* +FLAGS (\\Deleted)")
            wire.ok(b"EXPUNGE")


def refused(answer: Answer) -> None:
    assert answer.status in ("NO", "BAD", "BYE"), answer


def still_there(wire: ImapWire) -> None:
    assert wire.give(b"NOOP").status == "OK"


def flood(wire: ImapWire, piece: bytes, octets: int) -> None:
    """Send so much, as far as the server lets us."""
    with suppress(OSError):
        for _ in range(octets // len(piece)):
            wire.send(piece)
