"""Recipients that do not exist: a stranger may name a few, a mail server that hands mail over by LMTP any number."""

from pathlib import Path

from tests.sessions.world import world


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
