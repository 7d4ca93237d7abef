"""What was asked for by clients that have hung up is not worked out when its turn comes."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from posthouse.sessions.imap import context, searching
from tests.sessions.imap.fixture import Fixture, Wire, house


@pytest.fixture
async def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Fixture]:
    monkeypatch.setattr(context, "FEW", 1)  # one message is many
    async with house(tmp_path, "sqlite") as made:
        yield made


async def opened(found: Fixture) -> Wire:
    wire = found.connect()
    await wire.line()
    for command in (
        b"LOGIN alice@example.test secret",
        b"APPEND INBOX {14+}\r\nSubject: x\r\n\r\n",
        b"SELECT INBOX",
    ):
        wire.say(b"a " + command + b"\r\n")
        while not (line := await wire.line()).startswith(b"a "):
            pass
        assert line.startswith(b"a OK")
    return wire


async def test_a_search_that_nobody_waits_for(found: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    find = searching._Matching.find
    begun, go_on = 0, asyncio.Event()

    async def slow(*args: Any) -> Any:
        nonlocal begun
        begun += 1
        await go_on.wait()
        return await find(*args)

    monkeypatch.setattr(searching._Matching, "find", slow)
    wires = [await opened(found) for _ in range(4)]
    for wire in wires:  # of one account one works, the others wait
        wire.say(b"b SEARCH ALL\r\n")
        await asyncio.sleep(0)
    for wire in wires[1:3]:
        wire.leave()
    go_on.set()
    for wire in (wires[0], wires[3]):
        while not (line := await wire.line()).startswith(b"b "):
            pass
        assert line.startswith(b"b OK")
    assert begun == 2
