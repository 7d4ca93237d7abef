"""Domains with something particular about them. Postfix takes mail for all of them; their names say what it is."""

from dataclasses import dataclass

from tests.world.names import Names
from tests.world.net import Host
from tests.world.policies import policy
from tests.world.trust import WRONG_TLSA, Certificate

NOWHERE = "nowhere.test"  # no such domain
NULL_MX = "null.test"
BOGUS = "bogus.test"

ROUTES = {
    "equal.test": "two MX of one preference",
    "second.test": "nothing listens at the first MX",
    "implicit.test": "no MX, but addresses (RFC 5321 5.1)",
    "alias.test": "a CNAME for a domain with an MX",
    "four.test": "the MX has an IPv4 address only",
    "six.test": "the MX has an IPv6 address only",
}

DANE_GOOD, DANE_WRONG, DANE_UNSIGNED = "dane-good.test", "dane-wrong.test", "dane-unsigned.test"
DANE = (DANE_GOOD, DANE_WRONG, DANE_UNSIGNED)

STS_GOOD, STS_NAME, STS_MX = "sts-good.test", "sts-name.test", "sts-mx.test"
STS_TESTING, STS_GONE, STS_STRIPPED, STRIPPED = (
    "sts-testing.test",
    "sts-gone.test",
    "sts-stripped.test",
    "stripped.test",
)
TURNING = "turning.test"  # a man in the middle stands before it, who at first does nothing
STS_POLICIES = {
    STS_GOOD: policy("enforce", f"mx.{STS_GOOD}"),
    STS_NAME: policy("enforce", f"mx.{STS_NAME}"),  # but the certificate has not this name
    STS_MX: policy("enforce", f"another.{STS_MX}"),
    STS_TESTING: policy("testing", f"another.{STS_TESTING}"),  # nor has the certificate its name
    STS_STRIPPED: policy("enforce", f"mx.{STS_STRIPPED}"),
}
STS = (*STS_POLICIES, STS_GONE)

POSTFIX_DOMAINS = (*ROUTES, *DANE, *STS, STRIPPED, TURNING, BOGUS)
CERTIFIED = tuple(
    f"mx.{domain}" for domain in (STS_GOOD, STS_MX, STS_STRIPPED, TURNING)
)  # the names of Postfix's certificate


@dataclass(frozen=True)
class Places:
    """Where the cases live."""

    postfix: Host
    web: Host
    stripper: Host
    turning: Host
    certificate: Certificate  # Postfix's


def add_cases(names: Names, places: Places) -> None:
    """Add the records of all cases."""
    names.add(NULL_MX, "MX", "0 .")
    _routes(names, places)
    _dane(names, places)
    _sts(names, places)
    names.bogus(BOGUS)
    _mx(names, BOGUS, places.postfix)


def _mx(names: Names, domain: str, host: Host) -> None:
    names.add(domain, "MX", f"10 mx.{domain}.")
    names.address(f"mx.{domain}", host)


def _routes(names: Names, places: Places) -> None:
    for n in (1, 2):
        names.add("equal.test", "MX", f"10 mx{n}.equal.test.")
        names.address(f"mx{n}.equal.test", places.postfix)
    _mx(names, "second.test", places.postfix)
    names.add("second.test", "MX", "5 mx1.second.test.")
    names.address("mx1.second.test", places.web)  # whose port 25 is closed
    names.address("implicit.test", places.postfix)
    _mx(names, "real.test", places.postfix)
    names.add("alias.test", "CNAME", "real.test.")
    for domain, kind, address in (("four.test", "A", places.postfix.ip4), ("six.test", "AAAA", places.postfix.ip6)):
        names.add(domain, "MX", f"10 mx.{domain}.")
        names.add(f"mx.{domain}", kind, address)


def _dane(names: Names, places: Places) -> None:
    names.insecure(DANE_UNSIGNED)
    for domain in DANE:
        _mx(names, domain, places.postfix)
        data = places.certificate.tlsa if domain == DANE_GOOD else WRONG_TLSA
        names.add(f"_25._tcp.mx.{domain}", "TLSA", data)


def _sts(names: Names, places: Places) -> None:
    _mx(names, STRIPPED, places.stripper)
    _mx(names, TURNING, places.turning)
    for domain in STS:
        _mx(names, domain, places.stripper if domain == STS_STRIPPED else places.postfix)
        names.text(f"_mta-sts.{domain}", "v=STSv1; id=1;")
        names.address(f"mta-sts.{domain}", places.web)
