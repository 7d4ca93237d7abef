"""Letters between every two of the four servers, by MX and over TLS; and the ways that an MX can be found."""

import re
from itertools import permutations

import pytest

from tests.world import cases
from tests.world.mail import Letter, arrived, having, settled
from tests.world.reports import read_report
from tests.world.waiting import until
from tests.world.world import ALPHA, BETA, EXIM, POSTFIX, World

PAIRS = list(permutations((ALPHA, BETA, POSTFIX, EXIM), 2))


def received_fields(message: bytes) -> list[str]:
    """The Received header fields, newest first, unfolded."""
    head = message.partition(b"\r\n\r\n")[0].decode()
    unfolded = re.sub(r"\r\n[ \t]+", " ", head)
    return [line for line in unfolded.split("\r\n") if line.lower().startswith("received:")]


@pytest.mark.parametrize(("origin", "destination"), PAIRS)
def test_a_letter_arrives_once_whole_and_over_tls(world: World, origin: str, destination: str) -> None:
    sender, receiver = world.servers[origin], world.servers[destination]
    letter = Letter(f"alice@{origin}", f"bob@{destination}")
    sender.send(letter)
    found = arrived(receiver, letter.recipient, letter.subject, sender)
    assert found.partition(b"\r\n\r\n")[2].rstrip() == letter.body.encode().rstrip()
    assert re.search(r"with (UTF8)?E?SMTPS", received_fields(found)[0], re.IGNORECASE), received_fields(found)
    assert f"mx.{origin}" in received_fields(found)[0]
    settled(sender, receiver)
    assert len(having(receiver.mailbox(letter.recipient), letter.subject)) == 1


@pytest.mark.parametrize("origin", [EXIM, ALPHA])
@pytest.mark.parametrize("domain", cases.ROUTES)
def test_the_way_to_a_domain_is_found(world: World, origin: str, domain: str) -> None:
    letter = Letter(f"alice@{origin}", f"carol@{domain}")
    world.servers[origin].send(letter)
    arrived(world.postfix, letter.recipient, letter.subject, world.servers[origin])


@pytest.mark.parametrize("origin", [EXIM, ALPHA])
@pytest.mark.parametrize("domain", [cases.NULL_MX, cases.NOWHERE])
def test_a_domain_that_takes_no_mail_is_told_at_once(world: World, origin: str, domain: str) -> None:
    """RFC 7505 4.1 and RFC 5321 5.1: no such domain, and a null MX, fail for good."""
    sender = world.servers[origin]
    letter = Letter(f"alice@{origin}", f"carol@{domain}")
    sender.send(letter)
    report = read_report(arrived(sender, letter.sender, letter.subject))
    assert (report.recipient, report.action) == (letter.recipient, "failed")
    if origin == ALPHA:
        assert report.status == {cases.NULL_MX: "5.1.10", cases.NOWHERE: "5.1.2"}[domain]


@pytest.mark.parametrize("origin", [EXIM, ALPHA])
def test_a_domain_whose_answers_are_not_valid_waits(world: World, origin: str) -> None:
    """A wrong signature is SERVFAIL: no answer, which is no reason to give up."""
    sender = world.servers[origin]
    letter = Letter(f"alice@{origin}", f"carol@{cases.BOGUS}")
    sender.send(letter)
    until(lambda: sender.reason(letter.recipient), f"it was not tried:\n{sender.log}")
    assert not world.postfix.mailbox(letter.recipient)
    assert not having(sender.mailbox(letter.sender), letter.subject)
    sender.forget()
