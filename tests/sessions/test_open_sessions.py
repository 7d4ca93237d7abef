"""Sessions end when the password of their account changes, or the account goes; those of others stay."""

import base64
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from posthouse.accounts.errors import DirectoryBusyError
from posthouse.accounts.interface import Account
from posthouse.accounts.sqlite.registry import SqliteRegistry
from posthouse.message.address import Address
from posthouse.sessions.open_sessions import OpenSessions
from tests.sessions.world import Talk, World, world

LAST_WORDS = {
    "submission": "421 4.7.0 mail.example.test the password has changed, or the account is gone; closing connection",
    "pop3": "-ERR [AUTH] the password has changed, or the account is gone",
    "imap": "* BYE The password has changed, or the account is gone",
}


async def logged_in(at: World, kind: str, name: str) -> Talk:
    talk = await at.talk(kind)
    user = f"{name}@example.test"
    if kind == "imap":
        assert (await talk.ask(f"a LOGIN {user} secret")).startswith("a OK")
    elif kind == "pop3":
        await talk.ask(f"USER {user}")
        assert (await talk.ask("PASS secret")).startswith("+OK")
    else:
        await talk.ask("EHLO client.test")
        secret = base64.b64encode(f"\0{user}\0secret".encode()).decode()
        assert (await talk.ask(f"AUTH PLAIN {secret}")).startswith("235")
    return talk


def new_password(registry: SqliteRegistry) -> None:
    registry.accounts.set_password("alice@example.test", "another one")


def remove(registry: SqliteRegistry) -> None:
    registry.accounts.remove("alice@example.test")


def make_anew(registry: SqliteRegistry) -> None:
    registry.accounts.remove("alice@example.test")
    registry.accounts.add("alice@example.test", "secret")


@pytest.mark.parametrize("change", [new_password, remove, make_anew])
@pytest.mark.parametrize("kind", LAST_WORDS)
async def test_they_end(tmp_path: Path, kind: str, change: Callable[[SqliteRegistry], None]) -> None:
    async with world(tmp_path) as at:
        alice, bob = await logged_in(at, kind, "alice"), await logged_in(at, kind, "bob")
        await at.check_sessions()
        at.registry.accounts.add("carol@example.test", "secret")  # a change that concerns nobody here
        await at.check_sessions()
        assert await alice.ask("NOOP" if kind != "imap" else "b NOOP") != ""
        change(at.registry)
        await at.check_sessions()
        assert await alice.line() == LAST_WORDS[kind]
        assert await alice.line() == ""
        assert not (await bob.ask("NOOP" if kind != "imap" else "b NOOP")).startswith(("421", "-ERR", "* BYE"))
        assert len(at.services.open_sessions) == 1


async def test_one_that_idles_ends(tmp_path: Path) -> None:
    async with world(tmp_path) as at:
        alice = await logged_in(at, "imap", "alice")
        assert (await alice.ask("b IDLE")).startswith("+")
        new_password(at.registry)
        await at.check_sessions()
        assert await alice.line() == LAST_WORDS["imap"]


async def test_a_message_under_way_is_kept_first(tmp_path: Path) -> None:
    async with world(tmp_path) as at:
        alice = await logged_in(at, "submission", "alice")
        await alice.ask("MAIL FROM:<alice@example.test>")
        await alice.ask("RCPT TO:<bob@example.test>")
        assert (await alice.ask("DATA")).startswith("354")
        new_password(at.registry)
        await at.check_sessions()
        assert (await alice.ask("From: alice@example.test\r\n\r\nx\r\n.")).startswith("250")
        assert (await alice.ask("NOOP")).startswith("421 4.7.0")


async def test_who_left_is_forgotten(tmp_path: Path) -> None:
    async with world(tmp_path) as at:
        for kind in LAST_WORDS:
            talk = await logged_in(at, kind, "alice")
            await talk.ask("QUIT" if kind != "imap" else "b LOGOUT")
            while await talk.line():
                pass
        await at.server.shut_down(1.0)
        assert len(at.services.open_sessions) == 0


class Directory:
    """A directory whose file may be unreadable."""

    def __init__(self) -> None:
        self.at = 1
        self.known = {1: 1}
        self.busy = False
        self.asked: list[list[int]] = []
        self.logins = self

    def revision(self) -> object:
        if self.busy:
            raise DirectoryBusyError("not now")
        return self.at

    def generations(self, accounts: Sequence[int]) -> dict[int, int]:
        self.asked.append(list(accounts))
        return self.known


async def test_what_is_asked_and_when() -> None:
    directory, sessions, ended = Directory(), OpenSessions(), []
    alice = Account(1, Address("alice", "a.test"), None, generation=1)

    async def check() -> None:
        await sessions.check(directory)  # type: ignore[arg-type]

    sessions.enter("one", alice, lambda: ended.append("one"))
    await check()
    await check()
    assert directory.asked == [[1]]
    directory.at = 2
    await check()
    assert directory.asked == [[1], [1]]
    # The password changed between the check of the password and the entry; that change was seen already.
    directory.known = {1: 2}
    sessions.leave("one", 1)
    sessions.enter("late", alice, lambda: ended.append("late"))
    await check()
    assert ended == ["late"]
    directory.busy = True
    await check()
    directory.busy = False
    await check()
    assert ended == ["late", "late"]  # all are looked at after a time of which nothing is known
