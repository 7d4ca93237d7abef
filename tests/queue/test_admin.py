"""The operator's view of the queue, beside a sender at work on the same tables."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import pytest

from posthouse.database.connection import open_connection
from posthouse.database.migrations import migrate
from posthouse.message.address import Address
from posthouse.message.envelope import BodyType, Recipient, ReversePath
from posthouse.message.ids import format_id, id_factory
from posthouse.queue.interface import AttemptRecord, Filter, Fresh, RecipientState, Try, Waiting
from posthouse.queue.sqlite import claimers, claiming, putting, recording, upkeep
from posthouse.queue.sqlite.admin import QueueAdmin, QueueAdminError, QueueBusyError
from posthouse.queue.sqlite.schema import MIGRATIONS, ROOM

START = 1_790_000_000
TOKEN = 7  # of the sender that is at work
ALL = Filter(settled=True)


@dataclass
class Office:
    """The tables with a sender's hands on them, and the desk that looks at them."""

    path: Path
    connection: apsw.Connection
    desk: QueueAdmin
    now: float = START
    made: list[bytes] = field(default_factory=list)

    def put(
        self, *to: str, sender: ReversePath | str = "a@here.test", destination: str = "", message_id: str = ""
    ) -> str:
        """Queue a message; its shown id."""
        if isinstance(sender, str):
            sender = ReversePath(Address.parse(sender) if sender else None)
        ident = id_factory(lambda: self.now + len(self.made))()
        self.made.append(ident)
        parsed = [Address.parse(each) for each in to]
        recipients = tuple((Recipient(each), destination or each.domain_key) for each in parsed)
        fresh = Fresh(ident, 5, sender, 7, message_id, START, START + 1000, recipients, START)
        putting.put(self.connection, fresh, len(self.made), 0, 0)
        return format_id(ident)

    def claim(self) -> list[Waiting]:
        now = int(self.now)
        claimers.renew(self.connection, TOKEN)
        shares = dict.fromkeys(claiming.due(self.connection, now, (), 100), 100)
        return claiming.Claim(self.connection, TOKEN, now).take_due(shares, 100)

    def record(self, *records: AttemptRecord) -> list[int]:
        return recording.record(self.connection, records, TOKEN, int(self.now))

    def found(self, wanted: Filter = ALL) -> list[str]:
        """The addresses of the recipients meant."""
        return [str(each.recipient.address) for each in self.desk.recipients(wanted)]

    def waiting(self, number: int = 1) -> tuple[int, int | None]:
        """How many of a message's recipients wait, and since when none does."""
        found: Any = self.connection.execute(
            "SELECT waiting, settled FROM queued WHERE number = ?", (number,)
        ).fetchall()
        waiting, settled = found[0]
        return waiting, settled


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    path = tmp_path / "posthouse.db"
    connection = open_connection(path)
    migrate(connection, MIGRATIONS, room=ROOM)
    made: list[Office] = []
    with QueueAdmin(path, clock=lambda: made[0].now, patience=0.01) as desk:
        made.append(Office(path, connection, desk))
        yield made[0]
    connection.close()


def tried(at: int = START, code: int = 451) -> Try:
    return Try(at, code, "4.7.1 later", "mx.y.test", "192.0.2.1", "TLSv1.3")


def test_all_that_is_known_is_shown(office: Office) -> None:
    sender = ReversePath(
        Address.parse("jörg@here.test"), body=BodyType.EIGHT_BIT, smtputf8=True, ret="HDRS", envid="x+2B"
    )
    office.put("b@y.test", sender=sender, message_id="id@here.test")
    (one,) = office.claim()
    assert office.desk.recipients(ALL)[0].claimed
    office.record(AttemptRecord(one, RecipientState.WAITING, tried(), due=START + 300))
    (seen,) = office.desk.recipients(ALL)
    assert (seen.message.sender, seen.message.message_id, seen.message.account) == (sender, "id@here.test", 7)
    assert (seen.state, seen.held, seen.due, seen.attempts) == (RecipientState.WAITING, False, START + 300, 1)
    assert (seen.claimed, seen.finished, seen.tries) == (False, None, (tried(),))


def test_tries_come_oldest_first_and_only_the_last_fifty(office: Office) -> None:
    office.put("b@y.test")
    for n in range(60):
        (one,) = office.claim()
        office.record(AttemptRecord(one, RecipientState.WAITING, tried(START + n), due=START))
    (seen,) = office.desk.recipients(ALL)
    assert [each.at for each in seen.tries] == list(range(START + 10, START + 60))
    assert seen.attempts == 60


def test_newest_first_and_no_more_than_wanted(office: Office) -> None:
    office.put("b@y.test", "c@y.test")
    office.put("d@y.test")
    assert office.found() == ["d@y.test", "b@y.test", "c@y.test"]
    assert [str(each.recipient.address) for each in office.desk.recipients(ALL, limit=2)] == ["d@y.test", "b@y.test"]
    assert office.desk.count(ALL) == (3, 2)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Filter(), ["d", "c", "b"]),
        (Filter(sender="A@HERE.TEST"), ["b"]),
        (Filter(sender="<a@here.test>"), ["b"]),
        (Filter(sender="here.test"), ["b"]),
        (Filter(sender="ere.test"), []),
        (Filter(sender="other.test"), ["c"]),
        (Filter(sender="<>"), ["d"]),
        (Filter(recipient="c@y.test"), ["c"]),
        (Filter(recipient="Y.test"), ["c", "b"]),
        (Filter(recipient="bücher.test"), ["d"]),
        (Filter(recipient="xn--bcher-kva.test"), ["d"]),
        (Filter(recipient="d@BÜCHER.test"), ["d"]),
        (Filter(destination="Y.test"), ["b"]),
        (Filter(destination="bücher.test"), ["d"]),
        (Filter(destination="route/Relay"), ["c"]),
        (Filter(destination="route/relay/y.test"), ["c"]),
        (Filter(destination="route"), []),
        (Filter(destination="route/rel"), []),
        (Filter(message_id="<two@here.test>"), ["c"]),
        (Filter(sender="other.test", recipient="b@y.test"), []),
        (Filter(held=True), []),
        (Filter(held=False), ["d", "c", "b"]),
        # Nothing that is typed is a pattern, or SQL.
        (Filter(sender="%"), []),
        (Filter(recipient="_.test"), []),
        (Filter(recipient="' OR 1 --"), []),
        (Filter(destination="*"), []),
    ],
)
def test_filters(office: Office, wanted: Filter, found: list[str]) -> None:
    office.put("b@y.test", message_id="one@here.test")
    office.put("c@y.test", sender="a@other.test", destination="route/Relay/y.test", message_id="two@here.test")
    office.put("d@bücher.test", sender="")
    assert [each.partition("@")[0] for each in office.found(wanted)] == found
    assert office.desk.count(wanted)[0] == len(found)


def test_an_id_may_be_given_by_its_beginning(office: Office) -> None:
    first, second = office.put("b@y.test"), office.put("c@y.test")
    assert office.found(Filter((first,))) == ["b@y.test"]
    assert office.found(Filter((second[:16].upper(),))) == ["c@y.test"]
    assert office.found(Filter((first, second))) == ["c@y.test", "b@y.test"]
    assert office.found(Filter((first[:6],))) == ["c@y.test", "b@y.test"]  # of about the same time
    assert office.found(Filter(("00000000",))) == []


@pytest.mark.parametrize("ident", ["", "01m86", "01m86'); --", "l" * 10, "z" * 26, "0" * 27, "01m86ü", "İ" * 8])
def test_what_is_no_id_is_told(office: Office, ident: str) -> None:
    with pytest.raises(QueueAdminError, match=r"id"):
        office.desk.recipients(Filter((ident,)))


def test_what_is_no_text_is_told(office: Office) -> None:
    with pytest.raises(QueueAdminError, match="no text"):
        office.desk.recipients(Filter(sender="\udcff@here.test"))


def test_what_is_settled_is_seen_when_asked_for(office: Office) -> None:
    office.put("b@y.test")
    (one,) = office.claim()
    office.record(AttemptRecord(one, RecipientState.DELIVERED, tried(code=250)))
    assert office.found(Filter()) == []
    (seen,) = office.desk.recipients(ALL)
    assert (seen.state, seen.finished) == (RecipientState.DELIVERED, START)


def test_retry_makes_those_due_that_nobody_has_in_hand(office: Office) -> None:
    office.put("b@y.test")
    (one,) = office.claim()
    assert office.desk.retry(Filter()) == 0  # it is being sent
    office.record(AttemptRecord(one, RecipientState.WAITING, tried(), due=START + 300))
    assert office.claim() == []
    assert office.desk.retry(Filter()) == 1
    (again,) = office.claim()
    assert again.urgent


def test_the_claims_of_the_dead_do_not_keep_from_retrying(office: Office) -> None:
    office.put("b@y.test")
    office.claim()
    assert claimers.end_claims_of(office.connection, TOKEN, 1)
    assert office.desk.retry(Filter()) == 1


def test_what_is_held_is_not_sent_until_released(office: Office) -> None:
    office.put("b@y.test", "c@z.test")
    assert office.desk.hold(Filter(recipient="y.test")) == 1
    assert office.desk.hold(Filter(recipient="y.test")) == 0
    assert office.found(Filter(held=True)) == ["b@y.test"]
    assert office.desk.retry(Filter(recipient="y.test")) == 0
    assert [str(one.recipient.address) for one in office.claim()] == ["c@z.test"]
    assert office.desk.release(Filter()) == 1
    assert [str(one.recipient.address) for one in office.claim()] == ["b@y.test"]


def test_a_hold_outlives_the_try_that_is_under_way(office: Office) -> None:
    office.put("b@y.test")
    (one,) = office.claim()
    assert office.desk.hold(Filter()) == 1
    office.record(AttemptRecord(one, RecipientState.WAITING, tried(), due=START))
    assert office.claim() == []


def test_what_a_sender_has_in_hand_is_told_and_the_sender_is_told_too(office: Office) -> None:
    """It lets go of what it has not begun (see delivery.outbound.agent); what it has begun goes on."""
    office.put("b@y.test", "c@z.test")
    shares = {"y.test": 1}
    claimers.renew(office.connection, TOKEN)
    claiming.Claim(office.connection, TOKEN, START).take_due(shares, 100)
    assert office.desk.under_way(Filter()) == 1
    assert office.desk.hold(Filter()) == 2
    assert office.desk.under_way(Filter(held=True)) == 1
    assert claimers.read_claimers(office.connection) == {TOKEN: (1, 1)}
    assert office.desk.hold(Filter()) == 0
    assert claimers.read_claimers(office.connection) == {TOKEN: (1, 1)}  # nothing was changed, so nobody need look
    assert claiming.claimed_by(office.connection, TOKEN) == [(1, 0, 1)]
    office.desk.drop(Filter())
    assert office.desk.under_way(Filter()) == 0
    assert claimers.read_claimers(office.connection) == {TOKEN: (1, 2)}
    assert claiming.claimed_by(office.connection, TOKEN) == []


def test_the_last_one_dropped_settles_the_message(office: Office) -> None:
    office.put("b@y.test", "c@y.test")
    assert office.desk.drop(Filter(recipient="b@y.test")) == 1
    assert office.waiting() == (1, None)
    office.now += 5
    assert office.desk.drop(Filter()) == 1
    assert office.desk.drop(ALL) == 0
    assert office.waiting() == (0, START + 5)
    assert upkeep.needed_bodies(office.connection) == set()
    assert {(each.state, each.finished) for each in office.desk.recipients(ALL)} == {
        (RecipientState.DROPPED, START),
        (RecipientState.DROPPED, START + 5),
    }


def test_what_is_dropped_while_it_is_sent_counts_once(office: Office) -> None:
    office.put("b@y.test", "c@y.test")
    one, other = office.claim()
    assert office.desk.drop(Filter(recipient="b@y.test")) == 1
    assert office.record(AttemptRecord(one, RecipientState.DELIVERED, tried(code=250))) == []
    assert office.waiting() == (1, None)
    assert office.record(AttemptRecord(other, RecipientState.DELIVERED, tried(code=250))) == [1]
    dropped, delivered = office.desk.recipients(ALL)
    assert (dropped.state, delivered.state) == (RecipientState.DROPPED, RecipientState.DELIVERED)
    assert dropped.tries == (tried(code=250),)  # what really happened is not hidden


def test_a_change_that_fails_changes_nothing(office: Office) -> None:
    office.put("b@y.test", "c@y.test")
    office.connection.execute(
        "CREATE TRIGGER fail BEFORE UPDATE ON queued_recipient WHEN NEW.n = 1 BEGIN SELECT RAISE(ABORT, 'power'); END"
    )
    with pytest.raises(QueueAdminError, match="power"):
        office.desk.drop(Filter())
    assert office.waiting() == (2, None)
    assert office.found(Filter()) == ["b@y.test", "c@y.test"]


def test_a_writer_who_takes_long_is_told_of_and_readers_go_on(office: Office) -> None:
    office.put("b@y.test")
    office.connection.execute("BEGIN IMMEDIATE")
    with pytest.raises(QueueBusyError, match="busy"):
        office.desk.hold(Filter())
    assert office.found() == ["b@y.test"]
    office.connection.execute("COMMIT")
    assert office.desk.hold(Filter()) == 1


def test_a_queue_of_a_later_version_is_left_alone(office: Office) -> None:
    office.connection.execute("UPDATE schema_version SET version = 99")
    with pytest.raises(QueueAdminError, match="newer"):
        QueueAdmin(office.path)


def test_what_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "posthouse.db").write_bytes(b"x" * 4096)
    with pytest.raises(QueueAdminError, match="cannot be opened"):
        QueueAdmin(tmp_path / "posthouse.db")
    with pytest.raises(QueueAdminError, match="cannot be opened"):
        QueueAdmin(tmp_path / "no" / "posthouse.db")


@pytest.mark.parametrize(
    ("damage", "sender", "recipient"),
    [
        ("UPDATE queued_recipient SET address = 'no address' WHERE number = 1", "a@here.test", "no address"),
        ("UPDATE queued SET sender = 'no address' WHERE number = 1", "no address", "b@y.test"),
        ("UPDATE queued SET options = '{' WHERE number = 1", "a@here.test", "b@y.test"),
    ],
)
def test_what_cannot_be_read_is_shown_as_it_stands_there_and_can_be_dropped(
    office: Office, damage: str, sender: str, recipient: str
) -> None:
    ident = office.put("b@y.test")
    office.put("c@y.test")
    office.connection.execute(damage)
    assert [str(one.recipient.address) for one in office.claim()] == ["c@y.test"]
    found = {str(each.recipient.address): each for each in office.desk.recipients(ALL)}
    assert set(found) == {recipient, "c@y.test"}
    assert found[recipient].held
    assert str(found[recipient].message.sender.address) == sender
    assert office.desk.drop(Filter(ids=(ident,))) == 1


def test_what_is_no_text_is_said_so(office: Office) -> None:
    office.put("b@y.test")
    office.connection.execute("UPDATE queued_recipient SET address = CAST(x'ff' AS TEXT)")
    with pytest.raises(QueueAdminError, match="no text"):
        office.desk.recipients(ALL)
