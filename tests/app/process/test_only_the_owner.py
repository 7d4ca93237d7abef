"""Mail, keys, sockets and counters of a running server are its user's alone, whatever the umask it was started with."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.outside.imap_wire import ImapWire
from tests.outside.served import served
from tests.outside.wire import Wire

OPEN_BY_INTENT = {"tls/certificate.pem"}  # every client is shown it


@pytest.fixture(params=[0o022, 0o000])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_nobody_else_reads_or_connects(tmp_path: Path, umask: int) -> None:
    with served(tmp_path, ["alice"]) as server:
        with Wire(25 + server.offset) as wire:
            wire.hello()
            wire.mail("alice@example.test")
            assert wire.data(b"Subject: x\r\n\r\n" + b"x" * 70 + b"\r\n").startswith("250")
        with ImapWire.open(server.imap, "alice@example.test", "INBOX") as imap:
            imap.ok(b"FETCH 1 (ENVELOPE BODY[])")
        data = tmp_path / "data"
        modes = {str(path.relative_to(data)): path.lstat().st_mode for path in [data, *data.rglob("*")]}
    open_to_others = {name for name, mode in modes.items() if mode & 0o077 and name not in OPEN_BY_INTENT}
    assert not open_to_others, {name: oct(modes[name]) for name in open_to_others}
    sockets = [name for name, mode in modes.items() if stat.S_ISSOCK(mode)]
    assert sorted(sockets) == ["bus/0", "bus/1"]
    for name in ("posthouse.db", "directory.db", "volatile.db", "index.db", "tls/key.pem", "packs/1.pack"):
        assert name in modes, sorted(modes)
