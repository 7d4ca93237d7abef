"""Other servers that misbehave: each message ends as RFC 5321 says, nothing is lost, and nobody else has to wait."""

import email
import time
from collections.abc import Iterator
from contextlib import ExitStack
from email import policy
from pathlib import Path

import pytest

from tests.outside import neighbours as remotes
from tests.outside.neighbours import Remote, Says
from tests.outside.served import Served, serving, until

TEXT = b"Subject: %b\r\n\r\nHello.\r\n.\r\n..dots\r\nend\r\n"
ALL: dict[str, type[Remote]] = {
    "good": Remote,
    "simple": remotes.Simple,
    "bare": remotes.Bare,
    "chunking": remotes.Chunking,
    "chunkrefuser": remotes.ChunkRefuser,
    "small": remotes.Small,
    "grey": remotes.Greylister,
    "choosy": remotes.Choosy,
    "silent": remotes.Silent,
    "tarpit": remotes.Tarpit,
    "endless": remotes.Endless,
    "tls": remotes.Tls,
    "tlsgarbage": remotes.TlsGarbage,
    "tlsinjected": remotes.TlsInjected,
    "tlsfickle": remotes.TlsFickle,
    "tlshang": remotes.TlsHang,
}
# name -> step, what is said there, how often, and how it ends
SAYING: dict[str, tuple[str, bytes, int, str]] = {
    "greeting554": ("greeting", b"554 5.7.1 no service\r\n", 2, "delivered"),
    "greeting421": ("greeting", b"421 4.3.2 busy\r\n", 2, "delivered"),
    "greetingnoise": ("greeting", b"HTTP/1.0 200 OK\r\n", 2, "delivered"),
    "greetingcodes": ("greeting", b"220-one\r\n250 two\r\n", 2, "delivered"),
    "greetingnul": ("greeting", b"\0\0\0\0\r\n", 2, "delivered"),
    "hello421": ("hello", b"421 4.3.2 going\r\n", 1, "delivered"),
    "mail451": ("mail", b"451 4.3.0 later\r\n", 2, "delivered"),
    "mail550": ("mail", b"550 5.7.1 not you\r\n", 99, "failed"),
    "mail421": ("mail", b"421 4.7.0 slow down\r\n", 2, "delivered"),
    "rcpt550": ("rcpt", b"550 5.1.1 nobody\x1b[31m \xff\xfe\x00 here\r\n", 99, "failed"),
    "rcptlong": (
        "rcpt",
        b"".join(b"550-5.1.1 line %d\r\n" % n for n in range(500)) + b"550 5.1.1 end\r\n",
        99,
        "failed",
    ),
    "data451": ("data", b"451 4.3.0 not now\r\n", 2, "delivered"),
    "data554": ("data", b"554 5.7.1 never\r\n", 99, "failed"),
    "end451": ("end", b"451 4.3.0 again\r\n", 2, "delivered"),
    "end554": ("end", b"554 5.7.1 spam\r\n", 99, "failed"),
    "end552": ("end", b"552 5.2.2 full\r\n", 99, "failed"),
    "vanish": ("end", b"vanish", 2, "delivered"),
    "lfonly": ("greeting", b"220 remote.test\n", 99, "delivered"),
}


class World:
    def __init__(self, server: Served, there: dict[str, Remote]) -> None:
        self.server = server
        self.remote = there

    def state(self, name: str) -> dict[str, object]:
        """Where the one recipient at NAME.test stands."""
        (found,) = self.server.queue("--settled", "--to", f"{name}.test")
        return found

    def bounces(self, name: str) -> list[email.message.EmailMessage]:
        messages = [email.message_from_bytes(each, policy=policy.default) for each in self.server.inbox()]
        return [each for each in messages if f"@{name}.test" in str(each["Subject"])]  # type: ignore[misc]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as stack:
        there: dict[str, Remote] = {name: stack.enter_context(kind()) for name, kind in ALL.items()}
        for name, (step, answer, times, _) in SAYING.items():
            there[name] = stack.enter_context(Says(step, answer, times))
        ways = {"tlsforced": "encrypted", "tlsforcedplain": "encrypted", "tlsverified": "verified"}
        there["tlsforced"], there["tlsverified"] = there["tls"], stack.enter_context(remotes.Tls())
        there["tlsforcedplain"] = stack.enter_context(Remote())
        there["limits"] = stack.enter_context(Remote())
        ports = {name: remote.port for name, remote in there.items()}
        ports["nobody"] = 1
        server = stack.enter_context(serving(tmp_path_factory.mktemp("remotes"), ports, tls=ways))
        yield World(server, there)


def submit(world: World, name: str, *, data: bytes = b"", local: str = "user", more: str = "") -> None:
    world.server.submit([f"<{local}@{name}.test>"], data or TEXT % name.encode(), more=more)


@pytest.mark.parametrize("name", ["good", "simple", "bare", "chunking", "tls", "tlsforced"])
def test_delivered_as_it_was_written(world: World, name: str) -> None:
    marker = f"octets-{name}".encode()
    submit(world, name, data=TEXT % marker)
    (arrived,) = until(lambda: world.remote[name].messages(marker))
    assert arrived.data.endswith(TEXT % marker)
    assert arrived.sender == "alice@example.test"
    assert arrived.recipients == (f"user@{name}.test",)
    assert b"DKIM-Signature:" in arrived.data
    assert arrived.tls == name.startswith("tls")
    until(lambda: world.state(name)["state"] == "delivered")
    assert world.bounces(name) == []


@pytest.mark.parametrize("name", SAYING)
def test_each_answer_ends_as_it_should(world: World, name: str) -> None:
    ending = SAYING[name][3]
    submit(world, name)
    until(lambda: world.state(name)["state"] == ending, what=f"{name}: {ending}")
    if ending == "delivered":
        assert len(world.remote[name].journal) == 1
        assert world.bounces(name) == []
        return
    (bounce,) = until(lambda: world.bounces(name))
    assert world.remote[name].journal == []
    said = bounce.as_bytes().decode("latin-1")
    assert "\x1b" not in said and "\0" not in said
    assert bounce.get_content_type() == "multipart/report"
    assert bounce["Auto-Submitted"] == "auto-replied"


def test_greylisted_then_taken(world: World) -> None:
    submit(world, "grey")
    until(lambda: world.state("grey")["state"] == "delivered")
    assert world.state("grey")["attempts"] == 2
    assert world.bounces("grey") == []


def test_each_recipient_for_itself(world: World) -> None:
    names = ["good", "no1", "later1", "no2"]
    world.server.submit([f"<{name}@choosy.test>" for name in names], TEXT % b"each")

    def states() -> dict[str, object]:
        found = world.server.queue("--settled", "--to", "choosy.test")
        return {str(each["recipient"]).partition("@")[0]: each["state"] for each in found}

    wanted = {"good": "delivered", "no1": "failed", "no2": "failed", "later1": "delivered"}
    until(lambda: states() == wanted, what=str(wanted))
    (bounce,) = until(lambda: world.bounces("choosy"))  # one for both
    text = bounce.as_string()
    assert "no1@choosy.test" in text and "no2@choosy.test" in text and "later1@" not in text
    arrived = world.remote["choosy"].messages(b"Subject: each")
    assert [each.recipients for each in arrived] == [("good@choosy.test",), ("later1@choosy.test",)]


def test_too_large_is_known_before_it_is_sent(world: World) -> None:
    submit(world, "small", data=b"Subject: x\r\n\r\n" + b"x" * 70 + b"\r\n" * 3000)
    until(lambda: world.state("small")["state"] == "failed")
    assert not any(command.startswith(b"MAIL") for command in world.remote["small"].commands)
    (bounce,) = until(lambda: world.bounces("small"))
    assert "too large" in bounce.as_string()


def test_chunks_refused(world: World) -> None:
    submit(world, "chunkrefuser")
    until(lambda: world.state("chunkrefuser")["attempts"] or world.state("chunkrefuser")["state"] != "waiting")
    assert world.remote["chunkrefuser"].journal == []


@pytest.mark.parametrize("name", ["tlsgarbage", "tlsinjected"])
def test_broken_tls_is_a_bonus_that_was_not_had(world: World, name: str) -> None:
    """Where nobody asked for TLS, mail goes without; what was injected before the handshake is never believed."""
    submit(world, name)
    until(lambda: world.state(name)["state"] == "delivered", 60)
    assert [each.tls for each in world.remote[name].journal] == [False]


def test_tls_that_changes_its_mind(world: World) -> None:
    submit(world, "tlsfickle")
    until(lambda: world.state("tlsfickle")["attempts"])
    assert world.state("tlsfickle")["state"] == "waiting"
    assert world.remote["tlsfickle"].journal == []


@pytest.mark.parametrize("name", ["tlsforcedplain", "tlsverified"])
def test_no_mail_without_the_tls_that_was_asked_for(world: World, name: str) -> None:
    submit(world, name)
    until(lambda: world.state(name)["attempts"])
    found = world.state(name)
    assert found["state"] == "waiting"
    assert found["tries"][-1]["reply"].startswith("4.7.5")  # type: ignore[index]
    assert world.remote[name].journal == []
    assert not any(command.startswith(b"MAIL") for command in world.remote[name].commands)


def test_nobody_listens(world: World) -> None:
    submit(world, "nobody")
    until(lambda: world.state("nobody")["attempts"])
    assert world.state("nobody")["state"] == "waiting"


@pytest.mark.parametrize("name", ["silent", "tarpit", "tlshang"])
def test_others_do_not_wait_for_the_slow(world: World, name: str) -> None:
    for _ in range(30):
        submit(world, name)
    began = time.monotonic()
    marker = f"beside-{name}".encode()
    for _ in range(20):
        submit(world, "limits", data=TEXT % marker)
    until(lambda: len(world.remote["limits"].messages(marker)) == 20, 20)
    assert time.monotonic() - began < 20
    assert all(each["state"] == "waiting" for each in world.server.queue("--to", f"{name}.test"))


def test_an_endless_reply_is_cut_short(world: World) -> None:
    submit(world, "endless")
    until(lambda: world.state("endless")["attempts"], 30)
    assert "without an end" in world.state("endless")["tries"][-1]["reply"]  # type: ignore[index]


def test_nothing_ends_a_message_but_its_end(world: World) -> None:
    """SMTP smuggling: whatever looks like an end to somebody is stuffed or kept out."""
    for n, inner in enumerate((b"\r\n.\r\n", b"\r\n.\r\nMAIL FROM:<evil@x.test>\r\n", b"\r\n..\r\n", b"\r\n.x\r\n")):
        marker = b"smuggle-%d" % n
        stuffed = inner.replace(b"\r\n.", b"\r\n..")
        submit(world, "limits", data=b"Subject: %b\r\n\r\na" % marker + inner + b"b\r\n")
        (arrived,) = until(lambda m=marker: world.remote["limits"].messages(m))
        assert arrived.data.endswith(b"a" + inner + b"b\r\n")
        assert arrived.raw.endswith(b"a" + stuffed + b"b\r\n")
    assert not any(b"evil" in command for command in world.remote["limits"].commands)


@pytest.mark.parametrize("octets", [b"a\nb", b"a\rb", b"a\n.\nb", b"a\r.\rb", b"a\r\n.\nb", b"a\0b", b"x" * 2000])
def test_what_smtp_forbids_never_leaves(world: World, octets: bytes) -> None:
    """By BDAT with BINARYMIME a user may hand in anything: it goes out coded, or not at all."""
    from tests.outside.program import PASSWORD
    from tests.outside.wire import Wire

    marker = b"binary-%d-%d" % (len(octets), sum(octets))
    data = b"Subject: %b\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n" % marker + octets + b"\r\n"
    with Wire(world.server.submission) as wire:
        wire.hello()
        wire.login("alice@example.test", PASSWORD)
        wire.expect(b"MAIL FROM:<alice@example.test> BODY=BINARYMIME", "250")
        wire.expect(b"RCPT TO:<user@limits.test>", "250")
        wire.send(b"BDAT %d LAST\r\n" % len(data) + data)
        assert wire.reply().startswith("250")
    (arrived,) = until(lambda: world.remote["limits"].messages(marker))
    lines = arrived.raw.split(b"\r\n")
    assert max(map(len, lines)) <= 998
    assert not any(b"\n" in line or b"\r" in line or b"\0" in line for line in lines)
    content = email.message_from_bytes(arrived.data).get_payload(decode=True)
    assert content == octets + b"\r\n"


def test_vanished_after_accepting(world: World, tmp_path: Path) -> None:
    """The remote has it, and we never heard so: it is sent again, and that double is the only one there may be."""
    with Says("end", b"accept and vanish", 1) as remote, serving(tmp_path, {"gone": remote.port}) as server:
        server.submit(["<user@gone.test>"], TEXT % b"gone")
        server.settled()
        assert len(remote.journal) == 2
        assert server.inbox() == []
