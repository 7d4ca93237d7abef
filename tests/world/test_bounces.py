"""What a sender is told: one notification, readable by programs, of an unknown recipient; and success, on request."""

import uuid

import pytest

from tests.world.mail import Letter, arrived, having, settled
from tests.world.reports import read_report
from tests.world.test_mail_flows import PAIRS
from tests.world.waiting import until
from tests.world.world import ALPHA, BETA, EXIM, POSTFIX, World

SPEAK_DSN = {BETA: True, POSTFIX: True, EXIM: False}  # Exim does not, as it comes


@pytest.mark.parametrize(("origin", "destination"), PAIRS)
def test_an_unknown_recipient_comes_back_once(world: World, origin: str, destination: str) -> None:
    sender, receiver = world.servers[origin], world.servers[destination]
    letter = Letter(f"carol@{origin}", f"nobody-{uuid.uuid4().hex}@{destination}")
    sender.send(letter)
    report = read_report(arrived(sender, letter.sender, letter.subject, receiver))
    assert (report.recipient, report.action) == (letter.recipient, "failed")
    assert report.bounced == {letter.recipient}
    assert report.status.startswith("5.") and "550" in report.diagnostic
    settled(sender, receiver)
    assert len(having(sender.mailbox(letter.sender), letter.subject)) == 1


@pytest.mark.parametrize("destination", [BETA, POSTFIX, EXIM])
def test_success_is_told_on_request(world: World, destination: str) -> None:
    """RFC 3461 5.2.2: by the last server, or, when the next one does not speak DSN, by ours as "relayed"."""
    sender, receiver = world.alpha, world.servers[destination]
    letter = Letter(f"alice@{ALPHA}", f"bob@{destination}")
    sender.send(letter, ["NOTIFY=SUCCESS,FAILURE", f"ORCPT=rfc822;bob@{destination}"])
    arrived(receiver, letter.recipient, letter.subject, sender)
    report = read_report(arrived(sender, letter.sender, letter.subject, receiver))
    assert report.recipient == letter.recipient
    assert report.action == ("delivered" if SPEAK_DSN[destination] else "relayed")
    assert report.status.startswith("2.") and not report.bounced
    settled(sender, receiver)
    assert len(having(sender.mailbox(letter.sender), letter.subject)) == 1


def test_a_failure_nobody_wants_to_hear_of_is_not_told(world: World) -> None:
    sender = world.alpha
    letter = Letter(f"alice@{ALPHA}", f"nobody-{uuid.uuid4().hex}@{POSTFIX}")
    sender.send(letter, ["NOTIFY=NEVER"])
    until(lambda: letter.recipient in world.postfix.log, "nobody asked Postfix for the recipient")
    settled(sender, world.postfix)
    assert not having(sender.mailbox(letter.sender), letter.subject)


def test_a_notification_that_cannot_be_delivered_is_not_bounced(world: World) -> None:
    """RFC 5321 4.5.5: mail from <> is never answered."""
    letter = Letter("", f"nobody-{uuid.uuid4().hex}@{ALPHA}")
    world.exim.send(letter)
    settled(world.exim, world.alpha)
    assert not having(world.alpha.mailbox(f"postmaster@{ALPHA}"), letter.subject)
