"""A message whose octets are not those that were kept is told as damaged, and never handed out as if it were sound."""

from pathlib import Path

import pytest

from posthouse.mailstore.interface import INBOX
from tests.sessions.imap.house import House, Wire, house
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


async def logged_in(found: House) -> Wire:
    wire = found.connect()
    await wire.line()
    await ask(wire, b"LOGIN alice secret")
    assert b"a OK" in await ask(wire, b"SELECT " + INBOX.encode())
    return wire
