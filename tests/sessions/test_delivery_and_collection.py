"""From the socket to the disk and back: SMTP, LMTP and POP3 sessions over a real store."""

import asyncio
import poplib
import re
import smtplib
from pathlib import Path

import pytest

from posthouse.delivery.inbound.stages import Arrival
from posthouse.mailstore.interface import Body, DeliveryReceipt, Mailstore, StoreError, StoreFullError
from posthouse.message.reply import Reply
from posthouse.sessions.pop3 import LEASE_SECONDS
from tests.sessions.world import World, world
from tests.stores import octets_used

MESSAGE = b"Subject: hi\r\n\r\n..Hello\r\n"
PLAIN = b"Subject: hi\r\n\r\n.Hello\r\n"


async def collected(found: World, user: str) -> list[bytes]:
    """All messages, dot-stuffing undone."""
    talk, answer = await found.login(user)
    count = int(answer.split()[1])
    messages = []
    for number in range(1, count + 1):
        octets = int((await talk.ask(f"RETR {number}")).split()[1])
        body = (await talk.body()).replace(b"\r\n..", b"\r\n.")
        assert len(body) == octets
        messages.append(body)
    await talk.ask("QUIT")
    talk.close()
    return messages


async def test_a_message_comes_back_with_its_trace(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        replies = await found.deliver(["Alice@EXAMPLE.test"], MESSAGE)
        assert [reply[:3] for reply in replies] == ["250", "250"]
        (message,) = await collected(found, "alice")
        head, _, _ = message.partition(b"Subject:")
        assert message == head + PLAIN
        lines = head.decode().split("\r\n")
        assert lines[0] == "Return-Path: <sender@client.test>"
        assert lines[1] == "Delivered-To: alice@example.test"
        assert re.fullmatch(r"Received: from client\.test \(\[127\.0\.0\.1\]\)", lines[2])
        assert re.fullmatch(r"\tby mail\.example\.test with ESMTP id [0-9a-z]{26}", lines[3])
        assert lines[4] == "\tfor <Alice@example.test>;"


async def test_many_recipients_share_one_body(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        await found.deliver(["alice@example.test", "bob@example.test", "alice+tag@example.test"], MESSAGE)
        (first,) = await collected(found, "alice")  # reached twice, kept once
        (second,) = await collected(found, "bob")
        assert first.endswith(PLAIN) and second.endswith(PLAIN)
        assert b"for <" not in first  # RFC 5321 7.2: the others are nobody's business
        packs = sum(octets_used(path) for path in (tmp_path / "packs").glob("*.pack"))
        assert packs < 2 * len(PLAIN) + 2000


@pytest.mark.parametrize(
    ("recipient", "code"),
    [
        ("nobody@example.test", "550 5.1.1"),
        ("alice@elsewhere.test", "550 5.7.1"),
        ("alice%elsewhere.test@example.test", "550 5.1.1"),
        ('"alice@elsewhere.test"@example.test', "550 5.1.1"),
        ("@elsewhere.test:alice@elsewhere.test", "550 5.7.1"),
        ("postmaster", "250 2.1.5"),
        ("abuse@example.test", "250 2.1.5"),
    ],
)
async def test_who_is_taken(tmp_path: Path, recipient: str, code: str) -> None:
    async with world(tmp_path) as found:
        assert (await found.deliver([recipient], MESSAGE))[0].startswith(code)


async def test_an_alias_that_leads_outside_is_refused_rather_than_lost(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        found.registry.aliases.add("both@example.test", "alice@example.test")
        found.registry.aliases.add("both@example.test", "somebody@elsewhere.test")
        assert (await found.deliver(["both@example.test"], MESSAGE))[0].startswith("550 5.7.1")


async def test_quota_at_rcpt_and_at_data(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        found.registry.accounts.set_quota("alice@example.test", 2000)
        replies = await found.deliver(["alice@example.test"], b"Subject: x\r\n\r\n" + b"y" * 1900 + b"\r\n")
        assert replies[1].startswith("552 5.2.2")
        await found.deliver(["alice@example.test"], b"Subject: x\r\n\r\n" + b"y" * 1200 + b"\r\n")
        talk = await found.talk("smtp")
        await talk.ask("EHLO client.test")
        await talk.ask("MAIL FROM:<a@b.test> SIZE=900")
        assert (await talk.ask("RCPT TO:<alice@example.test>")).startswith("552 5.2.2")
        talk.close()
        assert len(await collected(found, "alice")) == 1


async def test_one_full_mailbox_refuses_all_over_smtp_and_one_over_lmtp(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        found.registry.accounts.set_quota("alice@example.test", 1000)
        big = b"Subject: x\r\n\r\n" + b"y" * 1900 + b"\r\n"
        both = ["bob@example.test", "alice@example.test"]
        assert (await found.deliver(both, big))[-1].startswith("552 5.2.2")
        assert await collected(found, "bob") == []
        replies = await found.deliver(both, big, name="lmtp")
        assert [reply[:9] for reply in replies[2:]] == ["250 2.0.0", "552 5.2.2"]
        assert len(await collected(found, "bob")) == 1


async def test_loops_end(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        hops = b"Received: from a by b; now\r\n" * 100 + MESSAGE
        assert (await found.deliver(["alice@example.test"], hops))[1].startswith("554 5.4.6")
        been = b"Delivered-To: Alice@example.test\r\n" + MESSAGE
        assert (await found.deliver(["alice@example.test"], been))[1].startswith("554 5.4.6")
        assert (await found.deliver(["bob@example.test"], been))[1].startswith("250")


class Failing:
    """A store in front of the real one that fails when told to."""

    def __init__(self, store: Mailstore) -> None:
        self.store = store
        self.failure: StoreError | None = None

    def __getattr__(self, name: str) -> object:
        return getattr(self.store, name)

    async def deliver(self, delivery: bytes, body: Body, *rest: object, **more: object) -> DeliveryReceipt:
        if self.failure is not None:
            raise self.failure
        return await self.store.deliver(delivery, body, *rest, **more)  # type: ignore[arg-type]

    async def expunge(self, *arguments: object) -> int:
        if self.failure is not None:
            raise self.failure
        return await self.store.expunge(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(("failure", "code"), [(StoreFullError("full"), "452 4.3.1"), (StoreError("odd"), "451 4.3.0")])
async def test_a_store_that_fails_is_never_acknowledged(tmp_path: Path, failure: StoreError, code: str) -> None:
    stores: list[Failing] = []

    def wrap(store: Mailstore) -> Mailstore:
        stores.append(Failing(store))
        return stores[0]  # type: ignore[return-value]

    async with world(tmp_path, wrap=wrap) as found:
        await found.deliver(["alice@example.test"], MESSAGE)
        talk, _ = await found.login("alice")
        await talk.ask("DELE 1")
        stores[0].failure = failure
        assert (await found.deliver(["alice@example.test"], MESSAGE))[1].startswith(code)
        assert (await talk.ask("QUIT")).startswith("-ERR [SYS/TEMP]")
        talk.close()
        stores[0].failure = None  # and it recovers by itself
        assert (await found.deliver(["alice@example.test"], MESSAGE))[1].startswith("250")
        assert len(await collected(found, "alice")) == 2


async def test_a_check_of_content_may_refuse_or_add_headers(tmp_path: Path) -> None:
    class Strict:
        def check_content(self, arrival: Arrival) -> Reply | None:
            if b"Subject: spam" in arrival.head:
                return Reply(550, "5.7.1", "No")
            arrival.headers += b"X-Checked: yes\r\n"
            return None

    async with world(tmp_path, checks=(Strict(),)) as found:
        assert (await found.deliver(["alice@example.test"], b"Subject: spam\r\n\r\nx\r\n"))[1] == "550 5.7.1 No"
        await found.deliver(["alice@example.test"], MESSAGE)
        (message,) = await collected(found, "alice")
        assert b"X-Checked: yes\r\n" in message.partition(b"Subject")[0]


async def test_a_client_that_vanishes_in_data_leaves_nothing(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        for _ in range(20):
            talk = await found.talk("smtp")
            for command in ("EHLO c.test", "MAIL FROM:<>", "RCPT TO:<alice@example.test>", "DATA"):
                await talk.ask(command)
            talk.writer.write(b"Subject: half\r\n\r\n" + b"x" * 50_000)
            await talk.writer.drain()
            talk.close()
        while list((tmp_path / "spool").iterdir()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert await collected(found, "alice") == []


async def test_large_messages_go_by_the_spool_folder(tmp_path: Path) -> None:
    body = b"".join(b"%07d\r\n" % n for n in range(100_000))
    async with world(tmp_path, max_size=2 << 20) as found:
        await found.deliver(["alice@example.test"], b"Subject: big\r\n\r\n" + body)
        (message,) = await collected(found, "alice")
        assert message.endswith(b"Subject: big\r\n\r\n" + body)


async def test_one_session_at_a_time(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        first, answer = await found.login("alice")
        assert answer.startswith("+OK")
        second, answer = await found.login("alice@example.test")
        assert answer.startswith("-ERR [IN-USE]")
        first.close()
        for _ in range(3000):  # the lease is given back when the link drops
            _, answer = await found.login("alice")
            if answer.startswith("+OK"):
                break
            await asyncio.sleep(0.01)
        assert answer.startswith("+OK")
        second.close()


async def test_a_maildrop_stays_locked_while_its_session_lives(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        await found.deliver(["alice@example.test"], MESSAGE)
        talk, _ = await found.login("alice")
        found.now += LEASE_SECONDS - 1
        await found.pop3.renew()
        found.now += LEASE_SECONDS - 1  # expired without the renewal
        _, answer = await found.login("alice")
        assert answer.startswith("-ERR [IN-USE]")
        found.now += 2  # as if the worker had been killed: nobody renews
        second, answer = await found.login("alice")
        assert answer.startswith("+OK")
        await talk.ask("DELE 1")
        assert (await talk.ask("QUIT")).startswith("-ERR [SYS/TEMP]")  # the first has lost its hold
        await second.ask("QUIT")
        assert len(await collected(found, "alice")) == 1


async def test_without_quit_nothing_is_deleted(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        await found.deliver(["alice@example.test"], MESSAGE)
        talk, _ = await found.login("alice")
        assert (await talk.ask("DELE 1")).startswith("+OK")
        talk.close()
        await asyncio.sleep(0.05)
        assert len(await collected(found, "alice")) == 1


async def test_unique_ids_are_kept_and_never_given_again(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        for _ in range(3):
            await found.deliver(["alice@example.test"], MESSAGE)
        talk, _ = await found.login("alice")
        await talk.ask("UIDL")
        before = (await talk.body()).split()[1::2]
        await talk.ask("DELE 3")
        await talk.ask("QUIT")
        await found.deliver(["alice@example.test"], MESSAGE)
        talk, _ = await found.login("alice")
        await talk.ask("UIDL")
        after = (await talk.body()).split()[1::2]
        assert after[:2] == before[:2] and after[2] not in before
        assert all(1 <= len(uid) <= 70 for uid in after)  # RFC 1939 7
        talk.close()


async def test_wrong_passwords_sound_alike_and_are_throttled(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        answers = {(await found.login(name, "wrong"))[1] for name in ("alice", "nobody")}
        assert answers == {"-ERR [AUTH] wrong login or password"}
        for _ in range(20):
            _, answer = await found.login("alice", "wrong")
        assert "[AUTH] wrong" not in answer and "wait" in answer


async def test_smtplib_and_poplib(tmp_path: Path) -> None:
    def clients(ports: dict[str, int]) -> bytes:
        with smtplib.SMTP("127.0.0.1", ports["submission"], timeout=10) as smtp:
            smtp.login("alice", "secret")
            smtp.sendmail("alice@example.test", ["bob@example.test"], PLAIN)
        pop3 = poplib.POP3("127.0.0.1", ports["pop3"], timeout=10)
        pop3.user("bob")
        pop3.pass_("secret")
        lines = pop3.retr(1)[1]
        pop3.quit()
        return b"\r\n".join(lines) + b"\r\n"

    async with world(tmp_path) as found:
        message = await asyncio.to_thread(clients, found.ports)
        assert message.endswith(PLAIN)
        assert b"with ESMTPA id" in message


async def test_without_any_domain_nothing_is_refused_for_good(tmp_path: Path) -> None:
    """An empty directory is one that is not set up yet, or not the right one."""
    async with world(tmp_path) as found:
        found.registry.domains.remove("example.test", force=True)
        for recipient in ("alice@example.test", "postmaster", "alice@elsewhere.test"):
            assert (await found.deliver([recipient], MESSAGE))[0].startswith("451 4.3.0")
        for login, password in (("alice@example.test", "secret"), ("alice", "wrong")):
            _, answer = await found.login(login, password)
            assert answer.startswith("-ERR [SYS/TEMP]")
        found.registry.domains.add("other.test")
        assert (await found.deliver(["alice@example.test"], MESSAGE))[0].startswith("550 5.7.1")
        assert (await found.login("alice@example.test"))[1].startswith("-ERR [AUTH]")


async def test_a_cr_too_many_is_left_out(tmp_path: Path) -> None:
    """docs/decisions/023: what is kept has a header and a body that every reader finds."""
    async with world(tmp_path) as found:
        for name in ("smtp", "lmtp"):
            doubled = MESSAGE.replace(b"\r\n", b"\r\r\n")
            assert (await found.deliver(["alice@example.test"], doubled, name=name))[-1].startswith("250")
        for message in await collected(found, "alice"):
            assert message.endswith(PLAIN) and b"\r\r" not in message


@pytest.mark.parametrize("name", ["smtp", "lmtp"])
async def test_binary_data_has_a_header_in_lines(tmp_path: Path, name: str) -> None:
    async with world(tmp_path) as found:
        talk = await found.talk(name)
        await talk.ask("LHLO client.test" if name == "lmtp" else "EHLO client.test")
        for head, code in ((b"Subject: x\r\r\n\r\r\n", "550 5.6.11"), (b"Subject: x\r\n\r\n", "250 2.0.0")):
            await talk.ask("MAIL FROM:<sender@client.test> BODY=BINARYMIME")
            await talk.ask("RCPT TO:<alice@example.test>")
            content = head + b"\r\n\n\0"
            talk.writer.write(b"BDAT %d LAST\r\n" % len(content) + content)
            assert (await talk.line()).startswith(code)
        assert len(await collected(found, "alice")) == 1


async def test_a_bug_while_reading_ends_one_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_args: object) -> bytes:
        raise ZeroDivisionError

    async with world(tmp_path) as found:
        await found.deliver(["alice@example.test"], b"Subject: y\r\n\r\nsound\r\n")
        talk, _ = await found.login("alice")
        with monkeypatch.context() as patch:
            patch.setattr(found.mailstore, "read", broken)
            assert await talk.ask("RETR 1") == "-ERR [SYS/TEMP] internal error, it was logged"
        assert (await talk.ask("RETR 1")).startswith("+OK")
        assert (await talk.body()).endswith(b"sound\r\n")


async def test_an_old_device_may_end_its_lines_with_lf(tmp_path: Path) -> None:
    message = b"Subject: scan\nFrom: printer@example.test\n\n..page 1\nend\r\n"
    async with world(tmp_path, bare_lf=True) as found:
        assert (await found.deliver(["alice@example.test"], message))[-1].startswith("250")
        talk, _ = await found.login("alice@example.test")
        await talk.ask("RETR 1")
        body = (await talk.body()).removesuffix(b".\r\n")
        assert body.endswith(b"Subject: scan\r\nFrom: printer@example.test\r\n\r\n..page 1\r\nend\r\n")


async def test_nobody_else_may(tmp_path: Path) -> None:
    async with world(tmp_path) as found:
        refused = (await found.deliver(["alice@example.test"], b"Subject: x\n\nx\r\n"))[-1]
        assert refused.startswith("550 5.6.11")
