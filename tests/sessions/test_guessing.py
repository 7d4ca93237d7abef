"""Recipients that do not exist: a stranger may name a few, a mail server that hands mail over by LMTP any number."""

import asyncio
from pathlib import Path

import pytest

from posthouse.accounts.throttle import NETWORK
from posthouse.sessions.smtp import FREE_GUESSES, GUESSES_OF_SUSPECTS
from tests.sessions.world import Talk, world


async def begun(talk: Talk) -> None:
    await talk.ask("EHLO client.test")
    await talk.ask("MAIL FROM:<a@client.test>")


async def test_strangers_are_hung_up_on(tmp_path: Path) -> None:
    async with world(tmp_path) as at:
        talk = await at.talk("smtp")
        await talk.ask("EHLO client.test")
        await talk.ask("MAIL FROM:<a@client.test>")
        for n in range(21):
            assert (await talk.ask(f"RCPT TO:<user{n}@example.test>")).startswith("550 5.1.1")
        assert (await talk.line()).startswith("421 4.7.0")
        assert await talk.line() == ""


async def test_other_domains_are_no_guesses(tmp_path: Path) -> None:
    async with world(tmp_path) as at:
        talk = await at.talk("smtp")
        await talk.ask("EHLO client.test")
        await talk.ask("MAIL FROM:<a@client.test>")
        for n in range(30):
            assert (await talk.ask(f"RCPT TO:<user{n}@elsewhere.test>")).startswith("550 5.7.1")
        assert (await talk.ask("NOOP")).startswith("250")


async def test_users_and_lmtp_are_not_counted(tmp_path: Path) -> None:
    async with world(tmp_path) as at:
        user = await at.talk("submission")
        await user.ask("EHLO client.test")
        assert (await user.ask("AUTH PLAIN AGFsaWNlQGV4YW1wbGUudGVzdABzZWNyZXQ=")).startswith("235")
        server = await at.talk("lmtp")
        await server.ask("LHLO client.test")
        for talk in (user, server):
            await talk.ask("MAIL FROM:<alice@example.test>")
            for n in range(30):
                assert (await talk.ask(f"RCPT TO:<user{n}@example.test>")).startswith("550 5.1.1")
            assert (await talk.ask("NOOP")).startswith("250")


async def test_answers_come_slowly_after_a_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those for recipients that exist do not."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async with world(tmp_path, guess_delay=2.0) as at:
        talk = await at.talk("smtp")
        await begun(talk)
        monkeypatch.setattr(asyncio, "sleep", sleep)
        for n in range(FREE_GUESSES + 3):
            assert (await talk.ask(f"RCPT TO:<user{n}@example.test>")).startswith("550 5.1.1")
            assert (await talk.ask("RCPT TO:<alice@example.test>")).startswith("250")
        monkeypatch.undo()
    assert [seconds for seconds in slept if seconds] == [2.0] * 3


async def test_guesses_on_many_connections_count_together(tmp_path: Path) -> None:
    async with world(tmp_path) as at:
        named = 0
        for _ in range(NETWORK.free // 5):
            talk = await at.talk("smtp")
            await begun(talk)
            for _ in range(5):
                named += 1
                assert (await talk.ask(f"RCPT TO:<user{named}@example.test>")).startswith("550 5.1.1")
            talk.close()
        talk = await at.talk("smtp")
        await begun(talk)
        for n in range(GUESSES_OF_SUSPECTS):
            assert (await talk.ask(f"RCPT TO:<user{n}@example.test>")).startswith("550 5.1.1")
        assert (await talk.ask("RCPT TO:<alice@example.test>")).startswith("250")  # mail still comes in
        assert (await talk.ask("RCPT TO:<nobody@example.test>")).startswith("421 4.7.0")
        assert at.directory.logins.throttled("alice@example.test", "127.0.0.1") > 0  # as after failed logins


async def test_a_slow_answer_to_a_peer_that_has_gone(tmp_path: Path) -> None:
    async with world(tmp_path, guess_delay=0.05) as at:
        talk = await at.talk("smtp")
        await begun(talk)
        for n in range(FREE_GUESSES):
            await talk.ask(f"RCPT TO:<user{n}@example.test>")
        talk.writer.write(b"RCPT TO:<x@example.test>\r\n")
        talk.close()
        await asyncio.sleep(0.1)
        assert (await at.deliver(["alice@example.test"], b"Subject: x\r\n\r\nx\r\n"))[-1].startswith("250")
