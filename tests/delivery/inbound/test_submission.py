"""What is asked of a message that a user submits: nobody may write as another."""

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from posthouse.accounts.errors import DirectoryBusyError
from posthouse.accounts.interface import Account, Local
from posthouse.accounts.sending_limits import SendingLimits, Taken
from posthouse.accounts.sqlite import SqliteDirectory, SqliteThrottleRows
from posthouse.accounts.sqlite.registry import SqliteRegistry
from posthouse.accounts.sqlite.sending_limits import SqliteSendingLimitRows
from posthouse.accounts.throttle import Throttle
from posthouse.database.connection import Durability, open_connection
from posthouse.delivery.content.body_with_cuts import without
from posthouse.delivery.inbound.submission import Prepared, Submission
from posthouse.message.address import Address
from posthouse.message.envelope import ReversePath
from posthouse.message.reply import Reply
from posthouse.message.trace import Tracer
from tests.sessions.world import FAST

NOW = 1_790_000_000.0


class Fixture:
    def __init__(self, folder: Path) -> None:
        self.now = NOW
        self.registry = SqliteRegistry(folder / "directory.db", hasher=FAST)
        for domain in ("here.test", "bücher.test"):
            self.registry.domains.add(domain)
        for name in ("alice@here.test", "bob@here.test", "alice@bücher.test"):
            self.registry.accounts.add(name, "secret")
        for alias, target in (
            ("sales@here.test", "alice@here.test"),
            ("all@here.test", "alice@here.test"),
            ("all@here.test", "bob@here.test"),
            ("away@here.test", "alice@elsewhere.test"),
        ):
            self.registry.aliases.add(alias, target)
        self.volatile = open_connection(folder / "volatile.db", durability=Durability.OFF)
        self.directory = SqliteDirectory(
            folder / "directory.db", Throttle(SqliteThrottleRows(self.volatile), time.time), hasher=FAST
        )
        self.submission = self.make()

    def make(self, **bounds: int) -> Submission:
        rows = SqliteSendingLimitRows(self.volatile)
        allowance = SendingLimits(rows, lambda: self.now, **bounds)
        ids = (n.to_bytes(16, "big") for n in itertools.count(1 << 80))
        tracer = Tracer("mail.here.test", lambda: self.now)
        return Submission(self.directory, allowance, tracer, lambda: self.now, lambda: next(ids))

    def account(self, address: str = "alice@here.test") -> Account:
        found = self.directory.addresses.resolve(Address.parse(address))
        assert isinstance(found, Local)
        return found.accounts[0]

    def prepare(self, head: str | bytes, sender: str = "alice@here.test") -> Prepared | Reply:
        data = head.encode() if isinstance(head, str) else head
        whole = data.replace(b"\n", b"\r\n") + b"\r\n"
        return self.submission.prepare(self.account(), whole, ReversePath(Address.parse(sender)))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Fixture]:
    made = Fixture(tmp_path)
    yield made
    made.directory.close()
    made.registry.close()
    made.volatile.close()


MINE = ["alice@here.test", "ALICE@HERE.TEST", "alice+detail@here.test", "sales@here.test"]
NOT_MINE = [
    "bob@here.test",
    "bob+alice@here.test",
    "all@here.test",
    "away@here.test",
    "alice@elsewhere.test",
    "alice@bücher.test",
    "alice@xn--bcher-kva.test",
    "nobody@here.test",
    "alice@here.test.evil.test",
    '"alice@here.test"@evil.test',
]


@pytest.mark.parametrize("address", MINE)
def test_ones_own_addresses(house: Fixture, address: str) -> None:
    assert house.submission.check_sender(house.account(), Address.parse(address)) is None
    assert isinstance(house.prepare(f"From: {address}\n"), Prepared)


@pytest.mark.parametrize("address", NOT_MINE)
def test_nobody_elses(house: Fixture, address: str) -> None:
    refusal = house.submission.check_sender(house.account(), Address.parse(address))
    assert refusal is not None and (refusal.code, refusal.enhanced) == (550, "5.7.1")
    for head in (
        f"From: {address}\n",
        f"From: Alice <{address}>\n",
        f"From: alice@here.test\nSender: {address}\n",
        f"From: alice@here.test, {address}\nSender: alice@here.test\n",
        f"From: Us: alice@here.test, {address};\nSender: alice@here.test\n",
        f'From: "alice@here.test" <{address}>\n',
        f"From: (alice@here.test) {address}\n",
        f"FROM : {address}\n",
        f"From: alice@here.test <{address}>\n",
        f"From: {address} <{address}>\n",
        f"From: {address} <alice@here.test>\n",
        f"From:\n {address}\n",
    ):
        answer = house.prepare(head)
        assert isinstance(answer, Reply), head
        assert answer.code in (550, 554)
    assert address not in MINE


def test_a_grant(house: Fixture) -> None:
    for identity, address in (("all@here.test", "all@here.test"), ("*@elsewhere.test", "x@elsewhere.test")):
        assert isinstance(house.prepare(f"From: {address}\n"), Reply)
        house.registry.identities.add("alice@here.test", identity)
        assert isinstance(house.prepare(f"From: {address}\n"), Prepared)
        assert house.submission.check_sender(house.account("bob@here.test"), Address.parse(address)) is not None
        house.registry.identities.remove("alice@here.test", identity)
        assert isinstance(house.prepare(f"From: {address}\n"), Reply)


@pytest.mark.parametrize(
    "head",
    [
        "From: alice@here.test\nFrom: alice@here.test\n",
        "From: alice@here.test\nFrom: bob@here.test\n",
        "From: alice@here.test, sales@here.test\n",  # several authors without a Sender
        "From: alice@here.test\nSender: alice@here.test, sales@here.test\n",
        "From: alice\n",
        "From: <alice@here.test\n",
        "From:\n",
        "From: undisclosed:;\n",
        "From: alice@here.test\nDate: x\nDate: y\n",
        "From: alice@here.test\nMessage-ID: <1@x>\nMessage-ID: <2@x>\n",
        "From: alice@here.test\nSubject: x\nSubject: y\n",
        b"From: \xff@here.test\n",
    ],
)
def test_an_author_that_cannot_be_told_for_sure(house: Fixture, head: str | bytes) -> None:
    answer = house.prepare(head)
    assert isinstance(answer, Reply)
    assert answer.code in (550, 554)


def test_the_null_sender_is_nobodys(house: Fixture) -> None:
    assert house.submission.check_sender(house.account(), None) is None


def test_what_is_missing_is_added(house: Fixture) -> None:
    answer = house.prepare("Subject: x\n", sender="sales@here.test")
    assert isinstance(answer, Prepared)
    assert answer.added.startswith(b"From: <sales@here.test>\r\nDate: ")
    assert f"Message-ID: <{answer.message_id}>\r\n".encode() in answer.added
    assert answer.message_id.endswith("@here.test")
    complete = house.prepare("From: alice@here.test\nDate: today\nMessage-ID: <mine@here.test>\n")
    assert complete == Prepared(b"", (), "mine@here.test", "here.test", False)


def test_a_name_that_repeats_its_address_leaves_as_the_address_alone(house: Fixture) -> None:
    """Printers ask for a name and get the address once more. The field would be refused elsewhere."""
    head = (
        b"From: alice@here.test\r\n <alice@here.test>\r\nSubject: scan\r\nSender: sales@here.test <sales@here.test>\r\n"
    )
    head += b"Date: today\r\nMessage-ID: <1@x.test>\r\n\r\n"
    answer = house.submission.prepare(house.account(), head, ReversePath(Address.parse("alice@here.test")))
    assert isinstance(answer, Prepared)
    assert answer.added == b"From: <alice@here.test>\r\nSender: <sales@here.test>\r\n"
    kept = without(head, answer.cuts)
    assert kept == b"Subject: scan\r\nDate: today\r\nMessage-ID: <1@x.test>\r\n\r\n"
    assert answer.domain == "here.test"
    several = house.prepare("From: alice@here.test <alice@here.test>, sales@here.test\nSender: alice@here.test\n")
    assert isinstance(several, Reply) and several.code == 554


def test_what_must_not_travel_is_left_out(house: Fixture) -> None:
    head = b"Bcc: x@y.test,\r\n z@y.test\r\nFrom: alice@here.test\r\nBCC:w@y.test\r\nReturn-Path: <a@b>\r\n"
    head += b"To: b@c.test\r\n\r\n"
    answer = house.submission.prepare(house.account(), head, ReversePath(Address.parse("alice@here.test")))
    assert isinstance(answer, Prepared)
    assert without(head, answer.cuts) == b"From: alice@here.test\r\nTo: b@c.test\r\n\r\n"


def people(*names: str) -> list[Address]:
    return [Address.parse(f"{name}@out.test") for name in names]


def check(submission: Submission, account: Account, recipients: list[Address]) -> Reply | None:
    """What is said of a message that is not sent."""
    taken = submission.take_allowance(account, recipients)
    if isinstance(taken, Taken):
        submission.give_back(taken)
        return None
    return taken


def test_messages_a_day(house: Fixture) -> None:
    submission = house.make(default_messages=3)
    for _ in range(3):
        assert check(submission, house.account(), people("x")) is None
        submission.take_allowance(house.account(), people("x"))
        house.now += 60
    refusal = check(submission, house.account(), people("x"))
    assert refusal is not None and (refusal.code, refusal.enhanced) == (451, "4.7.1")
    assert "3 messages" in refusal.text and "in 23 hours" in refusal.text and "UTC" in refusal.text
    assert check(submission, house.account("bob@here.test"), people("x")) is None
    house.now = NOW + 86400
    assert check(submission, house.account(), people("x")) is None


def test_new_recipients_a_day(house: Fixture) -> None:
    submission = house.make(default_recipients=3)
    submission.take_allowance(house.account(), people("a", "b"))
    assert check(submission, house.account(), people("a", "b", "c")) is None  # friends do not count
    refusal = check(submission, house.account(), people("c", "d"))
    assert refusal is not None and refusal.code == 451
    never = check(submission, house.account(), people("c", "d", "e", "f"))
    assert never is not None and never.code == 550
    house.now += 86400
    assert check(submission, house.account(), people("c", "d")) is None


def test_a_bound_that_cannot_be_counted_is_told(house: Fixture) -> None:
    submission = house.make(default_messages=3)
    house.volatile.execute("DROP TABLE sent")
    with pytest.raises(DirectoryBusyError):
        submission.take_allowance(house.account(), people("x"))


def test_an_international_author_is_added_with_a_labels(house: Fixture) -> None:
    account = house.account("alice@bücher.test")
    answer = house.submission.prepare(account, b"Subject: x\r\n\r\n", ReversePath(None))
    assert isinstance(answer, Prepared)
    assert answer.added.startswith(b"From: <alice@xn--bcher-kva.test>\r\n")
    assert answer.domain == "xn--bcher-kva.test" and answer.message_id.endswith("@xn--bcher-kva.test")


@pytest.mark.parametrize("head", ["", "Subject: gr\u00fc\u00dfe\n", "just a line\n"])
def test_a_poor_header_is_mended(house: Fixture, head: str) -> None:
    answer = house.prepare(head)
    assert isinstance(answer, Prepared)
    assert [line.partition(b":")[0] for line in answer.added.splitlines()] == [b"From", b"Date", b"Message-ID"]


def test_an_account_has_its_own_bounds(house: Fixture) -> None:
    submission = house.make(default_messages=100)
    house.registry.accounts.set_limits("alice@here.test", messages=0, recipients=None, sent_copy=True)
    refusal = check(submission, house.account(), people("x"))
    assert refusal is not None and refusal.code == 550
    answer = house.prepare("From: alice@here.test\n")
    assert isinstance(answer, Prepared) and answer.sent_copy
