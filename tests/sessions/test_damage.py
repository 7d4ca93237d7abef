"""A message whose octets are not those that were kept is reported as damaged, and never handed out as sound."""

from pathlib import Path

import pytest

from posthouse.mailstore.interface import INBOX, StoreError
from tests.sessions.imap.fixture import Fixture, Wire, house
from tests.sessions.world import world
from tests.stores import append, letter

SIZES = [200, 60_000, 900_000]  # one piece, many lines, several pieces


def flip(folder: Path, needle: bytes) -> None:
    """One bit of what follows `needle` in the only pack."""
    path = folder / "packs" / "1.pack"
    data = bytearray(path.read_bytes())
    data[data.index(needle) + len(needle)] ^= 4
    path.write_bytes(data)


def message(size: int) -> bytes:
    lines = b"0123456789012345678901234567890123456789\r\n" * (size // 42)
    return b"Subject: x\r\n\r\n" + lines + b"the last line: ok\r\n"


@pytest.mark.parametrize("size", SIZES)
async def test_pop3(tmp_path: Path, size: int) -> None:
    async with world(tmp_path) as found:
        text = message(size)
        assert (await found.deliver(["alice@example.test"], text))[-1].startswith("250")
        assert (await found.deliver(["alice@example.test"], b"Subject: y\r\n\r\nsound\r\n"))[-1].startswith("250")
        flip(tmp_path, b"the last line: ")
        talk, answer = await found.login("alice")
        assert answer.startswith("+OK")
        assert (await talk.ask("RETR 1")).startswith("-ERR [SYS/PERM]")
        assert (await talk.ask("RETR 2")).startswith("+OK")
        assert (await talk.body()).endswith(b"sound\r\n")
        assert (await talk.ask("DELE 1")).startswith("+OK")
        assert (await talk.ask("QUIT")).startswith("+OK")


async def ask(wire: Wire, command: bytes) -> bytes:
    """All that comes up to the tagged answer."""
    wire.say(b"a " + command + b"\r\n")
    said = b""
    while True:
        line = await wire.line()
        said += line
        if line.startswith(b"a "):
            return said
        if line.endswith(b"}\r\n") and b"{" in line:
            said += await wire.octets(int(line[line.rindex(b"{") + 1 : -3]))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "item", [b"BODY[]", b"BODY[TEXT]", b"BODY[1]", b"BODY[]<0.100>", b"BODY[]<20.70000>", b"RFC822"]
)
async def test_imap(tmp_path: Path, item: bytes, size: int) -> None:
    async with house(tmp_path, "sqlite") as found:
        alice = found.account("alice")
        await append(found.mailstore, alice, letter(message(size)), letter(b"Subject: y\r\n\r\nsound\r\n"))
        flip(tmp_path, b"the last line: ")
        wire = await logged_in(found)
        answer = await ask(wire, b"FETCH 1 (" + item + b")")
        assert b"FETCH (" not in answer
        assert b"a NO [CORRUPTION]" in answer
        assert b"sound" in await ask(wire, b"FETCH 2 (BODY[])")
        assert b"a OK" in await ask(wire, b"STORE 1 +FLAGS (\\Deleted)")
        assert b"* 1 EXPUNGE" in await ask(wire, b"EXPUNGE")


async def logged_in(found: Fixture) -> Wire:
    wire = found.connect()
    await wire.line()
    await ask(wire, b"LOGIN alice secret")
    assert b"a OK" in await ask(wire, b"SELECT " + INBOX.encode())
    return wire


@pytest.mark.parametrize("items", [b"BODY[]", b"(ENVELOPE BODYSTRUCTURE PREVIEW)", b"(UID BODY[])", b"BODY"])
async def test_what_is_damaged_hides_nothing_else(tmp_path: Path, items: bytes) -> None:
    """A client that asks for a range gets all that can be had, and no false \\Seen."""
    async with house(tmp_path, "sqlite") as found:
        texts = [letter(b"Subject: %d\r\n\r\ntext %d of them\r\n" % (n, n)) for n in range(1, 9)]
        await append(found.mailstore, found.account("alice"), *texts)
        flip(tmp_path, b"text 3")
        wire = await logged_in(found)
        answer = await ask(wire, b"FETCH 1:* " + items)
        for number in range(1, 9):
            assert (b"* %d FETCH (" % number in answer) == (number != 3)
        assert b"a NO [CORRUPTION]" in answer and b"UID 3" in answer.rpartition(b"a NO")[2]
        flags = await ask(wire, b"FETCH 3 FLAGS")
        assert b"* 3 FETCH (FLAGS ())" in flags
        assert b"a OK" in flags
        assert (b"\\Seen" in await ask(wire, b"FETCH 4 FLAGS")) == (b"BODY[" in items)
        await ask(wire, b"STORE 3 +FLAGS (\\Deleted)")
        await ask(wire, b"EXPUNGE")


async def test_an_encoding_that_nobody_knows_hides_nothing_else(tmp_path: Path) -> None:
    async with house(tmp_path, "sqlite") as found:
        plain = letter(b"Subject: x\r\n\r\nhello\r\n")
        odd = letter(b"Subject: x\r\nContent-Transfer-Encoding: x-foo\r\n\r\nhello\r\n")
        await append(found.mailstore, found.account("alice"), plain, odd, plain)
        wire = await logged_in(found)
        answer = await ask(wire, b"FETCH 1:3 BINARY[1]")
        assert b"* 1 FETCH" in answer and b"* 3 FETCH" in answer and b"* 2 FETCH" not in answer
        assert b"a NO [UNKNOWN-CTE]" in answer
        assert b"Seen" not in await ask(wire, b"FETCH 2 FLAGS")


async def test_a_pack_that_is_gone_is_damage(tmp_path: Path) -> None:
    async with house(tmp_path, "sqlite") as found:
        await append(found.mailstore, found.account("alice"), letter())
        (tmp_path / "packs" / "1.pack").rename(tmp_path / "elsewhere")
        wire = await logged_in(found)
        assert b"a NO [CORRUPTION]" in await ask(wire, b"FETCH 1 BODY[]")
        (tmp_path / "elsewhere").rename(tmp_path / "packs" / "1.pack")
        assert b"a OK" in await ask(wire, b"FETCH 1 BODY[]")


async def test_what_was_done_is_not_answered_with_no(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its commit a command is done, whatever keeps the server from telling what is new."""
    async with house(tmp_path, "sqlite") as found:
        await append(found.mailstore, found.account("alice"), letter(), letter())
        wire = await logged_in(found)

        async def fail(*_: object) -> None:
            raise StoreError("the disk does not answer")

        monkeypatch.setattr(found.mailstore, "since", fail)
        for command in (b"STORE 1 +FLAGS (\\Deleted)", b"COPY 2 INBOX", b"EXPUNGE"):
            assert b"a OK" in await ask(wire, command)
        monkeypatch.undo()
        assert b"* 1 EXPUNGE" in await ask(wire, b"NOOP")
