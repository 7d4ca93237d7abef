"""STORE of very many messages goes in several transactions; what the client is told is as of one."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from posthouse.mailstore.interface import StoreFullError
from posthouse.sessions.imap import changing
from tests.sessions.imap.fixture import Fixture, Wire, house


@pytest.fixture
async def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Fixture]:
    monkeypatch.setattr(changing, "_AT_ONCE", 2)
    async with house(tmp_path, "sqlite") as made:
        yield made


async def ask(wire: Wire, command: bytes) -> list[bytes]:
    """The lines of the answer, without the words of the last one behind its code."""
    wire.say(b"a " + command + b"\r\n")
    lines = [await wire.line()]
    while not lines[-1].startswith(b"a "):
        lines.append(await wire.line())
    return [line.rstrip() for line in lines]


async def opened(found: Fixture) -> Wire:
    wire = found.connect()
    await wire.line()
    await ask(wire, b"LOGIN alice@example.test secret")
    if (await ask(wire, b"STATUS INBOX (MESSAGES)"))[0].endswith(b" 0)"):
        await ask(wire, b"APPEND INBOX" + b" {14+}\r\nSubject: x\r\n\r\n" * 5)
    await ask(wire, b"SELECT INBOX")
    return wire


async def test_the_answer_is_one(found: Fixture) -> None:
    wire, other = await opened(found), await opened(found)
    lines = await ask(wire, b"STORE 1:* +FLAGS (\\Flagged)")
    assert [line for line in lines if b"FETCH" in line] == [
        b"* %d FETCH (FLAGS (\\Flagged))" % number for number in range(1, 6)
    ]
    assert lines[-1].startswith(b"a OK") and len(lines) == 6
    assert len(await ask(wire, b"NOOP")) == 1  # its own changes are no news
    assert len(await ask(other, b"NOOP")) == 6


async def test_what_failed_in_the_middle_is_told(found: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = await opened(found)
    mark, calls = found.mailstore.mark, 0

    async def full(*args: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise StoreFullError("no space left")
        return await mark(*args, **named)

    monkeypatch.setattr(found.mailstore, "mark", full)
    (last,) = await ask(wire, b"STORE 1:* +FLAGS (\\Flagged)")
    assert last == b"a NO [UNAVAILABLE] The disk is full, only some were changed; try again later"
    told = await ask(wire, b"NOOP")
    assert told[:2] == [b"* 1 FETCH (FLAGS (\\Flagged))", b"* 2 FETCH (FLAGS (\\Flagged))"] and len(told) == 3


async def test_those_that_changed_since_are_named_together(found: Fixture) -> None:
    wire, other = await opened(found), await opened(found)
    (status,) = [line for line in await ask(wire, b"STATUS INBOX (HIGHESTMODSEQ)") if line.startswith(b"* STATUS")]
    modseq = status.rpartition(b" ")[2].rstrip(b")")
    await ask(other, b"STORE 2,4 +FLAGS (\\Seen)")
    lines = await ask(wire, b"STORE 1:* (UNCHANGEDSINCE %b) +FLAGS (\\Flagged)" % modseq)
    assert lines[-1].startswith(b"a OK [MODIFIED 2,4]")
