"""TLS that was promised: by DANE (RFC 7672) and by MTA-STS (RFC 8461). What cannot be had so is not sent otherwise."""

import pytest

from tests.world import cases
from tests.world.mail import Letter, Server, arrived, having, settled
from tests.world.waiting import until
from tests.world.world import ALPHA, EXIM, World


def waits(world: World, sender: Server, letter: Letter) -> str:
    """The reason for which it waits; it was tried, it did not get through, and nobody was told."""
    reason = until(lambda: sender.reason(letter.recipient), f"it was not tried:\n{sender.log[-6000:]}")
    assert sender.queued()
    assert not having(world.postfix.mailbox(letter.recipient), letter.subject)
    assert not having(sender.mailbox(letter.sender), letter.subject)
    return reason


def send(world: World, origin: str, domain: str) -> Letter:
    """A letter from there to somebody at a domain with a promise."""
    letter = Letter(f"alice@{origin}", f"bob@{domain}")
    world.servers[origin].send(letter)
    return letter


@pytest.mark.parametrize("origin", [EXIM, ALPHA])
@pytest.mark.parametrize("domain", [cases.DANE_GOOD, cases.DANE_UNSIGNED])
def test_dane_that_holds_and_dane_without_dnssec(world: World, origin: str, domain: str) -> None:
    """RFC 7672 2.1.1: records of an unsigned zone, wrong as they are, do not count."""
    letter = send(world, origin, domain)
    assert b"SMTPS" in arrived(world.postfix, letter.recipient, letter.subject, world.servers[origin]).upper()
    settled(world.servers[origin])
    if origin == ALPHA:
        assert ("DANE" in world.alpha.proof(letter.recipient)) == (domain == cases.DANE_GOOD)


@pytest.mark.parametrize("origin", [EXIM, ALPHA])
def test_dane_that_does_not_hold(world: World, origin: str) -> None:
    letter = send(world, origin, cases.DANE_WRONG)
    reason = waits(world, world.servers[origin], letter)
    assert any(word in reason for word in ("TLS", "DANE", "certificate")), reason
    world.servers[origin].forget()


def test_mta_sts_that_holds(world: World) -> None:
    letter = send(world, ALPHA, cases.STS_GOOD)
    assert b"SMTPS" in arrived(world.postfix, letter.recipient, letter.subject, world.alpha).upper()
    assert cases.STS_GOOD in world.policies.asked
    settled(world.alpha)
    assert "verified" in world.alpha.proof(letter.recipient)


@pytest.mark.parametrize("domain", [cases.STS_NAME, cases.STS_MX])
def test_mta_sts_that_does_not_hold(world: World, domain: str) -> None:
    """A certificate with another name; an MX that the policy does not list."""
    letter = send(world, ALPHA, domain)
    reason = waits(world, world.alpha, letter)
    assert any(word in reason for word in ("MTA-STS", "certificate", "policy")), reason
    assert domain in world.policies.asked
    world.alpha.forget()


def test_mta_sts_in_testing_mode_delivers(world: World) -> None:
    letter = send(world, ALPHA, cases.STS_TESTING)
    arrived(world.postfix, letter.recipient, letter.subject, world.alpha)
    assert cases.STS_TESTING in world.policies.asked


def test_a_policy_that_cannot_be_had_delivers(world: World) -> None:
    """RFC 8461 3.3: without a policy that was fetched before, mail goes as if there were none."""
    letter = send(world, ALPHA, cases.STS_GONE)
    arrived(world.postfix, letter.recipient, letter.subject, world.alpha)
    assert cases.STS_GONE in world.policies.asked


def test_starttls_taken_away_from_a_promise(world: World) -> None:
    letter = send(world, ALPHA, cases.STS_STRIPPED)
    waits(world, world.alpha, letter)
    until(lambda: world.stripper.heard, "nobody came to the man in the middle")
    assert not world.stripper.heard_with(letter.subject.encode())
    assert not world.stripper.heard_with(cases.STS_STRIPPED.encode()), "not even the addresses are said in plain text"
    world.alpha.forget()


@pytest.mark.parametrize("origin", [EXIM, ALPHA])
def test_starttls_taken_away_where_nothing_is_promised(world: World, origin: str) -> None:
    """The man in the middle passes everything else on: without a promise, mail goes in plain text (RFC 7435)."""
    letter = send(world, origin, cases.STRIPPED)
    found = arrived(world.postfix, letter.recipient, letter.subject, world.servers[origin])
    assert b"with ESMTP id" in found
    assert world.stripper.heard_with(letter.subject.encode())


def test_starttls_taken_away_where_it_was_before(world: World) -> None:
    """A host that once had a valid certificate is not sent to in plain text."""
    first = send(world, ALPHA, cases.TURNING)
    assert b"SMTPS" in arrived(world.postfix, first.recipient, first.subject, world.alpha).upper()
    world.turning.stripping = True
    world.turning.cut()
    second = send(world, ALPHA, cases.TURNING)
    waits(world, world.alpha, second)
    assert not world.turning.heard_with(second.subject.encode())
    world.alpha.forget()
