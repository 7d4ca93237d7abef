"""Foreign clients submit mail for this server's own users and for others; what may not be sent is refused plainly.

One letter goes to a local account and to an outside address, whose server is a sink with a journal. It lacks Date and
Message-ID and has a Bcc field; clients that would mend that themselves are told not to, nodemailer cannot be.
"""

import base64
import email
import json
import re
import smtplib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.interop.java import java
from tests.interop.senders import Login, Sending, Way, curl, msmtp, swaks, with_smtplib
from tests.interop.tools import run, tool
from tests.outside.maildrop import wait_for
from tests.outside.program import PASSWORD
from tests.outside.relay import Relay, until
from tests.outside.relay import Way as Out
from tests.outside.remotes import Remote
from tests.outside.wire import Wire

Client = Callable[[Sending, Path], None]
NODE_MODULES = Path(__file__).parents[2] / ".work" / "node" / "node_modules"
ALICE, BOB, OUTSIDE = "alice@example.test", "bob@example.test", "carol@outside.test"
BODY = "Grüße\r\n.dot\r\n..two dots\r\n\r\nFrom here on.\r\n"

_NODE = """
const nodemailer = require(process.argv[1]);
const given = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const transport = nodemailer.createTransport(given.server);
transport.sendMail({envelope: given.envelope, raw: Buffer.from(given.message, 'base64')}).then(
  () => transport.close(),
  (error) => { console.error(error.response || error.message); process.exit(1); });
"""


def nodemailer(sending: Sending, home: Path) -> None:
    """Send with nodemailer, run by node."""
    if not (NODE_MODULES / "nodemailer").is_dir():
        pytest.fail("nodemailer is not there: npm install --prefix .work/node nodemailer")
    server: dict[str, object] = {
        "host": "127.0.0.1",
        "port": sending.port,
        "secure": sending.way is Way.TLS,
        "requireTLS": sending.way is Way.STARTTLS,
        "name": "client.test",
        "tls": {"rejectUnauthorized": False},
    }
    if login := sending.login:
        server["auth"] = {"user": login.user, "pass": login.password}
    given = {
        "server": server,
        "envelope": {"from": sending.sender, "to": [sending.recipient]},
        "message": base64.b64encode(sending.message).decode(),
    }
    run(tool("node"), "-e", _NODE, str(NODE_MODULES / "nodemailer"), home=home, stdin=json.dumps(given).encode())


def javamail(sending: Sending, home: Path) -> None:
    """Send with JavaMail."""
    letter = home / "javamail.eml"
    letter.write_bytes(sending.message)
    given = ["localhost", str(sending.port), sending.way.value, sending.sender, sending.recipient, str(letter)]
    if login := sending.login:
        given += [login.user, login.password]
    java(Path(__file__).parent / "Submit.java", *given, home=home)


CLIENTS: dict[str, Client] = {
    "javamail": javamail,
    "msmtp": msmtp,
    "swaks": swaks,
    "curl": curl,
    "nodemailer": nodemailer,
    "smtplib": with_smtplib,
}
WAYS = [Way.STARTTLS, Way.TLS]


class Post:
    """The server and the sink that mail to outside.test goes to."""

    def __init__(self, relay: Relay, sink: Remote) -> None:
        self.relay = relay
        self.sink = sink

    def sending(self, way: Way, message: bytes, recipient: str) -> Sending:
        """As alice, who logs in."""
        port = self.relay.ports["submissions" if way is Way.TLS else "submission"]
        return Sending(port, way, message, recipient, sender=ALICE, login=Login(ALICE, PASSWORD))

    def outside(self, subject: str) -> bytes:
        """The one message with that subject at the sink."""
        mark = f"Subject: {subject}\r\n".encode()
        (found,) = until(lambda: self.sink.journal.holding(mark), lambda: f"{subject} never came\n{self.relay.log}")
        return found.data

    def inside(self, subject: str) -> bytes:
        """The one message with that subject in bob's mailbox."""
        mark = f"Subject: {subject}\r\n".encode()
        found = [each for each in wait_for(self.relay.ports["pop3"], BOB, 1).values() if mark in each]
        assert len(found) == 1
        return found[0]


@pytest.fixture(scope="module")
def post(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Post]:
    with Remote() as sink:
        relay = Relay(tmp_path_factory.mktemp("submission"), [Out("outside.test", sink.port)])
        try:
            relay.add_accounts(["alice", "bob"])
            yield Post(relay.start(), sink)
            relay.stop()
        finally:
            relay.kill()
    assert sink.journal.faults == []
    subjects = [re.findall(rb"(?m)^Subject: .*$", one.data)[0] for one in sink.journal.accepted]
    assert len(set(subjects)) == len(subjects), "something came twice"


def letter(subject: str, author: str = ALICE) -> bytes:
    """Without Date and Message-ID, with Bcc."""
    head = (
        f"From: Alice <{author}>\r\nTo: Carol <{OUTSIDE}>\r\nBcc: secret@outside.test,\r\n hidden@outside.test\r\n"
        f"Subject: {subject}\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
        "Content-Transfer-Encoding: 8bit\r\n\r\n"
    )
    return (head + BODY).encode()


def names(message: bytes) -> list[str]:
    """The fields' names, lower case, in order."""
    head = message.partition(b"\r\n\r\n")[0].decode("utf-8")
    return [field.partition(":")[0].lower() for field in re.split(r"\r\n(?![ \t])", head)]


def assert_mended(message: bytes) -> None:
    """What was missing is there once, what must not travel is gone, the rest is as it was."""
    fields = names(message)
    assert {name: fields.count(name) for name in ("date", "message-id", "from", "to", "subject")} == dict.fromkeys(
        ("date", "message-id", "from", "to", "subject"), 1
    )
    assert "bcc" not in fields
    assert not any(name in message for name in (b"secret@", b"hidden@"))
    assert message.isascii()  # converted before it was signed, so that no server on its way has to
    assert email.message_from_bytes(message).get_payload(decode=True) == BODY.encode()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("client", CLIENTS)
def test_submits_to_the_outside(post: Post, tmp_path: Path, client: str, way: Way) -> None:
    subject = f"outside {client} {way.value}"
    CLIENTS[client](post.sending(way, letter(subject), OUTSIDE), tmp_path)
    found = post.outside(subject)
    assert_mended(found)
    signatures = [part.partition(b"\r\n")[0] for part in found.split(b"DKIM-Signature:")[1:]]
    assert sorted(re.findall(rb"a=([a-z0-9-]+);", b"".join(signatures))) == [b"ed25519-sha256", b"rsa-sha256"]
    assert all(b"d=example.test;" in each for each in signatures)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("client", CLIENTS)
def test_submits_to_an_account_here(post: Post, tmp_path: Path, client: str, way: Way) -> None:
    subject = f"inside {client} {way.value}"
    CLIENTS[client](post.sending(way, letter(subject), BOB), tmp_path)
    assert_mended(post.inside(subject))


@pytest.mark.parametrize("client", CLIENTS)
def test_what_is_there_is_kept(post: Post, tmp_path: Path, client: str) -> None:
    subject = f"kept {client}"
    given = b"Date: Mon, 05 Jan 2026 10:00:00 +0000\r\nMessage-ID: <%b@client.test>\r\n" % client.encode()
    CLIENTS[client](post.sending(Way.TLS, given + letter(subject), OUTSIDE), tmp_path)
    found = post.outside(subject)
    assert_mended(found)
    assert given in found


# Where a client hides what the server said, its exit code tells the step: swaks 23 MAIL, 26 content, 28 AUTH; curl 8
# content, 55 MAIL, 67 AUTH.
FORGED = {"swaks": r"exit code (23|26)\b", "curl": r"exit code (8|55)\b"}
PASSWORDS = {"swaks": r"exit code 28\b", "curl": r"exit code 67\b"}
LOGINS = {"swaks": r"exit code 23\b", "curl": r"exit code 55\b"}


@pytest.mark.parametrize("client", CLIENTS)
def test_forged_author(post: Post, tmp_path: Path, client: str) -> None:
    """In the header and in the envelope; the client fails, and shows the server's words."""
    subject = f"forged {client}"
    honest = post.sending(Way.STARTTLS, letter(subject), OUTSIDE)
    for forged in (replace(honest, message=letter(subject, BOB)), replace(honest, sender=BOB)):
        assert_refused(client, forged, tmp_path, FORGED.get(client, r"550\D+5\.7\.1"))
    assert post.sink.journal.holding(f"Subject: {subject}\r\n".encode()) == []


@pytest.mark.parametrize("client", CLIENTS)
def test_wrong_password(post: Post, tmp_path: Path, client: str) -> None:
    """Of an account of its own: others must not have to wait for it."""
    post_of = post.sending(Way.STARTTLS, letter(f"wrong {client}"), OUTSIDE)
    wrong = replace(post_of, login=Login(f"nobody-{client}@example.test", "wrong"))
    assert_refused(client, wrong, tmp_path, PASSWORDS.get(client, r"535"))
    assert post.sink.journal.holding(b"Subject: wrong") == []


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("client", CLIENTS)
def test_without_a_login(post: Post, tmp_path: Path, client: str, way: Way) -> None:
    nobody = replace(post.sending(way, letter(f"nobody {client}"), OUTSIDE), login=None)
    assert_refused(client, nobody, tmp_path, LOGINS.get(client, r"530"))
    assert post.sink.journal.holding(b"Subject: nobody") == []


def assert_refused(client: str, sending: Sending, home: Path, words: str) -> None:
    """The client ends with another exit code than 0, or an exception, and says why."""
    with pytest.raises((smtplib.SMTPException, pytest.fail.Exception)) as caught:
        CLIENTS[client](sending, home)
    told = str(caught.value)
    assert client == "smtplib" or re.search(r"exit code [1-9]", told), told
    assert re.search(words, told), told


def test_the_words_of_a_refusal(post: Post) -> None:
    """Octet for octet, where no client hides them."""
    with Wire(post.relay.ports["submissions"], tls=True) as wire:
        wire.hello()
        assert wire.ask(b"MAIL FROM:<alice@example.test>").startswith("530 5.7.0")
        assert wire.login(ALICE, "wrong").startswith("535 5.7.8")
        assert wire.login(ALICE, PASSWORD).startswith("235 ")
        assert wire.ask(b"MAIL FROM:<bob@example.test>").startswith("550 5.7.1")
        wire.mail(OUTSIDE, sender=ALICE)
        assert wire.data(letter("words", BOB)).startswith("550 5.7.1")
        wire.mail(OUTSIDE, sender=ALICE)
        assert wire.data(letter("words")).startswith("250")
    assert_mended(post.outside("words"))
