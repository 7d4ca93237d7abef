"""The world's DNS: what is signed is said to be so, what is not is not, and what is wrongly signed is not given out."""

from collections.abc import Iterator

import dns.flags
import dns.rcode
import pytest

from tests.world.names import Names, names_on
from tests.world.net import network


@pytest.fixture(scope="module")
def names() -> Iterator[Names]:
    with network() as net:
        names = names_on(net)
        host = net.host("mx", 10)
        names.insecure("plain.test")
        names.bogus("bogus.test")
        for domain in ("signed.test", "plain.test", "bogus.test"):
            names.add(domain, "MX", f"10 mx.{domain}.")
            names.address(f"mx.{domain}", host, reverse=domain == "signed.test")
            names.text(domain, "x" * 600)
        names.start()
        yield names


@pytest.mark.parametrize(("name", "secure"), [("signed.test", True), ("plain.test", False)])
def test_records_and_whether_they_are_secure(names: Names, name: str, secure: bool) -> None:
    for kind, owner in (("MX", name), ("A", f"mx.{name}"), ("AAAA", f"mx.{name}"), ("TXT", name)):
        answer = names.ask(owner, kind)
        assert answer.rcode() == dns.rcode.NOERROR and answer.answer
        assert bool(answer.flags & dns.flags.AD) == secure, (owner, kind)


def test_a_wrong_signature_is_no_answer(names: Names) -> None:
    assert names.ask("bogus.test", "MX").rcode() == dns.rcode.SERVFAIL
    assert names.ask("_25._tcp.mx.bogus.test", "TLSA").rcode() == dns.rcode.SERVFAIL


def test_what_does_not_exist_is_securely_so(names: Names) -> None:
    nowhere = names.ask("nowhere.test", "MX")
    assert nowhere.rcode() == dns.rcode.NXDOMAIN and nowhere.flags & dns.flags.AD
    nothing = names.ask("signed.test", "TLSA")
    assert nothing.rcode() == dns.rcode.NOERROR and not nothing.answer and nothing.flags & dns.flags.AD


def test_addresses_have_names(names: Names) -> None:
    for address in ("10.0.77.10.in-addr.arpa", "0.1." + "0." * 26 + "7.7.d.f.ip6.arpa"):
        (answer,) = names.ask(address, "PTR").answer
        assert answer[0].to_text() == "mx.signed.test."
