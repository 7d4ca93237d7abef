"""IDLE tells now and then that the server is there, for NAT forgets what is silent."""

from pathlib import Path

from tests.sessions.imap.fixture import Fixture, Wire, house
from tests.stores import append, letter


async def idling(found: Fixture) -> Wire:
    wire = found.connect()
    await wire.line()
    for command in (b"LOGIN alice@example.test secret", b"SELECT INBOX"):
        wire.say(b"a %b\r\n" % command)
        while not (line := await wire.line()).startswith(b"a "):
            pass
        assert line.startswith(b"a OK"), line
    wire.say(b"b IDLE\r\n")
    assert await wire.line() == b"+ idling\r\n"
    return wire


async def test_signs_of_life(tmp_path: Path) -> None:
    async with house(tmp_path, "memory", idle_notify=0.01) as found:
        wire = await idling(found)
        assert [await wire.line() for _ in range(3)] == [b"* OK Still here\r\n"] * 3
        await append(found.mailstore, found.account("alice"), letter(b"Subject: a\r\n\r\nnew\r\n"))
        while (line := await wire.line()) == b"* OK Still here\r\n":
            pass
        assert line == b"* 1 EXISTS\r\n"
        wire.say(b"DONE\r\n")
        while not (line := await wire.line()).startswith(b"b "):
            assert line in (b"* 0 RECENT\r\n", b"* OK Still here\r\n")
        assert line == b"b OK IDLE completed\r\n"
        wire.say(b"c NOOP\r\n")
        assert await wire.line() == b"c OK NOOP completed\r\n"


async def test_none_are_given(tmp_path: Path) -> None:
    async with house(tmp_path, "memory", idle_notify=0.0) as found:
        wire = await idling(found)
        await append(found.mailstore, found.account("alice"), letter(b"Subject: a\r\n\r\nnew\r\n"))
        assert await wire.line() == b"* 1 EXISTS\r\n"


async def test_a_client_that_has_left_ends_them(tmp_path: Path) -> None:
    async with house(tmp_path, "memory", idle_notify=0.01) as found:
        wire = await idling(found)
        assert await wire.line() == b"* OK Still here\r\n"
        wire.leave()
        left = len(wire.left())
        other = await idling(found)
        assert await other.line() == b"* OK Still here\r\n"
        assert len(wire.left()) == left
