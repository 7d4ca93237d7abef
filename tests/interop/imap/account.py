"""An account as its owner knows it, and what Python's imaplib shows of it."""

import hashlib
import imaplib
import re
import ssl
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imapclient import IMAPClient
from imapclient.imap_utf7 import decode, encode
from tests.interop.imap.peers import Peer

TIMEOUT = 60.0
_MARK = re.compile(rb"(?m)^X-TUID: .{12}\r\n")


@dataclass(frozen=True)
class ImapAccount:
    """Where its server is, and how to log in."""

    peer: Peer
    user: str
    password: str
    second_user: str  # with the same password, on the same server
    host: str = "localhost"

    @property
    def port(self) -> int:
        """Plain, with STARTTLS."""
        return self.peer.imap

    @property
    def tls_port(self) -> int:
        """TLS from the start."""
        return self.peer.imaps

    @property
    def ca_file(self) -> Path:
        """What proves the server's certificate."""
        return self.peer.ca_file

    def trusting(self) -> ssl.SSLContext:
        """A TLS client that checks name and certificate."""
        return ssl.create_default_context(cafile=str(self.ca_file))

    def deliver(self, *messages: bytes) -> None:
        """Mail from outside comes into INBOX."""
        self.peer.deliver(self.user, *messages)

    @contextmanager
    def imaplib(self, user: str = "") -> Iterator[imaplib.IMAP4]:
        """A session of Python's imaplib over TLS, logged in."""
        client = imaplib.IMAP4_SSL(self.host, self.tls_port, ssl_context=self.trusting(), timeout=TIMEOUT)
        try:
            with client:
                client.login(user or self.user, self.password)
                yield client
        finally:
            with suppress(OSError):  # LOGOUT has closed it already, unless it failed
                client.shutdown()

    @contextmanager
    def imapclient(self, user: str = "") -> Iterator[IMAPClient]:
        """A session of IMAPClient over TLS, logged in."""
        client = IMAPClient(self.host, self.tls_port, ssl_context=self.trusting(), timeout=TIMEOUT)
        with client:
            client.login(user or self.user, self.password)
            yield client


@dataclass(frozen=True, order=True)
class Seen:
    """A message as a snapshot holds it: the SHA-256 of its octets, and its flags without \\Recent, sorted."""

    digest: str
    flags: tuple[str, ...]


Folder = dict[int, Seen]  # by UID


def digest(message: bytes) -> str:
    """What stands for the octets of a message, without the line by which mbsync marks what it copies."""
    return hashlib.sha256(_MARK.sub(b"", message, count=1)).hexdigest()


def known(flags: Iterable[str]) -> tuple[str, ...]:
    """Flags in the form that Seen has them."""
    return tuple(sorted(set(flags) - {"\\Recent"}))


def quoted(folder: str) -> str:
    """A mailbox name as an argument: modified UTF-7, quoted (imaplib does neither)."""
    name = encode(folder).decode("ascii").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{name}"'


def done(answer: tuple[str, Sequence[Any]]) -> list[Any]:
    """The data of an imaplib answer, which must be OK."""
    kind, data = answer
    assert kind == "OK", (kind, data)
    return list(data)


_LISTED = re.compile(rb'\((?P<flags>[^)]*)\) "(?P<separator>.)" (?P<name>.+)', re.DOTALL)


def folders(client: imaplib.IMAP4) -> dict[str, frozenset[str]]:
    """LIST: every mailbox with its attributes."""
    found = {}
    for item in done(client.list()):
        line = b" ".join(item) if isinstance(item, tuple) else item
        assert isinstance(line, bytes)
        match = _LISTED.fullmatch(re.sub(rb"\{\d+\+?\} ", b"", line))
        assert match is not None, line
        assert match["separator"] == b"/", line
        name = re.sub(rb"\\(.)", rb"\1", match["name"][1:-1]) if match["name"].startswith(b'"') else match["name"]
        found[decode(name)] = frozenset(match["flags"].decode().split())
    return found


def items(data: Iterable[object]) -> Iterator[tuple[bytes, bytes]]:
    """The FETCH responses of imaplib: all that is not the literal, and the literal (b"" without one)."""
    head, literal = b"", b""
    for part in data:
        if isinstance(part, tuple):
            head, literal = head + part[0], part[1]
        elif isinstance(part, bytes):
            yield head + part, literal
            head, literal = b"", b""
    assert not head, head


def contents(client: imaplib.IMAP4, folder: str) -> Folder:
    """Every message of a mailbox. RFC822.SIZE must agree with what comes."""
    done(client.select(quoted(folder), readonly=True))
    found: Folder = {}
    for head, body in items(done(client.uid("FETCH", "1:*", "(FLAGS RFC822.SIZE BODY.PEEK[])"))):
        uid, size, flags = (re.search(want, head) for want in (rb"UID (\d+)", rb"SIZE (\d+)", rb"FLAGS \(([^)]*)\)"))
        assert uid and size and flags, head
        assert int(size[1]) == len(body), head
        found[int(uid[1])] = Seen(digest(body), known(flags[1].decode().split()))
    return found


def snapshot(account: ImapAccount) -> dict[str, Folder]:
    """The whole account, by imaplib."""
    with account.imaplib() as client:
        return {name: contents(client, name) for name, flags in folders(client).items() if "\\Noselect" not in flags}


def assert_equal(local: Mapping[str, Sequence[Seen]], remote: Mapping[str, Folder]) -> None:
    """Both sides have the same mailboxes with the same messages and flags; what differs is named."""
    assert sorted(local) == sorted(remote)
    for name, folder in remote.items():
        here, there = Counter(local[name]), Counter(folder.values())
        ours, theirs = list((here - there).elements()), list((there - here).elements())
        assert not ours and not theirs, (
            f"{name}: {len(ours)} only here {ours[:3]}, {len(theirs)} only there {theirs[:3]}"
        )
