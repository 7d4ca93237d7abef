"""What peers do that ask for more than their share, guess, or keep to no protocol; crowd.py runs them.

Each attack is a function of the offset of the server's ports and a number of its own, runs until it is hung up on, and
is begun again then. Those that guess come from many addresses, all of 127.0.0.0/8.
"""

import base64
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from tests.outside.imap_wire import ImapWire
from tests.outside.maildrop import Maildrop
from tests.outside.wire import Wire, trusting

ATTACKER = "attacker@example.test"
HEAP = "heap@example.test"  # gets the large mail
VICTIM = "bob@example.test"  # at whose password is guessed
ADDRESSES = 150
_CHUNK = 64 << 10
HEAVY = 48 << 20  # octets of a large message

Attack = Callable[[int, int], None]


def _pipeline(wire: Wire, commands: bytes) -> None:
    """Send as fast as the server takes it, and read all that it says, until it hangs up."""
    threading.Thread(target=_read_all, args=(wire,), daemon=True).start()
    while True:
        wire.send(commands)


def _read_all(wire: Wire) -> None:
    with suppress(OSError, ValueError):
        while wire._socket.recv(1 << 20):
            continue


def _source(number: int, kind: int) -> str:
    """One of the addresses that an attack comes from."""
    return f"127.{kind}.{number // 250}.{number % 250 + 1}"


# Commands without end.


def _smtp_noops(offset: int, number: int) -> None:
    with Wire(25 + offset, source=_source(number, 11)) as wire:
        wire.hello()
        _pipeline(wire, b"NOOP\r\n" * (_CHUNK // 6))


def _imap_noops(offset: int, number: int) -> None:
    with ImapWire(143 + offset, source=_source(number, 11)) as wire:
        wire.greeting()
        _pipeline(wire, b"a NOOP\r\n" * (_CHUNK // 8))


def _pop3_capas(offset: int, number: int) -> None:
    with Wire(110 + offset, source=_source(number, 11)) as wire:
        wire.line()
        _pipeline(wire, b"CAPA\r\n" * (_CHUNK // 6))


def _deaf(offset: int, number: int) -> None:
    """Commands of a kind whose answers are long; nobody reads them."""
    port, commands = ((25, b"HELP\r\n"), (143, b"a CAPABILITY\r\n"), (110, b"CAPA\r\n"))[number % 3]
    with Wire(port + offset, source=_source(number, 2)) as wire:
        wire.line()
        while True:
            wire.send(commands * (_CHUNK // len(commands)))


def _logged_in(command: bytes) -> Attack:
    def attack(offset: int, number: int) -> None:
        with _opened(offset, number) as wire:
            _pipeline(wire, command * 10)

    return attack


@contextmanager
def _opened(offset: int, number: int) -> Iterator[ImapWire]:
    """The attacker's own mailbox, which has many messages."""
    with ImapWire(143 + offset, source=_source(number, 12), timeout=600) as wire:
        wire.greeting()
        wire.login(ATTACKER)
        wire.ok(b"SELECT INBOX")
        yield wire


_STORE = b"a STORE 1:* +FLAGS (\\Flagged)\r\nb STORE 1:* -FLAGS (\\Flagged)\r\n"


# Mail.


def _large(offset: int, number: int) -> None:
    body = b"Subject: large\r\n\r\n" + (b"x" * 76 + b"\r\n") * (HEAVY // 78)
    while True:
        with Wire(25 + offset, source=_source(number, 13), timeout=600) as wire:
            wire.hello()
            wire.mail(HEAP)
            wire.data(body)


def _remove_large(offset: int, number: int) -> None:
    """Else the disk is full before the attack is over."""
    while True:
        time.sleep(2)
        with Maildrop(110 + offset, timeout=600) as drop:
            drop.login(HEAP)
            for message in drop.sizes():
                drop.command(f"DELE {message}")
            drop.quit()


def _early(offset: int, number: int) -> None:
    """Content before the 354: another's message, if it were taken for commands later."""
    hidden = b"MAIL FROM:<a@b.test>\r\nRCPT TO:<bob@example.test>\r\nDATA\r\nSubject: hidden\r\n\r\nx\r\n.\r\n"
    for _ in range(1000):
        with Wire(25 + offset, source=_source(number, 3)) as wire:
            wire.send(b"EHLO x\r\n" + hidden * 10)
            wire.rest()


# Guesses.


def _recipients(offset: int, number: int) -> None:
    for turn in range(1000):
        with Wire(25 + offset, source=_source(turn % ADDRESSES, 4)) as wire:
            wire.hello()
            wire.expect(b"MAIL FROM:<a@b.test>", "250")
            for guess in range(10):
                wire.ask(b"RCPT TO:<nobody-%d-%d-%d@example.test>" % (number, turn, guess))


def _guesses(offset: int, number: int) -> None:
    """Wrong passwords of somebody who is there, from everywhere."""
    for turn in range(1000):
        source = _source((number + 10 * turn) % ADDRESSES, 5)
        with ImapWire(143 + offset, source=source) as wire:
            wire.greeting()
            for guess in range(3):
                wire.give(b"LOGIN %b wrong-%d-%d" % (VICTIM.encode(), turn, guess))


def _scram(offset: int, number: int) -> None:
    """Wrong proofs (RFC 5802), of which each costs a look at the keys."""
    nonce = base64.b64encode(os.urandom(9)).decode()
    first = base64.b64encode(f"n,,n={VICTIM},r={nonce}".encode())
    for turn in range(1000):
        with Wire(587 + offset, source=_source((number + 10 * turn) % ADDRESSES, 6)) as wire:
            wire.hello()
            for _ in range(5):
                answer = wire.ask(b"AUTH SCRAM-SHA-256 " + first)
                if not answer.startswith("334"):
                    break
                whole = base64.b64decode(answer[4:]).decode().partition(",")[0]
                proof = base64.b64encode(os.urandom(32)).decode()
                wire.ask(base64.b64encode(f"c=biws,{whole},p={proof}".encode()))


# Connections.


def _verbs(offset: int, number: int) -> None:
    """What a browser sends when a page asks it to."""
    request = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"NOOP\r\n" * 100
    for _ in range(1000):
        for port in (25, 587, 110, 143):
            with Wire(port + offset, source=_source(number, 7)) as wire:
                wire.send(request)
                wire.rest()


def _handshakes(offset: int, number: int) -> None:
    """The first word of a handshake, which costs us nothing and the server a signature, and no second."""
    hello = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        trusting().wrap_bio(ssl.MemoryBIO(), hello).do_handshake()
    word = hello.read()
    for _ in range(1000):
        for port in (993, 995, 465):
            with socket.create_connection(("127.0.0.1", port + offset), 60, (_source(number, 8), 0)) as sock:
                sock.sendall(word)
                sock.recv(1 << 16)


def _churn(offset: int, number: int) -> None:
    """Open, read the greeting or do not, close; by a reset every other time."""
    for turn in range(1000):
        for port in (25, 143, 110):
            with socket.create_connection(("127.0.0.1", port + offset), 60, (_source(number, 9), 0)) as sock:
                if turn % 3:
                    sock.recv(1000)
                if turn % 2:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def _slow_reader(offset: int, number: int) -> None:
    """Much is asked for, and read by the octet."""
    with _opened(offset, number) as wire:
        wire._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        wire.send(b"a FETCH 1:* (UID FLAGS ENVELOPE BODY.PEEK[])\r\n" * 10)
        while wire._socket.recv(16):
            time.sleep(0.1)


def _slow_writer(offset: int, number: int) -> None:
    """A command and a message by the octet."""
    with Wire(25 + offset, source=_source(number, 10)) as wire:
        wire.hello()
        wire.mail(HEAP)
        wire.expect(b"DATA", "354")
        while True:
            wire.send(b"x")
            time.sleep(0.05)


ATTACKS: dict[str, tuple[int, Attack]] = {  # how many at once, and what each does
    "smtp-noop": (1, _smtp_noops),
    "imap-noop": (1, _imap_noops),
    "pop3-capa": (1, _pop3_capas),
    "smtp-noop-20": (20, _smtp_noops),
    "deaf": (15, _deaf),
    "imap-noop-login": (4, _logged_in(b"a NOOP\r\n" * 1000)),
    "thread": (20, _logged_in(b"a THREAD REFERENCES UTF-8 ALL\r\n")),
    "sort": (20, _logged_in(b"a SORT (SUBJECT) UTF-8 ALL\r\n")),
    "search": (20, _logged_in(b"a SEARCH TEXT nowhere\r\n")),
    "fetch": (20, _logged_in(b"a FETCH 1:* (UID FLAGS ENVELOPE)\r\n")),
    "store": (4, _logged_in(_STORE)),
    "large": (20, _large),
    "remove-large": (1, _remove_large),
    "early": (4, _early),
    "recipients": (10, _recipients),
    "guesses": (10, _guesses),
    "scram": (10, _scram),
    "verbs": (4, _verbs),
    "handshakes": (20, _handshakes),
    "churn": (10, _churn),
    "slow-readers": (20, _slow_reader),
    "slow-writers": (20, _slow_writer),
}
