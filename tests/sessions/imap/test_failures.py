"""A bug ends one command with NO [SERVERBUG]; the session only where nothing true could be said any more."""

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import LogCapture

from posthouse.mailstore.interface import DamagedError, StoreError, StoreFullError
from posthouse.sessions.imap.errors import RefusedError
from tests.sessions.imap.fixture import Fixture, Wire, house
from tests.stores import append, letter

LONG = b"Subject: long\r\n\r\n" + b"0123456789abcdef\r\n" * 10_000
NO = b"a NO [SERVERBUG] Internal error, it was logged\r\n"
BYE = b"* BYE [SERVERBUG] Internal error\r\n"


class BugError(Exception):
    """What nobody thought of."""


async def broken(*_args: object, **_named: object) -> Any:
    raise BugError


@pytest.fixture
def logged() -> LogCapture:
    return LogCapture()


@pytest.fixture
async def found(tmp_path: Path, logged: LogCapture) -> AsyncIterator[Fixture]:
    log = structlog.wrap_logger(None, processors=[logged])
    async with house(tmp_path, "memory", log=log) as opened:
        await append(opened.mailstore, opened.account("alice"), letter(b"Subject: a\r\n\r\nshort\r\n"), letter(LONG))
        yield opened


async def ask(wire: Wire, command: bytes) -> list[bytes]:
    """The lines up to the tagged answer, or up to BYE."""
    wire.say(b"a %b\r\n" % command)
    said = [await wire.line()]
    while not said[-1].startswith((b"a ", b"* BYE")):
        said.append(await wire.line())
    return said


async def selected(found: Fixture) -> Wire:
    wire = found.connect()
    await wire.line()
    assert (await ask(wire, b"LOGIN alice@example.test secret"))[-1].startswith(b"a OK")
    assert (await ask(wire, b"SELECT INBOX"))[-1].startswith(b"a OK")
    return wire


def failures(logged: LogCapture) -> list[str]:
    return [entry["command"] for entry in logged.entries if entry["event"] == "imap command failed"]


@pytest.mark.parametrize(
    ("command", "name", "method"),
    [
        (b"FETCH 1 (SAVEDATE)", "Fetch", "items"),
        (b"FETCH 1 (BODY.PEEK[])", "Fetch", "read"),
        (b"STORE 1 +FLAGS (\\Seen)", "Store", "mark"),
        (b"COPY 1 Archive", "Copy", "copy"),
        (b"MOVE 1 Archive", "Copy", "move"),
        (b"SEARCH LARGER 1", "Search", "measured"),
        (b"SORT (SIZE) UTF-8 ALL", "Search", "items"),
        (b"STATUS INBOX (MESSAGES)", "Status", "mailbox"),
        (b'LIST "" *', "List", "mailboxes"),
        (b"CREATE x", "Create", "create"),
        (b"DELETE Archive", "Delete", "delete"),
        (b"RENAME Archive x", "Rename", "rename"),
        (b"SUBSCRIBE x", "Subscribe", "subscribe"),
        (b"APPEND INBOX {5+}\r\nA: b\n", "Append", "append"),
        (b"APPEND INBOX {5+}\r\nA: b\n", "Append", "mailbox"),
    ],
)
async def test_the_session_goes_on(
    found: Fixture, logged: LogCapture, monkeypatch: pytest.MonkeyPatch, command: bytes, name: str, method: str
) -> None:
    wire = await selected(found)
    with monkeypatch.context() as patch:
        patch.setattr(found.mailstore, method, broken)
        assert await ask(wire, command) == [NO]
    assert failures(logged) == [name]
    assert logged.entries[-1]["exc_info"]
    assert await ask(wire, b"NOOP") == [b"a OK NOOP completed\r\n"]
    assert (await ask(wire, command))[-1].startswith(b"a OK ")


async def test_a_select_that_failed_has_nothing_selected(found: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = await selected(found)
    with monkeypatch.context() as patch:
        patch.setattr(found.mailstore, "keywords", broken)
        assert (await ask(wire, b"SELECT Archive"))[-1] == NO
    assert (await ask(wire, b"FETCH 1 FLAGS"))[-1].startswith(b"a BAD FETCH is not valid now")
    assert (await ask(wire, b"SELECT INBOX"))[-1].startswith(b"a OK ")


@pytest.mark.parametrize(
    "command",
    [b"STORE 1 +FLAGS (\\Seen)", b"UID COPY 1 Archive", b"MOVE 1 Archive", b"APPEND INBOX {5+}\r\nA: b\n"],
)
async def test_what_is_committed_is_not_denied(
    found: Fixture, logged: LogCapture, monkeypatch: pytest.MonkeyPatch, command: bytes
) -> None:
    """The change is made: NO would have the client make it once more."""
    wire = await selected(found)

    def failing(_account: int) -> int:
        raise BugError

    monkeypatch.setattr(found.mailstore, "modseq", failing)
    assert (await ask(wire, command))[-1] == BYE
    await wire.end()
    assert len(failures(logged)) == 1


async def test_no_word_stands_inside_a_literal(
    found: Fixture, logged: LogCapture, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = await selected(found)
    read = found.mailstore.read
    calls = 0

    async def failing(entry: Any, offset: int, length: int) -> bytes:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise BugError
        return await read(entry, offset, length)

    monkeypatch.setattr(found.mailstore, "read", failing)
    wire.say(b"a FETCH 2 (BODY.PEEK[])\r\n")
    await wire.end()
    said = wire.left()
    assert said.startswith(b"* 2 FETCH (BODY[] {%d}\r\nSubject" % len(LONG))
    assert b"BYE" not in said and b"a NO" not in said
    assert failures(logged) == ["Fetch"]


@pytest.mark.parametrize("error", [BugError, StoreError])
async def test_what_was_marked_as_seen_is_told(
    found: Fixture, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    wire = await selected(found)

    async def failing(*_args: object) -> Any:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(found.mailstore, "items", failing)
        said = await ask(wire, b"FETCH 1 (BODY[TEXT])")
    assert said[0] == b"* 1 FETCH (FLAGS (\\Seen))\r\n"
    assert said[-1].startswith(b"a NO [")


async def test_what_others_changed_is_told_of_a_message_that_cannot_be_shown(
    found: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes to light with the marks that this session sets and takes back, and never again."""
    wire, other = await selected(found), await selected(found)
    assert (await ask(other, b"STORE 1 +FLAGS (\\Flagged)"))[-1].startswith(b"a OK")

    async def damaged(*_args: object) -> Any:
        raise DamagedError("one bit")

    monkeypatch.setattr(found.mailstore, "read", damaged)
    said = await ask(wire, b"FETCH 1 (BODY[TEXT])") + await ask(wire, b"NOOP")
    assert b"* 1 FETCH (FLAGS (\\Flagged))\r\n" in said
    assert next(line for line in said if line.startswith(b"a ")).startswith(b"a NO [CORRUPTION]")


@pytest.mark.parametrize("error", [StoreError, StoreFullError])
async def test_a_refusal_keeps_no_session(
    found: Fixture, monkeypatch: pytest.MonkeyPatch, error: type[StoreError]
) -> None:
    """An exception knows all it was raised through: one for all sessions would keep them, and grow."""
    wire = await selected(found)

    async def failing(*_args: object, **_named: object) -> Any:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(found.mailstore, "append", failing)
        said = await ask(wire, b"APPEND INBOX {5+}\r\nA: b\n")
        assert said[-1].startswith(b"a NO [UNAVAILABLE]")
    await asyncio.sleep(0)
    gc.collect()
    assert [each for each in gc.get_objects() if isinstance(each, RefusedError) and each.__traceback__] == []


async def test_news_are_told_after_a_failure(found: Fixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an update could not find out comes with the next command, whole."""
    wire = await selected(found)
    alice = found.account("alice")
    await append(found.mailstore, alice, letter(b"Subject: c\r\n\r\nnew\r\n"))
    with monkeypatch.context() as patch:
        patch.setattr(found.mailstore, "since", broken)
        assert await ask(wire, b"NOOP") == [NO]
    assert (await ask(wire, b"NOOP"))[0] == b"* 3 EXISTS\r\n"


async def test_idle_outlives_a_failure(found: Fixture, logged: LogCapture, monkeypatch: pytest.MonkeyPatch) -> None:
    wire = await selected(found)
    alice = found.account("alice")
    wire.say(b"a IDLE\r\n")
    assert await wire.line() == b"+ idling\r\n"
    failed = asyncio.Event()
    since = found.mailstore.since

    async def failing_once(account: int, mailbox: int, modseq: int) -> Any:
        if not failed.is_set():
            failed.set()
            raise BugError
        return await since(account, mailbox, modseq)

    monkeypatch.setattr(found.mailstore, "since", failing_once)
    await append(found.mailstore, alice, letter(b"Subject: c\r\n\r\nnew\r\n"))
    await failed.wait()
    await append(found.mailstore, alice, letter(b"Subject: d\r\n\r\nnew\r\n"))
    assert await wire.line() == b"* 4 EXISTS\r\n"
    assert failures(logged) == ["Idle"]
